"""The first members of a cluster, who find each other at another etcd: the v3 discovery service.

Everybody registers under one token, and waits until as many have as the cluster shall have; who
registered first is in it.
Source: etcd server/etcdserver/api/v3discovery/discovery.go.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TypeVar

import trio

from actors.cluster import ids
from actors.cluster.initial import parse_initial_cluster, show_initial_cluster
from actors.cluster.urls import BadURL
from trioetcd.discovery.errors import DiscoveryError
from trioetcd.discovery.registry import Registry, Unreachable
from wire.log import Log

LONGEST_PAUSE = 8  # doublings of a second between tries

T = TypeVar("T")


@dataclass(frozen=True)
class Self:
    """Who looks for the others."""

    name: str
    peer_urls: tuple[str, ...]

    @property
    def entry(self) -> str:
        """As `--initial-cluster` would list it."""
        return show_initial_cluster({self.name: self.peer_urls})


async def find_by_service(
    registry: Registry, own: Self, log: Log, rng: random.Random
) -> dict[str, tuple[str, ...]]:
    """Register, wait for the others, and return the peer URLs by name.

    The service may be unreachable for any time: it is asked again, ever more seldom.

    Raises:
        DiscoveryError: the token is unknown, or as many as it asks for have come before.
    """
    me = ids.show(ids.member_id(own.peer_urls, registry.token))
    size = await _persist(registry.size, "cluster status check", log, rng)
    await _check_room(registry, me, size, log, rng)
    await _persist(partial(registry.register, me, own.entry), "register member itself", log, rng)
    log.info("register member itself successfully", member_info=own.entry)
    while True:
        found = await _check_room(registry, me, size, log, rng)
        if len(found.entries) >= size:
            break
        log.info(
            "waiting for peers from discovery service",
            cluster_size=size,
            found_peers=len(found.entries),
        )
        await _persist(partial(registry.wait, found.revision), "waiting for peers", log, rng)
    text = ",".join(entry for _, entry in found.entries[:size])
    log.info("discovery joined cluster successfully", cluster=text)
    return _parsed(text)


async def _check_room(
    registry: Registry, me: str, size: int, log: Log, rng: random.Random
) -> Found:
    """Who is there, in the order they came.  Raises DiscoveryError if that is all, without us."""
    entries, revision = await _persist(registry.members, "cluster status check", log, rng)
    if me not in [one for one, _ in entries[:size]] and len(entries) >= size:
        raise DiscoveryError("failed to join discovery cluster (discovery: cluster is full)")
    return Found(entries, revision)


@dataclass(frozen=True)
class Found:
    entries: list[tuple[str, str]]  # member id and `name=url,…`
    revision: int  # of the service's store


def _parsed(text: str) -> dict[str, tuple[str, ...]]:
    try:
        members = parse_initial_cluster(text)
    except BadURL as error:
        raise DiscoveryError(
            "failed to join discovery cluster (discovery: invalid peer URL)"
        ) from error
    every = [url for urls in members.values() for url in urls]
    if len(set(every)) != len(every):
        raise DiscoveryError(f"discovery cluster {text} has duplicate url")
    return members


async def _persist(ask: Callable[[], Awaitable[T]], what: str, log: Log, rng: random.Random) -> T:
    """Until there is an answer."""
    for failures in count(1):
        try:
            return await ask()
        except Unreachable as error:
            pause = 2.0 ** min(failures, LONGEST_PAUSE)
            log.warning(
                "retry connecting to discovery service",
                reason=what,
                error=str(error),
                backoff=f"{pause:g}s",
            )
            await trio.sleep(pause * rng.uniform(0.8, 1.0))
    raise AssertionError("unreachable")
