"""Signals and terminals: `trioetcd ctl` and etcdctl as processes, which must do the same."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.commands import COMMAND_SECONDS
from tests.interop.etcd_process import program
from tests.interop.processes import Server, clean_environment, running

PROGRAMS: dict[str, Callable[[], list[str]]] = {
    "etcdctl": lambda: [program("3.5", "etcdctl")],
    "ours": lambda: [sys.executable, "-m", "trioetcd", "ctl"],
}
_MADE_UP = (
    (re.compile(rb"\b[0-9a-f]{14,16}\b"), b"<lease>"),
    (re.compile(rb'"[Ll]ease"(:| : )\d+'), b'"lease"N'),
    (re.compile(rb'"key":"[^"]*"'), b'"key":N'),
    (re.compile(rb'\{"level":"warn"[^\n]*\n'), b""),
    (re.compile(rb"stty: 'standard input'[^\n]*\n"), b""),  # what etcdctl runs, at no terminal
)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with running("trioetcd", tmp_path_factory.mktemp("terminal")) as server:
        yield server


class Ended(NamedTuple):
    status: int
    out: bytes
    err: bytes


class Running:
    """A program that was started, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: list[bytes] = []

    def lines(self, count: int) -> list[bytes]:
        """The next ones."""
        assert self.process.stdout is not None
        found = [self.process.stdout.readline() for _ in range(count)]
        self._lines += found
        return found

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self, number: signal.Signals | None = None) -> Ended:
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=COMMAND_SECONDS)
        shown = [b"".join(self._lines) + out, err]
        for pattern, replacement in _MADE_UP:
            shown = [pattern.sub(replacement, one) for one in shown]
        return Ended(self.process.returncode, *shown)


@contextmanager
def started(name: str, server: Server, *arguments: str) -> Iterator[Running]:
    command = [*PROGRAMS[name](), "--endpoints", server.address, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=clean_environment()
    ) as process:
        alarm = threading.Timer(COMMAND_SECONDS, process.kill)
        alarm.start()
        try:
            yield Running(process)
        finally:
            alarm.cancel()
            process.kill()


def both(run: Callable[[str], object]) -> object:
    """What both programs have done."""
    theirs, ours = run("etcdctl"), run("ours")
    assert ours == theirs
    return theirs


SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [("lock", "k1"), ("elect", "k2", "me")])
def test_a_signal_gives_back_what_is_held(server: Server, command, number: signal.Signals):
    def run(name: str) -> Ended:
        with started(name, server, *command) as held:
            held.lines(2)
            ended = held.end(number)
        assert server.etcdctl("get", f"{command[1]}/", "--prefix").stdout == ""
        return ended

    assert both(run).status == 0


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [("lock", "k3"), ("elect", "k3", "me")])
def test_who_waits_and_is_signalled_has_failed(server: Server, command, number: signal.Signals):
    def run(name: str) -> Ended:
        fields = server.etcdctl("put", "k3", "begin", "-w", "fields").stdout
        since = int(fields.split('"Revision" : ')[1].split()[0]) + 1
        with (
            started("ours", server, "watch", "k3/", "--prefix", f"--rev={since}") as line,
            started("etcdctl", server, "lock", "k3") as holder,
        ):
            line.lines(3)
            with started(name, server, *command) as waiting:
                line.lines(3)  # it is in the line
                ended = waiting.end(number)
            holder.end(signal.SIGINT)
            line.end(signal.SIGKILL)
        server.etcdctl("del", "k3/", "--prefix")
        return ended

    assert both(run) == Ended(1, b"", b"Error: context canceled\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_locks_command_is_let_end(server: Server, tmp_path: Path, number: signal.Signals):
    def run(name: str) -> Ended:
        gate = tmp_path / name
        os.mkfifo(gate)
        script = f"echo begun; read word < {gate}; echo $word; exit 7"
        with started(name, server, "lock", "k4", "--", "sh", "-c", script) as locked:
            locked.lines(1)
            locked.process.send_signal(number)
            gate.write_text("done\n")
            return locked.end()

    assert both(run) == Ended(7, b"begun\ndone\n", b"Error: exit status 7\n")


@pytest.mark.parametrize("shape", ["simple", "json", "fields"])
def test_an_election_is_followed(server: Server, shape: str):
    def run(name: str) -> Ended:
        lines = {"simple": 2, "json": 1, "fields": 12}[shape]
        server.etcdctl("del", "k5/", "--prefix")
        server.etcdctl("put", "k5/1", "first")
        with started(name, server, "-w", shape, "elect", "-l", "k5") as follower:
            follower.lines(lines)
            server.etcdctl("put", "k5/1", "proclaimed")
            follower.lines(lines)
            server.etcdctl("put", "k5/2", "second")
            server.etcdctl("del", "k5/1")
            follower.lines(lines)
            server.etcdctl("del", "k5/2")
            server.etcdctl("put", "k5/3", "third")
            follower.lines(lines)
            ended = follower.end(signal.SIGINT)
        # Each run is some revisions later.
        revisions = sorted(
            {int(one) for one in re.findall(rb'[Rr]evision"(?: : |:)(\d+)', ended.out)}
        )
        out = ended.out
        for place, revision in enumerate(revisions):
            out = re.sub(rb"\b%d\b" % revision, b"r%d" % place, out)
        return ended._replace(out=out)

    assert both(run).status == 0


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["lease", "watch", "put"])
def test_a_signal_ends_what_holds_nothing(server: Server, command: str, number: signal.Signals):
    granted = server.etcdctl("lease", "grant", "60").stdout.split()[1]

    def run(name: str) -> Ended:
        arguments, lines = {
            "lease": (["lease", "keep-alive", granted], 1),
            "watch": (["watch", "k6", "--rev=1"], 3),
            "put": (["put", "k7"], 0),
        }[command]
        server.etcdctl("put", "k6", "v")
        with started(name, server, *arguments) as process:
            process.lines(lines)
            if not lines:
                process.type("begun")
            return process.end(number)._replace(out=b"")

    assert both(run).status == -number


