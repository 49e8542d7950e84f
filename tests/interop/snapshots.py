"""A server with something of everything, its snapshot, and what a server restored from it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.etcd_process import program
from tests.interop.processes import GO, Server, clean_environment, running

PEER_URL = "http://127.0.0.1:1"  # advertised only, so that ids are the same everywhere
RESTORE_FLAGS = (
    f"--initial-cluster=default={PEER_URL}",
    f"--initial-advertise-peer-urls={PEER_URL}",
)
COMMAND_SECONDS = 60
UTIL = [sys.executable, "-m", "trioetcd", "util"]


def fill(server: Server) -> None:
    """Keys with histories, deleted ones, long ones, leases, users; half of it compacted."""
    ctl = server.etcdctl
    for number in range(40):
        ctl("put", f"key{number % 25}", f"value {number}")
    ctl("del", "key1", "key13")
    ctl("put", "large", "x" * 100_000)
    ctl("put", "k" * 2000, "of a long key")
    lease = json.loads(ctl("lease", "grant", "6000", "-w", "json").stdout)["ID"]
    ctl("put", "leased", "1", f"--lease={lease:x}")
    ctl("user", "add", "root:secret")
    ctl("user", "add", "somebody:word")
    ctl("role", "add", "reader")
    ctl("role", "grant-permission", "reader", "read", "key", "--prefix=true")
    ctl("user", "grant-role", "somebody", "reader")
    ctl("compact", "20")
    for number in range(5):
        ctl("put", f"late{number}", "x" * 5000)
    ctl("del", "late3")


def state_of(server: Server) -> dict[str, object]:
    """Everything that a snapshot must bring along."""
    ctl = server.etcdctl
    found = json.loads(ctl("get", "", "--prefix", "-w", "json").stdout)
    old = json.loads(ctl("get", "", "--prefix", "--rev=25", "-w", "json").stdout)
    leases = json.loads(ctl("lease", "list", "-w", "json").stdout)["leases"]
    lease = f"{leases[0]['id']:x}"
    remaining = json.loads(ctl("lease", "timetolive", lease, "--keys", "-w", "json").stdout)
    hashed = json.loads(ctl("endpoint", "hashkv", "-w", "json").stdout)[0]["HashKV"]
    return {
        "revision": found["header"]["revision"],
        "keys": found["kvs"],
        "old keys": old["kvs"],
        "compacted": ctl("get", "a", "--rev=19", check=False).stderr.splitlines()[-1],
        "leases": leases,
        "granted": remaining["granted-ttl"],
        "leased keys": remaining["keys"],
        "hash": (hashed["hash"], hashed.get("compact_revision")),
        "user": ctl("user", "get", "somebody").stdout,
        "users": ctl("user", "list").stdout,
        "role": ctl("role", "get", "reader").stdout,
    }


def save(server: Server, path: Path, version: str = "3.4") -> Path:
    server.etcdctl("snapshot", "save", str(path), version=version)
    return path


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=check,
        env=clean_environment(),
        timeout=COMMAND_SECONDS,
    )


def restore(kind: str, snapshot: Path, data_dir: Path, *flags: str) -> None:
    """With the tool that belongs to the kind of server.  Raises CalledProcessError."""
    tool = {
        "trioetcd": UTIL,
        "etcd-3.4.23": [program("3.4", "etcdctl")],
        "etcd-3.5.1": [program("3.5", "etcdutl")],
    }[kind]
    words = (f"--data-dir={data_dir}", *RESTORE_FLAGS, *flags)
    run(*tool, "snapshot", "restore", str(snapshot), *words)


@contextmanager
def restored(kind: str, snapshot: Path, home: Path, *flags: str) -> Iterator[Server]:
    """A server of a kind, begun from a snapshot."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    restore(kind, snapshot, home / "data", *flags)
    with running(kind, home, peer_url=PEER_URL) as server:
        yield server


KINDS = ("trioetcd", *GO)
