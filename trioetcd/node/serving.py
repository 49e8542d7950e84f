"""A node and its listeners: bound before anything else, accepting once the node has joined."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from actors.auth.token_settings import BadTokenOptions
from trioetcd.api.access import Access
from trioetcd.api.gateway.gateway import Gateway
from trioetcd.config.tokens import token_settings
from trioetcd.node.listening import Answers, PeerTLS, make_port, peer_answers
from trioetcd.node.node import Node, spare_collector
from trioetcd.node.recovery import StartError
from trioetcd.node.settings import NodeSettings
from wire.grpc.service import Registry
from wire.http import not_found
from wire.invariant import invariant
from wire.listener import Port
from wire.log import Log
from wire.network import Address, RealNetwork, parse_url
from wire.tls import ClientTLS, ServerTLS, TLSError, TLSSettings

if TYPE_CHECKING:
    from trioetcd.config.server import ListenSettings, ServerConfig

OpenNode = Callable[..., AbstractAsyncContextManager[Node]]


class _Bound:
    """Listeners of some URLs, not accepting yet."""

    def __init__(
        self, listeners: list[trio.abc.Listener[trio.abc.Stream]], secure: bool, urls: Sequence[str]
    ) -> None:
        self.listeners = listeners
        self.secure = secure
        self.urls = urls


@asynccontextmanager
async def serve_node(config: ServerConfig, log: Log, open_node: OpenNode) -> AsyncIterator[Node]:
    """Serve a member on the configured URLs.

    Raises:
        StartError: a port is taken, a certificate is unreadable, or the storage is not usable.
    """
    listen = config.listen
    root = config.node.data_dir or Path()
    client_tls = _tls(listen.client_tls, listen.client_auto_tls, root, "client", listen, log)
    peer_tls = _tls(listen.peer_tls, listen.peer_auto_tls, root, "peer", listen, log)
    peer_client_tls = _client_tls(listen, peer_tls, log)
    settings = _with_tokens(config)
    network = RealNetwork(listen.reuse_port, reuse_address=True)
    bound: list[_Bound] = []
    try:
        peers = await _bind(network, listen.peer_urls, bound)
        clients = await _bind(network, listen.client_urls, bound)
        pages = await _bind(network, listen.client_http_urls, bound)
        metrics = await _bind(network, listen.metrics_urls, bound)

        async def serve_peers(node: Node, nursery: trio.Nursery) -> None:
            for port in _ports(peers, peer_answers(node.parts), peer_tls, log):
                await nursery.start(port.run)

        async with open_node(
            settings,
            log=log,
            network=network,
            peer_tls=PeerTLS(peer_tls, peer_client_tls),
            serve_peers=serve_peers,
            built=spare_collector,
        ) as node:
            web, limits, keep_alive = node.web.handle, listen.limits, listen.keep_alive
            access = Access(
                web,
                Gateway(node.registry, limits.message_bytes) if config.http.gateway else None,
                origins=config.http.cors,
                hosts=config.http.host_whitelist,
                names_count=lambda: settings.client_cert_auth and node.parts.auth.enabled,
            )
            # With URLs of its own, HTTP is served there alone.
            beside = not_found if pages else access.handle
            how = (limits, keep_alive, node.parts.unix_seconds)
            for_clients = Answers(node.registry, beside, *how)
            for_pages = Answers(Registry(), access.handle, *how)
            for_metrics = Answers(Registry(), node.web.monitoring().handle, *how)
            ports = [
                *_ports(clients, for_clients, client_tls, log),
                *_ports(pages, for_pages, client_tls, log),
                *_ports(metrics, for_metrics, client_tls, log),
            ]
            async with trio.open_nursery() as nursery:
                for port in ports:
                    await nursery.start(port.run)
                _announce(clients, log)
                yield node
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            for group in bound:
                for listener in group.listeners:
                    await listener.aclose()


def _with_tokens(config: ServerConfig) -> NodeSettings:
    try:
        tokens = token_settings(config.auth.token, config.auth.token_ttl)
    except BadTokenOptions as error:
        raise StartError(str(error)) from error
    return replace(config.node, tokens=tokens)


def _announce(clients: list[_Bound], log: Log) -> None:
    log.info("ready to serve client requests")
    for group in clients:
        manner = "securely" if group.secure else "insecurely"
        for url in group.urls:
            address = str(parse_url(url))
            log.info(f"serving client traffic {manner}", traffic="grpc+http", address=address)


async def _bind(network: RealNetwork, urls: Sequence[str], bound: list[_Bound]) -> list[_Bound]:
    """One group of listeners for each of plain and secure."""
    groups: list[_Bound] = []
    for secure in (False, True):
        chosen = [url for url in urls if parse_url(url).secure is secure]
        listeners: list[trio.abc.Listener[trio.abc.Stream]] = []
        group = _Bound(listeners, secure, chosen)
        bound.append(group)
        for url in chosen:
            listeners += await _bind_one(network, parse_url(url))
        if chosen:
            groups.append(group)
    return groups


async def _bind_one(
    network: RealNetwork, address: Address
) -> list[trio.abc.Listener[trio.abc.Stream]]:
    try:
        return await network.listen(address)
    except OSError as error:
        raise StartError(error.strerror or str(error)) from error


def _client_tls(listen: ListenSettings, server: ServerTLS | None, log: Log) -> ClientTLS | None:
    """For links to other members: with this member's certificate, trusting the peers' CA.

    Nobody can check certificates that were made on the spot.
    """
    settings = listen.peer_tls if server is None else server.settings
    made_here = settings.cert_file != listen.peer_tls.cert_file
    try:
        return ClientTLS(replace(settings, skip_verify=made_here or settings.skip_verify), log)
    except TLSError as error:
        raise StartError(str(error)) from error


def _tls(
    settings: TLSSettings, auto: bool, root: Path, kind: str, listen: ListenSettings, log: Log
) -> ServerTLS | None:
    """None if no certificate is configured: then no URL is https either."""
    if auto and not settings.cert_file:
        urls = listen.client_urls if kind == "client" else listen.peer_urls
        hosts = [parse_url(url).host or "0.0.0.0" for url in urls]
        from wire.tls_self_signed import self_signed  # 20 ms, for what few ask for

        now = datetime.datetime.now(datetime.UTC)
        certificate, key = self_signed(
            root / "fixtures" / kind, hosts, listen.certificate_years, now
        )
        settings = replace(settings, cert_file=certificate, key_file=key)
    if not settings.cert_file:
        return None
    try:
        return ServerTLS(settings, log)
    except TLSError as error:
        raise StartError(str(error)) from error


def _ports(groups: list[_Bound], answers: Answers, tls: ServerTLS | None, log: Log) -> list[Port]:
    for group in groups:
        invariant(tls is not None or not group.secure, "nobody is served in the clear at https")
    return [
        make_port(group.listeners, answers, tls if group.secure else None, log) for group in groups
    ]
