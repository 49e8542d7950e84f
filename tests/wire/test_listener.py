"""One port, several protocols, and peers that do not behave."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.wire.certificates import Authority
from tests.wire.ports import EchoPort, LinesLog, echo_port, read_all, read_exactly
from wire.http2.frames import PREFACE
from wire.listener import (
    DRAIN_SECONDS,
    HALF_OPEN,
    OPENING_SECONDS,
    PAUSE_SECONDS,
    Port,
    Protocols,
)
from wire.log import NullLog
from wire.memory_network import MemoryNetwork, MemoryStream
from wire.network import Address
from wire.tls import ClientTLS, ServerTLS, TLSSettings, TLSStream

REQUEST = b"GET /health HTTP/1.1\r\n\r\n"


@pytest.fixture
def server_tls(tmp_path: Path) -> ServerTLS:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    return ServerTLS(TLSSettings(cert_file=pair.cert_file, key_file=pair.key_file), NullLog())


async def speaks(stream: trio.abc.Stream, first: bytes) -> bytes:
    await stream.send_all(first)
    return await read_exactly(stream, 2 + len(first))


# -- Which protocol


async def test_the_preface_tells_http2_from_http1():
    async with echo_port() as echo:
        assert await speaks(await echo.connect(), PREFACE + b"more") == b"2:" + PREFACE + b"more"
        assert await speaks(await echo.connect(), REQUEST) == b"1:" + REQUEST


async def test_the_preface_may_come_byte_by_byte():
    async with echo_port() as echo:
        stream = await echo.connect()
        for at in range(len(PREFACE)):
            assert echo.peers == []
            await stream.send_all(PREFACE[at : at + 1])
            await trio.testing.wait_all_tasks_blocked()
        assert await read_exactly(stream, 2 + len(PREFACE)) == b"2:" + PREFACE


@pytest.mark.parametrize("length", range(1, len(PREFACE)))
async def test_what_departs_from_the_preface_anywhere_is_http1(length: int):
    first = PREFACE[:length] + b"\0"
    async with echo_port() as echo:
        assert await speaks(await echo.connect(), first) == b"1:" + first


@pytest.mark.parametrize(
    ("alpn", "first", "taken_for"),
    [
        (["h2"], b"anything", b"2:"),
        (["http/1.1"], REQUEST, b"1:"),
        ([], PREFACE, b"2:"),
        ([], REQUEST, b"1:"),
        (["http/1.1"], PREFACE, b"2:"),
    ],
)
async def test_over_tls_alpn_decides_and_then_the_first_bytes(
    server_tls: ServerTLS, alpn: list[str], first: bytes, taken_for: bytes
):
    client = ClientTLS(TLSSettings(skip_verify=True), NullLog()).context()
    client.set_alpn_protocols(alpn)
    async with echo_port(server_tls) as echo:
        stream = TLSStream(await echo.connect(), client, server_hostname="x")
        assert await speaks(stream, first) == taken_for + first


# -- Peers that do not behave


async def test_plain_http_to_a_tls_port_is_sent_away_at_once(server_tls: ServerTLS):
    async with echo_port(server_tls) as echo:
        stream = await echo.connect()
        await stream.send_all(REQUEST)
        assert await read_all(stream) in (b"", ALERT)
        assert echo.log.errors_of("rejected connection") == [
            "tls: first record does not look like a TLS handshake"
        ]


ALERT = b"\x15\x03\x01\x00\x02\x02\x50"


async def test_tls_to_a_plain_port_is_sent_away_at_once():
    async with echo_port() as echo:
        client = ClientTLS(TLSSettings(skip_verify=True), NullLog()).context()
        stream = TLSStream(await echo.connect(), client, server_hostname="x")
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        assert echo.peers == []


@pytest.mark.parametrize("said", [b"", PREFACE[:10]])
async def test_a_silent_peer_is_sent_away_after_a_while(
    said: bytes, autojump_clock: trio.testing.MockClock
):
    async with echo_port() as echo:
        stream = await echo.connect()
        await stream.send_all(said)
        began = trio.current_time()
        assert await read_all(stream) == b""
        assert trio.current_time() - began == pytest.approx(OPENING_SECONDS)


async def test_a_handshake_that_does_not_end_is_ended(
    server_tls: ServerTLS, autojump_clock: trio.testing.MockClock
):
    async with echo_port(server_tls) as echo:
        stream = await echo.connect()
        await stream.send_all(b"\x16\x03\x01")
        began = trio.current_time()
        assert await read_all(stream) == b""
        assert trio.current_time() - began == pytest.approx(OPENING_SECONDS)


async def test_a_connection_that_has_spoken_may_be_silent(autojump_clock: trio.testing.MockClock):
    async with echo_port() as echo:
        stream = await echo.connect()
        await speaks(stream, REQUEST)
        await trio.sleep(10 * OPENING_SECONDS)
        await stream.send_all(b"still here")
        assert await read_exactly(stream, 10) == b"still here"


async def test_hanging_up_half_open_is_not_worth_a_warning(server_tls: ServerTLS):
    async with echo_port(server_tls) as echo:
        stream = await echo.connect()
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert [level for level, _, _ in echo.log.lines] in ([], ["debug"])


async def test_the_oldest_silent_peer_makes_room_for_the_next(
    autojump_clock: trio.testing.MockClock,
):
    async with echo_port(most=2 * HALF_OPEN) as echo:
        silent = []
        for _ in range(HALF_OPEN):
            silent.append(await echo.connect())
            await trio.testing.wait_all_tasks_blocked()
        assert await speaks(await echo.connect(), REQUEST) == b"1:" + REQUEST
        assert await read_all(silent[0]) == b""
        assert await speaks(silent[1], REQUEST) == b"1:" + REQUEST
        assert echo.port.refused == 1


async def test_a_defect_in_one_connection_is_logged_and_stays_there():
    async with echo_port() as echo:
        other = await echo.connect()
        await speaks(other, REQUEST)
        bad = await echo.connect()
        await speaks(bad, REQUEST)
        await bad.send_all(b"crash")
        assert await read_all(bad) == b""
        [logged] = echo.log.errors_of("connection failed")
        assert "KeyError('a defect')" in str(logged)
        await other.send_all(b"unharmed")
        assert await read_exactly(other, 8) == b"unharmed"


async def test_a_reset_is_nobodys_fault():
    async with echo_port() as echo:
        stream = await echo.connect()
        await speaks(stream, REQUEST)
        stream.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert echo.log.lines == []
        assert echo.port.connections == 0


# -- Accepting


class FailingListener(trio.abc.Listener[trio.abc.Stream]):
    """Fails with these errors first."""

    def __init__(self, inner: trio.abc.Listener[trio.abc.Stream], *codes: int) -> None:
        self._inner = inner
        self._codes = list(codes)

    async def accept(self) -> trio.abc.Stream:
        if self._codes:
            await trio.lowlevel.checkpoint()
            raise OSError(self._codes.pop(0), "as said")
        return await self._inner.accept()

    async def aclose(self) -> None:
        await self._inner.aclose()


async def failing_port(nursery: trio.Nursery, *codes: int) -> tuple[EchoPort, MemoryStream]:
    echo = EchoPort()
    address = Address("h", 1)
    (listener,) = await echo.network.listen(address)
    failing = FailingListener(listener, *codes)
    port = Port([failing], Protocols(echo.http2, echo.http1), echo.log)
    await nursery.start(port.run)
    return echo, await echo.network.connect(address)


async def test_a_shortage_of_descriptors_is_waited_for_and_reported_once(
    autojump_clock: trio.testing.MockClock,
):
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        echo, stream = await failing_port(nursery, *[errno.EMFILE] * 5)
        assert await speaks(stream, REQUEST) == b"1:" + REQUEST
        nursery.cancel_scope.cancel()
    assert echo.log.errors_of("cannot accept connections") == ["too many open files"]
    assert trio.current_time() - began >= 5 * PAUSE_SECONDS


async def test_a_peer_that_is_gone_before_it_was_accepted_does_not_count(
    autojump_clock: trio.testing.MockClock,
):
    async with trio.open_nursery() as nursery:
        echo, stream = await failing_port(nursery, errno.ECONNABORTED, errno.EPROTO)
        assert await speaks(stream, REQUEST) == b"1:" + REQUEST
        nursery.cancel_scope.cancel()
    assert echo.log.lines == []


async def test_more_connections_than_there_is_room_for_wait():
    async with echo_port(most=2) as echo:
        first, second, third = [await echo.connect() for _ in range(3)]
        await speaks(first, REQUEST)
        await speaks(second, REQUEST)
        await third.send_all(REQUEST)
        await trio.testing.wait_all_tasks_blocked()
        assert echo.port.connections == 2
        assert len(echo.peers) == 2
        await first.aclose()
        assert await read_exactly(third, 2 + len(REQUEST)) == b"1:" + REQUEST


# -- Stopping


async def running_port(nursery: trio.Nursery) -> tuple[EchoPort, trio.CancelScope]:
    """A port that can be stopped by itself."""
    echo = EchoPort(log=LinesLog())
    listeners = await echo.network.listen(Address("127.0.0.1", 2379))
    echo.port = Port(listeners, Protocols(echo.http2, echo.http1), echo.log)
    scope = trio.CancelScope()

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await echo.port.run(task_status=task_status)

    await nursery.start(run)
    return echo, scope


async def test_stopping_lets_connections_finish_what_they_have(
    autojump_clock: trio.testing.MockClock,
):
    async with trio.open_nursery() as nursery:
        echo, stopping = await running_port(nursery)
        echo.stubborn = True
        stream = await echo.connect()
        await speaks(stream, REQUEST)
        await stream.send_all(b"last one")
        began = trio.current_time()
        stopping.cancel()
        assert await read_exactly(stream, 8) == b"last one"
        assert await read_all(stream) == b""
        assert trio.current_time() == began


async def test_stopping_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock):
    async with trio.open_nursery() as nursery:
        echo, stopping = await running_port(nursery)
        echo.stubborn = True
        stream = await echo.connect()
        await speaks(stream, REQUEST)
        began = trio.current_time()
        stopping.cancel()
        assert await read_all(stream) == b""
        assert trio.current_time() - began == pytest.approx(DRAIN_SECONDS)


async def test_stopping_ends_who_has_said_nothing_and_takes_nobody_new(
    autojump_clock: trio.testing.MockClock,
):
    async with trio.open_nursery() as nursery:
        echo, stopping = await running_port(nursery)
        silent = await echo.connect()
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        stopping.cancel()
        assert await read_all(silent) == b""
        with pytest.raises(OSError, match="connection refused"):
            await echo.connect()
        assert trio.current_time() == began


async def test_a_new_port_may_listen_where_the_old_one_did():
    network = MemoryNetwork()
    for _ in range(2):
        (listener,) = await network.listen(Address("h", 1))
        async with trio.open_nursery() as nursery:
            echo = EchoPort()
            port = Port([listener], Protocols(echo.http2, echo.http1), NullLog())
            await nursery.start(port.run)
            nursery.cancel_scope.cancel()
