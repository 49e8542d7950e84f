"""From a command line, an environment or a file to a configuration, in etcd's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trioetcd.config.flags import BY_NAME, FLAGS
from trioetcd.config.server import ServerConfig, build, parse_initial_cluster
from trioetcd.config.sources import (
    ConfigError,
    Given,
    HelpAsked,
    UsageError,
    full_help,
    read_command_line,
    read_environment,
    read_file,
)


def configured(*arguments: str) -> ServerConfig:
    return build(Given(read_command_line(arguments)))


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
        ["--name", "x", "--client-cert-auth", "--snapshot-count=7"],
        ["-name=x", "-client-cert-auth=true", "-snapshot-count", "7"],
        ["--name=x", "--client-cert-auth=1", "--snapshot-count=0x7"],
    ],
)
def test_gos_forms_of_flags_mean_the_same(arguments: list[str]):
    config = configured(*arguments)
    assert config.node.name == "x"
    assert config.node.data_dir == Path("x.etcd")
    assert config.listen.client_tls.client_cert_auth
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
            ["--name=foo", "--initial-cluster=bar=http://localhost:2380"],
            'couldn\'t find local name "foo" in the initial cluster configuration',
        ),
        (
            ["--initial-cluster=default=http://localhost:2381"],
            "--initial-cluster has default=http://localhost:2381 but missing from "
            "--initial-advertise-peer-urls=http://localhost:2380",
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
        (["--feature-gates=Nope=true"], "unrecognized feature gate: Nope"),
        (["--enable-v2"], "--enable-v2 is not offered: this server has no v2 API"),
        (["--advertise-client-urls=ftp://x:1"], "URL scheme must be http, https, unix, or unixs"),
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
    values, warnings = read_environment(
        {"ETCD_NAME": "env", "ETCD_DATA_DIR": "", "ETCD_ROOT_PASSWORD": "x", "PATH": "/bin"}, {}
    )
    assert values == {"name": "env"}
    assert warnings == ["unrecognized environment variable ETCD_ROOT_PASSWORD=x"]


def test_a_variable_and_a_flag_conflict():
    with pytest.raises(ConfigError, match='conflicting environment variable "ETCD_NAME" is sha'):
        read_environment({"ETCD_NAME": "env"}, {"name": "flag"})


def test_a_file_is_yaml_with_nanoseconds_and_sections():
    text = """
name: s1
data-dir: /var/lib/etcd
heartbeat-interval: 500
election-timeout: 5000
grpc-keepalive-min-time: 6000000000
listen-client-urls: https://127.0.0.1:2379,https://127.0.0.2:2379
advertise-client-urls: https://127.0.0.1:2379
log-outputs: [stderr]
cert-file: ignored-at-the-top.pem
unknown-key: 1
client-transport-security:
  cert-file: server.pem
  key-file: server-key.pem
  client-cert-auth: true
  trusted-ca-file: ca.pem
peer-transport-security:
  allowed-cn: [a, b]
socket-options: {reuse-port: true}
"""
    config = build(Given(read_file(text, "etcd.yml")))
    assert config.node.name == "s1"
    assert config.node.election_timeout == 5.0
    assert config.listen.keep_alive.min_time == 6.0
    assert len(config.listen.client_urls) == 2
    assert config.log.outputs == ("stderr",)
    assert config.listen.client_tls.cert_file == "server.pem"
    assert config.listen.client_tls.client_cert_auth
    assert config.listen.peer_tls.allowed_cn == ("a", "b")
    assert config.listen.reuse_port


def test_a_file_may_be_json():
    assert read_file(json.dumps({"name": "j", "pre-vote": False}), "x") == {
        "name": "j",
        "pre-vote": False,
    }


@pytest.mark.parametrize("text", ["- a\n", "a: [", "name: {x: 1}\nsnapshot-count: many\n"])
def test_a_file_that_is_none(text: str):
    with pytest.raises(ConfigError, match=r"cannot parse etcd\.yml"):
        read_file(text, "etcd.yml")


def test_members_may_have_several_urls():
    assert parse_initial_cluster("a=http://1:1,b=http://2:1,a=http://3:1") == {
        "a": ("http://1:1", "http://3:1"),
        "b": ("http://2:1",),
    }
    with pytest.raises(ConfigError, match="invalid initial-cluster entry"):
        parse_initial_cluster("a")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_can_be_given_its_own_default(flag):
    shown = flag.default
    if isinstance(shown, tuple):
        shown = ",".join(shown)
    elif isinstance(shown, bool):
        shown = str(shown).lower()
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
