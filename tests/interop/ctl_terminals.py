"""etcdctl and `trioetcd ctl` at the same kind of server, and what they print, made comparable.

What a run makes up by itself is replaced, by the masks that are named here and nothing else.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import trio

from tests.interop.commands import varint
from tests.interop.ctl_words import ALARMED, FORMATS, NO_QUORUM, ODD, Typed, words
from tests.interop.etcd_process import program
from tests.interop.processes import Server, clean_environment
from trioetcd import open_client
from trioetcd.ctl.console import Console
from trioetcd.ctl.main import run_ctl
from wire.pb import etcdserverpb

COMMAND_SECONDS = 20.0  # for a command that ends by itself
ENDLESS_SECONDS = 0.7  # for others
FIRST_PORT = 20000  # of members that are added; nobody listens
COMMON_IDS = (1 << 60, 1 << 63)  # with 16 digits; 9 bytes in protobuf; before the first member's
ENDLESS = -1000  # the status of such a command
PEER_URL = "http://127.0.0.1:12380"  # advertised, so that ids are the same; nobody listens


class Mask(NamedTuple):
    name: str
    pattern: re.Pattern[bytes]
    replacement: bytes


def _mask(name: str, pattern: bytes, replacement: bytes) -> Mask:
    return Mask(name, re.compile(pattern), replacement)


MASKS = (
    _mask("what Go's client logs of calls that fail", rb'\{"level":"warn"[^\n]*\n', b""),
    _mask("a lease's remaining time", rb"remaining\(\d+s\)", b"remaining(N)"),
    _mask("a lease's remaining time", rb'"ttl":\d+', b'"ttl":N'),
    _mask("a lease's remaining time", rb'"TTL" : \d+', b'"TTL" : N'),
    _mask(
        "who sees first that time is up",
        b"(rpc error: code = (Unknown|DeadlineExceeded) desc = )?"
        b"(context deadline exceeded|etcdserver: request timed out)"
        b"(, possibly due to connection lost)?",
        b"context deadline exceeded",
    ),
    _mask("how long it took", rb"took = \S+", b"took = N"),
    _mask("how long it took", rb'"took":"[^"]+"', b'"took":"N"'),
    _mask("how long it took", rb'"Took" : \S+', b'"Took" : N'),
    _mask("how long it took", rb"[\d.]+(m|n|\xc2\xb5)?s \|", b"N |"),
    _mask("what Go and we log of restoring", rb'\{"level":"info"[^\n]*\n', b""),
    _mask("what Go and we log of restoring", rb"\d{4}-\d\d-\d\dT[^\n]*\tinfo\t[^\n]*\n", b""),
    _mask("hashes, which count leases' ids", rb"\b[0-9a-f]{5,8}, (\d+, \d+, \d+ kB)", rb"N, \1"),
    _mask("hashes, which count leases' ids", rb"\| +[0-9a-f]{5,8} \|( +\d+ \| +\d+ )", rb"| N |\1"),
    _mask("hashes, which count leases' ids", rb'"Hash" : \d+', b'"Hash" : N'),
    _mask("rows, which count members removed", rb"\bN, (\d+), \d+, ", rb"N, \1, N, "),
    _mask("rows, which count members removed", rb'"totalKey":\d+', b'"totalKey":N'),
    _mask("rows, which count members removed", rb'"Keys" : \d+', b'"Keys" : N'),
    _mask("the database's size", rb'"totalSize":\d+', b'"totalSize":N'),
    _mask("the database's size", rb'"Size" : \d+', b'"Size" : N'),
    _mask("the database's size", rb"\d+ kB\n", b"N kB\n"),
    _mask("the database's size", rb'"dbSize(InUse)?":\d+', b'"dbSize":N'),
    _mask("the database's size", rb'"DBSize" : \d+', b'"DBSize" : N'),
    _mask("the database's size", rb"\d+ [kM]?B(, | \|)", rb"N kB\1"),
    _mask("hashes, which count leases' ids", rb'"[Hh]ash"(?:: | : |:)\d+', b'"hash":N'),
    _mask("hashes, which count leases' ids", rb"(ADDRESS)(, | \| )\d{5,10}\b( \|)?", rb"\1 N"),
    _mask("the widths of columns that hold these", rb" +\|", b" |"),
    _mask("the widths of columns that hold these", rb"\| +", b"| "),
    _mask("the widths of columns that hold these", rb"-{3,}", b"---"),
    _mask("raft's index, which counts members added", rb'"raft(Applied)?Index":\d+', b'"index":N'),
    _mask(
        "raft's index, which counts members added", rb'"Raft(Applied)?Index" : \d+', b"Index : N"
    ),
    _mask("raft's index, which counts members added", rb"(, | \| )2\1\d+\1\d+\1", b", 2, N, N, "),
    _mask("rows, which count members removed", rb"\| N \| (\d+) \| \d+ \|", rb"| N | \1 | N |"),
    _mask("a lock's key, named after its lease", rb"\bn/[0-9a-f]{8,16}", b"n/<lease>"),
    _mask("the program's name", rb"trioetcd ctl", b"etcdctl"),
    _mask("the program's name", rb"trioetcd util", b"etcdutl"),
)
_GRANTED = re.compile(rb'lease ([0-9a-f]{16}) granted|"ID"(?: : |:)(\d+)')
_UNSTARTED = re.compile(rb"([0-9a-f]+), unstarted")


class Printed(NamedTuple):
    typed: Typed
    status: int
    out: bytes
    err: bytes

    def __str__(self) -> str:
        return f"$ etcdctl {self.typed.command}\n{self.out!r}\n{self.err!r}\n= {self.status}"


class Terminal(ABC):
    """One of the programs, at one server."""

    def __init__(self, server: Server) -> None:
        self._address = server.address
        self._home = server.home
        self.seconds = COMMAND_SECONDS
        self._port = FIRST_PORT
        self._made_up = {"LEASE": ["7fffffff"], "MEMBER": ["7fffffff"]}  # ids, the last one last

    def run(self, typed: Typed) -> Printed:
        """A member is added again until its id, a hash, is as long as all the others'."""
        while True:
            self._port += 1
            printed = self._run(typed)
            if "PORT" not in typed.line or COMMON_IDS[0] <= self._member < COMMON_IDS[1]:
                return printed
            self._etcdctl("member", "remove", f"{self._member:x}")

    def raise_alarm(self) -> None:
        trio.run(_raise_alarm, f"http://{self._address}")

    def lose_quorum(self) -> None:
        """By a second voter that never comes."""
        self._etcdctl("member", "add", "voter", "--peer-urls=http://127.0.0.1:12399")

    @property
    def _member(self) -> int:
        return int(self._made_up["MEMBER"][-1], 16)

    def _run(self, typed: Typed) -> Printed:
        environ = {name: self._filled(value) for name, value in typed.environ.items()}
        arguments = [self._filled(word) for word in shlex.split(typed.line)]
        if typed.shape:
            arguments = ["-w", typed.shape, *arguments]
        if not any(word.startswith("--endpoints") for word in arguments) and (
            self._address not in environ.get("ETCDCTL_ENDPOINTS", "")
        ):
            arguments = ["--endpoints", self._address, *arguments]
        self.seconds = COMMAND_SECONDS if typed.ends else ENDLESS_SECONDS
        status, out, err = self.program(arguments, typed.stdin.encode(), environ)
        self._learn(typed.line, out)
        return Printed(typed, status, self._comparable(out), self._comparable(err))

    def _filled(self, word: str) -> str:
        for name, values in self._made_up.items():
            word = word.replace(name, values[-1])
        word = word.replace("ADDRESS", self._address).replace("HOME", str(self._home))
        return word.replace("PORT", str(self._port))

    def _learn(self, line: str, out: bytes) -> None:
        if line.startswith("lease grant") and (found := _GRANTED.search(out)):
            lease = found[1].decode() if found[1] else f"{int(found[2]):016x}"
            self._made_up["LEASE"].append(lease)
        if line.startswith("member add"):
            found = _UNSTARTED.search(self._etcdctl("member", "list"))
            if found:
                self._made_up["MEMBER"].append(found[1].decode())

    def _etcdctl(self, *words: str) -> bytes:
        command = [program("3.5", "etcdctl"), "--endpoints", self._address, *words]
        return _run(command, b"", {}, self._home)[1]

    @abstractmethod
    def program(
        self, arguments: list[str], stdin: bytes, environ: Mapping[str, str]
    ) -> tuple[int, bytes, bytes]:
        """Exit status, standard output, standard error."""

    def _comparable(self, data: bytes) -> bytes:
        data = data.replace(self._address.encode(), b"ADDRESS")
        data = data.replace(str(self._home).encode(), b"HOME")
        for port in range(FIRST_PORT, self._port + 1):
            data = data.replace(b"127.0.0.1:%d" % port, b"127.0.0.1:PORT")
        for name, values in self._made_up.items():
            for number in (int(value, 16) for value in values):
                for shape in (b"%016x", b"%16x", b"%x", b"%d"):
                    data = data.replace(shape % number, b"<%s>" % name.encode())
                data = data.replace(varint(number), b"<%s>" % name.encode())
        for mask in MASKS:
            data = mask.pattern.sub(mask.replacement, data)
        return data


