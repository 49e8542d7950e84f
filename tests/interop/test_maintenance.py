"""Maintenance of three members and a learner by etcdctl: it prints what it prints of Go's etcd."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.interop.etcd_process import free_port
from tests.interop.processes import Server
from tests.interop.trio_of_servers import Trio, started, until_one_leads

QUOTA = 8 << 20  # bytes
VALUE = base64.b64encode(bytes(1 << 20)).decode()
MOST_PUTS = 40
PATIENCE = 30.0  # seconds, until the cluster agrees to what it will agree to
LOOK_SECONDS = 0.2  # between two looks
TIMES = re.compile(r"(?<=took)([ =\":]*)[\d.]+m?s|\b(ID|member|cluster) +[0-9a-f]{12,16}")

Line = tuple[str, int, list[str], str]


class Scene:
    """A cluster, and all that etcdctl has said of it."""

    def __init__(self, members: Sequence[Server]) -> None:
        self.members = members
        self.lead = until_one_leads(members)
        self.others = [one for one in members if one is not self.lead]
        self.said: list[Line] = []
        self.shown: dict[str, str] = {}  # what stands for what varies
        for one in members:
            self.name(one, "leader" if one is self.lead else "follower")

    def name(self, member: Server, role: str) -> None:
        status = member.etcdctl("endpoint", "status", "-w", "json", version="3.5").stdout
        self.shown[f"{json.loads(status)[0]['Status']['header']['member_id']:x}"] = role
        self.shown[member.address] = role

    def id_of(self, role: str) -> str:
        return next(k for k, v in self.shown.items() if v == role and ":" not in k)

    def say(self, *words: str, at: Server | None = None, everywhere: bool = False) -> int:
        """`at` a member, the leader if not given, or at all of them; the exit status."""
        chosen = at or self.lead
        ends = ",".join(one.address for one in self.members)
        given = (*words, f"--endpoints={ends}") if everywhere else words
        done = chosen.etcdctl(*given, version="3.5", check=False)
        out, errors = self._masked(done.stdout), self._masked(done.stderr)
        errors = errors.partition("Error:")[2]  # what stands before it is the client's own log
        words_shown = self._masked(" ".join(words))
        self.said.append((words_shown, done.returncode, sorted(out.splitlines()), errors))
        return done.returncode

    def say_until_well(self, *words: str) -> None:
        """What is refused for a time, as long as members get to know each other."""
        deadline = time.monotonic() + PATIENCE
        while self.say(*words):
            self.said.pop()
            assert time.monotonic() < deadline, words
            time.sleep(LOOK_SECONDS)

    def _masked(self, text: str) -> str:
        for varying, name in self.shown.items():
            # Ids are printed sixteen wide in places, and one may be shorter.
            padding = " " * (16 - len(varying))
            text = text.replace(f" {padding}{varying}", f" {name}").replace(varying, name)
        return TIMES.sub(r"\1 SOME", text)

    def fill(self) -> None:
        """Put until there is no space."""
        body = json.dumps({"key": "Zg==", "value": VALUE}).encode()
        for _ in range(MOST_PUTS):
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://{self.lead.address}/v3/kv/put", body).close()
                continue
            return
        raise AssertionError("the quota does not hold")


def maintain(kind: str, home: Path) -> list[Line]:
    trio = Trio(home, kind=kind)
    flag = f"--quota-backend-bytes={QUOTA}"
    members = [trio.member(name, flag) for name in trio.urls]
    with started(members):
        scene = Scene(members)
        _look_around(scene)
        _learn(scene, trio)
        _run_full(scene)
    return scene.said


def _look_around(scene: Scene) -> None:
    follower = scene.others[0]
    for key in "abc":
        scene.say("put", key, "1")
    scene.say("defrag", "--cluster")
    scene.say("defrag", everywhere=True)
    scene.say("endpoint", "hashkv", "--cluster", "--rev=3")
    scene.say("endpoint", "hashkv", "--cluster", "--rev=900")
    scene.say("endpoint", "health", "--cluster")
    scene.say("compact", "3")
    scene.say("endpoint", "hashkv", "--cluster", "--rev=2")
    scene.say("move-leader", scene.id_of("follower"), at=follower)
    scene.say("move-leader", "1234")
    scene.say("move-leader", "zz")


def _learn(scene: Scene, trio: Trio) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    scene.say_until_well("member", "add", "d", "--learner", f"--peer-urls={url}")
    scene.said.pop()  # the member's id is in it, which nobody knows yet
    trio.urls["d"] = url
    learner = trio.member("d", "--initial-cluster-state=existing")
    with started([learner]):
        scene.name(learner, "learner")
        scene.say("put", "a", "2", at=learner)  # one is enough: etcdctl tries for a while
        scene.say("get", "a", "--consistency=s", at=learner)
        scene.say("defrag", at=learner)
        scene.say("endpoint", "hashkv", "--rev=4", at=learner)
        scene.say("move-leader", scene.id_of("learner"))
        scene.say_until_well("member", "promote", scene.id_of("learner"))
        scene.say("member", "promote", scene.id_of("learner"))
        scene.say("put", "a", "3", at=learner)
        scene.say("member", "remove", scene.id_of("learner"))
        scene.say("member", "remove", scene.id_of("learner"))


def _run_full(scene: Scene) -> None:
    """NOSPACE, and the way out of it."""
    scene.fill()
    for one in scene.members:
        scene.say("put", "a", "4", at=one)
        scene.say("get", "a", "--print-value-only", at=one)
    status = scene.lead.etcdctl("get", "a", "-w", "json").stdout
    revision = str(json.loads(status)["header"]["revision"])
    scene.say("compact", "--physical", revision)
    scene.said.pop()  # how many puts there was room for is the engine's affair
    scene.say("defrag", "--cluster")
    for _ in scene.members:  # one may come late, raised by a put that was under way
        scene.say("alarm", "disarm")
        scene.said.pop()
    scene.say("alarm", "list")
    for one in scene.members:
        scene.say("put", "a", "5", at=one)


def test_maintenance_of_a_cluster_prints_the_same(tmp_path: Path):
    kinds = ("trioetcd", "etcd-3.5.1")
    with ThreadPoolExecutor(len(kinds)) as pool:  # most of it is waiting
        ours, theirs = pool.map(maintain, kinds, (tmp_path / kind for kind in kinds))
    for mine, its in zip(ours, theirs, strict=True):
        assert mine == its
