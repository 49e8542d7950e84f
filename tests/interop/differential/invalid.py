"""Calls that etcd refuses, and bytes that are hardly calls at all."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.interop.differential.traffic import REQUESTS, Call, Traffic, _call
from tests.interop.differential.world import World
from wire.pb import etcdserverpb as pb

MAX_TXN_OPS = 128
UNKNOWN_FIELDS = (
    *(b"\xc0\x3e\x01", b"\xc1\x3e" + b"12345678", b"\xc2\x3e\x03abc", b"\xc5\x3e" + b"1234"),
    b"\xc3\x3e\xc0\x3e\x01\xc4\x3e",  # a group, which protobuf no longer writes
)
BROKEN_ENDS = (
    *(b"\x0a", b"\x0a\x05abc", b"\xc0\x3e", b"\xc1\x3e123", b"\xc5\x3e12", b"\xc2\x3e\x7f"),
    b"\x80" * 10 + b"\x01",  # a tag of too many bytes
    b"\x0a" + b"\xff" * 9 + b"\x01",  # a length below zero
    *(b"\x00", b"\x00\x01", b"\x02\x00", b"\x07", b"\x06\x01", b"\x0f"),  # tag 0; wire types 6, 7
    *(b"\x04", b"\x0c", b"\xc3\x3e", b"\xc3\x3e\xc0\x3e\x01"),  # groups' ends without starts
)
# Go's etcd crashes at an alarm's action that it does not know.
_METHODS = [method for method in REQUESTS if not method.endswith(("/Alarm", "/Status"))]


class Invalid:
    """Invariant: nothing made here changes what is stored, save for calls that are valid."""

    def __init__(self, rng: Random, world: World, traffic: Traffic) -> None:
        self.rng = rng
        self.world = world
        self._traffic = traffic
        self._kinds: list[Callable[[], Call]] = [
            self.empty_key,
            self.empty_key_in_txn,
            self.value_with_ignore_value,
            self.lease_with_ignore_lease,
            self.unknown_lease,
            self.too_many_operations,
            self.too_deep,
            self.duplicate_keys,
            self.unset_operation,
            self.unknown_enums,
            self.unknown_fields,
            self.broken,
            self.cut,
            self.wrong_wire_type,
            self.noise,
            self.unknown_method,
        ]

    def next(self) -> Call:
        return self.rng.choice(self._kinds)()

    def empty_key(self) -> Call:
        make = self.rng.choice((pb.RangeRequest, pb.PutRequest, pb.DeleteRangeRequest))
        method = {pb.RangeRequest: "Range", pb.PutRequest: "Put"}.get(make, "DeleteRange")
        request = make()
        if method != "Put" and self.rng.random() < 0.5:
            request.range_end = b"\0"
        return _call(f"KV/{method}", request)

    def empty_key_in_txn(self) -> Call:
        request = pb.TxnRequest()
        kind = self.rng.randrange(4)
        if kind == 0:
            request.compare.add(target=pb.Compare.VERSION)
        elif kind == 1:
            request.success.add().request_range.limit = 1
        elif kind == 2:
            request.failure.add().request_put.value = b"1"
        else:
            request.failure.add().request_txn.success.add().request_delete_range.prev_kv = True
        return _call("KV/Txn", request)

    def value_with_ignore_value(self) -> Call:
        request = pb.PutRequest(key=self.world.key(self.rng), value=b"v", ignore_value=True)
        request.ignore_lease = self.rng.random() < 0.5
        return _call("KV/Put", request)

    def lease_with_ignore_lease(self) -> Call:
        return _call("KV/Put", pb.PutRequest(key=b"a", value=b"v", ignore_lease=True, lease=1))

    def unknown_lease(self) -> Call:
        return _call("KV/Put", pb.PutRequest(key=self.world.key(self.rng), lease=1 << 40))

    def too_many_operations(self) -> Call:
        """One more than allowed, or just as many."""
        request = pb.TxnRequest()
        count = MAX_TXN_OPS + self.rng.randrange(2)
        kind = self.rng.randrange(3)
        for number in range(count):
            if kind == 0:
                request.compare.add(key=b"a", target=pb.Compare.VERSION, version=number)
            else:
                branch = request.success if kind == 1 else request.failure
                branch.add().request_range.key = b"%d" % number
        return _call("KV/Txn", request)

    def too_deep(self) -> Call:
        """Nested transactions have what is left of the allowance."""
        request = pb.TxnRequest()
        outside = self.rng.choice((0, 1, 3))
        for number in range(outside):
            request.compare.add(key=b"a", target=pb.Compare.VERSION, version=number)
        inner = request.success.add().request_txn
        for _ in range(MAX_TXN_OPS - max(1, outside) + self.rng.randrange(2)):
            inner.success.add().request_range.key = b"a"
        return _call("KV/Txn", request)

    def duplicate_keys(self) -> Call:
        """Two changes of one key, somewhere: not always in branches that meet."""
        request, key = pb.TxnRequest(), b"dir/1"
        branches = [request.success, request.failure]
        for _ in range(self.rng.randrange(2, 5)):
            branch = self.rng.choice(branches)
            kind = self.rng.randrange(3)
            if kind == 0:
                branch.add().request_put.key = key
            elif kind == 1:
                deletion = branch.add().request_delete_range
                deletion.key = self.rng.choice((key, b"dir/", b"e", b"dir/1\0"))
                deletion.range_end = self.rng.choice((b"", b"\0", b"dir0", b"dir/2", b"a"))
            else:
                nested = branch.add().request_txn
                branches += [nested.success, nested.failure]
        return _call("KV/Txn", request)

    def unset_operation(self) -> Call:
        request = pb.TxnRequest()
        self.rng.choice((request.success, request.failure)).add()
        if self.rng.random() < 0.5:
            request.success.add().request_put.key = b"a"
        return _call("KV/Txn", request)

    def unknown_enums(self) -> Call:
        request = pb.TxnRequest()
        compare = self._traffic.comparison()
        if self.rng.random() < 0.5:
            compare.ClearField("result")
            tail = b"\x08" + bytes([self.rng.choice((4, 9, 100))])
        else:
            compare.ClearField("target")
            tail = b"\x10" + bytes([self.rng.choice((5, 9, 100))])
        request.compare.add().MergeFromString(compare.SerializeToString() + tail)
        request.success.add().request_range.key = b"a"
        return _call("KV/Txn", request)

    # -- Bytes

    def _any_call(self) -> Call:
        while True:
            call = self._traffic.next()
            if len(call.request) < 10_000 and not call.method.endswith("Compact"):
                return call

    def unknown_fields(self) -> Call:
        """Those of a newer client, say: taken as if they were not there."""
        method, request = self._any_call()
        return Call(method, request + self.rng.choice(UNKNOWN_FIELDS))

    def broken(self) -> Call:
        method, request = self._any_call()
        return Call(method, request + self.rng.choice(BROKEN_ENDS))

    def cut(self) -> Call:
        method, request = self._any_call()
        return Call(method, request[: self.rng.randrange(len(request) + 1)])

    def wrong_wire_type(self) -> Call:
        """A field that the message has, as something else than it is."""
        method = self.rng.choice(_METHODS)
        fields = REQUESTS[method].DESCRIPTOR.fields
        number = self.rng.choice(fields).number if fields else 1
        kind, content = self.rng.choice(
            ((0, b"\x05"), (1, b"12345678"), (2, b"\x01a"), (5, b"1234"), (3, b"\x08\x01"))
        )
        tag = number << 3
        if kind == 3:
            content += bytes([tag | 4])
        return Call(method, bytes([tag | kind]) + content)

    def noise(self) -> Call:
        method = self.rng.choice(_METHODS)
        return Call(method, self.rng.randbytes(self.rng.randrange(1, 12)))

    def unknown_method(self) -> Call:
        method = self.rng.choice(("etcdserverpb.KV/Nope", "etcdserverpb.Nope/Range", "nope/nope"))
        return Call(method, b"")
