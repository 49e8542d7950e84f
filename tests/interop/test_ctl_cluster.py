"""`trioetcd ctl` and etcdctl at a cluster of three, one of whose members then goes."""

from __future__ import annotations

import re
from pathlib import Path

from tests.interop.ctl_terminals import Etcdctl, Ours, Terminal
from tests.interop.ctl_words import FORMATS
from tests.interop.trio_of_servers import NAMES, Trio, started, until_one_leads

LINES = (
    *("member list", "endpoint status --cluster", "endpoint hashkv --cluster", "defrag --cluster"),
    *("--endpoints ALL endpoint status", "--endpoints ALL endpoint hashkv", "move-leader 1"),
    *("endpoint health --cluster", "--endpoints ALL endpoint health"),
    "--endpoints FOLLOWER move-leader 1",
)
ONE_IS_GONE = (
    "--command-timeout=300ms endpoint status --cluster",
    "--command-timeout=300ms endpoint health --cluster",
    "--command-timeout=300ms endpoint hashkv --cluster",
    "--command-timeout=300ms defrag --cluster",
)


def told(terminal: Terminal, line: str, shape: str, places: dict[str, str]) -> tuple[object, ...]:
    """But for how long it took, and sizes, which grow; healths come in no order."""
    for name, place in places.items():
        line = line.replace(name, place)
    words = line.split()
    if "--endpoints" not in words:
        words = ["--endpoints", places["LEADER"], *words]
    status, out, err = terminal.program(["-w", shape, *words], b"", {})
    lines = []
    for found in (out, err):
        shown = re.sub(rb'\{"level":"warn"[^\n]*\n', b"", found)
        shown = re.sub(rb"[\d.]+(m|\xc2\xb5)?s\b *", b"N", shown)
        shown = re.sub(rb'\d+ [kM]?B\b|(?<="dbSize":)\d+|(?<="dbSizeInUse":)\d+', b"N", shown)
        shown = re.sub(rb'(?<="DBSize" : )\d+', b"N", shown)
        shown = re.sub(rb" +|-+", b" ", shown)
        parts = re.split(rb"\n\n|\n|(?<=\}),", shown) if "health" in line else [shown]
        lines.append(sorted(part.strip(b"[] ") for part in parts))
    return status, *lines


def test_a_cluster_is_shown_as_etcdctl_shows_it(tmp_path: Path):
    trio = Trio(tmp_path)
    with started([trio.member(name) for name in NAMES]) as members:
        leader = until_one_leads(members)
        follower, other = (one for one in members if one is not leader)
        leader.etcdctl("put", "a", "1")
        places = {
            "ALL": ",".join(one.address for one in members),
            "LEADER": leader.address,
            "FOLLOWER": follower.address,
        }
        etcdctl, ours = Etcdctl(leader), Ours(leader)
        for shape in FORMATS:
            for line in LINES:
                assert told(ours, line, shape, places) == told(etcdctl, line, shape, places), line
        other.kill()
        for line in ONE_IS_GONE:
            expected = told(etcdctl, line, "simple", places)
            assert told(ours, line, "simple", places) == expected
            assert expected[0] == 1


def test_the_leadership_is_handed_over(tmp_path: Path):
    trio = Trio(tmp_path)
    with started([trio.member(name) for name in NAMES]) as members:
        for kind in (Ours, Etcdctl):
            leader = until_one_leads(members)
            target = next(one for one in members if one is not leader)
            listed = leader.etcdctl("member", "list").stdout
            ids = {
                one: re.findall(r"(\w+), started, " + name, listed)[0]
                for name, one in zip(NAMES, members, strict=True)
            }
            everywhere = ",".join(one.address for one in members)
            words = ["--endpoints", everywhere, "move-leader", ids[target]]
            done = kind(leader).program(words, b"", {})
            said = f"Leadership transferred from {ids[leader]} to {ids[target]}\n"
            assert done == (0, said.encode(), b"")
            assert until_one_leads(members) is target
