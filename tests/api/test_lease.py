"""The Lease service, against a lessor and a log that answer as told."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from actors.kernel import ActorStopped
from actors.lease.actor import TimeLeft
from actors.lease.ids import IDs
from tests.api.streams import FakeStream
from tests.auth.world import permissions
from tests.watch.world import header
from trioetcd.api.lease import LeaseService
from trioetcd.api.quota import Quota
from wire.errors import EtcdError, LeaseExists, LeaseNotFound, NoSpace, NotPrimaryLessor, Stopped
from wire.grpc.service import Context, Method, Peer, UnaryCall
from wire.pb import etcdserverpb


class Neighbours:
    """Lessor and log.  Every answer may be an error, which is raised."""

    def __init__(self) -> None:
        self.proposed: list[tuple[str, bytes]] = []
        self.result: tuple[int, bytes] | Exception = (5, b"")
        self.left: TimeLeft | Exception = TimeLeft(8, 10, [])
        self.ttls: dict[int, int | Exception] = {}
        self.listed: list[int] | Exception = []
        self.revision = 5
        self.gate = trio.Event()
        self.gate.set()

    async def propose(self, name: str, payload: bytes, caller: Context) -> tuple[int, bytes]:
        self.proposed.append((name, payload))
        return answer(self.result)

    async def renew(self, lease_id: int) -> int:
        await self.gate.wait()
        return answer(self.ttls.get(lease_id, LeaseNotFound()))

    async def time_to_live(self, lease_id: int, *, keys: bool = False) -> TimeLeft:
        left = answer(self.left)
        return left if keys else left._replace(keys=[])

    async def leases(self) -> list[int]:
        return answer(self.listed)


def answer(given):
    if isinstance(given, Exception):
        raise given
    return given


@pytest.fixture
def world() -> Neighbours:
    return Neighbours()


@pytest.fixture
def service(world: Neighbours) -> LeaseService:
    quota = Quota(-1, lambda: 0)
    return LeaseService(
        world, world, quota, IDs(1, 1000), header, lambda: world.revision, permissions()
    )


class Nobody:
    """Where no answer goes."""

    def answer(self, call: UnaryCall, message: bytes) -> None: ...


def call(request) -> UnaryCall:
    path = "/etcdserverpb.Lease/Any"
    context = Context(path, {}, Peer())
    return UnaryCall(Nobody(), 1, Method(path), context, request.SerializeToString(), None)


async def test_a_grant_goes_through_the_log_and_its_answer_is_the_logs(world, service):
    world.result = 7, etcdserverpb.LeaseGrantResponse(ID=3, TTL=10).SerializeToString()
    request = etcdserverpb.LeaseGrantRequest(ID=3, TTL=10)
    response = etcdserverpb.LeaseGrantResponse.FromString(await service.grant(call(request)))
    assert world.proposed == [("lease_grant", request.SerializeToString())]
    assert (response.ID, response.TTL, response.header.revision) == (3, 10, 7)


async def test_a_grant_without_an_id_gets_a_positive_one_never_given_before(world, service):
    for _ in range(3):
        await service.grant(call(etcdserverpb.LeaseGrantRequest(TTL=10)))
    requests = [etcdserverpb.LeaseGrantRequest.FromString(payload) for _, payload in world.proposed]
    assert len({request.ID for request in requests}) == 3
    assert all(request.ID > 0 for request in requests)
    assert all(request.TTL == 10 for request in requests)


async def test_a_negative_id_is_the_clients_choice(world, service):
    await service.grant(call(etcdserverpb.LeaseGrantRequest(ID=-7, TTL=10)))
    assert etcdserverpb.LeaseGrantRequest.FromString(world.proposed[0][1]).ID == -7


async def test_a_refusal_by_the_log_is_the_answer(world, service):
    world.result = LeaseExists()
    with pytest.raises(LeaseExists):
        await service.grant(call(etcdserverpb.LeaseGrantRequest(ID=3, TTL=10)))
    world.result = LeaseNotFound()
    with pytest.raises(LeaseNotFound):
        await service.revoke(call(etcdserverpb.LeaseRevokeRequest(ID=3)))


async def test_without_room_a_grant_is_not_even_proposed_and_a_revocation_is(world):
    service = LeaseService(
        world,
        world,
        Quota(100, lambda: 100),
        IDs(1, 1000),
        header,
        lambda: world.revision,
        permissions(),
    )
    with pytest.raises(NoSpace):
        await service.grant(call(etcdserverpb.LeaseGrantRequest(ID=3, TTL=10)))
    await service.revoke(call(etcdserverpb.LeaseRevokeRequest(ID=3)))
    assert [name for name, _ in world.proposed] == ["lease_revoke"]


async def test_a_revocation_answers_with_the_revision_after_it(world, service):
    world.result = 9, b""
    response = etcdserverpb.LeaseRevokeResponse.FromString(
        await service.revoke(call(etcdserverpb.LeaseRevokeRequest(ID=3)))
    )
    assert response.header.revision == 9


async def time_to_live(service: LeaseService, **fields):
    request = etcdserverpb.LeaseTimeToLiveRequest(ID=3, **fields)
    return etcdserverpb.LeaseTimeToLiveResponse.FromString(
        await service.time_to_live(call(request))
    )


async def test_time_to_live_tells_the_keys_only_if_asked(world, service):
    world.left = TimeLeft(8, 10, [b"a", b"b"])
    assert await time_to_live(service) == etcdserverpb.LeaseTimeToLiveResponse(
        header=etcdserverpb.ResponseHeader(revision=5), ID=3, TTL=8, grantedTTL=10
    )
    assert (await time_to_live(service, keys=True)).keys == [b"a", b"b"]


async def test_a_lease_that_is_not_there_has_minus_one_seconds_to_live(world, service):
    world.left = LeaseNotFound()
    assert await time_to_live(service) == etcdserverpb.LeaseTimeToLiveResponse(
        header=etcdserverpb.ResponseHeader(revision=5), ID=3, TTL=-1
    )


async def test_leases_are_listed_in_the_lessors_order(world, service):
    world.listed = [7, -3, 1 << 62]
    response = etcdserverpb.LeaseLeasesResponse.FromString(
        await service.leases(call(etcdserverpb.LeaseLeasesRequest()))
    )
    assert [status.ID for status in response.leases] == [7, -3, 1 << 62]
    assert response.header.revision == 5


async def test_no_leases_are_an_empty_list(world, service):
    response = await service.leases(call(etcdserverpb.LeaseLeasesRequest()))
    assert response == header(5)


async def test_when_the_lessor_stops_so_does_the_server_for_its_clients(world, service):
    world.left = world.listed = ActorStopped("lessor")
    with pytest.raises(Stopped):
        await time_to_live(service)
    with pytest.raises(Stopped):
        await service.leases(call(etcdserverpb.LeaseLeasesRequest()))


# Keep-alive


class KeepAlive:
    """A client's stream, and how it ended."""

    def __init__(self) -> None:
        self.stream = FakeStream()
        self.ended: EtcdError | str | None = None

    async def run(self, service: LeaseService) -> None:
        try:
            await service.keep_alive(self.stream)
            self.ended = "well"
        except EtcdError as error:
            self.ended = error

    def ask(self, lease_id: int) -> None:
        self.stream.ask(etcdserverpb.LeaseKeepAliveRequest(ID=lease_id).SerializeToString())

    async def told(self) -> tuple[int, int, int]:
        response = etcdserverpb.LeaseKeepAliveResponse.FromString(await self.stream.read())
        return response.ID, response.TTL, response.header.revision


