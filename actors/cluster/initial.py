"""Who the members of a new cluster are: `--initial-cluster`, read and checked.

Source: etcd client/pkg/types/urlsmap.go; server/config/config.go (VerifyBootstrap).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from actors.cluster.urls import check_urls

InitialCluster = Mapping[str, tuple[str, ...]]
"""Peer URLs by member name."""


class BadInitialCluster(ValueError):
    """No cluster can begin like this; the message is etcd's."""


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """`name=url[,name=url…]`; a name may come several times, once for each of its URLs.

    Raises:
        BadURL: what stands behind a name is no URL of a member.
    """
    urls: dict[str, list[str]] = {}
    for pair in filter(None, text.split(",")):
        name, _, url = pair.partition("=")
        urls.setdefault(name, []).append(url)
    return {name: check_urls(given) for name, given in urls.items()}


def show_initial_cluster(cluster: InitialCluster) -> str:
    """The text that `parse_initial_cluster` reads, sorted."""
    return ",".join(sorted(f"{name}={url}" for name, urls in cluster.items() for url in urls))


def check_bootstrap(cluster: InitialCluster, name: str, advertised: Collection[str]) -> None:
    """Check what the member called `name`, which advertises these peer URLs, begins with.

    Unlike etcd, URLs are compared as texts: two names of one host are two hosts.

    Raises:
        BadInitialCluster: the member is not in it, or with other URLs, or a URL is there twice.
    """
    check_join(cluster, name)
    listed = cluster[name]
    unadvertised = [url for url in listed if url not in advertised]
    if unadvertised:
        raise BadInitialCluster(
            f"--initial-cluster has {_pairs(name, unadvertised)} but missing from "
            f"--initial-advertise-peer-urls={','.join(sorted(advertised))}"
        )
    unlisted = sorted(url for url in advertised if url not in listed)
    if unlisted:
        raise BadInitialCluster(
            f"--initial-advertise-peer-urls has {','.join(unlisted)} but missing from "
            f"--initial-cluster={_pairs(name, sorted(advertised))}"
        )


def check_join(cluster: InitialCluster, name: str) -> None:
    """Check what a member that joins an existing cluster was told.

    Raises:
        BadInitialCluster: see `check_bootstrap`.
    """
    if name not in cluster:
        raise BadInitialCluster(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
        )
    every = [url for urls in cluster.values() for url in urls]
    if len(every) != len(set(every)):
        shown = show_initial_cluster(cluster)
        raise BadInitialCluster(f"initial cluster {shown} has duplicate url")


def _pairs(name: str, urls: Sequence[str]) -> str:
    return ",".join(f"{name}={url}" for url in urls)
