"""Short plays that random traffic does not come upon by itself."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message

from tests.interop.differential.clients import Answer, Conversation
from tests.interop.differential.rules import OURS, REFERENCE
from tests.interop.differential.run import Differential
from tests.interop.differential.traffic import MAX_DEPTH, Call
from wire.pb import etcdserverpb as pb
from wire.pb import healthpb

REQUEST_LIMIT = 1_572_864  # bytes of a proposal
MESSAGE_LIMIT = REQUEST_LIMIT + 512 * 1024  # of a gRPC message
OVERHEAD = 200  # bytes that etcd puts around a request at most
LARGE = 700_000  # bytes of a value: two of them, with what they were before, need fragments
MEMBER = 0xABCDEF  # an id nobody has
UNDER_ALARM = 25  # calls
EXPIRY_SECONDS = 30.0
WATCH, KEEP_ALIVE = "etcdserverpb.Watch/Watch", "etcdserverpb.Lease/LeaseKeepAlive"


def call(run: Differential, method: str, request: Message | bytes = b"") -> dict[str, Answer]:
    data = request if isinstance(request, bytes) else request.SerializeToString()
    return run.call(Call(method if "." in method else f"etcdserverpb.{method}", data))


def largest_requests(run: Differential) -> None:
    """To the byte: what is just small enough for the log, and for gRPC."""

    def put(size: int) -> bytes:
        return pb.PutRequest(key=b"large", value=b"v" * size).SerializeToString()

    def txn(size: int) -> bytes:
        request = pb.TxnRequest()
        request.success.add().request_put.MergeFromString(put(size))
        return request.SerializeToString()

    def delete(size: int) -> bytes:
        return pb.DeleteRangeRequest(key=b"k" * size).SerializeToString()

    for method, make in (("KV/Put", put), ("KV/Txn", txn), ("KV/DeleteRange", delete)):
        fits, does_not = REQUEST_LIMIT - OVERHEAD, REQUEST_LIMIT
        while does_not - fits > 1:
            size = (fits + does_not) // 2
            if call(run, method, make(size))[REFERENCE].code == "OK":
                fits = size
                run.settle()  # while clients read this much, watchers are slow
            else:
                does_not = size
    for size in range(-3, 4):
        key = b"k" * (MESSAGE_LIMIT - 4 + size)
        call(run, "KV/Range", pb.RangeRequest(key=key))
    call(run, "KV/DeleteRange", pb.DeleteRangeRequest(key=b"large"))


def alarms(run: Differential) -> None:
    """What is refused under each alarm; the first to be cleared is not the one that is set."""
    request = pb.AlarmRequest
    for alarm in (pb.NOSPACE, pb.CORRUPT):
        run.settle()
        call(run, "Maintenance/Alarm", request(action=request.ACTIVATE, memberID=9, alarm=alarm))
        run.traffic.txn_depth = 0  # nested puts are another matter
        for _ in range(UNDER_ALARM):
            run.call(run.traffic.next(compactions=False))
        run.traffic.txn_depth = MAX_DEPTH
        nested = pb.TxnRequest()  # which fails in any case, and changes nothing
        nested.success.add().request_txn.success.add().request_put.key = b"a"
        nested.success.add().request_range.MergeFrom(pb.RangeRequest(key=b"a", revision=1 << 50))
        call(run, "KV/Txn", nested)
        for member, kind in ((0, pb.NONE), (0, alarm), (MEMBER, pb.NONE), (0, 7)):
            call(run, "Maintenance/Alarm", request(memberID=member, alarm=kind))
        for member, kind in ((0, alarm), (9, pb.NONE), (8, alarm), (9, alarm), (9, alarm)):
            clear = request(action=request.DEACTIVATE, memberID=member, alarm=kind)
            call(run, "Maintenance/Alarm", clear)
    call(run, "Maintenance/Alarm", request())


def expiry(run: Differential) -> None:
    """A lease runs out everywhere, and takes its keys with it, in order."""
    lease = run.world.next_lease + 500_000
    call(run, "Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=1))
    keys = (b"expire/2", b"expire/1", b"expire/3")
    for key in keys:
        call(run, "KV/Put", pb.PutRequest(key=key, value=b"1", lease=lease))
    call(run, "KV/Put", pb.PutRequest(key=keys[2], value=b"2"))  # no longer on the lease
    run.settle()
    stream = run.new_stream()
    stream.create(pb.WatchCreateRequest(key=b"expire/", range_end=b"expire0", prev_kv=True))
    if not stream.wait_events(0, 2, EXPIRY_SECONDS):
        run.report.mismatch("leases do not run out everywhere", {})
    run.world.leases.pop(lease, None)
    run.world.revision += 1
    run.settle()
    stream.settle(run.world.revision)
    stream.close()
    request = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
    call(run, "Lease/LeaseTimeToLive", request)
    call(run, "Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))
    run.keep_alive(lease)


def leases_without_ids(run: Differential) -> None:
    """The server chooses: a positive one.  Times below the least are raised to it."""
    for ttl in (0, -1, 1, 100):
        call(run, "Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=ttl))
    for ttl in (0, -5, 2):
        lease = run.world.next_lease + 600_000
        call(run, "Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=ttl))
        call(run, "Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))


def fragments(run: Differential) -> None:
    """A response too large for one message is cut where etcd cuts it, if the client says so."""
    run.settle()
    stream = run.new_stream()
    for fragment in (True, False):
        stream.create(
            pb.WatchCreateRequest(
                key=b"fragment/", range_end=b"fragment0", prev_kv=True, fragment=fragment
            )
        )
    for value in (b"1", b"2", b"3"):
        request = pb.TxnRequest()
        for number in range(2):
            put = request.success.add().request_put
            put.key, put.value = b"fragment/%d" % number, value * LARGE
        call(run, "KV/Txn", request)
        run.settle()
    stream.wait_events(0, 6, EXPIRY_SECONDS)
    stream.wait_events(1, 6, EXPIRY_SECONDS)
    stream.compare_cuts(0)
    stream.settle(run.world.revision)
    stream.close()
    call(run, "KV/DeleteRange", pb.DeleteRangeRequest(key=b"fragment/", range_end=b"fragment0"))


def streams_end(run: Differential) -> None:
    """How streams end that the client ends, or breaks."""
    garbage = (b"\x0a", b"\x0a\x05abc", b"\x07", b"\x0a\x02\x08\x01")
    for method, wrong_type in ((WATCH, b"\x08\x01"), (KEEP_ALIVE, b"\x0d\x01\x02\x03\x04")):
        for message in (*garbage, wrong_type):
            _compare_ends(run, method, [message], lambda one: one.wait_end())
    ask = pb.LeaseKeepAliveRequest(ID=12345).SerializeToString()

    def hang_up(conversation: Conversation) -> Answer | None:
        conversation.done_sending()
        return conversation.wait_end()

    _compare_ends(run, KEEP_ALIVE, [ask, ask], hang_up)
    _compare_ends(run, KEEP_ALIVE, [], hang_up)


def _compare_ends(
    run: Differential,
    method: str,
    messages: list[bytes],
    finish: Callable[[Conversation], Answer | None],
) -> None:
    found = {}
    for kind, client in run.clients.items():
        conversation = client.converse(method)
        for message in messages:
            conversation.send(message)
        found[kind] = finish(conversation), conversation.received
        conversation.close()
    run.report.calls += 1
    if found[OURS] != found[REFERENCE]:
        run.report.mismatch(f"the end of {method} after {messages}", dict(found))


def half_closed_watch(run: Differential) -> None:
    """A client that has sent its last request goes on watching."""
    run.settle()
    stream = run.new_stream()
    stream.create(pb.WatchCreateRequest(key=b"half"))
    stream.done_sending()
    for value in (b"1", b"2"):
        call(run, "KV/Put", pb.PutRequest(key=b"half", value=value))
    run.settle()
    stream.settle(run.world.revision)
    stream.close()


def maintenance(run: Differential) -> None:
    """What one member answers about itself."""
    call(run, "Maintenance/Defragment", pb.DefragmentRequest())
    call(run, "Maintenance/MoveLeader", pb.MoveLeaderRequest(targetID=MEMBER))
    call(run, "Cluster/MemberList", pb.MemberListRequest())
    for service in ("", "etcdserverpb.KV"):
        request = healthpb.HealthCheckRequest(service=service)
        call(run, "grpc.health.v1.Health/Check", request)
    call(run, "Maintenance/Status", pb.StatusRequest())


SCENES: tuple[Callable[[Differential], None], ...] = (
    largest_requests,
    alarms,
    expiry,
    leases_without_ids,
    fragments,
    streams_end,
    half_closed_watch,
    maintenance,
)
