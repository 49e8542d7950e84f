"""Go's etcd as a process, for logs that it writes and reads."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

VERSIONS = {"3.4": Path("/usr/bin"), "3.5": Path(sysconfig.get_path("scripts"))}
READY = b"ready to serve client requests"


class GoEtcd:
    def __init__(self, version: str, data_dir: Path) -> None:
        self._programs = VERSIONS[version]
        self.data_dir = data_dir
        # The same from start to start: a member finds its address in its own log.
        self._client, self._peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))

    def copy(self, data_dir: Path) -> GoEtcd:
        """The same member in another directory; only one of them may run."""
        shutil.copytree(self.data_dir, data_dir)
        other = copy(self)
        other.data_dir = data_dir
        return other

    @contextmanager
    def running(self) -> Iterator[None]:
        """From ready until killed; nothing of what it acknowledged is unsynced then."""
        process = subprocess.Popen(
            [
                self._programs / "etcd",
                "--name=infra0",
                f"--data-dir={self.data_dir}",
                f"--listen-client-urls={self._client}",
                f"--advertise-client-urls={self._client}",
                f"--listen-peer-urls={self._peer}",
                f"--initial-advertise-peer-urls={self._peer}",
                f"--initial-cluster=infra0={self._peer}",
                "--snapshot-count=5",
            ],
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                log = []
                assert process.stderr is not None
                for line in process.stderr:
                    log.append(line)
                    if READY in line:
                        break
                else:
                    raise AssertionError(b"".join(log).decode())
                yield
            finally:
                process.kill()

    def ctl(self, *arguments: str) -> list[str]:
        """The lines that etcdctl prints."""
        done = subprocess.run(
            [self._programs / "etcdctl", f"--endpoints={self._client}", *arguments],
            env={"ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
