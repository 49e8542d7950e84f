"""Commands of etcdctl over TLS against one server, and everything they print.

Two servers that were started with the same flags and asked the same must print the same: only
lease ids, remaining times and what says how a server is made are replaced.
"""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.interop.etcd_process import program
from tests.interop.processes import GO, Server, clean_environment, serve_command

CLIENT_URL, PEER_URL = "https://127.0.0.1:12379", "https://127.0.0.1:12380"
FLAGS = (
    "--name infra0"
    f" --initial-advertise-peer-urls {PEER_URL} --listen-peer-urls {PEER_URL}"
    f" --listen-client-urls {CLIENT_URL} --advertise-client-urls {CLIENT_URL}"
    " --initial-cluster-token etcd-cluster-1"
    f" --initial-cluster infra0={PEER_URL} --initial-cluster-state new"
    " --client-cert-auth --trusted-ca-file=ca.pem --cert-file=etcd.pem --key-file=etcd-key.pem"
    " --peer-client-cert-auth --peer-trusted-ca-file=ca.pem"
    " --peer-cert-file=etcd.pem --peer-key-file=etcd-key.pem"
).split()
FORMATS = ("simple", "json", "fields", "table", "protobuf")
COMMAND_SECONDS = 30.0
LEASE = "LEASE"  # in an argument, stands for the id of the lease granted last
GRANTED = re.compile(rb"lease ([0-9a-f]{16}) granted")
REMAINING = (  # of a lease's time
    (re.compile(rb"remaining\(\d+s\)"), b"remaining(N)"),
    (re.compile(rb'"ttl":\d+'), b'"ttl":N'),
    (re.compile(rb'"TTL" : \d+'), b'"TTL" : N'),
)
_REPLACED = (  # what may differ between two servers
    *REMAINING,
    (re.compile(rb"took = [^\n]*"), b"took = N"),
    (re.compile(rb"took: [^\n]*"), b"took: N"),
    (re.compile(rb'"took":"[^"]*"'), b'"took":"N"'),
    (re.compile(rb"ID=\d+,"), b"ID=N,"),  # of a client's connection, in a warning
    (re.compile(rb'"ts":"[^"]*"'), b'"ts":"N"'),
    (re.compile(rb"endpoint://client-[0-9a-f-]+/"), b"endpoint://client-N/"),
)


def make_certificates(directory: Path) -> None:
    """ca.pem, and etcd.pem with its key for a server, its peers and its clients."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "etcd.cnf").write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"req -x509 {key} -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem",
        f"req -new {key} -subj /CN=etcd -keyout etcd-key.pem -out etcd.csr",
        "x509 -req -days 2 -in etcd.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial"
        " -extfile etcd.cnf -out etcd.pem",
    ):
        done = subprocess.run(["openssl", *command.split()], cwd=directory, capture_output=True)
        assert not done.returncode, done.stderr


class VerbatimServer(Server):
    """Started with FLAGS and nothing else, where the certificates are."""

    def __init__(self, kind: str, home: Path) -> None:
        super().__init__(kind, home, FLAGS)
        self.data_dir = home / "infra0.etcd"
        self.client_port = 12379

    def _command(self) -> list[str]:
        extra = ["--logger=zap"] if self.kind in GO else []  # 3.4's default has another format
        return [*serve_command(self.kind), *FLAGS, *extra]


class Printed(NamedTuple):
    """What a command printed, and its exit status."""

    command: str
    status: int | None
    out: bytes
    err: bytes

    def __str__(self) -> str:
        return f"$ etcdctl {self.command}\n{self.out!r}\n{self.err!r}\n= {self.status}"


@dataclass
class Terminal:
    """Runs etcdctl 3.4 with the server's certificates, or others."""

    directory: Path
    certificate: bool = True
    lease: str = ""  # id of the one granted last

    def _argv(self, arguments: list[str]) -> list[str]:
        argv = [program("3.4", "etcdctl"), f"--endpoints={CLIENT_URL}", "--cacert=ca.pem"]
        if self.certificate:
            argv += ["--cert=etcd.pem", "--key=etcd-key.pem"]
        return [*argv, *(one.replace(LEASE, self.lease) for one in arguments)]

    def run(self, command: str, stdin: str = "") -> Printed:
        """A command as one would type it, without quotes."""
        done = subprocess.run(
            self._argv(command.split()),
            input=stdin.encode(),
            capture_output=True,
            cwd=self.directory,
            env=clean_environment(),
            timeout=COMMAND_SECONDS,
        )
        granted = GRANTED.search(done.stdout)
        if granted:
            self.lease = granted[1].decode()
        return self._printed(command, done.returncode, done.stdout, done.stderr)

    def follow(self, command: str, until: bytes, times: int = 1) -> Printed:
        """A command that does not end: what it prints until a line was there so many times."""
        process = subprocess.Popen(
            self._argv(command.split()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=clean_environment(),
        )
        alarm = threading.Timer(COMMAND_SECONDS, process.kill)
        alarm.start()
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            times -= line.rstrip(b"\n") == until or until == b"*"
            if not times:
                break
        alarm.cancel()
        process.kill()
        process.communicate()
        return self._printed(command, None, b"".join(lines), b"")

    def _printed(self, command: str, status: int | None, out: bytes, err: bytes) -> Printed:
        return Printed(command, status, self._comparable(out), self._comparable(err))

    def _comparable(self, data: bytes) -> bytes:
        if self.lease:
            number = int(self.lease, 16)
            for shape in (self.lease.encode(), b"%d" % number, varint(number)):
                data = data.replace(shape, b"<lease>")
        for pattern, replacement in _REPLACED:
            data = pattern.sub(replacement, data)
        return data


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
