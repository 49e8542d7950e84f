"""The first members of a cluster, from a domain's SRV records.

Source: etcd server/embed/config.go (GetDNSClusterNames, PeerURLsMapAndToken),
client/pkg/srv/srv.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.cluster.initial import InitialCluster
from trioetcd.discovery.errors import DiscoveryError
from wire.log import Log
from wire.names import Names, Target, UnknownName
from wire.network import parse_url

SERVICES = (("https", "etcd-server-ssl"), ("http", "etcd-server"))


async def find_in_dns(
    names: Names, domain: str, suffix: str, name: str, advertised: Sequence[str], log: Log
) -> dict[str, tuple[str, ...]]:
    """Peer URLs by member name; others than `name` are numbered, for nobody knows their names.

    A record is this member's own if it leads to the address and port of one of the peer URLs
    that it advertises.  `suffix` is put behind the service's name, after a dash.

    Raises:
        DiscoveryError: there are no records, or none is this member's.
    """
    found: dict[str, tuple[str, ...]] = {}
    failures: list[str] = []
    for scheme, service in SERVICES:
        service = f"{service}-{suffix}" if suffix else service
        question = f"_{service}._tcp.{domain}"
        try:
            cluster = await _members(names, scheme, question, name, advertised)
        except UnknownName as error:
            failures.append(f"error querying DNS SRV records for _{service} {error}")
            continue
        log.info(
            "got bootstrap from DNS",
            service_scheme=scheme,
            service_name=service,
            server_name=name,
            discovery_srv=domain,
            advertise_peer_urls=list(advertised),
            found_cluster=[f"{one}={url}" for one, urls in cluster.items() for url in urls],
        )
        _merge(found, cluster)
    if not found:
        raise DiscoveryError(f"error setting up initial cluster: {'; '.join(failures)}")
    if name not in found:
        raise DiscoveryError(
            f'error setting up initial cluster: cannot find local etcd member "{name}" in SRV '
            "records"
        )
    return found


async def _members(
    names: Names, scheme: str, question: str, name: str, advertised: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Of one service.  A host without an address is left out, unless there is no other."""
    own = await _own(names, advertised)
    found: dict[str, tuple[str, ...]] = {}
    unknown: UnknownName | None = None
    for target in await names.services(question):
        try:
            at = await names.address(target.host), target.port
        except UnknownName as error:
            unknown = error
            continue
        if at in own and own[at] != scheme:
            unknown = UnknownName(
                None,
                f"bootstrap at {_url(scheme, target)} from DNS for {question} has scheme mismatch "
                f"with expected peer {own[at]}://{target.host}:{target.port}",
            )
            continue
        called = name if at in own else str(sum(one != name for one in found))
        found[called] = (*found.get(called, ()), _url(scheme, target))
    if not found and unknown is not None:
        raise unknown
    return found


async def _own(names: Names, advertised: Sequence[str]) -> Mapping[tuple[str, int], str]:
    """The schemes of this member's URLs, by address and port."""
    own = {}
    for url in advertised:
        address = parse_url(url)
        host = await names.address(address.host)
        own[host, address.port] = "https" if address.secure else "http"
    return own


def _url(scheme: str, target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{scheme}://{host}:{target.port}"


def _merge(found: dict[str, tuple[str, ...]], more: InitialCluster) -> None:
    """As in a list `name=url,name=url`: URLs of one name come together."""
    for name, urls in more.items():
        found[name] = (*found.get(name, ()), *urls)