async def test_every_keep_alive_is_answered_in_order_and_a_missing_lease_with_zero(world, service):
    world.ttls = {1: 10, 3: 30}
    client = KeepAlive()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run, service)
        for lease_id in (3, 2, 1, 3):
            client.ask(lease_id)
        assert [await client.told() for _ in range(4)] == [
            (3, 30, 5),
            (2, 0, 5),
            (1, 10, 5),
            (3, 30, 5),
        ]
        client.stream.ask(None)
    assert client.ended == "well"


async def test_the_header_is_of_the_time_before_the_renewal(world, service):
    world.ttls = {1: 10}
    world.gate = trio.Event()
    client = KeepAlive()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run, service)
        client.ask(1)
        await trio.testing.wait_all_tasks_blocked()
        world.revision = 6
        world.gate.set()
        assert await client.told() == (1, 10, 5)
        client.stream.ask(None)


@pytest.mark.parametrize(
    ("error", "told"),
    [(NotPrimaryLessor(), NotPrimaryLessor), (ActorStopped("lessor"), Stopped)],
)
async def test_a_lessor_that_cannot_answer_ends_the_stream(world, service, error, told):
    world.ttls = {1: error}
    client = KeepAlive()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run, service)
        client.ask(1)
    assert isinstance(client.ended, told)


async def test_bytes_that_are_no_request_end_the_stream(service):
    client = KeepAlive()
    client.stream.ask(b"\xff")
    await client.run(service)
    assert str(client.ended).startswith("grpc: failed to unmarshal the received message ")
