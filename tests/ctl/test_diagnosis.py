"""What is wrong with a cluster: each illness is named, and the healthy are left in peace."""

from __future__ import annotations

import datetime

import pytest

from tests.ctl.terminal import Terminal
from trioetcd import TLSSettings, open_node
from trioetcd.ctl.diagnosis import Certificate, Severity, diagnose
from trioetcd.ctl.facts import ClusterFacts, MemberFacts
from trioetcd.ctl.prometheus import Samples, parse, quantile
from trioetcd.util.certificates import authority, issue, new_key
from wire.pb import etcdserverpb as pb

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
GOOD = """
etcd_server_quota_backend_bytes 2147483648
etcd_server_leader_changes_seen_total 1
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 95
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.008"} 100
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_disk_backend_commit_duration_seconds_bucket{le="0.016"} 10
etcd_disk_backend_commit_duration_seconds_bucket{le="+Inf"} 10
etcd_network_peer_round_trip_time_seconds_bucket{To="2",le="0.0128"} 7
etcd_network_peer_round_trip_time_seconds_bucket{To="2",le="+Inf"} 7
"""


def member(number: int, metrics: str = GOOD, **status: object) -> MemberFacts:
    said = pb.StatusResponse(
        version="3.6.0", leader=1, raftTerm=4, raftAppliedIndex=1000, dbSize=1000, dbSizeInUse=900
    )
    for name, value in status.items():
        setattr(said, name, value)
    return MemberFacts(
        f"http://127.0.0.1:{number}2379",
        number,
        f"m{number}",
        status=said,
        metrics=parse(metrics),
        hash=(77, 500, 3),
    )


def cluster(*others: MemberFacts) -> ClusterFacts:
    """Healthy, but for those that are put in the place of the last ones."""
    members = [member(1), member(2), member(3)]
    members[len(members) - len(others) :] = others
    return ClusterFacts(members, auth_enabled=True)


def said_of(facts: ClusterFacts, *certificates: Certificate) -> str:
    found = diagnose(facts, list(certificates), NOW)
    return "\n".join(
        f"{f.severity.name} {f.what} ({f.evidence}) {' ; '.join(f.mend)}" for f in found
    )


def test_nothing_is_said_of_the_healthy():
    good = Certificate("m1", NOW + 400 * DAY)
    assert said_of(cluster(), good) == ""


def down() -> MemberFacts:
    return MemberFacts("http://127.0.0.1:32379", 3, "m3", error="connection refused")


def test_a_member_that_is_lost_is_a_warning_and_a_majority_is_critical():
    one = said_of(cluster(down()))
    assert one.startswith("WARNING m3 does not answer (connection refused)")
    assert "member remove 3" in one
    two = said_of(cluster(down(), down()))
    assert two.startswith("CRITICAL m3 does not answer")
    assert "member remove" not in two


SICK = {
    "no leader": (member(3, leader=0), "CRITICAL m3 knows of no leader"),
    "disagreement": (member(3, leader=2), "WARNING members disagree about who leads (1, 2)"),
    "term": (member(3, raftTerm=5), "WARNING members are in different terms"),
    "version": (member(3, version="3.5.1"), "ADVICE members run different versions"),
    "quota": (
        member(3, GOOD.replace("2147483648", "1100"), dbSize=1000),
        "WARNING the database of m3 is nearly full",
    ),
    "fragmented": (
        member(3, dbSize=900 << 20, dbSizeInUse=100 << 20),
        "ADVICE most of the database of m3 is free (100 MiB in use of 900 MiB) trioetcd ctl defrag",
    ),
    "fsync": (
        member(3, GOOD.replace('{le="0.008"} 100', '{le="0.064"} 100')),
        "WARNING the disk of m3 is slow to write the log",
    ),
    "commit": (
        member(
            3,
            GOOD.replace('{le="0.016"} 10', '{le="0.016"} 1').replace(
                'commit_duration_seconds_bucket{le="+Inf"} 10',
                'commit_duration_seconds_bucket{le="0.512"} 10',
            ),
        ),
        "WARNING the disk of m3 is slow to write the database",
    ),
    "far": (
        member(3, GOOD.replace('le="0.0128"} 7', 'le="0.4096"} 7')),
        "WARNING m3 is far from other members",
    ),
    "behind": (member(3, raftAppliedIndex=1), ""),
    "far behind": (member(1, raftAppliedIndex=9000), "WARNING m2 is behind the others"),
    "changes": (
        member(3, GOOD.replace("seen_total 1", "seen_total 9")),
        "ADVICE m3 has seen the leader change often (9 times",
    ),
}


@pytest.mark.parametrize("illness", SICK)
def test_each_illness_is_named(illness):
    sick, words = SICK[illness]
    found = said_of(cluster(sick))
    assert words in found
    assert bool(found) == bool(words)


