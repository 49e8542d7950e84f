"""A member's pages over HTTP, at the same port and with the same certificates as gRPC."""

from __future__ import annotations

from dataclasses import dataclass

import h11
import trio

from trioetcd.ctl.errors import CommandFailed
from trioetcd.ctl.session import Session
from wire.network import BadURL, RealNetwork, parse_url, reason
from wire.tls import TLSError, TLSStream, client_context, handshake_words

READ_BYTES = 65_536
MOST_BYTES = 64 << 20  # of a page


@dataclass(frozen=True)
class Page:
    status: int
    body: bytes
    certificate: bytes | None = None  # the server's, DER

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


async def page(session: Session, endpoint: str, target: str, accept: str = "*/*") -> Page:
    """GET, within the command's limit.

    Raises:
        CommandFailed: nobody answers, or not in HTTP.
    """
    try:
        with session.limit():
            return await _get(session, endpoint, target, accept)
    except (BadURL, TLSError) as error:
        raise CommandFailed(str(error)) from error
    except (OSError, h11.RemoteProtocolError) as error:
        raise CommandFailed(f"{endpoint}: {reason(error)}") from error
    except trio.BrokenResourceError as error:
        raise CommandFailed(f"{endpoint}: {handshake_words(error)}") from error


async def _get(session: Session, endpoint: str, target: str, accept: str) -> Page:
    address = parse_url(session.access.url(endpoint))
    stream = await (session.network or RealNetwork()).connect(address)
    if address.secure:
        settings = session.access.tls
        context = client_context(settings)
        context.set_alpn_protocols(["http/1.1"])
        name = settings.server_name or address.host
        secure = TLSStream(stream, context, server_hostname=name, https_compatible=True)
        async with secure:
            await secure.do_handshake()
            certificate = secure.getpeercert(binary_form=True)
            return await _exchange(secure, str(address), target, accept, certificate)
    async with stream:
        return await _exchange(stream, str(address), target, accept, None)


async def _exchange(
    stream: trio.abc.Stream, host: str, target: str, accept: str, certificate: bytes | None
) -> Page:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("Accept", accept), ("Connection", "close")]
    request = connection.send(h11.Request(method="GET", target=target, headers=headers))
    await stream.send_all((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST_BYTES:
                raise CommandFailed(f"{host}{target} is larger than {MOST_BYTES >> 20} MiB")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return Page(status, bytes(body), certificate)
