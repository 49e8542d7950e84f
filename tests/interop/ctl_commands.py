"""Commands that etcdctl 3.5.1 and `trioetcd ctl` both run, each against a fresh server.

What a run makes up by itself (ids of leases, addresses, durations, sizes) is replaced.
"""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import trio

from tests.interop.commands import COMMAND_SECONDS, GRANTED, LEASE, REMAINING
from tests.interop.etcd_process import program
from tests.interop.processes import Server, clean_environment
from trioetcd.ctl.console import Console
from trioetcd.ctl.main import run_ctl

FORMATS = ("simple", "json", "fields")
_TXN = 'mod("a") > "0"\nval("a") != "q\\n"\n\nput a "9 9"\nget a\ndel qq\n\n\n'
_TXN_ELSE = 'ver("a") = "0"\n\nput a 9\n\nget a\nget ab --prefix\n\n'
_REPLACED = (
    *REMAINING,
    (re.compile(rb"took = \S+"), b"took = N"),
    (re.compile(rb'"took":"[^"]+"'), b'"took":"N"'),
    (re.compile(rb'"Took" : \S+'), b'"Took" : N'),
    (re.compile(rb'"dbSize(InUse)?":\d+'), b'"dbSize":N'),
    (re.compile(rb'"DBSize" : \d+'), b'"DBSize" : N'),
    (re.compile(rb'"[Hh]ash"(?:: | : |:)\d+'), b'"hash":N'),  # leases' ids are hashed, too
    (re.compile(rb"\d+ [kM]?B,"), b"N kB,"),
    (re.compile(rb'\{"level":"warn"[^\n]*\n'), b""),  # what Go's client says of its retries
)


class Printed(NamedTuple):
    command: str
    status: int
    out: bytes
    err: bytes


def script() -> Iterator[tuple[str, str]]:
    """Commands and their standard input."""
    for command in ("put a 1", "put ab 2", "put a 3", "put b --ignore-value", "put -- -d v"):
        yield command, ""
    yield "put piped", "from a pipe"
    for shape in FORMATS:
        yield from ((f"{command} -w {shape}", given) for command, given in _keys(shape))
        yield from ((f"{command} -w {shape}", "") for command in _members_and_auth(shape))
        yield from ((f"{command} -w {shape}", "") for command in _leases())
    yield from ((command, "") for command in _MISTAKES)


def _keys(shape: str) -> Iterator[tuple[str, str]]:
    for command in (
        *("put a 4", "put a 5 --prev-kv", "get a --prefix", "get a --hex", "del none"),
        *("get a --count-only", "get a --keys-only", "get a --print-value-only", "get nothing"),
        *("get a z --order=DESCEND", "get --from-key a --sort-by=MODIFY", "get a --rev=2"),
        *("get --prefix a --limit=1", "get a -w " + shape, "get --consistency=s a"),
        *(f"put z {shape}", "del z --prev-kv", "del none --prefix", "endpoint hashkv"),
        *(f"watch a --rev=2 -w {shape} -- false", f"watch z --rev=5 --prev-kv -w {shape} -- false"),
    ):
        yield command, ""
    yield "txn", _TXN
    yield "txn", _TXN_ELSE


def _members_and_auth(shape: str) -> tuple[str, ...]:
    user, role = f"u{shape}", f"r{shape}"
    permission = f"role grant-permission {role}"
    revoke = f"role revoke-permission {role}"
    return (
        *("member list", "endpoint health", "alarm list", "defrag", "auth status"),
        *("user list", f"user add {user}:p", f"user get {user}", f"role add {role}"),
        *(f"{permission} readwrite k z", f"{permission} read k", f"{permission} write k --prefix"),
        *(f"{permission} write q --from-key", f"role get {role}", f"user grant-role {user} {role}"),
        *(f"user get {user}", f"user get {user} --detail", "role list", "user list"),
        *(f"{revoke} k z", f"{revoke} k", f"{revoke} k --prefix", f"{revoke} q --from-key"),
        *(f"user revoke-role {user} {role}", f"user delete {user}", f"role delete {role}"),
        *("member promote 1", "member remove 1", "member update 1 --peer-urls=http://1.2.3.4:1"),
    )


