"""`--initial-cluster`: how it is read, and what no cluster begins with."""

from __future__ import annotations

import pytest

from actors.cluster.initial import (
    BadInitialCluster,
    check_bootstrap,
    check_join,
    parse_initial_cluster,
    show_initial_cluster,
)
from actors.cluster.urls import BadURL


def test_a_name_may_come_several_times():
    cluster = parse_initial_cluster("b=http://2:1,,a=http://3:1,a=http://1:1")
    assert cluster == {"a": ("http://1:1", "http://3:1"), "b": ("http://2:1",)}
    assert show_initial_cluster(cluster) == "a=http://1:1,a=http://3:1,b=http://2:1"
    assert parse_initial_cluster("") == {}


@pytest.mark.parametrize("text", ["a", "a=", "a=ftp://x:1", "a=http://x", "=127.0.0.1:1"])
def test_behind_every_name_stands_a_url(text: str):
    with pytest.raises(BadURL):
        parse_initial_cluster(text)


@pytest.mark.parametrize(
    ("text", "advertised", "words"),
    [
        (
            "b=http://b:1",
            ["http://a:1"],
            'couldn\'t find local name "a" in the initial cluster configuration',
        ),
        (
            "a=http://a:1,a=http://a:2",
            ["http://a:1"],
            "--initial-cluster has a=http://a:2 but missing from "
            "--initial-advertise-peer-urls=http://a:1",
        ),
        (
            "a=http://a:1",
            ["http://a:2", "http://a:1"],
            "--initial-advertise-peer-urls has http://a:2 but missing from "
            "--initial-cluster=a=http://a:1,a=http://a:2",
        ),
        (
            "b=http://a:1,a=http://a:1",
            ["http://a:1"],
            "initial cluster a=http://a:1,b=http://a:1 has duplicate url",
        ),
    ],
)
def test_what_no_cluster_begins_with(text: str, advertised: list[str], words: str):
    with pytest.raises(BadInitialCluster) as caught:
        check_bootstrap(parse_initial_cluster(text), "a", advertised)
    assert str(caught.value) == words


def test_who_joins_need_not_repeat_what_was_announced():
    cluster = parse_initial_cluster("a=http://a:1,b=http://b:1")
    check_bootstrap(cluster, "a", ["http://a:1"])
    check_join(cluster, "b")
    with pytest.raises(BadInitialCluster, match="couldn't find local name"):
        check_join(cluster, "c")
