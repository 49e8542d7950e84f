"""`trioetcd ctl` prints what etcdctl 3.5.1 prints, and ends with the same status."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.ctl_commands import DIFFERENCES, Etcdctl, Ours, Printed, Terminal, script
from tests.interop.processes import Server, clean_environment

SECONDS = 30.0  # for anything that is waited for
PEER_URL = "http://127.0.0.1:12380"  # advertised, so that ids are the same; nobody listens


def transcript(kind: str, home: Path, terminal: type[Terminal]) -> list[Printed]:
    server = Server(kind, home, peer_url=PEER_URL)
    server.start()
    try:
        typed = terminal(server)
        commands = [*script(), *((command, "") for command in DIFFERENCES)]
        return [typed.run(command, stdin) for command, stdin in commands]
    finally:
        server.stop()


@pytest.mark.parametrize("kind", ["etcd-3.5.1", "trioetcd"])
def test_every_command_prints_what_etcdctl_prints(kind: str, tmp_path: Path):
    expected = transcript(kind, tmp_path / "etcdctl", Etcdctl)
    printed = transcript(kind, tmp_path / "ours", Ours)
    pairs = [pair for pair in zip(expected, printed, strict=True) if pair[0] != pair[1]]
    different = {theirs.command: f"{theirs}\n{ours}\n" for theirs, ours in pairs}
    unexpected = [text for command, text in different.items() if command not in DIFFERENCES]
    assert not unexpected, "\n".join(unexpected)
    assert set(different) == set(DIFFERENCES)


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
