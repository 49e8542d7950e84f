"""The first members, out of a domain's records."""

from __future__ import annotations

import pytest

from trioetcd.discovery.dns import find_in_dns
from trioetcd.discovery.errors import DiscoveryError
from wire.log import NullLog
from wire.names import Target, UnknownName

ADDRESSES = {"a.example.com": "10.0.0.1", "b.example.com": "10.0.0.2", "c.example.com": "10.0.0.3"}
THREE = [Target(host, 2380) for host in ADDRESSES]


class Table:
    """A name service that knows what it is told."""

    def __init__(self, **services: list[Target]) -> None:
        self.known = {
            f"_{name.replace('_', '-')}._tcp.example.com": services[name] for name in services
        }

    async def services(self, name: str) -> list[Target]:
        if name not in self.known:
            raise UnknownName(None, f"lookup {name}: no such host")
        return self.known[name]

    async def address(self, host: str) -> str:
        if host in ADDRESSES.values():
            return host
        if host not in ADDRESSES:
            raise UnknownName(None, f"lookup {host}: no such host")
        return ADDRESSES[host]


async def find(table: Table, *advertised: str, suffix: str = "") -> dict[str, tuple[str, ...]]:
    return await find_in_dns(table, "example.com", suffix, "me", advertised, NullLog())


async def test_a_record_that_leads_to_this_member_has_its_name_and_others_are_numbered():
    assert await find(Table(etcd_server=THREE), "http://10.0.0.2:2380") == {
        "0": ("http://a.example.com:2380",),
        "me": ("http://b.example.com:2380",),
        "1": ("http://c.example.com:2380",),
    }


async def test_what_is_advertised_by_name_is_found_by_its_address():
    found = await find(Table(etcd_server=THREE), "http://c.example.com:2380")
    assert found["me"] == ("http://c.example.com:2380",)


async def test_the_secure_service_gives_secure_urls():
    found = await find(Table(etcd_server_ssl=THREE), "https://a.example.com:2380")
    assert found == {
        "me": ("https://a.example.com:2380",),
        "0": ("https://b.example.com:2380",),
        "1": ("https://c.example.com:2380",),
    }


async def test_a_suffix_tells_two_clusters_of_a_domain_apart():
    table = Table(etcd_server_blue=THREE[:1], etcd_server_green=THREE[1:2])
    assert await find(table, "http://10.0.0.2:2380", suffix="green") == {
        "me": ("http://b.example.com:2380",)
    }


async def test_a_host_without_an_address_is_left_out():
    table = Table(etcd_server=[*THREE[:1], Target("gone.example.com", 2380)])
    assert await find(table, "http://10.0.0.1:2380") == {"me": ("http://a.example.com:2380",)}


async def test_a_member_that_is_not_in_the_records_cannot_begin():
    with pytest.raises(DiscoveryError, match='cannot find local etcd member "me" in SRV records'):
        await find(Table(etcd_server=THREE), "http://10.0.0.2:9999")


async def test_a_domain_without_records_is_refused_with_both_questions():
    with pytest.raises(DiscoveryError) as refused:
        await find(Table(), "http://10.0.0.2:2380")
    for service in ("etcd-server", "etcd-server-ssl"):
        assert f"lookup _{service}._tcp.example.com: no such host" in str(refused.value)


async def test_a_record_of_the_wrong_scheme_is_not_this_members():
    with pytest.raises(DiscoveryError, match="scheme mismatch with expected peer https"):
        await find(Table(etcd_server=THREE[:1]), "https://10.0.0.1:2380")