def _leases() -> tuple[str, ...]:
    return (
        *("lease grant 600", f"put l v --lease={LEASE}", f"lease timetolive {LEASE}"),
        *(f"lease timetolive {LEASE} --keys", "lease list", f"lease keep-alive {LEASE} --once"),
        *("lease timetolive 123", "lease revoke 7777", f"lease revoke {LEASE}", "get l"),
    )


_MISTAKES = (
    *("get", "put", "del", "get a --prefix --from-key"),
    *("get a b --prefix", "get a --order=x", "get a --sort-by=x", "get a --consistency=x"),
    *("get a -w bad", "get a -w table", "put a 1 -w table", "put a 1 --lease=xyz", "compaction"),
    *("compaction x", "compaction 3", "compaction 3", "compaction 1", "get a --rev=1"),
    *("get a --rev=100000", "lease grant", "lease grant x", "lease revoke", "lease revoke zz"),
    *("lease timetolive", "lease keep-alive", "lease keep-alive 1 --once", "member add"),
    *("member add x", "member add x http://a:1", "member remove", "member remove zz"),
    *("member update 1", "member promote", "user add", "user add :p", "user get", "user delete x"),
    *("user get x", "user grant-role x", "user grant-role x y", "role add", "role get x"),
    *("role delete x", "role grant-permission r read", "role grant-permission r walk k"),
    *("role revoke-permission r", "auth enable x", "auth enable", "txn x", "watch"),
    *("watch a b --prefix", "lock", "elect", "elect n", "elect n p -l", "move-leader"),
    *("move-leader zz", "alarm list x", "user passwd", "watch a --rev=1"),
)


# Where `trioetcd ctl` does otherwise, and why.
DIFFERENCES = {
    "get a b c": "a third argument is refused, not left out of account",
    "put a b c": "a third argument is refused, not left out of account",
    "nosuch": "the error is said once",
}


class Terminal(ABC):
    """One of the two programs, at one server."""

    def __init__(self, server: Server) -> None:
        self._address = server.address
        self._lease = ""

    def run(self, command: str, stdin: str) -> Printed:
        """A command as one would type it, without quotes."""
        arguments = [word.replace(LEASE, self._lease) for word in command.split()]
        status, out, err = self.program(["--endpoints", self._address, *arguments], stdin.encode())
        granted = GRANTED.search(out) or re.search(rb'"ID"(?:: | : |:)(\d+)', out)
        if granted and command.startswith("lease grant"):
            found = granted[1].decode()
            self._lease = found if len(found) == 16 else f"{int(found):016x}"
        return Printed(command, status, self._comparable(out), self._comparable(err))

    @abstractmethod
    def program(self, arguments: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        """Exit status, standard output, standard error."""

    def _comparable(self, data: bytes) -> bytes:
        data = data.replace(self._address.encode(), b"ADDRESS")
        data = data.replace(b"trioetcd ctl", b"etcdctl")
        if self._lease:
            number = b"%d" % int(self._lease, 16)
            data = data.replace(self._lease.encode(), b"<lease>").replace(number, b"<lease>")
        for pattern, replacement in _REPLACED:
            data = pattern.sub(replacement, data)
        return data


class Etcdctl(Terminal):
    def program(self, arguments: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [program("3.5", "etcdctl"), *arguments],
            input=stdin,
            capture_output=True,
            env=clean_environment(),
            timeout=COMMAND_SECONDS,
        )
        return done.returncode, done.stdout, done.stderr


class Ours(Terminal):
    """In this process: starting Python takes longer than most commands."""

    def program(self, arguments: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        out, err = BytesIO(), BytesIO()
        status = trio.run(run_ctl, arguments, Console(BytesIO(stdin), out, err, {}))
        return status, out.getvalue(), err.getvalue()
