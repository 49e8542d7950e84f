"""A command's way to the cluster: the endpoints that were named, and calls with a limit.

Source: etcd etcdctl/ctlv3/command/global.go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import trio

from trioetcd.cli.pflag import Parsed
from trioetcd.cli.shown import FORMATS
from trioetcd.client import Client, Retry, open_client
from trioetcd.client.calls import Kind
from trioetcd.ctl.console import Console
from trioetcd.ctl.errors import CommandFailed, Exit, Misused, words
from trioetcd.ctl.output.answer import Answer, Style
from wire.errors import EtcdError, Refused
from wire.grpc.channel import ChannelOptions
from wire.grpc.client_link import ClientKeepAlive
from wire.network import BadURL, Network
from wire.status import Status
from wire.tls import TLSError, TLSSettings

if TYPE_CHECKING:
    from google.protobuf.message import Message

PATIENT = Retry(rounds=1 << 40, first_pause=0.05, most=0.5)  # the command's deadline ends it
TIMED_OUT = "context deadline exceeded"
A = TypeVar("A", bound="Message")


@dataclass(frozen=True)
class Access:
    """How a cluster is reached: who asks, and over which transport."""

    tls: TLSSettings
    secure: bool  # endpoints that do not say so themselves
    user: str = ""
    password: str = ""
    token: str = ""
    options: ChannelOptions | None = None

    def url(self, endpoint: str) -> str:
        """Endpoints may be given without a scheme."""
        if "://" in endpoint:
            return endpoint.rstrip("/")
        return f"{'https' if self.secure else 'http'}://{endpoint}"


@asynccontextmanager
async def connect(
    access: Access, endpoints: tuple[str, ...], network: Network | None
) -> AsyncIterator[Client]:
    """Raises CommandFailed: no client can be made of this."""
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(
                open_client(
                    *map(access.url, endpoints),
                    user=access.user,
                    password=access.password,
                    token=access.token,
                    tls=access.tls,
                    network=network,
                    retry=PATIENT,
                    options=access.options,
                )
            )
        except BadURL as error:
            raise CommandFailed(str(error), Exit.BAD_CONNECTION) from error
        except TLSError as error:
            raise CommandFailed(str(error), Exit.BAD_ARGUMENTS) from error
        yield client


class Session:
    """Connects when the first call is made; `clients` closes what it has opened."""

    def __init__(
        self,
        parsed: Parsed,
        console: Console,
        endpoints: tuple[str, ...],
        clients: AsyncExitStack,
        network: Network | None = None,
    ) -> None:
        self.parsed = parsed
        self.console = console
        self.endpoints = endpoints
        self.style = Style(parsed.text("write-out"), hex=parsed.is_on("hex"))
        self._clients = clients
        self.network = network
        self._client: Client | None = None

    @cached_property
    def access(self) -> Access:
        """May ask for a password.  Raises CommandFailed: the flags do not go together."""
        return access_of(self.parsed, self.console.ask)

    async def client(self) -> Client:
        """One client of all endpoints."""
        if self._client is None:
            self._client = await self._clients.enter_async_context(
                connect(self.access, self.endpoints, self.network)
            )
            if self.access.user:
                await self._log_in(self._client)
        return self._client

    async def client_at(self, access: Access, endpoint: str) -> Client:
        """Another client, of another cluster or of one endpoint."""
        client = await self._clients.enter_async_context(connect(access, (endpoint,), self.network))
        if access.user:
            await self._log_in(client)
        return client

    async def _log_in(self, client: Client) -> None:
        """A wrong password is found before the command begins."""
        try:
            with self.limit():
                await client.log_in()
        except EtcdError as error:
            raise CommandFailed(words(error), Exit.BAD_CONNECTION) from error

    @contextmanager
    def limit(self, seconds: float = 0) -> Iterator[None]:
        """--command-timeout, unless it is said otherwise.  Raises CommandFailed."""
        try:
            with trio.fail_after(seconds or max(self.parsed.seconds("command-timeout"), 0)):
                yield
        except trio.TooSlowError as error:
            raise CommandFailed(TIMED_OUT) from error

    async def call(
        self, path: str, request: Message, kind: Kind[A], *, is_write: bool = False
    ) -> A:
        """A method's answer, within the limit.

        Raises:
            EtcdError: it was refused.
            CommandFailed: nobody answered.
        """
        most = self.parsed.number("max-request-bytes")
        if most and request.ByteSize() > most:
            size = request.ByteSize()
            text = f"trying to send message larger than max ({size} vs. {most})"
            raise Refused(Status.RESOURCE_EXHAUSTED, text)
        client = await self.client()
        with self.limit():
            return await client.call(path, request, kind, is_write=is_write)

    async def answers(self, path: str, request: Message, kind: Kind[A]) -> list[A]:
        """As `call`, of a method that streams its answers."""
        client = await self.client()
        with self.limit():
            return await client.answers(path, request, kind)

    @asynccontextmanager
    async def another_client(self) -> AsyncIterator[Client]:
        """Of all endpoints, with connections of its own."""
        async with connect(self.access, self.endpoints, self.network) as client:
            if self.access.user:
                await self._log_in(client)
            yield client

    async def call_at(
        self, endpoint: str, path: str, request: Message, kind: Kind[A], seconds: float = 0
    ) -> A:
        """As `call`, of one member; it may be given more time."""
        with self.limit(seconds):
            async with connect(self.access, (endpoint,), self.network) as client:
                return await client.call(path, request, kind)

    def show(self, answer: Answer) -> None:
        """Raises CommandFailed: the format is not for this answer."""
        self.console.print(answer.show(self.style))


def check_style(parsed: Parsed) -> None:
    """Raises CommandFailed."""
    if parsed.text("write-out") not in FORMATS:
        raise CommandFailed("unsupported output format", Exit.BAD_FEATURE)


def access_of(parsed: Parsed, ask_password: Callable[[str], str]) -> Access:
    """What the flags say.

    Raises:
        CommandFailed: they do not go together.
    """
    for name in ("cert", "key", "cacert"):
        if name in parsed.given and not parsed.text(name):
            raise CommandFailed(f"empty string is passed to --{name} option", Exit.BAD_ARGUMENTS)
    token = parsed.text("auth-jwt-token")
    user, password = "", ""
    if not token:
        user, password = user_of(parsed.text("user"), parsed.text("password"), ask_password)
    return secured_access(
        parsed,
        user=user,
        password=password,
        token=token,
        skip_verify=parsed.is_on("insecure-skip-tls-verify"),
        server_name="" if parsed.is_on("insecure-discovery") else parsed.text("discovery-srv"),
    )


def secured_access(
    parsed: Parsed,
    before: str = "",
    *,
    user: str = "",
    password: str = "",
    token: str = "",
    skip_verify: bool = False,
    server_name: str = "",
) -> Access:
    """By the flags whose names begin so: any certificate switches TLS on.

    Raises:
        CommandFailed: a certificate without its key, or a key without its certificate.
    """
    certificate, key = parsed.text(f"{before}cert"), parsed.text(f"{before}key")
    authorities = parsed.text(f"{before}cacert")
    if bool(certificate) != bool(key):
        raise Misused(f"KeyFile and CertFile must both be present[key: {key}, cert: {certificate}]")
    tls = TLSSettings(
        client_cert_file=certificate,
        client_key_file=key,
        trusted_ca_file=authorities,
        skip_verify=skip_verify,
        server_name=server_name,
    )
    is_plain = parsed.is_on(f"{before}insecure-transport")
    secure = bool(certificate or authorities or server_name) or not is_plain
    return Access(tls, secure, user, password, token, _options(parsed))


def user_of(user: str, password: str, ask: Callable[[str], str]) -> tuple[str, str]:
    """`name:password`, unless the password is given apart, or must be asked for."""
    if not user or password:
        return user, password
    name, colon, password = user.partition(":")
    return name, password if colon else ask("Password: ")


def _options(parsed: Parsed) -> ChannelOptions:
    keep_alive = ClientKeepAlive(
        interval=parsed.seconds("keepalive-time"), timeout=parsed.seconds("keepalive-timeout")
    )
    most = parsed.number("max-recv-bytes") or (1 << 31) - 1
    limit = parsed.seconds("dial-timeout")
    return ChannelOptions(
        keep_alive=keep_alive,
        receive_bytes=most,
        connect_seconds=limit if limit > 0 else ChannelOptions.connect_seconds,
    )
