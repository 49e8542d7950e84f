"""Whether trioetcd's answer is the reference's, or what `rules` says instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from google.protobuf.message import DecodeError, Message

from tests.interop.differential.clients import Answer
from tests.interop.differential.history import History
from tests.interop.differential.rules import (
    HASH_COMPACTED,
    HASH_REVISION,
    LEASE_KEYS,
    NESTED_PUTS,
    SORT_OPTION,
    TIES,
    WIDE_TAG,
)
from tests.interop.differential.traffic import REQUESTS, RESPONSES, Call
from tests.interop.differential.world import World
from wire.pb import etcdserverpb as pb

TIME_SECONDS = 2  # by which remaining times may differ
BAD_SORT = Answer("INVALID_ARGUMENT", "etcdserver: invalid sort option")
NO_SPACE = Answer("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
COMPACTED = Answer("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
INVALID = Answer(
    "INTERNAL",
    "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
)
TAG_BITS = 32
OWN_STATUS = (  # fields of a server's status that say what it is, or how it stores things
    *("version", "storageVersion", "downgradeInfo", "dbSize", "dbSizeInUse", "dbSizeQuota"),
    *("raftIndex", "raftAppliedIndex", "raftTerm"),
)
ORDERS, TARGETS = range(3), range(5)  # those there are


class Judge:
    """`follows` hears the name of each rule that an answer needed."""

    def __init__(self, world: World, history: History, follows: Callable[[str], None]) -> None:
        self._world = world
        self._history = history
        self._follows = follows

    def same(self, call: Call, ours: Answer, theirs: Answer) -> bool:
        """Every field, the code and the words: equal but for terms and times.

        Member and cluster ids need no allowance: the servers are started so that they agree.
        """
        if ours == theirs:
            return True
        request = request_of(call)
        if isinstance(request, pb.HashKVRequest) and self._is_newer_hash(request, ours, theirs):
            return True
        if ours == BAD_SORT and request is not None and _has_unknown_sort(request):
            self._follows(SORT_OPTION)
            return theirs.code == "OK"
        if ours == NO_SPACE and theirs.code == "OUT_OF_RANGE" and _has_nested_put(request):
            self._follows(NESTED_PUTS)
            return True
        if ours == INVALID and theirs.code == "OK" and _has_wide_tag(call.request):
            self._follows(WIDE_TAG)
            return True
        if (ours.code, ours.text) != (theirs.code, theirs.text) or request is None:
            return False
        kind = RESPONSES[call.method]
        try:
            mine, other = kind.FromString(ours.body), kind.FromString(theirs.body)
        except DecodeError:
            return False
        if not self._allow(request, mine, other):
            return False
        return _canonical(mine) == _canonical(other)

    def _is_newer_hash(self, request: pb.HashKVRequest, ours: Answer, theirs: Answer) -> bool:
        if theirs != COMPACTED or request.revision != self._world.compacted or ours.code != "OK":
            return False
        self._follows(HASH_COMPACTED)
        response = pb.HashKVResponse.FromString(ours.body)
        return response.hash == self._history.hash(request.revision, self._world.compacted)

    def _allow(self, request: Message, mine: Message, other: Message) -> bool:
        """Take out what may differ, if it differs as it may."""
        for message in (mine, other):
            if message.HasField("header"):
                message.header.raft_term = 0  # type: ignore[attr-defined]
        match mine, other:
            case pb.HashKVResponse(), pb.HashKVResponse():
                assert isinstance(request, pb.HashKVRequest)
                self._follows(HASH_REVISION)
                hashed = mine.hash_revision
                mine.ClearField("hash_revision")
                return hashed == (request.revision or mine.header.revision)
            case pb.StatusResponse(), pb.StatusResponse():
                for message in (mine, other):
                    for name in OWN_STATUS:
                        message.ClearField(name)
            case pb.LeaseTimeToLiveResponse(), pb.LeaseTimeToLiveResponse():
                return self._allow_time(mine, other)
            case (pb.RangeResponse(), _) | (pb.TxnResponse(), _):
                for message in (mine, other):
                    if _order_equals(request, message):
                        self._follows(TIES)
        return True

    def _allow_time(
        self, mine: pb.LeaseTimeToLiveResponse, other: pb.LeaseTimeToLiveResponse
    ) -> bool:
        if list(mine.keys) != list(other.keys):
            self._follows(LEASE_KEYS)
            for message in (mine, other):
                keys = sorted(message.keys)
                del message.keys[:]
                message.keys.extend(keys)
        near = min(mine.TTL, other.TTL) > 0 and abs(mine.TTL - other.TTL) <= TIME_SECONDS
        if near:
            mine.TTL = other.TTL
        return True


def request_of(call: Call) -> Message | None:
    """Empty if it cannot be read: Go's reader of messages takes a little more than ours."""
    kind = REQUESTS.get(call.method)
    try:
        return kind.FromString(call.request) if kind else None
    except DecodeError:
        return kind() if kind else None


