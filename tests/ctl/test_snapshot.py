"""snapshot save, status and restore, and the defragmentation of a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.wal.disk import RealDisk
from tests.ctl.terminal import Terminal, open_terminal
from trioetcd import NodeSettings, open_node
from trioetcd.node.embedding import open_node_client
from wire.memory_network import MemoryNetwork


async def test_what_is_saved_can_be_restored_and_served(tmp_path: Path):
    saved, data_dir = tmp_path / "saved", tmp_path / "restored"
    async with open_terminal() as terminal:
        await terminal.run("put", "a", "1")
        done = await terminal.run("snapshot", "save", str(saved))
        assert done == (0, f"Snapshot saved at {saved}\nServer version 3.6.0\n", "")
        assert os.listdir(tmp_path) == ["saved"]
        done = await terminal.run("snapshot", "restore", str(saved), "--data-dir", str(data_dir))
        assert done.status == 0, done
    async with open_node(NodeSettings(data_dir=data_dir)) as node, open_node_client(node) as client:
        found = await client.get("a")
        assert found is not None
        assert found.value == b"1"


async def test_a_terminal_is_shown_how_much_is_saved(tmp_path: Path):
    async with open_terminal(is_terminal=True) as terminal:
        done = await terminal.run("snapshot", "save", str(tmp_path / "saved"))
        drawn, said = done.out.split("\n", 1)
        assert drawn.endswith("100.00%")
        assert said.startswith("Snapshot saved at ")


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path):
    async with open_terminal() as terminal:
        done = await terminal.run("snapshot", "save", f"{tmp_path}/none/saved")
        part = f"{tmp_path}/none/saved.part"
        why = f"could not open {part} (open {part}: no such file or directory)"
        assert done == (5, "", f"Error: {why}\n")


async def test_a_saving_may_have_a_limit(tmp_path: Path, autojump_clock):
    network = MemoryNetwork()  # nobody listens
    limited = ("--command-timeout=3s", "snapshot", "save", str(tmp_path / "saved"))
    done = await Terminal(network).run(*limited)
    assert done.status == 5
    assert not os.listdir(tmp_path)


async def test_a_directory_is_defragmented_unless_a_member_runs_on_it(tmp_path: Path):
    terminal, directory = Terminal(MemoryNetwork()), f"--data-dir={tmp_path}"
    async with open_node(NodeSettings(data_dir=tmp_path)) as node, open_node_client(node) as client:
        for number in range(200):
            await client.put("big", bytes(50_000) + b"%d" % number)
    # All of it is in the database now, however fast it was written.
    async with open_node(NodeSettings(data_dir=tmp_path)) as node, open_node_client(node) as client:
        last = await client.put("big", "small")
        await client.compact(last.revision, physical=True)
        done = await terminal.run("defrag", directory)
        assert done.status == 1
        assert "another process is using" in done.err
    database = tmp_path / "member" / "snap" / "db.lmdb"
    before = database.stat().st_size
    done = await terminal.run("defrag", directory)
    assert done == (0, "", "Use `trioetcd util defrag` instead.\n\n")
    assert database.stat().st_size < before / 10
    async with open_node(NodeSettings(data_dir=tmp_path)) as node, open_node_client(node) as client:
        found = await client.get("big")
        assert found is not None
        assert found.value == b"small"


@pytest.mark.parametrize("content", [None, b"", b"no database"])
async def test_what_is_no_database_is_left_alone(tmp_path: Path, content: bytes | None):
    snap = tmp_path / "member" / "snap"
    snap.mkdir(parents=True)
    if content is not None:
        (snap / "db.lmdb").write_bytes(content)
    done = await Terminal(MemoryNetwork()).run("defrag", f"--data-dir={tmp_path}")
    assert done.status == 1
    assert f"Error: Failed to defragment etcd data[{tmp_path}] (" in done.err
    assert RealDisk().list(str(snap)) == ([] if content is None else ["db.lmdb"])
