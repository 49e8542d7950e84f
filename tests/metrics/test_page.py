"""/metrics of whole members: what is there, under which name, and that it moves."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import trio

from tests.architecture.source import ROOT
from tests.metrics.names import ABSENT, ETCD_3_5, MIXIN, PEERS
from tests.node.caller import Caller
from tests.peer.cluster import three_members
from trioetcd.config.gates import all_gates
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.http import HTTPRequest
from wire.pb import etcdserverpb

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


class Scrape:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self.types: dict[str, str] = {}
        self.labels: dict[str, set[str]] = {}
        self.samples: dict[str, float] = {}
        for line in text.splitlines():
            if line.startswith("# TYPE"):
                _, _, name, kind = line.split()
                self.types[name] = kind
            elif not line.startswith("#"):
                self._take(line)

    def _take(self, line: str) -> None:
        match = _SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        family = name if name in self.types else _SUFFIX.sub("", name)
        assert family in self.types, line
        found = set(re.findall(r'(\w+)="', labels or "")) - {"le"}
        self.labels.setdefault(family, set()).update(found)
        sample = name + (f"{{{labels}}}" if labels else "")
        assert sample not in self.samples, "twice"
        self.samples[sample] = float(value)

    def total(self, name: str, *having: str) -> float:
        """Of all samples of a name whose labels hold these words."""
        return sum(
            value
            for sample, value in self.samples.items()
            if sample.partition("{")[0] == name and all(word in sample for word in having)
        )


async def scrape(node: Node) -> Scrape:
    response = await node.web.handle(HTTPRequest("GET", "/metrics"))
    assert response.status == 200
    assert dict(response.headers)[b"content-type"].startswith(b"text/plain; version=0.0.4")
    return Scrape(response.body.decode())


async def work(caller: Caller) -> None:
    """A little of everything, by the names that differ in the metrics."""
    await caller.put(b"a", b"1")
    await caller.put(b"a", b"2")
    await caller.get(b"a")
    await caller.call(
        "/etcdserverpb.KV/DeleteRange",
        etcdserverpb.DeleteRangeRequest(key=b"a"),
        etcdserverpb.DeleteRangeResponse,
    )
    put = etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"b"))
    get = etcdserverpb.RequestOp(request_range=etcdserverpb.RangeRequest(key=b"b"))
    await caller.call(
        "/etcdserverpb.KV/Txn",
        etcdserverpb.TxnRequest(success=[put, get]),
        etcdserverpb.TxnResponse,
    )
    await caller.call(
        "/etcdserverpb.Lease/LeaseGrant",
        etcdserverpb.LeaseGrantRequest(ID=7, TTL=30),
        etcdserverpb.LeaseGrantResponse,
    )
    await caller.call(
        "/etcdserverpb.Lease/LeaseRevoke",
        etcdserverpb.LeaseRevokeRequest(ID=7),
        etcdserverpb.LeaseRevokeResponse,
    )
    await caller.call(
        "/etcdserverpb.KV/Compact",
        etcdserverpb.CompactionRequest(revision=4, physical=True),
        etcdserverpb.CompactionResponse,
    )
    for method in ("Defragment", "Hash", "HashKV"):
        await caller.call(
            f"/etcdserverpb.Maintenance/{method}",
            getattr(etcdserverpb, f"{method}Request")(),
            getattr(etcdserverpb, f"{method}Response"),
        )


async def test_what_etcd_shows_is_there_with_type_and_labels_or_left_out_on_purpose(autojump_clock):
    async with open_node(NodeSettings(extensive_metrics=True)) as node:
        caller = Caller(node)
        await work(caller)
        node.parts.registry.methods[b"/etcdserverpb.KV/Put"].counts.of({}).started += 1
        found = await scrape(node)
    wanted = {name: one for name, one in ETCD_3_5.items() if not ABSENT.fullmatch(name)}
    assert set(wanted) - set(found.types) == set()
    for name, (kind, labels) in wanted.items():
        assert (name, found.types[name]) == (name, kind)
        assert (name, sorted(found.labels[name])) == (name, sorted(labels))
    assert not [name for name in found.types if ABSENT.fullmatch(name)]


def test_what_is_left_out_stands_among_the_differences():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text[text.index("## Differences from etcd") :].partition("\n## ")[0]
    patterns = re.findall(r"`([a-z0-9_]+\*?)`", table.partition("## Differences")[2])
    left_out = [name for name in ETCD_3_5 if ABSENT.fullmatch(name)]
    assert len(left_out) > 30
    for name in left_out:
        assert any(fnmatch(name, pattern) for pattern in patterns), name


async def test_members_of_a_cluster_show_their_traffic_by_member(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        assert leader.node is not None
        await leader.caller.put(b"a", b"1")
        await trio.sleep(31)  # the way there and back is measured now and then
        found = await scrape(leader.node)
        others = [one.node.member_id for one in cluster.running if one is not leader and one.node]
        for name, (kind, labels) in PEERS.items():
            assert (name, found.types[name]) == (name, kind)
            assert found.labels[name] == set(labels)
        for other in others:
            peer = f'"{other:x}"'
            for way in ("sent", "received"):
                assert found.total(f"etcd_network_peer_{way}_bytes_total", peer) > 0
            assert found.total("etcd_network_active_peers", peer) == 1
            assert found.total("etcd_network_peer_round_trip_time_seconds_count", peer) >= 1
        assert found.total("etcd_server_is_leader") == 1
        assert found.total("etcd_server_has_leader") == 1


async def test_a_member_that_is_lost_shows_in_what_alerts_ask_for(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        assert leader.node is not None
        [one, other] = [member for member in cluster.running if member is not leader]
        await one.kill()
        await trio.sleep(10)
        found = await scrape(leader.node)
        assert found.total("etcd_network_peer_sent_failures_total") > 0
        assert found.total("etcd_network_active_peers") == 1
        assert found.total("etcd_network_disconnected_peers_total") >= 1
        await leader.kill()
        await trio.sleep(10)
        assert other.node is not None
        found = await scrape(other.node)
        assert found.total("etcd_server_has_leader") == 0
        await other.caller.put(b"a", b"1")  # nobody can agree on it
        found = await scrape(other.node)
        assert found.total("etcd_server_proposals_failed_total") == 1


STILL = {  # in a quiet cluster whose callers have no connections; other tests move them
    "etcd_network_peer_sent_failures_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "grpc_server_handled_total",
    "grpc_server_started_total",
}


async def test_what_the_mixin_asks_for_is_there_and_moves(autojump_clock):
    async with three_members(extensive_metrics=True) as cluster:
        leader = await cluster.leader()
        assert leader.node is not None
        await work(leader.caller)
        await trio.sleep(31)
        found = await scrape(leader.node)
    for name in MIXIN:
        assert name in found.types
        sample = name + "_count" if found.types[name] == "histogram" else name
        assert name in STILL or found.total(sample) > 0, name


async def test_operations_are_counted_as_etcd_counts_them(autojump_clock):
    async with open_node(NodeSettings()) as node:
        before = await scrape(node)
        await work(Caller(node))
        after = await scrape(node)

    def moved(name: str, *having: str) -> float:
        return after.total(name, *having) - before.total(name, *having)

    assert moved("etcd_mvcc_put_total") == 3  # one in a transaction
    assert moved("etcd_mvcc_delete_total") == 1
    assert moved("etcd_mvcc_txn_total") == 1
    assert moved("etcd_mvcc_range_total") == 1  # a caller in a test counts no answers
    applied = "etcd_server_apply_duration_seconds_count"
    operations = {"Put": 2, "DeleteRange": 1, "Txn": 1, "Compaction": 1, "LeaseGrant": 1}
    for operation, count in operations.items():
        assert moved(applied, f'op="{operation}"', 'success="true"') == count
    assert moved("etcd_debugging_lease_granted_total") == 1
    assert moved("etcd_debugging_lease_revoked_total") == 1
    assert moved("etcd_debugging_lease_ttl_total_sum") == 30
    assert moved("etcd_debugging_mvcc_db_compaction_keys_total") > 0
    assert moved("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count") == 1
    assert moved("etcd_disk_backend_defrag_duration_seconds_count") == 1
    assert moved("etcd_mvcc_hash_duration_seconds_count") == 1
    assert moved("etcd_mvcc_hash_rev_duration_seconds_count") == 1
    assert after.total("etcd_debugging_mvcc_current_revision") == node.parts.store.revision
    assert after.total("etcd_debugging_mvcc_keys_total") == 1


async def test_a_refused_entry_is_counted_as_such(autojump_clock):
    async with open_node(NodeSettings()) as node:
        before = (await scrape(node)).total("etcd_mvcc_put_total")
        await Caller(node).put(b"a", b"1", lease=12345)
        found = await scrape(node)
    applied = "etcd_server_apply_duration_seconds_count"
    assert found.total(applied, 'op="Put"', 'success="false"') == 1
    assert found.total("etcd_mvcc_put_total") == before


async def test_health_checks_are_counted():
    async with open_node(NodeSettings()) as node:
        await node.web.handle(HTTPRequest("GET", "/health"))
        await node.web.handle(HTTPRequest("GET", "/readyz"))
        found = await scrape(node)
        check = ('name="linearizable_read"', 'type="readyz"')
        assert found.total("etcd_server_healthcheck", *check) == 1
        assert found.total("etcd_server_healthchecks_total", 'status="success"', *check) == 1
        assert found.total("etcd_server_health_success") == 1
        assert found.total("etcd_server_health_failures") == 0


async def test_feature_gates_are_shown_with_their_stage():
    async with open_node(NodeSettings(gates=all_gates({"LeaseCheckpoint": True}))) as node:
        found = await scrape(node)
    enabled = "etcd_server_feature_enabled"
    assert found.total(enabled, 'name="LeaseCheckpoint"', 'stage="ALPHA"') == 1
    assert found.total(enabled, 'name="CompactHashCheck"', 'stage="ALPHA"') == 0
    assert found.total(enabled, 'name="FastLeaseKeepAlive"', 'stage="BETA"') == 1


async def test_two_members_in_one_process_count_for_themselves():
    async with open_node(NodeSettings()) as one, open_node(NodeSettings()) as other:
        await Caller(one).put(b"a", b"1")
        puts = [(await scrape(node)).total("etcd_mvcc_put_total") for node in (one, other)]
        assert puts == [1, 0]