def _canonical(message: Message) -> bytes:
    """Unknown fields included: a field that only one of them has is a difference."""
    return message.SerializeToString(deterministic=True)


def _ranges(request: Message) -> Iterable[pb.RangeRequest]:
    """The ranges in a request, nested ones too."""
    if isinstance(request, pb.RangeRequest):
        yield request
    elif isinstance(request, pb.TxnRequest):
        for operation in (*request.success, *request.failure):
            if operation.HasField("request_range"):
                yield operation.request_range
            elif operation.HasField("request_txn"):
                yield from _ranges(operation.request_txn)


def _has_nested_put(request: Message | None) -> bool:
    return isinstance(request, pb.TxnRequest) and any(
        inner.HasField("request_put")
        for operation in (*request.success, *request.failure)
        for inner in (*operation.request_txn.success, *operation.request_txn.failure)
    )


def _has_unknown_sort(request: Message) -> bool:
    return any(
        one.sort_order not in ORDERS or one.sort_target not in TARGETS for one in _ranges(request)
    )


def _has_wide_tag(data: bytes) -> bool:
    """Whether a field, of noise, has a number that is too large; nested ones are not looked at."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag >= 1 << TAG_BITS:
            return True
        number, after = _varint(data, at)
        sizes = {0: after - at, 1: 8, 2: after - at + number, 5: 4}
        at += sizes.get(tag & 7, len(data))
    return False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at:]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return value, len(data)


def _order_equals(request: Message, response: Message) -> bool:
    """Put rows that are equal in what they were sorted by in the order of their keys.

    Returns whether there were any.
    """
    match request, response:
        case pb.RangeRequest(), pb.RangeResponse():
            return _order_range(request, response)
        case pb.TxnRequest(), pb.TxnResponse():
            found = False
            branch = request.success if response.succeeded else request.failure
            for operation, answer in zip(branch, response.responses, strict=False):
                if operation.HasField("request_range"):
                    found |= _order_range(operation.request_range, answer.response_range)
                elif operation.HasField("request_txn"):
                    found |= _order_equals(operation.request_txn, answer.response_txn)
            return found
    return False


def _order_range(request: pb.RangeRequest, response: pb.RangeResponse) -> bool:
    targets = pb.RangeRequest
    if request.sort_target == targets.KEY:
        return False
    field = {
        targets.VERSION: "version",
        targets.CREATE: "create_revision",
        targets.MOD: "mod_revision",
        targets.VALUE: "value",
    }[request.sort_target]
    groups = [list(rows) for _, rows in groupby(response.kvs, lambda kv: getattr(kv, field))]
    if max(map(len, groups), default=0) < 2 and not response.more:
        return False
    ordered = [kv for group in groups for kv in sorted(group, key=lambda kv: kv.key)]
    if response.more:
        # Which of the last ones' equals the limit leaves depends on their order too.
        for kv in ordered[len(ordered) - len(groups[-1]) :]:
            kept = getattr(kv, field)
            kv.Clear()
            setattr(kv, field, kept)
    rows = [kv.SerializeToString() for kv in ordered]
    del response.kvs[:]
    for row in rows:
        response.kvs.add().ParseFromString(row)
    return True
