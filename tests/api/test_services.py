"""The services of a member, called as a connection calls them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import trio

from tests.api.rpcs import RPCS
from tests.architecture.source import ROOT
from tests.node.caller import Caller
from trioetcd.api.gateway.routes import ROUTES
from trioetcd.api.parse import parse
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.errors import (
    BadLeaderTransferee,
    Compacted,
    EtcdError,
    FutureRevision,
    KeyNotProvided,
    RangeStreamFiltered,
    RangeStreamSorted,
    RequestTooLarge,
    UnknownHealthService,
)
from wire.http import HTTPRequest
from wire.pb import etcdserverpb, healthpb

RANGE = etcdserverpb.RangeRequest
PAGES = ["/version", "/health", "/livez", "/readyz", "/metrics", "/debug/vars"]
GONE = ["/config/local/log", "/debug/pprof"]


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with open_node(NodeSettings(max_request_bytes=100_000)) as node:
        yield node


@pytest.fixture
def caller(node: Node) -> Caller:
    return Caller(node)


async def kv(caller: Caller, name: str, request):
    response = getattr(etcdserverpb, name + "Response")
    return await caller.call(f"/etcdserverpb.KV/{name}", request, response)


REFLECTION = "grpc.reflection."  # which etcd does not offer


async def test_every_rpc_of_etcd_is_there_and_of_its_kind(node: Node):
    served = {one.path: one.kind for one in node.registry.methods.values()}
    assert {path: kind for path, kind in served.items() if REFLECTION not in path} == {
        rpc.path: rpc.kind for rpc in RPCS
    }


def test_every_page_of_the_gateway_leads_to_its_rpc():
    led = {page: route.method for page, route in ROUTES.items()}
    assert led == {page: rpc.path for rpc in RPCS for page in rpc.pages}


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_beside_the_gateway_is_there(node: Node, path: str):
    assert (await node.web.handle(HTTPRequest("GET", path))).status == 200


async def test_those_who_only_measure_see_nothing_of_the_inside(node: Node):
    pages = node.web.monitoring()
    for path in ("/metrics", "/health", "/livez", "/readyz", "/readyz/non_learner"):
        assert (await pages.handle(HTTPRequest("GET", path))).status == 200, path
    for path in ("/version", "/debug/vars", "/debug/actors", "/members", "/"):
        assert (await pages.handle(HTTPRequest("GET", path))).status == 404, path


@pytest.mark.parametrize("path", GONE)
async def test_a_page_that_is_not_here_is_a_difference_that_is_written_down(node: Node, path: str):
    assert (await node.web.handle(HTTPRequest("GET", path))).status == 404
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert f"`{path}`" in text[text.index("## Differences from etcd") :]


async def test_bytes_that_are_no_message_get_grpcs_words(node: Node):
    for path in (b"/etcdserverpb.KV/Compact", b"/etcdserverpb.Maintenance/HashKV"):
        method = node.registry.methods[path]
        with pytest.raises(EtcdError, match="grpc: error unmarshalling request"):
            parse(etcdserverpb.CompactionRequest, b"\xff\xff")
        assert method.unary is not None


async def test_a_request_over_the_limit_is_refused_whole(caller: Caller):
    assert await caller.put(b"a", b"x" * 100_000) == RequestTooLarge.text
    assert (await caller.get(b"a")).count == 0


async def test_a_transaction_that_only_reads_takes_no_revision(caller: Caller):
    await caller.put(b"a")
    request = etcdserverpb.TxnRequest()
    request.success.add().request_range.key = b"a"
    answer = await kv(caller, "Txn", request)
    assert answer.header.revision == 2
    assert answer.responses[0].response_range.count == 1
    assert (await kv(caller, "Txn", etcdserverpb.TxnRequest())).succeeded


async def test_a_physical_compaction_is_answered_when_the_rows_are_gone(caller: Caller, node: Node):
    for _ in range(5):
        await caller.put(b"a")
    request = etcdserverpb.CompactionRequest(revision=5, physical=True)
    answer = await caller.call("/etcdserverpb.KV/Compact", request, etcdserverpb.CompactionResponse)
    assert answer.header.revision == 6
    assert len(node.parts.rows.scan("key")) == 2
    again = await caller.call("/etcdserverpb.KV/Compact", request, etcdserverpb.CompactionResponse)
    assert again == Compacted.text
    assert await kv(caller, "Range", RANGE(key=b"a", revision=4)) == Compacted.text
    assert await kv(caller, "Range", RANGE(key=b"a", revision=99)) == FutureRevision.text


async def test_a_listing_of_many_keys_is_read_in_slices_at_one_revision(caller: Caller):
    for number in range(30):
        request = etcdserverpb.TxnRequest()
        for inner in range(100):
            request.success.add().request_put.key = b"k%04d" % (number * 100 + inner)
        await kv(caller, "Txn", request)
    answer = await kv(caller, "Range", RANGE(key=b"k", range_end=b"l"))
    assert answer.count == len(answer.kvs) == 3000
    assert answer.header.revision == 31


async def range_stream(caller: Caller, **fields):
    stream = await caller.stream("/etcdserverpb.KV/RangeStream", RANGE(**fields))
    return [
        etcdserverpb.RangeStreamResponse.FromString(message).range_response
        for message in stream.sent
    ]


@pytest.mark.parametrize("limit", [0, 5, 10, 24, 25, 100])
async def test_a_streamed_range_is_the_range_in_pieces(caller: Caller, limit: int):
    for number in range(25):
        await caller.put(b"k%02d" % number)
    chunks = await range_stream(caller, key=b"k", range_end=b"l", limit=limit)
    whole = await kv(caller, "Range", RANGE(key=b"k", range_end=b"l", limit=limit))
    assert [kv.key for chunk in chunks for kv in chunk.kvs] == [kv.key for kv in whole.kvs]
    assert len(chunks[0].kvs) <= 10
    *early, last = chunks
    assert (last.count, last.more, last.header) == (whole.count, whole.more, whole.header)
    assert not any(chunk.HasField("header") or chunk.count or chunk.more for chunk in early)


async def test_a_streamed_range_refuses_what_it_cannot_stream(caller: Caller):
    with pytest.raises(RangeStreamSorted):
        await range_stream(caller, key=b"k", sort_order=RANGE.DESCEND)
    with pytest.raises(RangeStreamFiltered):
        await range_stream(caller, key=b"k", min_mod_revision=1)
    with pytest.raises(KeyNotProvided):
        await range_stream(caller)


async def maintenance(caller: Caller, name: str, request, response):
    return await caller.call(f"/etcdserverpb.Maintenance/{name}", request, response)


async def test_status_says_what_there_is(caller: Caller, node: Node):
    await caller.put(b"a")
    status = await maintenance(
        caller, "Status", etcdserverpb.StatusRequest(), etcdserverpb.StatusResponse
    )
    assert status.leader == status.header.member_id == node.member_id
    assert status.raftTerm == 2
    assert status.raftIndex == status.raftAppliedIndex == 5
    assert status.dbSize > 0
    assert status.dbSizeQuota == 2 * 1024**3
    assert list(status.errors) == []
    assert status.version.count(".") == 2


async def test_alarms_are_listed_raised_and_cleared(caller: Caller):
    request, response = etcdserverpb.AlarmRequest, etcdserverpb.AlarmResponse

    async def alarm(**fields):
        answer = await maintenance(caller, "Alarm", request(**fields), response)
        return [(one.memberID, one.alarm) for one in answer.alarms]

    corrupt = etcdserverpb.CORRUPT
    assert await alarm() == []
    assert await alarm(action=request.ACTIVATE, memberID=9, alarm=corrupt) == [(9, corrupt)]
    assert await alarm(memberID=5) == [(9, corrupt)]
    assert await caller.put(b"a") == "etcdserver: corrupt cluster"
    assert (await caller.get(b"a")).count == 0
    status = await maintenance(
        caller, "Status", etcdserverpb.StatusRequest(), etcdserverpb.StatusResponse
    )
    assert list(status.errors) == ["memberID:9 alarm:CORRUPT "]
    assert await alarm(action=request.DEACTIVATE, memberID=8, alarm=corrupt) == []
    assert await alarm(action=request.DEACTIVATE, memberID=9, alarm=corrupt) == [(9, corrupt)]
    assert (await caller.put(b"a")).header.revision == 2


async def test_the_hash_is_etcds_and_survives_defragmentation(caller: Caller):
    request = etcdserverpb.HashKVRequest()

    async def hash_kv(**fields):
        request = etcdserverpb.HashKVRequest(**fields)
        return await maintenance(caller, "HashKV", request, etcdserverpb.HashKVResponse)

    assert (await hash_kv()).hash == 1084519789
    await caller.put(b"foo", b"bar")
    answer = await hash_kv()
    assert (answer.hash, answer.compact_revision, answer.hash_revision) == (3305255506, -1, 2)
    await maintenance(
        caller, "Defragment", etcdserverpb.DefragmentRequest(), etcdserverpb.DefragmentResponse
    )
    assert (await hash_kv()).hash == 3305255506
    assert (await hash_kv(revision=1)).hash == 1084519789
    assert isinstance(request, etcdserverpb.HashKVRequest)


async def test_leadership_stays_where_it_is_or_is_refused(caller: Caller, node: Node):
    async def move(target: int):
        request = etcdserverpb.MoveLeaderRequest(targetID=target)
        return await maintenance(caller, "MoveLeader", request, etcdserverpb.MoveLeaderResponse)

    assert await move(node.member_id) == etcdserverpb.MoveLeaderResponse()
    assert await move(1234) == BadLeaderTransferee.text


async def test_the_member_list_has_no_revision(caller: Caller, node: Node):
    request = etcdserverpb.MemberListRequest(linearizable=True)
    answer = await caller.call(
        "/etcdserverpb.Cluster/MemberList", request, etcdserverpb.MemberListResponse
    )
    assert answer.header.revision == 0
    assert answer.header.cluster_id == node.cluster_id
    [member] = answer.members
    assert (member.ID, member.name) == (node.member_id, "default")
    assert list(member.clientURLs) == ["http://localhost:2379"]


async def test_health_is_serving(caller: Caller):
    request, response = healthpb.HealthCheckRequest, healthpb.HealthCheckResponse
    answer = await caller.call("/grpc.health.v1.Health/Check", request(), response)
    assert answer.status == response.SERVING
    unknown = await caller.call("/grpc.health.v1.Health/Check", request(service="x"), response)
    assert unknown == UnknownHealthService.text
    listed = await caller.call(
        "/grpc.health.v1.Health/List", healthpb.HealthListRequest(), healthpb.HealthListResponse
    )
    assert {name: one.status for name, one in listed.statuses.items()} == {"": response.SERVING}


async def page(node: Node, target: str, method: str = "GET", accept: bytes = b"*/*"):
    answer = await node.web.handle(HTTPRequest(method, target, ((b"accept", accept),)))
    return answer.status, answer.body


async def test_the_pages(node: Node):
    status, body = await page(node, "/version")
    assert (status, json.loads(body)["etcdcluster"]) == (200, "3.6.0")
    assert await page(node, "/health") == (200, b'{"health":"true","reason":""}')
    assert (await page(node, "/nothing"))[0] == 404
    assert (await page(node, "/health", "POST"))[0] == 405
    status, body = await page(node, "/debug/actors", accept=b"text/plain")
    assert b"raft  running" in body
    assert json.loads((await page(node, "/debug/actors"))[1])["name"] == "member"


async def test_an_alarm_is_bad_health_unless_excluded(node: Node):
    alarm = etcdserverpb.AlarmRequest(
        action=etcdserverpb.AlarmRequest.ACTIVATE, memberID=1, alarm=etcdserverpb.NOSPACE
    )
    await node.parts.proposals.propose("alarm", alarm.SerializeToString())
    assert await page(node, "/health") == (
        503,
        b'{"health":"false","reason":"ALARM NOSPACE"}\n',
    )
    assert (await page(node, "/health?exclude=NOSPACE&serializable=true"))[0] == 200


async def test_writes_that_nobody_answers_time_out(autojump_clock, node: Node):
    """The write is handed to raft, which is stuck; the client hears after the request timeout."""
    handed = []

    async def swallow(entries, reply, stages):
        handed.append(entries)

    node.parts.raft.propose = swallow
    began = trio.current_time()
    assert await Caller(node).put(b"a") == "etcdserver: request timed out"
    assert 7.0 <= trio.current_time() - began <= 8.0
    assert handed
