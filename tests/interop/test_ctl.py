"""`trioetcd ctl` prints what etcdctl prints, and ends with the same status."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.ctl_table import compare
from tests.interop.processes import Server, clean_environment

SECONDS = 30.0  # for anything that is waited for


# The formats are shared out among the servers; scripts/ctl_table.py takes all of them to both.
@pytest.mark.parametrize(
    ("kind", "version", "formats"),
    [
        ("trioetcd", "3.5", ("simple", "json", "fields")),
        ("etcd-3.5.1", "3.5", ("table", "protobuf")),
    ],
)
def test_every_command_prints_what_etcdctl_prints(
    kind: str, version: str, formats: tuple[str, ...], tmp_path: Path
):
    table = compare(kind, version, tmp_path, formats)
    wrong = [f"{row.theirs}\n{row.ours}\n" for row in table.rows if row.is_wrong]
    assert not wrong, "\n".join(wrong)
    assert not table.idle()


def test_what_etcdctl_3_4_does_otherwise_is_known(tmp_path: Path):
    table = compare("trioetcd", "3.4", tmp_path, ("simple",))
    assert not [row for row in table.rows if row.is_wrong]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server("trioetcd", tmp_path_factory.mktemp("held"))
    server.start()
    yield server
    server.stop()


def ctl(server: Server, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "trioetcd", "ctl", "--endpoints", server.address, *arguments]


def test_a_lock_ends_with_its_commands_status(server: Server):
    told = 'echo "$ETCD_LOCK_KEY" "$ETCD_LOCK_REV"; exit 3'
    done = subprocess.run(
        ctl(server, "lock", "n", "sh", "--", "-c", told),
        capture_output=True,
        env=clean_environment(),
        timeout=SECONDS,
    )
    assert done.returncode == 3
    assert re.fullmatch(rb"n/[0-9a-f]+ \d+\n", done.stdout)
    assert server.etcdctl("get", "n/", "--prefix").stdout == ""


@pytest.mark.parametrize("command", [("lock", "held"), ("elect", "held", "me")])
def test_a_signal_gives_back_what_is_held(server: Server, command: tuple[str, ...]):
    with subprocess.Popen(
        ctl(server, *command), stdout=subprocess.PIPE, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        key = process.stdout.readline().decode().strip()
        assert re.fullmatch("held/[0-9a-f]+", key)
        assert process.stdout.readline().decode().strip() == "".join(command[2:])
        assert key in server.etcdctl("get", "held/", "--prefix", "--keys-only").stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert server.etcdctl("get", "held/", "--prefix").stdout == ""