async def _raise_alarm(url: str) -> None:
    """As a member does whose disk is full; no command can."""
    async with open_client(url) as client:
        member = await client.maintenance.status()
        request = etcdserverpb.AlarmRequest(
            action=etcdserverpb.AlarmRequest.ACTIVATE,
            memberID=member.member_id,
            alarm=etcdserverpb.NOSPACE,
        )
        path = "/etcdserverpb.Maintenance/Alarm"
        await client.call(path, request, etcdserverpb.AlarmResponse, is_write=True)


class Etcdctl(Terminal):
    """Go's, of a version."""

    version = "3.5"

    def program(
        self, arguments: list[str], stdin: bytes, environ: Mapping[str, str]
    ) -> tuple[int, bytes, bytes]:
        command = [program(self.version, "etcdctl"), *arguments]
        return _run(command, stdin, environ, self._home, self.seconds)


def _run(
    command: list[str],
    stdin: bytes,
    environ: Mapping[str, str],
    folder: Path,
    seconds: float = COMMAND_SECONDS,
) -> tuple[int, bytes, bytes]:
    environment = {**clean_environment(), **environ}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment,
    ) as process:
        status = None
        try:
            out, err = process.communicate(stdin, timeout=seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
    return ENDLESS if status is None else status, out, err


class OldEtcdctl(Etcdctl):
    version = "3.4"


class Ours(Terminal):
    """In this process: starting Python takes longer than most commands."""

    def program(
        self, arguments: list[str], stdin: bytes, environ: Mapping[str, str]
    ) -> tuple[int, bytes, bytes]:
        if "lock" in arguments:  # whose command writes to the process's own output
            command = [sys.executable, "-m", "trioetcd", "ctl", *arguments]
            return _run(command, stdin, environ, self._home)
        out, err = BytesIO(), BytesIO()
        console = Console(BytesIO(stdin), out, err, {**clean_environment(), **environ})
        status = trio.run(self._until_tired, arguments, console)
        return status, out.getvalue(), err.getvalue()

    async def _until_tired(self, arguments: list[str], console: Console) -> int:
        with trio.move_on_after(self.seconds):
            return await run_ctl(arguments, console)
        return ENDLESS


def transcript(
    kind: str,
    home: Path,
    terminal: type[Terminal],
    formats: Sequence[str] = FORMATS,
    *,
    whole: bool = True,
) -> list[Printed]:
    """Everything, typed to a fresh server of a kind."""
    server = Server(kind, home, peer_url=PEER_URL)
    server.start()
    try:
        at = terminal(server)
        printed = [at.run(typed) for typed in words(formats, whole=whole)]
        if not whole:
            return printed
        for shape in formats:
            at.raise_alarm()
            printed += [at.run(Typed(line, shape=shape)) for line in ALARMED]
        printed += [at.run(Typed(line)) for line in ODD]
        at.lose_quorum()
        return printed + [at.run(Typed(line)) for line in NO_QUORUM]
    finally:
        server.kill()
