"""Three servers that make a cluster, each of which can be started, killed and looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.interop.etcd_process import free_port
from tests.interop.processes import READY_SECONDS, Server

NAMES = ("a", "b", "c")
LOOK_SECONDS = 0.05  # between two looks


class Trio:
    """Three members; a member's own flags come last, and count."""

    def __init__(self, home: Path, scheme: str = "http", kind: str = "trioetcd") -> None:
        self.home = home
        self.kind = kind
        self.urls = {name: f"{scheme}://127.0.0.1:{free_port()}" for name in NAMES}

    @property
    def initial(self) -> str:
        return ",".join(f"{name}={url}" for name, url in self.urls.items())

    def member(self, name: str, *flags: str) -> Server:
        url = self.urls[name]
        given = {
            "listen-peer-urls": url,
            "initial-advertise-peer-urls": url,
            "initial-cluster": self.initial,
        }
        base = [f"--{flag}={value}" for flag, value in given.items()]
        return Server(self.kind, self.home / name, [*base, *flags], name=name)


@contextmanager
def started(members: Sequence[Server]) -> Iterator[Sequence[Server]]:
    """All at once: one alone would wait for the others."""
    try:
        with ThreadPoolExecutor(len(members)) as pool:
            list(pool.map(Server.start, members))
        yield members
    finally:
        for member in members:
            member.kill()


def until_one_leads(members: Sequence[Server]) -> Server:
    """The leader, once all of these take it for that, and it is one of them."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        shown = [
            member.etcdctl("endpoint", "status", "-w", "json", check=False) for member in members
        ]
        if all(done.returncode == 0 for done in shown):
            statuses = [json.loads(done.stdout)[0]["Status"] for done in shown]
            leaders = {status.get("leader", 0) for status in statuses}
            ids = [status["header"]["member_id"] for status in statuses]
            if len(leaders) == 1 and leaders <= set(ids):
                return members[ids.index(leaders.pop())]
        assert time.monotonic() < deadline, f"no leader: {shown}"
        time.sleep(LOOK_SECONDS)
