"""The Election service: whoever's key is the oldest of a name leads.

Source: etcd server/etcdserver/api/v3election/election.go; client/v3/concurrency/election.go.
"""

from __future__ import annotations

from collections.abc import Callable

from trioetcd.api.local import Caller
from trioetcd.api.parse import parse, parse_streamed
from trioetcd.api.waiting import (
    cleaning_up,
    commit,
    created_first,
    if_created_at,
    own_key,
    prefix_end,
    read,
    session,
    wait_for_those_before,
    watch,
)
from wire.errors import EtcdError, Refused
from wire.grpc.service import Context, Registry, ServerStream, UnaryCall
from wire.pb import etcdserverpb, mvccpb, v3electionpb
from wire.status import Status

_SERVICE = "/v3electionpb.Election"
_Header = etcdserverpb.ResponseHeader


class ElectionService:
    def __init__(self, caller: Callable[[Context], Caller]) -> None:
        """`caller` makes calls in the name of whoever makes a call."""
        self._caller = caller

    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/Campaign", self.campaign)
        registry.unary(f"{_SERVICE}/Proclaim", self.proclaim)
        registry.unary(f"{_SERVICE}/Leader", self.leader)
        registry.unary(f"{_SERVICE}/Resign", self.resign)
        registry.stream(f"{_SERVICE}/Observe", self.observe, "server_stream")

    async def campaign(self, call: UnaryCall) -> bytes:
        """Waits until elected; whoever has gone by then stands no longer."""
        request = parse(v3electionpb.CampaignRequest, call.payload)
        caller = self._caller(call.context)
        lease = await session(caller, request.lease)
        key = own_key(request.name + b"/", lease)
        answer = await commit(caller, _candidacy(key, request.value, lease))
        leader = v3electionpb.LeaderKey(
            name=request.name, key=key, rev=answer.header.revision, lease=lease
        )
        if not answer.succeeded:
            stood = answer.responses[0].response_range.kvs[0]
            leader.rev = stood.create_revision
            if stood.value != request.value:
                await self._announce_again(caller, leader, request.value)
        await self._wait(caller, leader)
        response = v3electionpb.CampaignResponse(header=answer.header, leader=leader)
        return response.SerializeToString()

    async def _announce_again(
        self, caller: Caller, leader: v3electionpb.LeaderKey, value: bytes
    ) -> None:
        try:
            await _proclaim(caller, leader, value)
        except EtcdError:
            await _resign(caller, leader)
            raise

    async def _wait(self, caller: Caller, leader: v3electionpb.LeaderKey) -> None:
        try:
            await wait_for_those_before(caller, leader.name + b"/", leader.rev)
        except Exception:
            raise  # it stands, and may lead
        except BaseException:
            async with cleaning_up():
                await _resign(caller, leader)
            raise

    async def proclaim(self, call: UnaryCall) -> bytes:
        request = parse(v3electionpb.ProclaimRequest, call.payload)
        _require_leader(request.HasField("leader"))
        header = await _proclaim(self._caller(call.context), request.leader, request.value)
        return v3electionpb.ProclaimResponse(header=header).SerializeToString()

    async def resign(self, call: UnaryCall) -> bytes:
        request = parse(v3electionpb.ResignRequest, call.payload)
        _require_leader(request.HasField("leader"))
        header = await _resign(self._caller(call.context), request.leader)
        return v3electionpb.ResignResponse(header=header).SerializeToString()

    async def leader(self, call: UnaryCall) -> bytes:
        request = parse(v3electionpb.LeaderRequest, call.payload)
        found = await read(self._caller(call.context), created_first(request.name + b"/"))
        if not found.kvs:
            raise Refused(Status.UNKNOWN, "election: no leader")
        return _leader_response(found.header, found.kvs[0])

    async def observe(self, stream: ServerStream) -> None:
        """The leader now and every later one, and whatever a leader proclaims."""
        request = parse_streamed(v3electionpb.LeaderRequest, await stream.receive() or b"")
        caller = self._caller(stream.context)
        prefix = request.name + b"/"
        while True:
            found = await read(caller, created_first(prefix))
            if found.kvs:
                header, kv = found.header, found.kvs[0]
            else:
                header, kv = await _first_put(caller, prefix, found.header.revision)
            await stream.send(_leader_response(header, kv))
            await self._follow(stream, caller, kv.key, header.revision + 1)

    async def _follow(
        self, stream: ServerStream, caller: Caller, key: bytes, revision: int
    ) -> None:
        """Pass on what a leader proclaims, until its key is gone."""
        async with watch(caller, key, revision) as changes:
            async for response in changes:
                for event in response.events:
                    if event.type == mvccpb.Event.DELETE:
                        return
                    await stream.send(_leader_response(response.header, event.kv))


def _candidacy(key: bytes, value: bytes, lease: int) -> etcdserverpb.TxnRequest:
    request = etcdserverpb.TxnRequest(compare=[if_created_at(key, 0)])
    put = request.success.add().request_put
    put.key, put.value, put.lease = key, value, lease
    request.failure.add().request_range.key = key
    return request


async def _proclaim(caller: Caller, leader: v3electionpb.LeaderKey, value: bytes) -> _Header:
    request = etcdserverpb.TxnRequest(compare=[if_created_at(leader.key, leader.rev)])
    put = request.success.add().request_put
    put.key, put.value, put.lease = leader.key, value, leader.lease
    answer = await commit(caller, request)
    if not answer.succeeded:
        raise Refused(Status.UNKNOWN, "election: not leader")
    return answer.header


async def _resign(caller: Caller, leader: v3electionpb.LeaderKey) -> _Header:
    request = etcdserverpb.TxnRequest(compare=[if_created_at(leader.key, leader.rev)])
    request.success.add().request_delete_range.key = leader.key
    return (await commit(caller, request)).header


def _require_leader(given: bool) -> None:
    if not given:
        raise Refused(Status.UNKNOWN, '"leader" field must be provided')


async def _first_put(
    caller: Caller, prefix: bytes, revision: int
) -> tuple[_Header, mvccpb.KeyValue]:
    """Wait for somebody to stand."""
    async with watch(caller, prefix, revision, prefix_end(prefix)) as changes:
        async for response in changes:
            for event in response.events:
                if event.type == mvccpb.Event.PUT:
                    header = response.header
                    header.revision = event.kv.mod_revision  # of several, those after it follow
                    return header, event.kv
    raise AssertionError("unreachable")


def _leader_response(header: _Header, kv: mvccpb.KeyValue) -> bytes:
    return v3electionpb.LeaderResponse(header=header, kv=kv).SerializeToString()
