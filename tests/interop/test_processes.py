"""The harness itself: every kind of server starts, answers, survives kill -9, and ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.interop.etcd_process import EtcdFailed
from tests.interop.processes import KINDS, Server, running


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_put_before_kill_is_there_after_a_restart(kind: str, tmp_path: Path):
    with running(kind, tmp_path) as server:
        assert server.etcdctl("put", "key", "value").stdout == "OK\n"
        server.restart()
        assert server.etcdctl("get", "key").stdout == "key\nvalue\n"


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_a_server_by_that_signal(kind: str, tmp_path: Path):
    with running(kind, tmp_path) as server:
        assert server.stop() == -signal.SIGTERM
        assert not server.is_running


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_cannot_start_says_why(kind: str, tmp_path: Path):
    with pytest.raises(EtcdFailed, match="no-such-flag"):
        Server(kind, tmp_path, ["--no-such-flag"]).start()


def test_servers_that_advertise_the_same_peer_url_have_the_same_ids(tmp_path: Path):
    listings = set()
    for kind in KINDS:
        with running(kind, tmp_path / kind, peer_url="http://127.0.0.1:2380") as server:
            listings.add(server.etcdctl("member", "list").stdout.rpartition(", http")[0])
    assert len(listings) == 1, listings
