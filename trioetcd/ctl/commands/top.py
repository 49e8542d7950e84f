"""top: the members of a cluster, how far they are, and how fast."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import trio

from trioetcd.cli.pflag import Flag
from trioetcd.cli.shown import Table, show_size
from trioetcd.ctl.colours import Colours
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.errors import CommandFailed, Exit
from trioetcd.ctl.facts import ClusterFacts, MemberFacts, gather
from trioetcd.ctl.output.answer import json_line
from trioetcd.ctl.prometheus import Samples, quantile

CLEAR = "\x1b[H\x1b[2J"
ROWS = ("fsync", "commit", "rtt")
_HISTOGRAMS = {
    "fsync": "etcd_disk_wal_fsync_duration_seconds",
    "commit": "etcd_disk_backend_commit_duration_seconds",
    "rtt": "etcd_network_peer_round_trip_time_seconds",
}
_COLUMNS = (
    *("member", "role", "term", "index", "behind", "db", "in use", "puts/s", "reads/s"),
    *("fsync p99", "commit p99", "rtt p99", "read", "watchers", "leases", "version"),
)


@dataclass(frozen=True)
class Row:
    """One member, as far as it says."""

    name: str
    role: str  # "leader", "follower", "learner", "down"
    term: int = 0
    index: int = 0  # applied
    behind: int = 0  # entries behind the member that is furthest
    db_bytes: int = 0
    used_bytes: int = 0
    puts: float | None = None  # a second, since the scrape before
    reads: float | None = None
    p50: dict[str, float | None] | None = None  # seconds, by histogram
    p99: dict[str, float | None] | None = None
    probe: float | None = None  # seconds of one read
    watchers: float = 0
    leases: float = 0
    version: str = ""
    error: str = ""


async def top(said: Invocation) -> None:
    said.no_arguments("top takes no arguments")
    session, console = said.session, said.session.console
    if session.style.format not in ("simple", "json"):
        raise CommandFailed(
            f"{session.style.format} not supported as output format", Exit.BAD_FEATURE
        )
    interval = said.parsed.seconds("interval")
    before: dict[str, Samples] = {}
    looked = trio.current_time()
    while True:
        facts = await gather(session)
        now = trio.current_time()
        rows = rows_of(facts, before, now - looked)
        before = {one.endpoint: one.metrics for one in facts.members if one.metrics is not None}
        looked = now
        if session.style.format == "json":
            shown = {"members": [_json(row) for row in rows], "alarms": _alarms(facts)}
            console.print(json_line(shown))
        else:
            if console.is_terminal and not said.parsed.is_on("once"):
                console.print(CLEAR)
            console.print(_screen(facts, rows, Colours(console)))
        if said.parsed.is_on("once"):
            return
        await trio.sleep(interval)


def rows_of(facts: ClusterFacts, before: dict[str, Samples], seconds: float) -> list[Row]:
    """The leader first; rates are of the time since the scrapes before."""
    furthest = max((one.status.raftAppliedIndex for one in facts.members if one.status), default=0)
    rows = [_row(one, before.get(one.endpoint), seconds, furthest) for one in facts.members]
    rows += [Row(urls, "not started") for urls in facts.unstarted]
    return sorted(rows, key=lambda row: (row.role != "leader", row.name))


def _row(one: MemberFacts, before: Samples | None, seconds: float, furthest: int) -> Row:
    name, status = one.name or one.endpoint, one.status
    if status is None:
        return Row(name, "down", error=one.error)
    leads = status.leader == status.header.member_id
    role = "leader" if leads else "learner" if status.isLearner else "follower"
    metrics = one.metrics or Samples()
    older = before or Samples()
    has_rates = before is not None and seconds > 0
    puts = metrics.number("etcd_mvcc_put_total") - older.number("etcd_mvcc_put_total")
    reads = metrics.number("etcd_mvcc_range_total") - older.number("etcd_mvcc_range_total")
    buckets = {key: metrics.buckets(name_) for key, name_ in _HISTOGRAMS.items()}
    past = {key: older.buckets(name_) for key, name_ in _HISTOGRAMS.items()}
    return Row(
        name,
        role,
        status.raftTerm,
        status.raftAppliedIndex,
        furthest - status.raftAppliedIndex,
        status.dbSize,
        status.dbSizeInUse,
        puts / seconds if has_rates else None,
        reads / seconds if has_rates else None,
        {key: quantile(0.50, buckets[key], past[key]) for key in buckets},
        {key: quantile(0.99, buckets[key], past[key]) for key in buckets},
        one.probe_seconds,
        metrics.number("etcd_debugging_mvcc_watcher_total"),
        metrics.number("etcd_debugging_lease_granted_total")
        - metrics.number("etcd_debugging_lease_revoked_total"),
        status.version,
    )


def _screen(facts: ClusterFacts, rows: list[Row], colours: Colours) -> str:
    living = sum(row.role not in ("down", "not started") for row in rows)
    lines = [f"{living} of {len(rows)} members answer"]
    for alarm in _alarms(facts):
        lines.append(colours.paint(f"alarm {alarm['alarm']} of {alarm['member']}", "red"))
    table = Table(_COLUMNS, [_cells(row) for row in rows]).draw()
    lines += [f"{row.name}: {row.error}" for row in rows if row.error]
    return table + "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    if row.role in ("down", "not started"):
        return (row.name, row.role, *[""] * (len(_COLUMNS) - 2))
    p99 = row.p99 or {}
    return (
        *(row.name, row.role, str(row.term), str(row.index), str(row.behind)),
        *(show_size(row.db_bytes), show_size(row.used_bytes)),
        *(_rate(row.puts), _rate(row.reads)),
        *(_ms(p99.get(key)) for key in ROWS),
        *(_ms(row.probe), f"{row.watchers:.0f}", f"{row.leases:.0f}", row.version),
    )


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _alarms(facts: ClusterFacts) -> list[dict[str, str]]:
    return [{"member": f"{member:x}", "alarm": kind} for member, kind in facts.alarms]


def _json(row: Row) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if value not in (None, "")}


COMMANDS = [
    Command(
        ("top",),
        "Shows the members of the cluster, how far they are and how fast",
        top,
        flags={
            "interval": Flag(2.0, "time between two looks"),
            "once": Flag(False, "look once, and end"),
        },
    )
]
