"""`trioetcd ctl` prints what etcdctl prints, and ends with the same status."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.interop.ctl_table import Table, compare
from tests.interop.ctl_terminals import Etcdctl, Ours, Terminal
from tests.interop.ctl_words import FORMATS
from tests.interop.processes import running

# The formats are shared out among the servers; scripts/ctl_table.py takes all of them to both.


def test_every_command_prints_what_etcdctl_prints(tmp_path: Path):
    table = compare("trioetcd", "3.5", tmp_path, ("simple", "json", "fields"))
    assert not wrong_rows(table)
    assert not table.idle()


def test_at_gos_server_too(tmp_path: Path):
    assert not wrong_rows(
        compare("etcd-3.5.1", "3.5", tmp_path, ("table", "protobuf"), whole=False)
    )


def test_what_etcdctl_3_4_does_otherwise_is_known(tmp_path: Path):
    assert not wrong_rows(compare("trioetcd", "3.4", tmp_path, ("simple",)))


READS = (
    *("get a", "get a --hex", "get --prefix '' --limit=3", "get a --keys-only", "member list"),
    *("member list --hex", "endpoint status", "endpoint status --cluster", "endpoint hashkv"),
    *("alarm list", "lease list", "lease timetolive LEASE --keys", "user list", "role list"),
    *("role get readers", "user get joe", "user get joe --detail", "auth status", "get a --rev=2"),
    *("endpoint hashkv --rev=2", "watch a --rev=2 --prev-kv -- false", "snapshot status SAVED"),
)


@pytest.mark.parametrize("kind", ["trioetcd", "etcd-3.5.1"])
def test_at_one_server_every_byte_is_the_same(kind: str, tmp_path: Path):
    """Nothing is masked but a lease's remaining time and the programs' names."""
    with running(kind, tmp_path / "server") as server:
        for line in ("put a 1", "put a 2", "user add joe:x", "role add readers", "put b <&>"):
            server.etcdctl(*line.split())
        server.etcdctl("role", "grant-permission", "readers", "read", "a", "b")
        server.etcdctl("user", "grant-role", "joe", "readers")
        lease = server.etcdctl("lease", "grant", "3600").stdout.split()[1]
        server.etcdctl("put", "l", "v", f"--lease={lease}")
        saved = str(tmp_path / "saved")
        etcdctl, ours = Etcdctl(server), Ours(server)
        ours.program(["--endpoints", server.address, "snapshot", "save", saved], b"", {})
        ours.raise_alarm()
        for line in READS:
            words = shlex.split(line.replace("LEASE", lease).replace("SAVED", saved))
            for shape in FORMATS:
                asked = ["--endpoints", server.address, "-w", shape, *words]
                assert told(ours, asked) == told(etcdctl, asked)


def told(terminal: Terminal, asked: list[str]) -> tuple[int, bytes, bytes]:
    status, out, err = terminal.program(asked, b"", {})
    remaining = rb'(remaining\(|"ttl":|"TTL" : )\d+'
    return status, re.sub(remaining, rb"\1N", out), err.replace(b"trioetcd util", b"etcdutl")


def wrong_rows(table: Table) -> str:
    return "\n".join(f"{row.theirs}\n{row.ours}\n" for row in table.rows if row.is_wrong)
