"""The name service: who offers a service in a domain, and at which address a host is.

Part of the network seam: a simulation's has a table instead.
Source: RFC 2782 (SRV records); Go's net package (LookupSRV, ResolveTCPAddr and their words).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver
import trio
from dns.rdtypes.IN.SRV import SRV

LOOKUP_SECONDS = 10.0  # for one question, all servers and tries together


class UnknownName(OSError):
    """There is no answer; `str` is one line in Go's words."""

    def __str__(self) -> str:
        return self.strerror or ""


@dataclass(frozen=True, slots=True)
class Target:
    """One line of a service's records; `host` has no final dot."""

    host: str
    port: int


class Names(Protocol):
    async def services(self, name: str) -> list[Target]:
        """Who offers `_service._tcp.domain`, by priority.  Raises UnknownName."""
        ...

    async def address(self, host: str) -> str:
        """A host's first address, as text.  Raises UnknownName."""
        ...


class SystemNames:
    """The name servers that this machine is set up with, or those given."""

    def __init__(self, servers: tuple[str, ...] = (), port: int = 53) -> None:
        self._servers = servers
        self._port = port

    async def services(self, name: str) -> list[Target]:
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = list(self._servers)
            resolver.port = self._port
        try:
            answer = await resolver.resolve(name, "SRV", lifetime=LOOKUP_SECONDS)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            raise UnknownName(None, f"lookup {name}: no such host") from error
        except dns.exception.DNSException as error:
            raise UnknownName(None, f"lookup {name}: {error}") from error
        records = [record for record in answer if isinstance(record, SRV)]
        records.sort(key=lambda record: (record.priority, -record.weight))
        return [
            Target(record.target.to_text(omit_final_dot=True), record.port) for record in records
        ]

    async def address(self, host: str) -> str:
        try:
            with trio.fail_after(LOOKUP_SECONDS):
                found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except trio.TooSlowError as error:
            raise UnknownName(None, f"lookup {host}: i/o timeout") from error
        except OSError as error:
            raise UnknownName(None, f"lookup {host}: no such host") from error
        return str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])
