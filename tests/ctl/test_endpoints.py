"""Which endpoints a command asks: those that are named, or a domain's."""

from __future__ import annotations

import pytest

from tests.ctl.terminal import URL, Terminal, open_terminal
from wire import names
from wire.memory_network import MemoryNetwork
from wire.names import Target, UnknownName


@pytest.fixture
def records(monkeypatch) -> dict[str, list[Target]]:
    """What the name server knows."""
    known: dict[str, list[Target]] = {}

    class FakeNames:
        async def services(self, name: str) -> list[Target]:
            if name not in known:
                raise UnknownName(None, f"lookup {name}: no such host")
            return known[name]

    monkeypatch.setattr(names, "SystemNames", FakeNames)
    return known


HERE = Target("127.0.0.1", 2379)


async def test_a_domains_services_are_asked(records):
    records["_etcd-client._tcp.example.com"] = [HERE]
    async with open_terminal() as terminal:
        await terminal.run("put", "a", "1")
        for flag in ("--discovery-srv=example.com", "-d=example.com"):
            done = await terminal.run(flag, "endpoint", "status", "-w", "json")
            assert done.out.startswith(f'[{{"Endpoint":"{URL}"')
        done = await terminal.run("get", "a", ETCDCTL_DISCOVERY_SRV="example.com")
        assert done == (0, "a\n1\n", "")


async def test_a_services_name_may_be_longer(records):
    records["_etcd-client-blue._tcp.example.com"] = [HERE]
    async with open_terminal() as terminal:
        flags = ("--discovery-srv=example.com", "--discovery-srv-name=blue")
        assert (await terminal.run(*flags, "put", "a", "1")).out == "OK\n"


async def test_an_unknown_domain_is_said(records):
    done = await Terminal(MemoryNetwork()).run("--discovery-srv=example.com", "get", "a")
    assert done == (
        1,
        "",
        "Error: dns lookup errors: lookup _etcd-client-ssl._tcp.example.com: no such host and "
        "lookup _etcd-client._tcp.example.com: no such host\n",
    )


async def test_who_wants_secure_endpoints_gets_no_others(records):
    records["_etcd-client._tcp.example.com"] = [HERE]
    flags = ("--discovery-srv=example.com", "--insecure-discovery=false")
    async with open_terminal() as terminal:
        done = await terminal.run(*flags, "get", "a")
    assert done == (
        2,
        "",
        f'ignoring discovered insecure endpoint "{URL}"\n'
        "Error: etcdclient: no available endpoints\n",
    )
