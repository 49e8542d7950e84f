"""From a command line, an environment or a file to a configuration, in etcd's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.cluster.initial import parse_initial_cluster
from actors.cluster.urls import BadURL
from trioetcd.config.flags import BY_NAME, FLAGS
from trioetcd.config.help import full_help
from trioetcd.config.load import load
from trioetcd.config.server import ServerConfig
from trioetcd.config.sources import (
    ConfigError,
    HelpAsked,
    UsageError,
    VersionAsked,
    read_command_line,
    read_environment,
)


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


def configured(*arguments: str) -> ServerConfig:
    return load(arguments, {}, no_file)


def test_defaults_are_etcds():
    config = configured()
    assert config.node.name == "default"
    assert config.node.data_dir == Path("default.etcd")
    assert config.node.initial_cluster == {"default": ("http://localhost:2380",)}
    assert config.node.retention.snapshot_count == 10_000
    assert config.node.max_request_bytes == 1_572_864
    assert config.listen.client_urls == ("http://localhost:2379",)
    assert config.listen.limits.message_bytes == 2_097_152
    assert config.listen.keep_alive.min_time == 5.0
    assert config.node.request_timeout == 7.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "x", "--peer-client-cert-auth", "--snapshot-count=7"],
        ["-name=x", "-peer-client-cert-auth=true", "-snapshot-count", "7"],
        ["--name=x", "--peer-client-cert-auth=1", "--snapshot-count=0x7"],
    ],
)
def test_gos_forms_of_flags_mean_the_same(arguments: list[str]):
    config = configured(*arguments)
    assert config.node.name == "x"
    assert config.node.data_dir == Path("x.etcd")
    assert config.listen.peer_tls.client_cert_auth
    assert config.node.retention.snapshot_count == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bogus"], "flag provided but not defined: -bogus"),
        (["--snapshot-count=x"], 'invalid value "x" for flag -snapshot-count: parse error'),
        (
            ["--client-cert-auth=maybe"],
            'invalid boolean value "maybe" for -client-cert-auth: parse error',
        ),
        (["--name"], "flag needs an argument: -name"),
        (
            ["--initial-cluster-state=x"],
            'invalid value "x" for flag -initial-cluster-state: invalid value',
        ),
        (
            ["--grpc-keepalive-min-time=5"],
            'invalid value "5" for flag -grpc-keepalive-min-time: parse error',
        ),
        (
            ["--feature-gates=Nope=true"],
            'invalid value "Nope=true" for flag -feature-gates: unrecognized feature gate: Nope',
        ),
        (
            ["--advertise-client-urls=ftp://x:1"],
            'invalid value "ftp://x:1" for flag -advertise-client-urls: '
            "URL scheme must be http, https, unix, or unixs: ftp://x:1",
        ),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
    ],
)
def test_what_is_not_understood_is_said_in_gos_words(arguments: list[str], words: str):
    with pytest.raises(UsageError) as caught:
        read_command_line(arguments)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extra"], "'extra' is not a valid flag"),
        (["--client-cert-auth", "maybe"], "'maybe' is not a valid flag"),
        (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (
            ["--heartbeat-interval=200", "--election-timeout=500"],
            "--election-timeout[500ms] should be at least as 5 times as "
            "--heartbeat-interval[200ms]",
        ),
        (
            ["--election-timeout=60000"],
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        (["--auto-compaction-mode=x"], 'unknown auto-compaction-mode "x"'),
        (
            ["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            ["--listen-client-urls=http://foo:1", "--advertise-client-urls=http://foo:1"],
            "expected IP in URL for binding (http://foo:1)",
        ),
        (
            ["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://h:1"],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url "
            "https://127.0.0.1:1 with HTTPS scheme",
        ),
        (
            ["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
            "LeaseCheckpoint",
        ),
    ],
)
def test_what_cannot_be_is_said_in_etcds_words(arguments: list[str], words: str):
    with pytest.raises(ConfigError) as caught:
        configured(*arguments)
    assert str(caught.value).startswith(words)


def test_help_names_every_flag_that_does_something():
    with pytest.raises(HelpAsked):
        read_command_line(["-h"])
    text = full_help()
    assert all(f"--{flag.name} " in text for flag in FLAGS if flag.section != "Ignored")


def test_experimental_names_are_the_flags_without_the_prefix():
    config = configured("--experimental-watch-progress-notify-interval=5s")
    assert config.node.watch_progress_interval == 5.0


def test_an_experimental_flag_may_be_a_gate():
    config = configured("--experimental-enable-lease-checkpoint=true")
    assert config.gates["LeaseCheckpoint"]
    assert config.node.lease_checkpoints


def test_the_environment_fills_in_what_the_command_line_leaves_out():
    given = read_environment(
        {"ETCD_NAME": "env", "ETCD_DATA_DIR": "", "ETCD_ROOT_PASSWORD": "x", "PATH": "/bin"}, {}
    )
    assert given.values == {"name": "env"}
    used, unknown = given.remarks
    assert used.message == "recognized and used environment variable"
    assert used.fields == {"variable_name": "ETCD_NAME", "variable_value": "env"}
    assert unknown.message == "unrecognized environment variable"
    assert unknown.fields == {"environment_variable": "ETCD_ROOT_PASSWORD"}
    assert unknown.is_warning
    assert not used.is_warning


def test_a_variable_and_a_flag_conflict():
    with pytest.raises(ConfigError, match='conflicting environment variable "ETCD_NAME" is sha'):
        read_environment({"ETCD_NAME": "env"}, {"name": "flag"})


def test_a_file_is_the_only_source():
    config = load(
        ["--config-file=etcd.yml", "--name=flag"],
        {"ETCD_NAME": "variable", "ETCD_DATA_DIR": "/elsewhere"},
        {"etcd.yml": "name: file"}.__getitem__,
    )
    assert config.node.name == "file"
    assert config.node.data_dir == Path("file.etcd")


def test_a_file_may_be_named_by_a_variable_and_must_be_there():
    with pytest.raises(ConfigError, match=r"^open etcd\.yml: no such file or directory$"):
        load([], {"ETCD_CONFIG_FILE": "etcd.yml"}, no_file)


def test_the_version_is_asked_for_by_a_flag():
    with pytest.raises(VersionAsked):
        configured("--version", "--name=x")


def test_flags_without_effect_are_named_in_one_remark():
    vain = ("--enable-distributed-tracing", "--raft-read-timeout=9s", "--bcrypt-cost=10")
    config = configured("--data-dir=d", *vain)
    (remark,) = config.remarks
    assert remark.message == "flags without effect in this release"
    assert remark.fields == {"flags": ["--enable-distributed-tracing", "--raft-read-timeout"]}


def test_members_may_have_several_urls():
    assert parse_initial_cluster("a=http://1:1,b=http://2:1,a=http://3:1") == {
        "a": ("http://1:1", "http://3:1"),
        "b": ("http://2:1",),
    }
    with pytest.raises(BadURL):
        parse_initial_cluster("a")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_can_be_given_its_own_default(flag):
    shown = flag.default
    if isinstance(shown, tuple):
        shown = ",".join(shown)
    elif isinstance(shown, bool):
        shown = str(shown).lower()
    elif shown == {}:
        shown = ""
    elif isinstance(shown, float):
        shown = f"{shown}s"
    assert read_command_line([f"--{flag.name}={shown}"]) in ({flag.name: flag.default}, {})


DEPLOYED = """name data-dir listen-client-urls advertise-client-urls listen-peer-urls
    initial-advertise-peer-urls initial-cluster initial-cluster-state initial-cluster-token
    cert-file key-file trusted-ca-file client-cert-auth peer-cert-file peer-key-file
    peer-trusted-ca-file peer-client-cert-auth listen-metrics-urls snapshot-count
    experimental-watch-progress-notify-interval experimental-initial-corrupt-check
    feature-gates quota-backend-bytes auto-compaction-mode auto-compaction-retention
    enable-v2 enable-grpc-gateway logger log-outputs log-level auto-tls peer-auto-tls
    max-request-bytes strict-reconfig-check pre-vote metrics auth-token bcrypt-cost
    listen-client-http-urls heartbeat-interval election-timeout"""


@pytest.mark.parametrize("name", DEPLOYED.split())
def test_flags_that_deployments_pass_are_known(name: str):
    """kubeadm, k3s, Patroni, Bitnami's image."""
    assert name in BY_NAME
