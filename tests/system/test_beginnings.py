"""How processes come to a cluster, and what they do when it is not as it was."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop.etcd_process import EtcdFailed, free_port
from tests.interop.processes import READY_SECONDS, Server
from tests.interop.trio_of_servers import LOOK_SECONDS, NAMES, Trio, started, until_one_leads
from tests.wire.certificates import Authority


def until_said(server: Server, words: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not any(words in line for line in list(server.log)):
        assert time.monotonic() < deadline, f"{words!r} is not in the log"
        time.sleep(LOOK_SECONDS)


def members_of(server: Server) -> list[dict[str, object]]:
    return json.loads(server.etcdctl("member", "list", "-w", "json").stdout)["members"]


def value_of(server: Server, key: str) -> str:
    return server.etcdctl("get", key, "--print-value-only").stdout.strip()


def test_one_of_three_goes_on_alone_with_what_it_has(tmp_path: Path):
    trio = Trio(tmp_path)
    members = [trio.member(name) for name in NAMES]
    with started(members) as (a, b, _):
        a.etcdctl("put", "kept", "1")
        assert value_of(b, "kept") == "1"
    alone = trio.member("b", "--force-new-cluster")
    with started([alone]):
        assert value_of(alone, "kept") == "1"
        assert [one["name"] for one in members_of(alone)] == ["b"]
        alone.etcdctl("put", "more", "2")
        alone.kill()
        again = trio.member("b")  # the flag is for once
        with started([again]):
            assert value_of(again, "more") == "2"
            assert len(members_of(again)) == 1


def test_a_member_that_dies_while_it_joins_joins_when_it_is_started_again(tmp_path: Path):
    trio = Trio(tmp_path)
    first = Server(
        "trioetcd",
        tmp_path / "a",
        [
            f"--listen-peer-urls={trio.urls['a']}",
            f"--initial-advertise-peer-urls={trio.urls['a']}",
            f"--initial-cluster=a={trio.urls['a']}",
        ],
        name="a",
    )
    with started([first]):
        first.etcdctl("put", "early", "1")
        first.etcdctl("member", "add", "b", f"--peer-urls={trio.urls['b']}")
        both = ",".join(f"{name}={trio.urls[name]}" for name in "ab")
        joining = trio.member("b", f"--initial-cluster={both}", "--initial-cluster-state=existing")
        joining.home.mkdir()
        lines = 1
        while joining.kill_while_starting(lines):  # a line later each time, until it is ready
            lines += 3
        with started([joining]):
            assert value_of(joining, "early") == "1"
            assert {one["name"] for one in members_of(joining)} == {"a", "b"}


def test_members_talk_over_tls_with_certificates_made_on_the_spot(tmp_path: Path):
    trio = Trio(tmp_path, "https")
    with started([trio.member(name, "--peer-auto-tls") for name in NAMES]) as (a, b, _):
        a.etcdctl("put", "x", "1")
        assert value_of(b, "x") == "1"
    assert (tmp_path / "a" / "data" / "fixtures" / "peer").is_dir()


def test_a_peer_of_another_name_is_not_let_in(tmp_path: Path):
    ca = Authority(tmp_path)
    trio = Trio(tmp_path, "https")

    def member(name: str, common_name: str) -> Server:
        pair = ca.issue(name, common_name=common_name)
        return trio.member(
            name,
            f"--peer-cert-file={pair.cert_file}",
            f"--peer-key-file={pair.key_file}",
            f"--peer-trusted-ca-file={ca.ca_file}",
            "--peer-client-cert-auth",
            "--peer-cert-allowed-cn=etcd",
        )

    with started([member("a", "etcd"), member("b", "etcd")]) as (a, b):
        a.etcdctl("put", "x", "1")
        assert value_of(b, "x") == "1"
        stranger = member("c", "somebody")
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(stranger.start)
            until_said(a, "client certificate authentication failed")
            b.etcdctl("put", "x", "2")  # the others are a majority
            status = json.loads(a.etcdctl("endpoint", "status", "-w", "json").stdout)
            assert status[0]["Status"]["leader"]
            assert not starting.done()
            stranger.kill()
            with pytest.raises(EtcdFailed):
                starting.result()
        assert value_of(a, "x") == "2"


def test_a_member_moves_to_another_url(tmp_path: Path):
    trio = Trio(tmp_path)
    with started([trio.member(name) for name in NAMES]) as (a, b, c):
        moving = next(one for one in members_of(a) if one["name"] == "c")
        new = f"http://127.0.0.1:{free_port()}"
        shown = f"{moving['ID']:x}"
        a.etcdctl("member", "update", shown, f"--peer-urls={new}")
        c.kill()
        until_one_leads([a, b])
        a.etcdctl("put", "meanwhile", "1")
        moved = Server(
            "trioetcd",
            c.home,
            [
                f"--listen-peer-urls={new}",
                f"--initial-advertise-peer-urls={new}",
                f"--initial-cluster={trio.initial}",
            ],
            name="c",
        )
        with started([moved]):
            assert value_of(moved, "meanwhile") == "1"
            b.kill()  # now it is needed
            until_one_leads([a, moved])
            moved.etcdctl("put", "y", "2")
            assert value_of(a, "y") == "2"
