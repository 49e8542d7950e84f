"""Readable transcripts of small clusters: `scenarios/*.txt`.

A line that begins with `> ` is a command (the functions of `Scenario`), `#` a comment; what
follows a command is what it made the cluster do, and must come out the same.  To take new output
over, read its diff:  RAFT_UPDATE_SCENARIOS=1 pytest tests/raft/test_scenarios.py
Heartbeats are shown only when they carry a round of reads.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.raft.errors import RaftRefusal
from actors.raft.types import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Entry,
    HardState,
)
from tests.raft.cluster import Cluster

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))

_CHANGES = {
    "+": ConfChangeType.ADD_NODE,
    "-": ConfChangeType.REMOVE_NODE,
    "~": ConfChangeType.ADD_LEARNER,
}


class Scenario:
    """Runs one file; every public method is a command."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._cluster = Cluster(1)

    def run(self, text: str) -> str:
        out = []
        for line in text.splitlines():
            if line.startswith("> "):
                out.append(line)
                out += self._obey(line[2:].split())
            elif not line or line.startswith("#"):
                out.append(line)
        return "\n".join(out) + "\n"

    def _obey(self, words: list[str]) -> list[str]:
        self._lines = []
        try:
            getattr(self, words[0])(*words[1:])
        except RaftRefusal as refusal:
            self._lines.append(f"refused: {type(refusal).__name__}: {refusal}")
        return self._lines

    def _trace(self, line: str) -> None:
        if "HEARTBEAT" not in line or "round" in line:
            self._lines.append(line)

    # Commands

    def cluster(self, voters: str, *settings: str) -> None:
        """`cluster 3 spares=4,5 learners=6 lagging max_inflight_messages=2`"""
        options: dict[str, object] = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name in ("spares", "learners"):
                options[name] = [int(node) for node in value.split(",")]
            elif name == "lagging":
                options["auto"] = False
            else:
                options[name] = {"yes": True, "no": False}.get(value) or int(value)
        self._cluster = Cluster(int(voters), trace=self._trace, **options)  # type: ignore[arg-type]

    def give(self, node: str, *terms: str) -> None:
        """Start `node` with a log of these terms, and the last of them as its term."""
        member = self._cluster.members[int(node)]
        member.disk.entries = [Entry(0, int(term), i, b"") for i, term in enumerate(terms, 1)]
        member.disk.hard_state = HardState(max(map(int, terms)))
        member.start(self._cluster.now)

    def campaign(self, node: str) -> None:
        self._cluster.now += 2.0  # out of everyone's lease
        self._cluster.act(int(node), lambda raft: raft.campaign(self._cluster.now))

    def elect(self, node: str) -> None:
        """As `campaign` and `settle`, without the details."""
        before = len(self._lines)
        self._cluster.elect(int(node))
        del self._lines[before:]
        self._lines.append(f"{node} leads term {self._cluster[int(node)].term}")

    def settle(self) -> None:
        self._cluster.settle()

    def deliver(self) -> None:
        """What is in the network now, but not what it brings about."""
        self._cluster.deliver_all()

    def run_for(self, seconds: str) -> None:
        self._cluster.run(float(seconds))

    def propose(self, node: str, *datas: str) -> None:
        self._cluster.propose(int(node), *[data.encode() for data in datas])

    def conf(self, node: str, *changes: str) -> None:
        """`conf 1 +4 -3`: add a voter, remove one; `~5` adds a learner; `joint` and `leave`."""
        explicit = "joint" in changes
        singles = tuple(
            ConfChangeSingle(_CHANGES[change[0]], int(change[1:]))
            for change in changes
            if change[0] in _CHANGES
        )
        if len(singles) == 1 and not explicit:
            self._cluster.propose_conf_change(int(node), ConfChange(*singles[0]))
            return
        transition = ConfChangeTransition.JOINT_EXPLICIT if explicit else ConfChangeTransition.AUTO
        self._cluster.propose_conf_change(int(node), ConfChangeV2(singles, transition))

    def read(self, node: str) -> None:
        self._cluster.read(int(node))

    def transfer(self, node: str, to: str) -> None:
        self._cluster.transfer(int(node), int(to))

    def partition(self, *groups: str) -> None:
        """`partition 1,2 3`"""
        self._cluster.partition(*[[int(node) for node in group.split(",")] for group in groups])

    def heal(self) -> None:
        self._cluster.heal()

    def crash(self, node: str) -> None:
        self._cluster.crash(int(node))

    def restart(self, node: str) -> None:
        self._cluster.restart(int(node))

    def compact(self, node: str) -> None:
        self._cluster.compact(int(node))

    def write(self, node: str, count: str = "") -> None:
        """A lagging disk finishes its oldest writes, or all."""
        self._cluster.write(int(node), int(count) if count else None)

    def apply(self, node: str) -> None:
        self._cluster.apply(int(node))

    def logs(self) -> None:
        """The terms of each log; `|` ends what is committed."""
        for member in self._cluster.up:
            log = member.raft.log
            terms = [str(log.term(i)) for i in range(log.offset + 1, log.last_index + 1)]
            terms.insert(log.committed - log.offset, "|")
            start = f"(…{log.offset}) " if log.offset else ""
            self._lines.append(f"{member.id}: {start}{' '.join(terms)}")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_transcript_is_as_it_was(path: Path):
    before = path.read_text()
    after = Scenario().run(before)
    if os.environ.get("RAFT_UPDATE_SCENARIOS"):
        path.write_text(after)
    assert after == before or os.environ.get("RAFT_UPDATE_SCENARIOS")


def test_there_are_transcripts():
    assert len(SCENARIOS) >= 12
