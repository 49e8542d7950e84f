"""The Lock service: whoever's key is the oldest of a name holds its lock.

Source: etcd server/etcdserver/api/v3lock/lock.go; client/v3/concurrency/mutex.go.
"""

from __future__ import annotations

from collections.abc import Callable

from trioetcd.api.local import Caller
from trioetcd.api.parse import parse
from trioetcd.api.waiting import (
    Range,
    cleaning_up,
    commit,
    created_first,
    delete,
    if_created_at,
    own_key,
    read,
    session,
    wait_for_those_before,
)
from wire.errors import Refused
from wire.grpc.service import Context, Registry, UnaryCall
from wire.pb import etcdserverpb, v3lockpb
from wire.status import Status

_SERVICE = "/v3lockpb.Lock"


class LockService:
    def __init__(self, caller: Callable[[Context], Caller]) -> None:
        """`caller` makes calls in the name of whoever makes a call."""
        self._caller = caller

    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/Lock", self.lock)
        registry.unary(f"{_SERVICE}/Unlock", self.unlock)

    async def lock(self, call: UnaryCall) -> bytes:
        """Waits until the lock is held; it is given up with the lease, or by unlocking."""
        request = parse(v3lockpb.LockRequest, call.payload)
        caller = self._caller(call.context)
        lease = await session(caller, request.lease)
        prefix = request.name + b"/"
        key = own_key(prefix, lease)
        answer = await commit(caller, _acquisition(key, prefix, lease))
        own, owners = answer.responses[0], answer.responses[1].response_range.kvs
        revision = answer.header.revision
        if not answer.succeeded:
            revision = own.response_range.kvs[0].create_revision
        header = answer.header
        if owners and owners[0].create_revision != revision:
            header = await self._wait(caller, key, prefix, revision)
        return v3lockpb.LockResponse(header=header, key=key).SerializeToString()

    async def _wait(
        self, caller: Caller, key: bytes, prefix: bytes, revision: int
    ) -> etcdserverpb.ResponseHeader:
        try:
            await wait_for_those_before(caller, prefix, revision)
            found = await read(caller, Range(key=key))
        except BaseException:
            async with cleaning_up():
                await delete(caller, key)
            raise
        if not found.kvs:
            raise Refused(Status.UNKNOWN, "mutex: session is expired")
        return found.header

    async def unlock(self, call: UnaryCall) -> bytes:
        request = parse(v3lockpb.UnlockRequest, call.payload)
        answer = await delete(self._caller(call.context), request.key)
        return v3lockpb.UnlockResponse(header=answer.header).SerializeToString()


def _acquisition(key: bytes, prefix: bytes, lease: int) -> etcdserverpb.TxnRequest:
    """Take a place in the queue, unless this lease has one; and see who comes first."""
    request = etcdserverpb.TxnRequest(compare=[if_created_at(key, 0)])
    put, get = request.success.add(), request.failure.add()
    put.request_put.key, put.request_put.lease = key, lease
    get.request_range.key = key
    for branch in (request.success, request.failure):
        branch.add().request_range.CopyFrom(created_first(prefix))
    return request
