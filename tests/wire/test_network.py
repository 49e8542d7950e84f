"""The network seam: the machine's network and the one in memory keep the same promises."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from wire.memory_network import BACKLOG, MemoryNetwork, MemoryStream, memory_stream_pair
from wire.network import (
    Address,
    BadURL,
    Network,
    NetworkError,
    RealNetwork,
    parse_url,
    peer_address,
)


@pytest.fixture(params=["real", "memory"])
def network(request: pytest.FixtureRequest) -> Network:
    return RealNetwork() if request.param == "real" else MemoryNetwork("tester")


def port_of(listener: trio.abc.Listener[trio.abc.Stream]) -> int:
    if isinstance(listener, trio.SocketListener):
        return int(listener.socket.getsockname()[1])
    return int(listener.address.port)


@asynccontextmanager
async def connection(network: Network) -> AsyncIterator[tuple[trio.abc.Stream, trio.abc.Stream]]:
    """The connecting end and the accepted one."""
    (listener,) = await network.listen(Address("127.0.0.1", 0))
    async with listener:
        near = await network.connect(Address("127.0.0.1", port_of(listener)))
        far = await listener.accept()
        async with near, far:
            yield near, far


# -- Both networks


async def test_bytes_go_both_ways(network: Network):
    async with connection(network) as (near, far):
        await near.send_all(b"there")
        assert await far.receive_some() == b"there"
        await far.send_all(b"back")
        assert await near.receive_some() == b"back"


async def test_what_was_sent_before_closing_is_read_before_end_of_file(network: Network):
    async with connection(network) as (near, far):
        await near.send_all(b"last words")
        await near.aclose()
        assert await far.receive_some() == b"last words"
        assert await far.receive_some() == b""


async def test_a_closed_half_still_receives(network: Network):
    async with connection(network) as (near, far):
        assert isinstance(near, trio.abc.HalfCloseableStream)
        await near.send_eof()
        assert await far.receive_some() == b""
        await far.send_all(b"answer")
        assert await near.receive_some() == b"answer"


async def test_closing_with_something_unread_breaks_the_connection(network: Network):
    async with connection(network) as (near, far):
        await near.send_all(b"never read")
        if isinstance(far, trio.SocketStream):
            await trio.lowlevel.wait_readable(far.socket)
        await far.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()


async def test_a_sender_waits_for_a_reader(network: Network):
    async with connection(network) as (near, far):
        big = bytes(8 << 20)
        received = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send_all, big)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks, "nothing took the bytes, so the sender must wait"
            while received < len(big):
                received += len(await far.receive_some(1 << 20))
        assert received == len(big)


async def test_a_sender_learns_that_the_reader_has_gone(network: Network):
    async with connection(network) as (near, far):
        await far.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(bytes(64 << 20))


async def test_using_a_stream_after_closing_it_is_an_error_of_the_user(network: Network):
    async with connection(network) as (near, _):
        await near.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await near.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await near.receive_some()


async def test_a_busy_port_is_refused_in_one_line(network: Network):
    (listener,) = await network.listen(Address("127.0.0.1", 0))
    async with listener:
        busy = Address("127.0.0.1", port_of(listener))
        with pytest.raises(NetworkError) as refusal:
            await network.listen(busy)
    assert str(refusal.value) == f"listen tcp {busy}: bind: address already in use"
    assert refusal.value.errno == errno.EADDRINUSE


async def test_a_port_is_free_again_after_closing(network: Network):
    (listener,) = await network.listen(Address("127.0.0.1", 0))
    address = Address("127.0.0.1", port_of(listener))
    await listener.aclose()
    (again,) = await network.listen(address)
    await again.aclose()


async def test_connecting_to_nobody_is_refused_in_one_line(network: Network):
    (listener,) = await network.listen(Address("127.0.0.1", 0))
    address = Address("127.0.0.1", port_of(listener))
    await listener.aclose()
    with pytest.raises(NetworkError) as refusal:
        await network.connect(address)
    assert str(refusal.value) == f"dial tcp {address}: connect: connection refused"
    assert refusal.value.errno == errno.ECONNREFUSED


async def test_accepting_ends_when_the_listener_is_closed(network: Network):
    (listener,) = await network.listen(Address("127.0.0.1", 0))
    async with trio.open_nursery() as nursery:

        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        nursery.start_soon(accept)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()


# -- The machine's network


async def test_a_wildcard_is_both_families():
    (listener,) = await RealNetwork().listen(Address("0.0.0.0", 0))
    async with listener:
        near = await RealNetwork().connect(Address("127.0.0.1", port_of(listener)))
        far = await listener.accept()
        assert peer_address(far).startswith("127.0.0.1:")
        await near.aclose()
        await far.aclose()


async def test_ipv6_addresses_stand_in_brackets():
    (listener,) = await RealNetwork().listen(Address("::1", 0))
    async with listener:
        near = await RealNetwork().connect(Address("::1", port_of(listener)))
        assert peer_address(near) == f"[::1]:{port_of(listener)}"
        await near.aclose()


async def test_small_writes_are_not_delayed():
    async with connection(RealNetwork()) as (near, far):
        for stream in near, far:
            assert isinstance(stream, trio.SocketStream)
            assert stream.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY)


async def test_two_listeners_may_share_a_port_if_both_say_so():
    sharing = RealNetwork(reuse_port=True)
    (one,) = await sharing.listen(Address("127.0.0.1", 0))
    (two,) = await sharing.listen(Address("127.0.0.1", port_of(one)))
    await one.aclose()
    await two.aclose()


async def test_an_unknown_host_is_named():
    with pytest.raises(NetworkError) as refusal:
        await RealNetwork().listen(Address("no-such-host.invalid", 1))
    assert str(refusal.value).startswith("listen tcp: lookup no-such-host.invalid: ")
    with pytest.raises(NetworkError) as refusal:
        await RealNetwork().connect(Address("no-such-host.invalid", 1))
    assert str(refusal.value).startswith("dial tcp: lookup no-such-host.invalid: ")


async def test_an_address_of_another_machine_cannot_be_bound():
    with pytest.raises(NetworkError) as refusal:
        await RealNetwork().listen(Address("192.0.2.1", 2379))
    assert str(refusal.value) == "listen tcp 192.0.2.1:2379: bind: cannot assign requested address"


async def test_a_unix_socket_is_left_over_once_and_removed_in_the_end(tmp_path: Path):
    address = Address(path=str(tmp_path / "socket"))
    (killed,) = await RealNetwork().listen(address)  # as by a process that was killed
    (listener,) = await RealNetwork().listen(address)
    near = await RealNetwork().connect(address)
    far = await listener.accept()
    assert peer_address(far) == "@"
    await near.aclose()
    await far.aclose()
    await listener.aclose()
    await killed.aclose()
    assert not await trio.Path(address.path).exists()


async def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("data")
    with pytest.raises(NetworkError) as refusal:
        await RealNetwork().listen(Address(path=str(precious)))
    assert str(refusal.value) == f"listen unix {precious}: bind: address already in use"
    assert precious.read_text() == "data"


async def test_connecting_to_a_missing_unix_socket_says_so(tmp_path: Path):
    address = Address(path=str(tmp_path / "socket"))
    with pytest.raises(NetworkError) as refusal:
        await RealNetwork().connect(address)
    assert str(refusal.value) == f"dial unix {address}: connect: no such file or directory"


# -- The network in memory


async def test_hosts_of_one_network_reach_each_other_and_are_told_apart():
    network = MemoryNetwork()
    (listener,) = await network.host("a").listen(Address("a", 2380))
    near = await network.host("b").connect(Address("a", 2380))
    far = await listener.accept()
    assert peer_address(far) == "b"
    assert peer_address(near) == "a:2380"


async def test_connecting_waits_for_room_in_the_backlog():
    network = MemoryNetwork()
    (listener,) = await network.listen(Address("a", 1))
    for _ in range(BACKLOG):
        await network.connect(Address("a", 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.connect, Address("a", 1))
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        await listener.accept()


async def test_closing_a_listener_resets_who_was_not_accepted():
    network = MemoryNetwork()
    (listener,) = await network.listen(Address("a", 1))
    near = await network.connect(Address("a", 1))
    await listener.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await near.receive_some()


async def test_a_reset_breaks_both_directions_at_once():
    near, far = memory_stream_pair()
    await near.send_all(b"already there")
    near.reset()
    assert await far.receive_some() == b"already there"
    with pytest.raises(trio.BrokenResourceError):
        await far.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")


async def test_two_tasks_may_not_send_on_one_stream():
    near, _ = memory_stream_pair(pipe_bytes=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.send_all, b"too much")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await near.send_all(b"x")
        nursery.cancel_scope.cancel()


async def test_memory_streams_obey_trios_contract_for_streams():
    async def make_pair() -> tuple[MemoryStream, MemoryStream]:
        return memory_stream_pair()

    async def make_clogged_pair() -> tuple[MemoryStream, MemoryStream]:
        near, far = memory_stream_pair(pipe_bytes=16)
        await near.send_all(bytes(16))
        await far.send_all(bytes(16))
        return near, far

    await trio.testing.check_half_closeable_stream(make_pair, make_clogged_pair)


# -- URLs


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:2379", Address("127.0.0.1", 2379)),
        (" https://[::1]:2379 ", Address("::1", 2379, secure=True)),
        ("http://:2379", Address("", 2379)),
        ("unix:///run/etcd.sock", Address(path="/run/etcd.sock")),
        ("unixs://localhost:m10", Address(path="localhost:m10", secure=True)),
    ],
)
def test_a_url_says_where_to_listen(url: str, address: Address):
    assert parse_url(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://h:1", "URL scheme must be http, https, unix, or unixs: ftp://h:1"),
        ("h:1", "URL scheme must be http, https, unix, or unixs: h:1"),
        ("http://h", 'URL address does not have the form "host:port": http://h'),
        ("http://h:1/path", "URL must not contain a path: http://h:1/path"),
        ("http://h:1/", "URL must not contain a path: http://h:1/"),
    ],
)
def test_a_url_that_cannot_be_listened_on_is_refused_in_etcds_words(url: str, words: str):
    with pytest.raises(BadURL) as refusal:
        parse_url(url)
    assert str(refusal.value) == words


def test_a_port_must_exist():
    with pytest.raises(BadURL):
        parse_url("http://h:99999")