def test_alarms_come_with_their_cure_in_order():
    facts = cluster()
    facts.alarms = [(2, "NOSPACE"), (3, "CORRUPT")]
    nospace, corrupt = diagnose(facts, [], NOW)
    assert nospace.severity is Severity.CRITICAL
    assert [step.split()[2] for step in nospace.mend] == ["compaction", "defrag", "alarm"]
    assert "member remove 3" in corrupt.mend[0]


def test_different_hashes_are_critical_only_where_they_can_be_compared():
    facts = cluster()
    facts.members[2].hash = (78, 500, 3)
    assert "CRITICAL members hold different data at revision 500" in said_of(facts)
    facts.members[2].hash = (78, 500, 9)  # compacted further: not to be compared
    assert said_of(facts) == ""


def test_members_that_do_not_count_or_count_for_nothing_are_named():
    learner = member(3)
    learner.is_learner = True
    found = said_of(cluster(learner))
    assert "ADVICE m3 is a learner (it does not vote) trioetcd ctl member promote 3" in found
    assert "2 voters, an even number" in found
    facts = cluster()
    facts.unstarted = ["http://10.0.0.9:2380"]
    found = said_of(facts)
    assert "WARNING a member at http://10.0.0.9:2380 was added and has never started" in found
    assert "4 voters" in found


def test_an_open_door_is_an_advice_unless_nobody_is_outside():
    facts = cluster()
    facts.auth_enabled = False
    assert said_of(facts) == ""  # loopback
    facts.members[0].endpoint = "http://10.0.0.1:2379"
    assert "ADVICE whoever reaches http://10.0.0.1:2379 may do everything" in said_of(facts)
    facts.auth_enabled = None
    assert said_of(facts) == ""


def test_certificates_about_to_end_are_named():
    found = said_of(
        cluster(),
        Certificate("m1", NOW + 10 * DAY),
        Certificate("m2", NOW - DAY),
        Certificate("m3", NOW + 31 * DAY),
    )
    assert "CRITICAL the certificate of m2 has ended" in found
    assert "WARNING the certificate of m1 ends in 10 days" in found
    assert "certs renew" in found
    assert "m3" not in found


def test_a_list_that_cannot_be_had_is_said():
    assert "the members cannot be listed" in said_of(ClusterFacts(list_error="no"))


async def test_certificates_are_read_off_the_wire_and_from_files(tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    ca = authority("ca", "ecdsa", 100, now)
    hosts = ["127.0.0.1"]
    server = issue(ca, "m", hosts, server=True, key=new_key("ecdsa"), days=5, now=now)
    client = issue(ca, "root", [], server=False, key=new_key("ecdsa"), days=3, now=now)
    for name, pair in (("ca", ca), ("m", server), ("root", client)):
        (tmp_path / f"{name}.pem").write_bytes(pair.certificate)
        (tmp_path / f"{name}-key.pem").write_bytes(pair.key)
    tls = TLSSettings(
        cert_file=f"{tmp_path}/m.pem",
        key_file=f"{tmp_path}/m-key.pem",
        trusted_ca_file=f"{tmp_path}/ca.pem",
        client_cert_auth=True,
    )
    async with open_node(listen=["https://127.0.0.1:0"], tls=tls) as node:
        done = await Terminal(None).run(
            *("--endpoints", node.client_urls[0], "--cacert", f"{tmp_path}/ca.pem"),
            *("--cert", f"{tmp_path}/root.pem", "--key", f"{tmp_path}/root-key.pem", "doctor"),
        )
    assert done.status == 1, done
    assert "the certificate of default ends in 4 days" in done.out
    assert "the certificate of this client ends in 2 days" in done.out


# -- Prometheus


def test_samples_are_read_with_their_labels():
    samples = parse('# HELP x\nx{a="1",b="q\\"q"} 2\nx{a="2"} 3.5\ny 1e3\nbroken\nz{} nan-ish\n')
    assert samples.get("x") == 5.5
    assert samples.get("x", a="1") == 2
    assert samples.get("x", a="9") is None
    assert samples.number("y") == 1000
    assert samples.get("z") is None


def test_quantiles_are_those_of_prometheus():
    now = {0.1: 50.0, 0.5: 90.0, float("inf"): 100.0}
    assert quantile(0.5, now) == pytest.approx(0.1)
    assert quantile(0.7, now) == pytest.approx(0.3)
    assert quantile(0.99, now) == 0.5
    assert quantile(0.5, now, {0.1: 50.0, 0.5: 50.0, float("inf"): 60.0}) == pytest.approx(0.3)
    assert quantile(0.5, now, now) is None
    assert quantile(0.5, Samples().buckets("none")) is None
