"""Who may what by the rules of today, as sets of keys: as simple as can be, and slow.

Go's etcd 3.5.1 overlooks some of what a call does, which releases since then look at.  What they
refuse is asked of trioetcd alone, for 3.5.1 would do it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from wire.pb import authpb
from wire.pb import etcdserverpb as pb

KEYS = (b"a", b"ab", b"abc", b"b", b"b\0", b"c", b"d", b"dd", b"\xff")
CELLS = sorted({*KEYS, *(key + b"\0" for key in KEYS)})
"""Every key of the traffic, and the first key behind it: each stands for all up to the next."""

Attached = Mapping[int, Sequence[bytes]]  # lease -> its keys
Want = tuple[str, set[bytes]]  # "read" or "write", and what


def cells(key: bytes, end: bytes = b"") -> set[bytes]:
    """A range's; an end of b"\\0" is none."""
    last = end or key + b"\0"
    return {cell for cell in CELLS if key <= cell and (end == b"\0" or cell < last)}


@dataclass(frozen=True)
class Rights:
    """Of one user, by all of his roles."""

    everything: bool  # he is root
    read: frozenset[bytes]
    write: frozenset[bytes]

    def cover(self, wants: Iterator[Want]) -> bool:
        if self.everything:
            return True
        return all(wanted <= getattr(self, kind) for kind, wanted in wants)


def rights_of(roles: Mapping[str, Sequence[authpb.Permission]]) -> Rights:
    read: set[bytes] = set()
    write: set[bytes] = set()
    for permissions in roles.values():
        for permission in permissions:
            found = cells(permission.key, permission.range_end)
            if permission.permType != authpb.Permission.WRITE:
                read |= found
            if permission.permType != authpb.Permission.READ:
                write |= found
    return Rights("root" in roles, frozenset(read), frozenset(write))


def wants(request: Message, attached: Attached) -> Iterator[Want]:
    """What a call needs to be allowed."""
    match request:
        case pb.RangeRequest():
            yield "read", cells(request.key, request.range_end)
        case pb.PutRequest():
            yield "write", cells(request.key)
            if request.prev_kv:
                yield "read", cells(request.key)
            yield from _all_keys("write", [request.lease], attached)
        case pb.DeleteRangeRequest():
            yield "write", cells(request.key, request.range_end)
            if request.prev_kv:
                yield "read", cells(request.key, request.range_end)
        case pb.TxnRequest():
            yield from _of_transaction(request, attached)
        case pb.LeaseRevokeRequest() | pb.LeaseKeepAliveRequest():
            yield from _all_keys("write", [request.ID], attached)
        case pb.LeaseTimeToLiveRequest():
            yield from _all_keys("read", [request.ID] if request.keys else [], attached)
        case pb.LeaseLeasesRequest():
            yield from _all_keys("read", list(attached), attached)
        case pb.WatchRequest():
            created = request.create_request
            yield "read", cells(created.key, created.range_end)


def _of_transaction(request: pb.TxnRequest, attached: Attached) -> Iterator[Want]:
    """Both branches, at every depth."""
    for compare in request.compare:
        yield "read", cells(compare.key, compare.range_end)
    for operation in (*request.success, *request.failure):
        kind = operation.WhichOneof("request")
        if kind is not None:
            yield from wants(getattr(operation, kind), attached)


def _all_keys(kind: str, leases: Sequence[int], attached: Attached) -> Iterator[Want]:
    for lease in leases:
        for key in attached.get(lease, ()):
            yield kind, cells(key)
