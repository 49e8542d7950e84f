"""How much memory a member says it uses, read from its metrics.

Source: etcd etcdctl/ctlv3/command/util.go (endpointMemoryMetrics).
"""

from __future__ import annotations

import h11
import trio

from trioetcd.ctl.session import Access
from wire.log import NullLog
from wire.network import Address, BadURL, Network, RealNetwork, parse_url
from wire.tls import ClientTLS, TLSError, TLSStream, handshake_words

PAGE_SECONDS = 10.0
PAGE_BYTES = 16 << 20
READ_BYTES = 65536
RESIDENT = b"process_resident_memory_bytes"


class NoMetrics(Exception):
    """The page cannot be had, or does not say it."""


async def resident_bytes(access: Access, endpoint: str, network: Network | None) -> float:
    """Raises NoMetrics."""
    try:
        with trio.fail_after(PAGE_SECONDS):
            page = await _fetch(access, parse_url(access.url(endpoint)), network or RealNetwork())
    except trio.TooSlowError as error:
        raise NoMetrics("fetch error: context deadline exceeded") from error
    except (OSError, BadURL, TLSError, trio.BrokenResourceError, h11.ProtocolError) as error:
        raise NoMetrics(f"fetch error: {_words(error)}") from error
    for line in page.splitlines():
        if line.startswith(RESIDENT + b" "):
            return float(line.split()[1])
    raise NoMetrics(f"could not find: {RESIDENT.decode()}")


def _words(error: Exception) -> str:
    return handshake_words(error) if isinstance(error, trio.BrokenResourceError) else str(error)


async def _fetch(access: Access, address: Address, network: Network) -> bytes:
    stream = await network.connect(address)
    if address.secure:
        context = ClientTLS(access.tls, NullLog()).context()
        stream = TLSStream(stream, context, server_hostname=address.host, https_compatible=True)
    async with stream:
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method="GET",
            target="/metrics",
            headers=[("Host", str(address)), ("Connection", "close")],
        )
        await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
        body = bytearray()
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.ConnectionClosed):
                break
            if len(body) > PAGE_BYTES:
                raise NoMetrics(f"fetch error: more than {PAGE_BYTES} bytes")
        return bytes(body)
