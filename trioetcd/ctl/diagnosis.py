"""What is wrong with a cluster, by what is known of it, and which command mends it.

Pure: facts in, findings out.  The limits are those of etcd's own alert rules where it has one.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from trioetcd.ctl.facts import ClusterFacts, MemberFacts
from trioetcd.ctl.prometheus import quantile

FSYNC_SECONDS, COMMIT_SECONDS = 0.010, 0.025  # 99th percentiles that etcd's documents call good
RTT_SECONDS = 0.150
QUOTA_SHARE = 0.80
FRAGMENTED_BYTES, FRAGMENTED_SHARE = 100 << 20, 0.5
BEHIND_ENTRIES = 5_000  # as many as a leader keeps for those who are a little behind
LEADER_CHANGES = 4
CERTIFICATE_DAYS = 30
_LOOPBACK = ("127.", "localhost", "[::1]", "unix", "node:")


class Severity(IntEnum):
    """Also the exit status."""

    ADVICE = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    severity: Severity
    what: str
    evidence: str
    mend: tuple[str, ...] = ()  # commands, in order


@dataclass(frozen=True)
class Certificate:
    """As much as matters of one."""

    whose: str
    ends: datetime.datetime


def diagnose(
    facts: ClusterFacts, certificates: list[Certificate], now: datetime.datetime
) -> list[Finding]:
    """The worst first."""
    found = [
        *(finding for check in CHECKS for finding in check(facts)),
        *_certificates(certificates, now),
    ]
    return sorted(found, key=lambda finding: -finding.severity)


def _unreachable(facts: ClusterFacts) -> Iterator[Finding]:
    lost = [one for one in facts.members if one.error]
    voters = len([one for one in facts.members if not one.is_learner]) + len(facts.unstarted)
    is_quorum_lost = len([one for one in lost if not one.is_learner]) * 2 >= voters > 0
    for one in lost:
        severity = Severity.CRITICAL if is_quorum_lost else Severity.WARNING
        mend: tuple[str, ...] = (
            f"look at the log of {one.name or one.endpoint}, and start it again",
        )
        if one.member_id and not is_quorum_lost:
            mend += (
                "if its data are lost: "
                f"trioetcd ctl member remove {one.member_id:x}; trioetcd ctl member add …",
            )
        yield Finding(severity, f"{_name(one)} does not answer", one.error, mend)
    if facts.list_error and not lost:
        yield Finding(Severity.CRITICAL, "the members cannot be listed", facts.list_error)


def _no_leader(facts: ClusterFacts) -> Iterator[Finding]:
    for one in _living(facts):
        assert one.status is not None
        if not one.status.leader:
            yield Finding(
                Severity.CRITICAL,
                f"{_name(one)} knows of no leader",
                f"term {one.status.raftTerm}",
                ("start members until more than half of them run, and reach each other",),
            )
    leaders = {one.status.leader for one in _living(facts) if one.status and one.status.leader}
    if len(leaders) > 1:
        shown = ", ".join(f"{leader:x}" for leader in sorted(leaders))
        yield Finding(Severity.WARNING, "members disagree about who leads", shown)


def _alarms(facts: ClusterFacts) -> Iterator[Finding]:
    for member, kind in facts.alarms:
        evidence = f"alarm {kind} of member {member:x}"
        if kind == "NOSPACE":
            yield Finding(
                Severity.CRITICAL,
                "the database is full: writes are refused",
                evidence,
                (
                    "trioetcd ctl compaction REVISION   # the present one: endpoint status -w json",
                    "trioetcd ctl defrag --cluster",
                    "trioetcd ctl alarm disarm",
                ),
            )
        else:
            yield Finding(
                Severity.CRITICAL,
                "a member's data are not those of the others",
                evidence,
                (
                    f"trioetcd ctl member remove {member:x}   # stop it, keep a copy of its data",
                    "trioetcd ctl member add …             # it gets all data anew",
                    "trioetcd ctl alarm disarm",
                ),
            )


def _quota(facts: ClusterFacts) -> Iterator[Finding]:
    for one in _living(facts):
        assert one.status is not None
        quota = one.metrics.number("etcd_server_quota_backend_bytes") if one.metrics else 0.0
        size = one.status.dbSize
        if quota > 0 and size > QUOTA_SHARE * quota:
            yield Finding(
                Severity.WARNING,
                f"the database of {_name(one)} is nearly full",
                f"{_mib(size)} of {_mib(quota)}",
                (
                    "trioetcd ctl compaction REVISION",
                    f"trioetcd ctl defrag --endpoints {one.endpoint}",
                    "or start members with a larger --quota-backend-bytes",
                ),
            )


def _fragmentation(facts: ClusterFacts) -> Iterator[Finding]:
    for one in _living(facts):
        assert one.status is not None
        size, used = one.status.dbSize, one.status.dbSizeInUse
        if size - used > FRAGMENTED_BYTES and used < FRAGMENTED_SHARE * size:
            yield Finding(
                Severity.ADVICE,
                f"most of the database of {_name(one)} is free",
                f"{_mib(used)} in use of {_mib(size)}",
                (f"trioetcd ctl defrag --endpoints {one.endpoint}",),
            )


def _slow_disk(facts: ClusterFacts) -> Iterator[Finding]:
    for one in _living(facts):
        for name, most, what in (
            ("etcd_disk_wal_fsync_duration_seconds", FSYNC_SECONDS, "log"),
            ("etcd_disk_backend_commit_duration_seconds", COMMIT_SECONDS, "database"),
        ):
            slow = _p99(one, name)
            if slow is not None and slow > most:
                yield Finding(
                    Severity.WARNING,
                    f"the disk of {_name(one)} is slow to write the {what}",
                    f"99th percentile {slow * 1000:.1f} ms, good is {most * 1000:.0f} ms",
                    ("give the member a faster disk, or one of its own (--wal-dir for the log)",),
                )


def _slow_peers(facts: ClusterFacts) -> Iterator[Finding]:
    for one in _living(facts):
        slow = _p99(one, "etcd_network_peer_round_trip_time_seconds")
        if slow is not None and slow > RTT_SECONDS:
            yield Finding(
                Severity.WARNING,
                f"{_name(one)} is far from other members",
                f"99th percentile of a round trip {slow * 1000:.0f} ms",
                ("raise --heartbeat-interval and --election-timeout on all members",),
            )


def _behind(facts: ClusterFacts) -> Iterator[Finding]:
    applied = {
        id(one): one.status.raftAppliedIndex for one in _living(facts) if one.status is not None
    }
    most = max(applied.values(), default=0)
    for one in _living(facts):
        behind = most - applied[id(one)]
        if behind > BEHIND_ENTRIES:
            yield Finding(
                Severity.WARNING,
                f"{_name(one)} is behind the others",
                f"{behind} entries",
                ("wait for it; if it gets no better, look at its disk and its network",),
            )


def _differences(facts: ClusterFacts) -> Iterator[Finding]:
    living = [one for one in _living(facts) if one.status is not None]
    versions = {one.status.version for one in living if one.status is not None}
    if len(versions) > 1:
        yield Finding(
            Severity.ADVICE,
            "members run different versions",
            ", ".join(f"{_name(one)}: {one.status.version}" for one in living if one.status),
            ("upgrade one member after the other, until all are the same",),
        )
    terms = {one.status.raftTerm for one in living if one.status is not None}
    if len(terms) > 1:
        shown = ", ".join(f"{_name(one)}: {one.status.raftTerm}" for one in living if one.status)
        yield Finding(Severity.WARNING, "members are in different terms", shown)


def _hashes(facts: ClusterFacts) -> Iterator[Finding]:
    """Only what was compacted at the same revision can be compared."""
    groups: dict[tuple[int, int], Counter[int]] = {}
    for one in facts.members:
        if one.hash is not None:
            value, revision, compacted = one.hash
            groups.setdefault((revision, compacted), Counter())[value] += 1
    for (revision, _), values in groups.items():
        if len(values) > 1:
            shown = ", ".join(
                f"{_name(one)}: {one.hash[0]:x}" for one in facts.members if one.hash is not None
            )
            yield Finding(
                Severity.CRITICAL,
                f"members hold different data at revision {revision}",
                shown,
                (
                    "trioetcd util verify DATA_DIR   # on each member, stopped: who is wrong",
                    "remove that one, and add it again without its data",
                ),
            )


def _membership(facts: ClusterFacts) -> Iterator[Finding]:
    for urls in facts.unstarted:
        yield Finding(
            Severity.WARNING,
            f"a member at {urls} was added and has never started",
            "it counts for the majority",
            ("start it with --initial-cluster-state existing, or trioetcd ctl member remove …",),
        )
    for one in facts.members:
        if one.is_learner:
            yield Finding(
                Severity.ADVICE,
                f"{_name(one)} is a learner",
                "it does not vote",
                (f"trioetcd ctl member promote {one.member_id:x}",),
            )
    voters = len([one for one in facts.members if not one.is_learner]) + len(facts.unstarted)
    if voters > 1 and voters % 2 == 0:
        yield Finding(
            Severity.ADVICE,
            f"the cluster has {voters} voters, an even number",
            f"it survives the loss of no more members than one of {voters - 1}",
            ("add a member, or remove one",),
        )


def _leader_changes(facts: ClusterFacts) -> Iterator[Finding]:
    """Since a member has started; many in a short life are a sign."""
    for one in _living(facts):
        if one.metrics is None:
            continue
        count = one.metrics.number("etcd_server_leader_changes_seen_total")
        if count >= LEADER_CHANGES:
            yield Finding(
                Severity.ADVICE,
                f"{_name(one)} has seen the leader change often",
                f"{count:.0f} times since it started",
                ("look at the disks and the network; --election-timeout may be too short",),
            )


def _access(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.auth_enabled is not False:
        return
    for one in facts.members:
        host = one.endpoint.partition("://")[2] or one.endpoint
        if not host.startswith(_LOOPBACK) and one.certificate is None:
            yield Finding(
                Severity.ADVICE,
                f"whoever reaches {one.endpoint} may do everything",
                "no certificates, no users",
                (
                    "trioetcd util certs init, and --client-cert-auth; or",
                    "trioetcd ctl user add root; trioetcd ctl user grant-role root root; "
                    "trioetcd ctl auth enable",
                ),
            )


def _certificates(certificates: list[Certificate], now: datetime.datetime) -> Iterator[Finding]:
    for one in certificates:
        left = (one.ends - now).days
        if left < CERTIFICATE_DAYS:
            severity = Severity.CRITICAL if left < 0 else Severity.WARNING
            words = "has ended" if left < 0 else f"ends in {left} days"
            yield Finding(
                severity,
                f"the certificate of {one.whose} {words}",
                f"valid until {one.ends:%Y-%m-%d %H:%M} UTC",
                ("trioetcd util certs renew NAME   # or as it was made",),
            )


CHECKS: tuple[Callable[[ClusterFacts], Iterator[Finding]], ...] = (
    _unreachable,
    _no_leader,
    _alarms,
    _quota,
    _fragmentation,
    _slow_disk,
    _slow_peers,
    _behind,
    _differences,
    _hashes,
    _membership,
    _leader_changes,
    _access,
)


def _living(facts: ClusterFacts) -> list[MemberFacts]:
    return [one for one in facts.members if one.status is not None]


def _name(one: MemberFacts) -> str:
    return one.name or one.endpoint


def _p99(one: MemberFacts, name: str) -> float | None:
    return None if one.metrics is None else quantile(0.99, one.metrics.buckets(name))


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"