def test_watches_are_typed(server: Server):
    def run(name: str) -> Ended:
        server.etcdctl("del", "k8", "--prefix")
        with started(name, server, "watch", "-i") as prompt:
            prompt.type("watch k8\n")
            prompt.type("watch k8/ --prefix --prev-kv -- echo seen\n")
            prompt.type("watch k8 k80 --prefix\nnosuch\n\n")
            while not _is_watched(prompt, server, "k8", 3):
                pass
            while not _is_watched(prompt, server, "k8/1", 4):
                pass
            server.etcdctl("put", "k8/1", "w")
            assert prompt.lines(6)[-1] == b"seen\n"
            prompt.type("progress\n")
            progress = prompt.lines(2)
            assert [one.split(b":")[0] for one in progress] == [b"progress notify"] * 2
            assert prompt.process.stdin is not None
            prompt.process.stdin.close()
            prompt.process.stdin = None
            return prompt.end()._replace(out=b"")

    assert both(run).status == 3


def _is_watched(prompt: Running, server: Server, key: str, lines: int) -> bool:
    """Whether a put is seen; before a watch is there it is not."""
    server.etcdctl("put", key, "v")
    assert prompt.process.stdout is not None
    ready, _, _ = select.select([prompt.process.stdout], [], [], 0.2)
    if ready:
        prompt.lines(lines)
    return bool(ready)


# Passwords

INTERRUPT = "an interrupt"


def on_a_terminal(name: str, server: Server, arguments: Sequence[str], typed: Sequence[str]) -> str:
    """What a person sees who types these lines, each when it is asked for; and the status."""
    master, slave = pty.openpty()
    command = [*PROGRAMS[name](), "--endpoints", server.address, *arguments]
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=clean_environment(),
        start_new_session=True,
    )
    alarm = threading.Timer(COMMAND_SECONDS, process.kill)
    alarm.start()
    os.close(slave)
    seen, rest = b"", list(typed)
    try:
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # all its ends are closed
                break
            seen += piece
            if rest and seen.endswith(b": "):
                while process.poll() is None and termios.tcgetattr(master)[3] & termios.ECHO:
                    pass  # it asks first, and then has nothing shown any more
                line = rest.pop(0)
                if line == INTERRUPT:
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(master, line.encode())
        shown = re.sub(rb'\{"level":"warn"[^\n]*\n', b"", seen).decode()
        return f"{shown}[{process.wait(COMMAND_SECONDS)}]"
    finally:
        alarm.cancel()
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (("user", "add", "joe"), ("secret\n", "secret\n")),
        (("user", "add", "ann"), ("secret\n", "other\n")),
        (("user", "add", "ann"), ("\n",)),
        (("user", "add", "ann"), ("  spaced \n", "spaced\n")),
        (("user", "passwd", "nobody"), ("new\n", "new\n")),
        (("--user=joe", "get", "a"), ("wrong\n",)),
        (("make-mirror", "--dest-user=joe", "DESTINATION", "b"), ("x\n",)),
        (("--user=joe", "version"), ()),
    ],
)
def test_a_password_is_asked_for_and_not_shown(server: Server, arguments, typed):
    def run(name: str) -> str:
        server.etcdctl("user", "delete", "joe", check=False)
        server.etcdctl("user", "delete", "ann", check=False)
        if arguments[0].startswith("--user"):
            server.etcdctl("user", "add", "joe:secret")
        seen = on_a_terminal(name, server, arguments, typed)
        return re.sub(r"etcdctl version: .*\n.*\n|trioetcd ctl version: .*\n.*\n", "", seen)

    seen = both(run)
    assert "secret" not in seen
    assert "wrong" not in seen


def test_the_terminal_shows_again_what_is_typed_after_an_interrupt(server: Server):
    def run(name: str) -> str:
        return on_a_terminal(name, server, ("user", "add", "eve"), (INTERRUPT,))

    assert both(run).endswith("[255]")


@pytest.mark.parametrize("given", ["secret\nsecret\n", "secret\nother\n", "", "one line"])
def test_a_password_may_come_from_a_pipe(server: Server, given: str):
    def run(name: str) -> Ended:
        server.etcdctl("user", "delete", "pip", check=False)
        with started(name, server, "user", "add", "pip") as process:
            process.type(given)
            assert process.process.stdin is not None
            process.process.stdin.close()
            process.process.stdin = None
            return process.end()

    both(run)
