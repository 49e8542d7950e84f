"""Patroni and PostgreSQL on three trioetcd members: who leads, and who takes over.

    python -m tests.interop.patroni                      # on trioetcd
    python -m tests.interop.patroni --server etcd-3.5.1  # on Go's

Needs PostgreSQL 15's programs (Debian: postgresql-15) and Patroni with its etcd3 driver, which is
fetched with pip into a directory of its own.  PostgreSQL does not run as root: then everything of
it runs as the user `postgres`.  Prints a line for each misfortune; exits with 1 if one is not got
over, or if a row that was committed is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.interop.etcd_process import free_port
from tests.interop.processes import KINDS, Server
from tests.interop.trio_of_servers import NAMES, Trio, started, until_one_leads

POSTGRES = Path("/usr/lib/postgresql/15/bin")
PACKAGES = ("patroni[etcd3]>=4,<5", "psycopg[binary]>=3,<4")
USER = "postgres"
STEP_SECONDS = 90.0
LOOK_SECONDS = 0.2
TTL, LOOP, RETRY = 20, 2, 3  # seconds; Patroni's least


class NotGotOver(Exception):
    """A misfortune after which not all is well again in time."""


class Node:
    """PostgreSQL and the Patroni that looks after it."""

    def __init__(self, name: str, home: Path, patroni: Path, etcd: Sequence[Server]) -> None:
        self.name = name
        self._home = home / name
        self._patroni = patroni
        self.rest, self.port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._home.mkdir()
        self._home.chmod(0o777)
        self._config = self._home / "patroni.yml"
        self._config.write_text(json.dumps(self._settings(etcd)))  # which is YAML, too

    def _settings(self, etcd: Sequence[Server]) -> dict[str, Any]:
        users = {
            "superuser": {"username": USER, "password": "super"},
            "replication": {"username": "replicator", "password": "copy"},
        }
        return {
            "scope": "interop",
            "name": self.name,
            "restapi": {
                "listen": f"127.0.0.1:{self.rest}",
                "connect_address": f"127.0.0.1:{self.rest}",
            },
            "etcd3": {"hosts": [one.address for one in etcd]},
            "bootstrap": {
                "dcs": {"ttl": TTL, "loop_wait": LOOP, "retry_timeout": RETRY},
                "initdb": [{"encoding": "UTF8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "bin_dir": str(POSTGRES),
                "data_dir": str(self._home / "data"),
                "pgpass": str(self._home / "pgpass"),
                "authentication": users,
                "pg_hba": [
                    "host all all 127.0.0.1/32 md5",
                    "host replication replicator 127.0.0.1/32 md5",
                ],
                "parameters": {"unix_socket_directories": str(self._home), "fsync": "off"},
                "use_pg_rewind": True,
            },
        }

    def start(self) -> None:
        with open(self._home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [str(self._patroni), str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                user=USER if os.geteuid() == 0 else None,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Patroni and PostgreSQL, at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            subprocess.run(["pkill", "-KILL", "-f", f"{self._home}/data"], check=False)

    def sql(self, text: str) -> str:
        done = subprocess.run(
            [str(POSTGRES / "psql"), "-Atqc", text, "-h", "127.0.0.1", "-p", str(self.port)],
            env={**os.environ, "PGUSER": USER, "PGPASSWORD": "super", "PGDATABASE": "postgres"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.strip()

    def log_end(self) -> str:
        return (self._home / "log").read_text(errors="replace")[-2000:]

    def cluster(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/cluster", timeout=5) as answer:
            members: list[dict[str, Any]] = json.load(answer)["members"]
        return members

    def ask(self, path: str, body: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest}{path}", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


class Play:
    def __init__(self, nodes: list[Node], etcd: Sequence[Server]) -> None:
        self.nodes = nodes
        self.etcd = list(etcd)
        self.rows = 0

    def until(self, what: str, holds: Callable[[], bool]) -> float:
        began = time.monotonic()
        while time.monotonic() - began < STEP_SECONDS:
            try:
                if holds():
                    return time.monotonic() - began
            except (OSError, subprocess.SubprocessError, ValueError, KeyError):
                pass  # somebody is down
            time.sleep(LOOK_SECONDS)
        logs = "\n".join(f"--- {node.name}\n{node.log_end()}" for node in self.nodes)
        raise NotGotOver(f"not within {STEP_SECONDS:g} s: {what}\n{logs}")

    def leader(self, among: Sequence[Node] | None = None) -> Node | None:
        """Whom Patroni calls the leader, if PostgreSQL there takes writes."""
        for asked in among or self.nodes:
            for member in asked.cluster():
                if member["role"] == "leader" and member["state"] == "running":
                    node = next(one for one in self.nodes if one.name == member["name"])
                    if node.sql("select pg_is_in_recovery()") == "f":
                        return node
        return None

    def whole(self) -> bool:
        members = self.nodes[0].cluster()
        states = [member["state"] for member in members]
        return len(members) == 3 and sorted(states) == ["running", "streaming", "streaming"]

    def write(self) -> None:
        """A row that must never be missing from now on."""
        leader = self.leader()
        assert leader is not None
        leader.sql(f"insert into kept values ({self.rows})")
        self.rows += 1

    def check(self) -> None:
        leader = self.leader()
        assert leader is not None
        found = int(leader.sql("select count(*) from kept"))
        if found != self.rows:
            raise NotGotOver(f"{found} rows of {self.rows}")

    def step(self, what: str, act: Callable[[], str]) -> None:
        note = act()
        took = self.until("three members, two of them streaming", self.whole)
        self.write()
        self.check()
        print(f"{what:<24} {note}; whole again after {took:.1f} s; {self.rows} rows", flush=True)

    # -- What happens

    def bootstrap(self) -> str:
        for node in self.nodes:
            node.start()
        took = self.until("a leader", lambda: self.leader() is not None)
        leader = self.leader()
        assert leader is not None
        leader.sql("create table kept (n int primary key)")
        return f"{leader.name} leads after {took:.1f} s"

    def switchover(self) -> str:
        old = self.leader()
        assert old is not None
        new = next(node for node in self.nodes if node is not old)
        old.ask("/switchover", {"leader": old.name, "candidate": new.name})
        took = self.until(f"{new.name} leads", lambda: self.leader() is new)
        return f"{old.name} to {new.name} after {took:.1f} s"

    def leader_killed(self) -> str:
        old = self.leader()
        assert old is not None
        others = [node for node in self.nodes if node is not old]
        old.kill()
        took = self.until("another leads", lambda: self.leader(others) not in (None, old))
        new = self.leader(others)
        assert new is not None
        old.start()
        return f"{old.name} killed, {new.name} leads after {took:.1f} s"

    def etcd_leader_killed(self) -> str:
        etcd = until_one_leads(self.etcd)
        etcd.kill()
        rest = [one for one in self.etcd if one is not etcd]
        until_one_leads(rest)
        took = self.until("a leader", lambda: self.leader() is not None)
        leader = self.leader()
        assert leader is not None
        self.write()
        etcd.start()
        return f"etcd's leader killed, {leader.name} leads after {took:.1f} s"


def fetch(directory: Path) -> Path:
    """Patroni, in an environment of its own; of a Python that any user may run."""
    python = "/usr/bin/python3" if os.geteuid() == 0 else sys.executable
    subprocess.run([python, "-m", "venv", str(directory)], check=True)
    pip = [str(directory / "bin" / "pip"), "install", "-q", *PACKAGES]
    subprocess.run(pip, check=True)
    return directory / "bin" / "patroni"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--server", choices=KINDS, default="trioetcd")
    parser.add_argument("--patroni", type=Path, help="a Patroni that is there already")
    parser.add_argument("--rounds", type=int, default=1, help="of all misfortunes")
    options = parser.parse_args()
    if not (POSTGRES / "postgres").exists():
        print(f"{POSTGRES} has no postgres: install postgresql-15", file=sys.stderr)
        return 1
    home = Path(tempfile.mkdtemp(prefix="patroni-"))
    home.chmod(0o777)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        patroni = options.patroni or fetch(home / "venv")
        trio = Trio(home / "etcd", kind=options.server)
        members = stack.enter_context(started([trio.member(name) for name in NAMES]))
        nodes = [Node(f"pg{n}", home, patroni, members) for n in range(3)]
        for node in nodes:
            stack.callback(node.kill)
        play = Play(nodes, members)
        try:
            play.step("bootstrap", play.bootstrap)
            for _ in range(options.rounds):
                play.step("switchover", play.switchover)
                play.step("leader killed", play.leader_killed)
                play.step("etcd's leader killed", play.etcd_leader_killed)
        except NotGotOver as error:
            print(f"FAILED {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
