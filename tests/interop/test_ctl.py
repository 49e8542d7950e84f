"""`trioetcd ctl` prints what etcdctl prints, and ends with the same status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.ctl_table import Table, compare
from tests.interop.ctl_terminals import Etcdctl, Ours
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


@pytest.mark.parametrize("kind", ["trioetcd", "etcd-3.5.1"])
def test_a_snapshot_has_the_status_that_etcdctl_says(kind: str, tmp_path: Path):
    """Of one file: nothing is masked but the programs' names."""
    saved = str(tmp_path / "saved")
    with running(kind, tmp_path / "server") as server:
        server.etcdctl("put", "a", "1")
        server.etcdctl("lease", "grant", "100")
        etcdctl, ours = Etcdctl(server), Ours(server)
        ours.program(["--endpoints", server.address, "snapshot", "save", saved], b"", {})
        for shape in FORMATS:
            words = ["-w", shape, "snapshot", "status", saved]
            status, out, err = ours.program(words, b"", {})
            expected = (status, out, err.replace(b"trioetcd util", b"etcdutl"))
            assert etcdctl.program(words, b"", {}) == expected


def wrong_rows(table: Table) -> str:
    return "\n".join(f"{row.theirs}\n{row.ours}\n" for row in table.rows if row.is_wrong)
