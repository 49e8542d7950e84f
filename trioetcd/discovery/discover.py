"""Looks for the others as the configuration says, if it says so.

The address of a member is told to it, or found by DNS, or at another etcd; whichever it is, what
comes out is what `--initial-cluster` would have said.
"""

from __future__ import annotations

import random
from dataclasses import replace

from trioetcd.config.server import DiscoverySettings, ServerConfig
from trioetcd.discovery.dns import find_in_dns
from trioetcd.discovery.errors import DiscoveryError
from trioetcd.discovery.registry import open_registry
from trioetcd.discovery.service import Self, find_by_service
from wire.log import Log
from wire.names import Names
from wire.network import Network
from wire.tls import ClientTLS, TLSError, TLSSettings


async def discover(
    config: ServerConfig, network: Network, names: Names, rng: random.Random, log: Log
) -> ServerConfig:
    """The configuration with the first members in it.

    Raises:
        DiscoveryError: they cannot be found.
    """
    settings, node = config.cluster.discovery, config.node
    if settings.srv_domain:
        found = await find_in_dns(
            names, settings.srv_domain, settings.srv_name, node.name, node.peer_urls, log
        )
        config = _trusting(config, found)
        return replace(config, node=replace(node, initial_cluster=found))
    if not settings.endpoints:
        return config
    async with open_registry(
        network,
        [_with_scheme(one, settings) for one in settings.endpoints],
        settings.token,
        rng,
        tls=_tls(settings, log),
        dial_timeout=settings.dial_timeout,
        request_timeout=settings.request_timeout,
        user=settings.user,
        password=settings.password,
    ) as registry:
        found = await find_by_service(registry, Self(node.name, node.peer_urls), log, rng)
    known = replace(node, initial_cluster=found, cluster_token=settings.token)
    return replace(config, node=known)


def _trusting(config: ServerConfig, found: dict[str, tuple[str, ...]]) -> ServerConfig:
    """Without a CA of their own, members must show certificates of the domain."""
    peer_tls = config.listen.peer_tls
    secure = any(url.startswith("https://") for urls in found.values() for url in urls)
    if not secure or peer_tls.trusted_ca_file:
        return config
    named = replace(peer_tls, server_name=config.cluster.discovery.srv_domain)
    return replace(config, listen=replace(config.listen, peer_tls=named))


def _with_scheme(endpoint: str, settings: DiscoverySettings) -> str:
    if "://" in endpoint:
        return endpoint
    return f"http://{endpoint}" if settings.insecure_transport else f"https://{endpoint}"


def _tls(settings: DiscoverySettings, log: Log) -> ClientTLS | None:
    if not any(_with_scheme(one, settings).startswith("https") for one in settings.endpoints):
        return None
    try:
        return ClientTLS(
            TLSSettings(
                cert_file=settings.cert_file,
                key_file=settings.key_file,
                trusted_ca_file=settings.ca_file,
                skip_verify=settings.insecure_skip_tls_verify,
            ),
            log,
        )
    except TLSError as error:
        raise DiscoveryError(str(error)) from error
