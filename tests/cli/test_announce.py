"""The first lines of the log."""

from __future__ import annotations

import io
import json
from typing import Any

from trioetcd.cli.announce import announce, introduce
from trioetcd.cli.logs import LineLog
from trioetcd.config.load import load
from trioetcd.config.server import ServerConfig


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


def configured(*arguments: str, **environment: str) -> ServerConfig:
    return load(arguments, environment, no_file)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_how_it_was_started_comes_first_and_then_what_there_is_to_say():
    out = io.StringIO()
    config = configured("--name=a", ETCD_WAL_DIR="w", ETCD_ROOT_PASSWORD="p")
    introduce(config, LineLog([out]), ["--name=a"])
    assert [(line["level"], line["msg"]) for line in lines(out)] == [
        ("info", "Running: "),
        ("warn", "unrecognized environment variable"),
        ("info", "recognized and used environment variable"),
        ("warn", "'data-dir' was empty; using default"),
    ]
    assert lines(out)[0]["args"] == ["trioetcd", "serve", "--name=a"]
    assert lines(out)[-1]["data-dir"] == "a.etcd"


def announced(is_new: bool) -> list[dict[str, Any]]:
    out = io.StringIO()
    config = configured("--name=a", "--feature-gates=LeaseCheckpoint=true")
    announce(config, LineLog([out]), is_new)
    return lines(out)


def test_a_new_member_says_whom_it_begins_with():
    first, peers, clients, last = announced(is_new=True)
    assert (first["msg"], first["dir-type"]) == ("Initialize and start etcd server", "empty")
    assert peers["listen-peer-urls"] == ["http://localhost:2380"]
    assert clients["listen-client-urls"] == ["http://localhost:2379"]
    assert last["msg"] == "starting an etcd server"
    assert last["member-initialized"] is False
    assert last["initial-cluster"] == "a=http://localhost:2380"
    assert last["initial-cluster-token"] == "etcd-cluster"
    assert last["heartbeat-interval"] == "100ms"
    assert last["quota-backend-bytes"] == 2 << 30
    assert "LeaseCheckpoint=true" in last["feature-gates"]


def test_a_member_with_data_does_not():
    first, *_, last = announced(is_new=False)
    assert (first["msg"], first["dir-type"]) == (
        "server has already been initialized",
        "member",
    )
    assert last["member-initialized"] is True
    assert (last["initial-cluster"], last["initial-cluster-token"]) == ("", "")
