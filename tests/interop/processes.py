"""Servers as processes, for tests and scripts that are not async: Go's etcd and trioetcd alike.

    with running("trioetcd", tmp_path) as server:
        server.etcdctl("put", "a", "1")
        server.kill()
        server.start()

A server is ready when its log says so: nothing sleeps, nothing polls.  A missing program fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from tests.interop.etcd_process import READY, ROOT, EtcdFailed, free_port, program

GO = {"etcd-3.4.23": "3.4", "etcd-3.5.1": "3.5"}
KINDS = ("trioetcd", *GO)
READY_SECONDS = 60.0  # a recovery after a crash included, on a busy machine
STOP_SECONDS = 20.0  # from SIGTERM to the end
LOG_LINES = 200  # kept, to be shown when something fails
PORT_TRIES = 5  # another process may take a free port before the server does
BUSY = "address already in use"


def serve_command(kind: str) -> list[str]:
    """How to start a server of a kind; its flags follow.  Raises EtcdFailed if it is missing."""
    if kind == "trioetcd":
        return [sys.executable, "-m", "trioetcd", "serve"]
    return [program(GO[kind])]


def clean_environment(**extra: str) -> dict[str, str]:
    """Ours without what would configure a server or etcdctl."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD_", "ETCDCTL_"))}
    return {**kept, "ETCDCTL_API": "3", "PYTHONPATH": str(ROOT), **extra}


class Server:
    """A member that can be started, stopped, killed, and started again on its data."""

    def __init__(
        self,
        kind: str,
        home: Path,
        flags: Sequence[str] = (),
        *,
        name: str = "default",
        peer_url: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        """Everything of it is kept in `home`.  `flags` (`--name=value`) take precedence.

        Servers with the same `peer_url`, which is advertised and never listened on, have the
        same member and cluster ids.
        """
        self.kind = kind
        self.home = home
        self.data_dir = home / "data"
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._name = name
        self._peer_url = peer_url
        self._flags = list(flags)
        self._environment = clean_environment(**(environment or {}))
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._choose_ports()

    def _choose_ports(self) -> None:
        self.client_port, self._peer_port = free_port(), free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def resident_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise EtcdFailed(f"{self.kind} has ended")

    def _command(self) -> list[str]:
        client, listen = f"http://{self.address}", f"http://127.0.0.1:{self._peer_port}"
        advertised = self._peer_url or listen
        defaults = {
            "name": self._name,
            "data-dir": str(self.data_dir),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": listen,
            "initial-advertise-peer-urls": advertised,
            "initial-cluster": f"{self._name}={advertised}",
        }
        if self.kind in GO:
            defaults["logger"] = "zap"  # 3.4's other one says less
        given = {flag.lstrip("-").partition("=")[0] for flag in self._flags}
        chosen = [f"--{key}={value}" for key, value in defaults.items() if key not in given]
        return [*serve_command(self.kind), *chosen, *self._flags]

    # -- Life

    def start(self) -> None:
        """Returns when it serves clients.

        Raises:
            EtcdFailed: it ended, or took more than READY_SECONDS; with the end of its log.
        """
        fresh = not self.data_dir.exists()
        for _ in range(PORT_TRIES):
            try:
                return self._start()
            except EtcdFailed as error:
                if BUSY not in str(error) or not fresh:
                    raise
                shutil.rmtree(self.data_dir, ignore_errors=True)
                self._choose_ports()
        raise self.failed("found no free port")

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.log.clear()
        self._process = self._spawn()
        settled = threading.Event()  # ready, or ended
        self._reader = threading.Thread(
            target=self._read_log, args=(self._process, settled), daemon=True
        )
        self._reader.start()
        if not settled.wait(READY_SECONDS):
            self.kill()
            raise self.failed("is not ready")
        if not any(READY in line for line in self.log):
            self.kill()
            raise self.failed("ended")

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=self.home,
        )

    def _read_log(self, process: subprocess.Popen[bytes], settled: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.log.append(line.decode("utf-8", "replace").rstrip("\n"))
                if READY in self.log[-1]:
                    settled.set()
        settled.set()

    def kill_while_starting(self, after_lines: int) -> bool:
        """Start it, and kill it when its log has so many lines; False if it was ready before."""
        self.log.clear()
        process = self._process = self._spawn()
        self._reader = None
        assert process.stderr is not None
        with process.stderr:
            for line in islice(process.stderr, after_lines):
                self.log.append(line.decode("utf-8", "replace").rstrip("\n"))
                if READY in self.log[-1]:
                    break
            self.kill()
        return READY not in self.log[-1]

    def kill(self) -> None:
        """SIGKILL: nothing is flushed.  No error if it has ended."""
        if self._process is not None:
            self._process.kill()
            self._wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """A signal, and the exit status."""
        self._running().send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Until it ends by itself; its exit status.  Raises EtcdFailed after STOP_SECONDS."""
        try:
            return self._wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.failed(f"did not end in {STOP_SECONDS:.0f} s") from None

    def _wait(self) -> int:
        status = self._running().wait(STOP_SECONDS)
        if self._reader is not None:
            self._reader.join()
        return status

    def restart(self) -> None:
        """Killed, and started again on its data."""
        self.kill()
        self.start()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def failed(self, how: str) -> EtcdFailed:
        """An error that shows the end of the log."""
        return EtcdFailed("\n".join([f"{self.kind} {how}; its log ends:", *self.log]))

    # -- Clients

    def etcdctl(
        self, *arguments: str, version: str = "3.4", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run Go's etcdctl against it.  Raises CalledProcessError if `check` and it failed."""
        return subprocess.run(
            [program(version, "etcdctl"), f"--endpoints={self.address}", *arguments],
            capture_output=True,
            text=True,
            check=check,
            env=clean_environment(),
        )


@contextmanager
def running(
    kind: str,
    home: Path,
    flags: Sequence[str] = (),
    *,
    name: str = "default",
    peer_url: str = "",
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A server that is ready; killed in the end.  What fails inside shows the end of its log."""
    server = Server(kind, home, flags, name=name, peer_url=peer_url, environment=environment)
    try:
        server.start()
        yield server
    except Exception as error:
        if not isinstance(error, EtcdFailed):
            error.add_note(f"{kind}'s log ends:\n" + "\n".join(server.log))
        raise
    finally:
        server.kill()
