"""Settings that do not go together, and what is possible and worth a remark."""

from __future__ import annotations

import pytest

from trioetcd.config.gates import DEFAULTS, all_gates
from trioetcd.config.load import load
from trioetcd.config.server import ServerConfig
from trioetcd.config.sources import ConfigError


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


def configured(*arguments: str) -> ServerConfig:
    return load(["--data-dir=d", *arguments], {}, no_file)


ADVERTISED = "--advertise-client-urls=http://h:1"
MANY = (
    'multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", '
    '"discovery-endpoints" or "discovery-srv"'
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
        (["--listen-peer-urls=http://h:1"], "expected IP in URL for binding (http://h:1)"),
        (["--listen-metrics-urls=http://h:1"], "expected IP in URL for binding (http://h:1)"),
        (["--listen-client-http-urls=http://:1"], "expected IP in URL for binding (http://:1)"),
        (
            ["--initial-advertise-peer-urls=http://:1"],
            '--initial-advertise-peer-urls "http://:1" must be "host:port" '
            "(unexpected empty host (http://:1))",
        ),
        (
            ["--advertise-client-urls=http://:1"],
            '--advertise-client-urls "http://:1" must be in the format "host:port", '
            '"unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host (http://:1))',
        ),
        (
            [
                "--listen-client-urls=http://127.0.0.1:1",
                ADVERTISED,
                "--listen-client-http-urls=http://127.0.0.1:1",
            ],
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url "
            "http://127.0.0.1:1",
        ),
        (
            ["--listen-client-urls="],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (["--initial-cluster=a=http://h:1", "--discovery-srv=example.com"], MANY),
        (["--discovery-srv=example.com", "--discovery-endpoints=http://h:1"], MANY),
        (["--discovery-token=t"], "both --discovery-token and --discovery-endpoints must be set"),
        (
            ["--discovery-endpoints=http://h:1"],
            "both --discovery-token and --discovery-endpoints must be set",
        ),
        (
            ["--initial-cluster=a=foo"],
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: foo",
        ),
        (["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (
            ["--compact-hash-check-time=0"],
            "--compact-hash-check-time must be >0 (set to 0s)",
        ),
        (
            ["--feature-gates=LeaseCheckpoint=true", "--experimental-enable-lease-checkpoint"],
            "cannot specify both flags: --experimental-enable-lease-checkpoint=true and "
            "--feature-gates=LeaseCheckpoint=true at the same time, please just use "
            "--feature-gates=LeaseCheckpoint=true",
        ),
        (["--proxy=on"], "--proxy is not offered: this server has no v2 proxy"),
        (
            ["--discovery-fallback=proxy"],
            'v2 proxy is deprecated, and --discovery-fallback can\'t be configured as "proxy"',
        ),
        (
            ["--discovery=http://h:1"],
            "--discovery is not offered: the v2 discovery service is gone",
        ),
    ],
)
def test_what_cannot_be_is_said_in_etcds_words(arguments: list[str], words: str):
    with pytest.raises(ConfigError) as caught:
        configured(*arguments)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen-peer-urls=http://localhost:1"],
        ["--listen-peer-urls=http://[::1]:1"],
        ["--listen-peer-urls=http://[fe80::1%25eth0]:1"],
        ["--listen-metrics-urls=unix:///run/metrics"],
        ["--heartbeat-interval=200", "--election-timeout=1000"],
        ["--election-timeout=50000"],
        ["--discovery-token=t", "--discovery-endpoints=http://h:1"],
        ["--discovery-srv=example.com", "--initial-cluster="],
        ["--discovery-fallback=exit", "--proxy=off"],
    ],
)
def test_what_can_be(arguments: list[str]):
    assert configured(*arguments).remarks == ()


@pytest.mark.parametrize(
    ("mode", "text", "kept"),
    [
        ("periodic", "0", 0),
        ("periodic", "", 0),
        ("periodic", "2", 7200),
        ("periodic", "010", 36_000),
        ("periodic", "+1", 3600),
        ("periodic", "5m", 300),
        ("revision", "1000", 1000),
    ],
)
def test_history_is_kept_for_hours_a_duration_or_revisions(mode: str, text: str, kept: float):
    compaction = configured(
        f"--auto-compaction-mode={mode}", f"--auto-compaction-retention={text}"
    ).node.compaction
    assert compaction.by_revision is (mode == "revision")
    assert compaction.retention == kept


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        ("periodic", "x", 'time: invalid duration "x"'),
        ("periodic", "-1", 'time: missing unit in duration "-1"'),
        ("periodic", "5d", 'time: unknown unit "d" in duration "5d"'),
        ("revision", "5m", 'not a number of revisions: "5m"'),
    ],
)
def test_a_retention_that_is_none(mode: str, text: str, words: str):
    with pytest.raises(ConfigError) as caught:
        configured(f"--auto-compaction-mode={mode}", f"--auto-compaction-retention={text}")
    assert str(caught.value) == f"error parsing CompactionRetention: {words}"


@pytest.mark.parametrize(
    ("arguments", "message", "is_warning"),
    [
        (["--data-dir="], "'data-dir' was empty; using default", True),
        (["--max-request-bytes=20000000"], "exceeded recommended request limit", True),
        (["--quota-backend-bytes=9000000000"], "quota exceeds the maximum value", True),
        (
            ["--feature-gates=LeaseCheckpoint=true"],
            "Detected that checkpointing is enabled without persistence. Consider enabling "
            "feature gate LeaseCheckpointPersist",
            True,
        ),
        (["--enable-v2"], "--enable-v2 has no effect: this server has no v2 API", True),
    ],
)
def test_what_is_possible_and_worth_a_remark(arguments: list[str], message: str, is_warning: bool):
    (remark,) = configured(*arguments).remarks
    assert (remark.message, remark.is_warning) == (message, is_warning)


def test_timeouts_between_members_are_five_seconds_at_least():
    config = configured("--raft-read-timeout=1s", "--raft-write-timeout=7s")
    assert config.cluster.peer_read_timeout == 5.0
    assert config.cluster.peer_write_timeout == 7.0
    raised = "raft-read-timeout increased to minimum value: 5s"
    assert [remark.is_warning for remark in config.remarks if remark.message == raised] == [False]


def test_an_initial_cluster_that_is_given_empty_names_nobody():
    assert configured("--initial-cluster=").node.initial_cluster == {}


def test_zero_is_the_default_where_zero_makes_no_sense():
    config = configured(
        "--compaction-batch-limit=0",
        "--compaction-sleep-interval=0",
        "--backend-batch-limit=0",
        "--backend-batch-interval=0",
        "--self-signed-cert-validity=0",
    )
    assert (config.node.compaction.batch_keys, config.node.compaction.pause) == (0, 0)
    assert (config.node.batch_rows, config.node.batch_interval) == (10_000, 0.1)
    assert config.listen.certificate_years == 1


def test_a_group_of_gates_sets_those_that_are_not_named():
    gates = all_gates({"AllAlpha": True, "InitialCorruptCheck": False, "AllBeta": False})
    assert gates["CompactHashCheck"]
    assert not gates["InitialCorruptCheck"]
    assert not gates["FastLeaseKeepAlive"]
    assert all_gates({}) == DEFAULTS
