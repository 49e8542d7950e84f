"""`trioetcd ctl` prints what etcdctl prints, and ends with the same status."""

from __future__ import annotations

from pathlib import Path

from tests.interop.ctl_table import Table, compare

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


def wrong_rows(table: Table) -> str:
    return "\n".join(f"{row.theirs}\n{row.ours}\n" for row in table.rows if row.is_wrong)
