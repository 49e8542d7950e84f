"""Debian's etcdctl cannot tell trioetcd from the etcd it comes with.

Both are started with the same flags, over TLS, one after the other since the flags name ports;
both are given the same commands; everything printed is the same.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop.commands import (
    FORMATS,
    LEASE,
    Printed,
    Terminal,
    VerbatimServer,
    make_certificates,
)

MEMBER = "d05e7521f6de6bab, started, infra0, https://127.0.0.1:12380, https://127.0.0.1:12379"
CLUSTER_ID, MEMBER_ID = 9009280429028817385, 15014566996435954603
COMPARED = 'mod("a") > "0"\nvalue("b") = "nothing"\n'
TXN = f"{COMPARED}\nput won a\nget b\n\nput lost b\nget a\ndel nobody\n\n"
REPLAY = "PUT\nkey\n1\nPUT\nkey\n2\nDELETE\nkey\n"


def keys(terminal: Terminal) -> list[Printed]:
    """put, get and del, in every format."""
    run = terminal.run
    found = [run("put key 1"), run("put key 2"), run("del key")]
    found += [run(f"put {key} {number}") for number, key in enumerate(("a", "b", "ab", "c"))]
    for shape in FORMATS:
        found += [
            run(f"put a {shape} -w {shape}"),
            run(f"put a {shape}2 --prev-kv -w {shape}"),
            run(f"get a -w {shape}"),
            run(f"get a --prefix -w {shape}"),
            run(f"get none -w {shape}"),
            run(f"del none -w {shape}"),
            run(f"txn -w {shape}", stdin=TXN),
            run(f"put gone {shape}"),
            run(f"del gone --prev-kv -w {shape}"),
        ]
    return found


def ranges(terminal: Terminal) -> list[Printed]:
    return [
        terminal.run(command)
        for command in (
            *(
                "get a --from-key --keys-only",
                "get --prefix a --limit=1",
                "get a d --order=DESCEND",
            ),
            *("get --from-key a --sort-by=MODIFY", "get a --hex"),
            "get a --print-value-only",
            *("get key --rev=2", "get a --rev=100000", "get --prefix a --consistency=s"),
            *("get --from-key b --sort-by=VALUE --order=ASCEND", "put onlykey", "get"),
            *("put b x --ignore-value", "put none --ignore-value", "put b --ignore-value"),
            *("put b 2 --lease=1234", "del b --prefix --from-key", "del x y", "del --prefix ab"),
        )
    ]


def watches(terminal: Terminal) -> list[Printed]:
    """From the beginning; and PUT PUT DELETE of one key in the other formats."""
    follow = terminal.follow
    return [
        follow("watch key --rev=1", b"key", 3),
        follow("watch key --rev=2 --prev-kv", b"key", 5),
        follow("watch key --rev=2 -w json", b"*"),
        follow("watch key --rev=2 -w fields", b'"Lease" : 0', 3),
        follow("watch a --prefix --rev=5", b"ab"),
    ]


def compactions(terminal: Terminal) -> list[Printed]:
    """What can be read no longer; a watch from before."""
    run = terminal.run
    return [
        *(run("compaction 4"), run("compaction 4"), run("compaction 5 --physical")),
        *(run("compaction 100000"), run("compaction x"), run("get key --rev=3")),
        *(run("watch key --rev=1"), run("get a --rev=7"), run("endpoint hashkv --rev=8")),
        *(run("endpoint hashkv"), run("endpoint hashkv -w json")),
    ]


def leases(terminal: Terminal) -> list[Printed]:
    run = terminal.run
    found = [run("lease grant 10"), run(f"put on1 1 --lease={LEASE}")]
    # Which of two keys comes first is chance with Go's etcd.
    found += [run(f"put on2 2 --lease={LEASE}"), run("put on2 3"), run("lease list")]
    for shape in FORMATS:
        found += [
            run(f"lease timetolive {LEASE} -w {shape}"),
            run(f"lease timetolive {LEASE} --keys -w {shape}"),
            run(f"lease keep-alive {LEASE} --once -w {shape}"),
            run(f"lease list -w {shape}"),
        ]
    found += [terminal.follow(f"lease keep-alive {LEASE}", b"*")]
    found += [run("get on --prefix -w json"), run(f"lease revoke {LEASE}"), run("get on --prefix")]
    found += [run(f"lease revoke {LEASE}"), run(f"lease timetolive {LEASE}"), run("lease list")]
    found += [run(f"lease keep-alive {LEASE} --once"), run("lease revoke x"), run("lease grant 0x")]
    return found


def expiry(terminal: Terminal) -> list[Printed]:
    """A key goes with its lease, and a watcher is told."""
    found = [terminal.run("lease grant 1")]
    found += [terminal.run(f"put brief 1 --lease={LEASE} -w json")]
    revision = json.loads(found[-1].out)["header"]["revision"]
    found += [terminal.follow(f"watch brief --rev={revision}", b"brief", times=2)]
    return [*found, terminal.run("get brief"), terminal.run(f"lease timetolive {LEASE}")]


def members(terminal: Terminal) -> list[Printed]:
    commands = [f"member list -w {shape}" for shape in FORMATS]
    commands += ["endpoint health", "endpoint health -w json", "alarm list", "alarm disarm"]
    commands += ["defrag", "move-leader 1", "check datascale --load=x", "get --bad"]
    return [terminal.run(command) for command in commands]


def locks(terminal: Terminal) -> list[Printed]:
    """Its lease, whose id is in the key, is left behind."""
    return [terminal.run("lock name env-of-this-is-no-program"), terminal.run("lock name true")]


def stranger(terminal: Terminal) -> list[Printed]:
    """A client without a certificate."""
    without = replace(terminal, certificate=False)
    brief = "--dial-timeout=1s --command-timeout=1s"
    refused = [without.run(f"{command} {brief}") for command in ("get a", "put a stranger")]
    return [*refused, terminal.run("get a")]


FIRST_LIFE = (members, keys, ranges, watches, compactions, leases, expiry, stranger)
SECOND_LIFE = (members, keys, leases, expiry, locks)  # after kill -9 and a restart
Transcript = dict[str, list[Printed]]


def transcript(kind: str, home: Path) -> Transcript:
    make_certificates(home)
    server = VerbatimServer(kind, home)
    found = {}
    try:
        server.start()
        terminal = Terminal(home)
        found.update({part.__name__: part(terminal) for part in FIRST_LIFE})
        server.restart()
        found.update({f"{part.__name__} again": part(terminal) for part in SECOND_LIFE})
    finally:
        server.kill()
    return found


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    return transcript("trioetcd", tmp_path_factory.mktemp("trioetcd"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    return transcript("etcd-3.4.23", tmp_path_factory.mktemp("etcd"))


PARTS = [part.__name__ for part in FIRST_LIFE] + [f"{part.__name__} again" for part in SECOND_LIFE]


@pytest.mark.parametrize("part", PARTS)
def test_it_prints_the_same(part: str, ours: Transcript, theirs: Transcript):
    different = [f"{a}\n{b}" for a, b in zip(ours[part], theirs[part], strict=True) if a != b]
    assert not different, "\n\n".join(different)


def printed(found: list[Printed], command: str) -> str:
    return next(one for one in found if one.command == command).out.decode()


@pytest.mark.parametrize("part", ["members", "members again"])
def test_the_ids_are_those_that_etcd_makes_of_the_flags(part: str, ours: Transcript):
    assert printed(ours[part], "member list -w simple").startswith(MEMBER)
    listed = json.loads(printed(ours[part], "member list -w json"))
    assert listed["header"]["cluster_id"] == CLUSTER_ID
    assert listed["header"]["member_id"] == listed["members"][0]["ID"] == MEMBER_ID


def test_a_watch_from_the_first_revision_replays_put_put_delete(ours: Transcript):
    assert printed(ours["watches"], "watch key --rev=1") == REPLAY


@pytest.mark.parametrize("part", ["expiry", "expiry again"])
def test_a_key_goes_with_its_lease(part: str, ours: Transcript):
    watched, key, lease = ours[part][2:]
    assert watched.out.splitlines()[-2:] == [b"DELETE", b"brief"]
    assert (key.out, lease.out) == (b"", b"lease <lease> already expired\n")


def test_a_client_without_a_certificate_is_refused(ours: Transcript):
    get, put, after = ours["stranger"]
    assert (get.status, put.status) == (1, 1)
    assert (get.out, put.out) == (b"", b"")
    assert b"stranger" not in after.out
