"""`--config-file`: its keys, sections and types, and what is wrong with one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from trioetcd.config.file import read_file
from trioetcd.config.server import build
from trioetcd.config.sources import ConfigError


def values(text: str) -> dict[str, Any]:
    return read_file(text, "etcd.yml").values


def test_a_file_has_nanoseconds_and_sections():
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
    config = build(read_file(text, "etcd.yml"))
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
    assert values(json.dumps({"name": "j", "pre-vote": False})) == {"name": "j", "pre-vote": False}


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "{}"])
def test_an_empty_file_says_nothing(text: str):
    assert values(text) == {}


def test_the_log_is_told_that_there_was_a_file():
    (remark,) = read_file("name: a", "etcd.yml").remarks
    assert remark.message.startswith("loaded server configuration, other configuration")
    assert remark.fields == {"path": "etcd.yml"}
    assert not remark.is_warning


def test_discovery_has_sections_in_sections():
    text = """
discovery-config:
  token: t
  client:
    endpoints: [http://a:1, http://b:1]
    dial-timeout: 2000000000
    secure: {cacert: ca.pem, insecure-transport: false}
    auth: {username: u, password: p}
"""
    assert values(text) == {
        "discovery-token": "t",
        "discovery-endpoints": ("http://a:1", "http://b:1"),
        "discovery-dial-timeout": 2.0,
        "discovery-cacert": "ca.pem",
        "discovery-insecure-transport": False,
        "discovery-user": "u",
        "discovery-password": "p",
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("snapshot-count: 10000.0", {"snapshot-count": 10_000}),
        ("pre-vote: yes", {"pre-vote": True}),
        ("Pre-Vote: false", {"pre-vote": False}),
        ("experimental-compact-hash-check-time: 5000000000", {"compact-hash-check-time": 5.0}),
        ("initial-cluster-token: 2026-11-24", {"initial-cluster-token": "2026-11-24"}),
        ("log-outputs: a,b", {"log-outputs": ("a", "b")}),
        ("name: ''", {"name": ""}),
    ],
)
def test_values_are_of_their_flags_types(line: str, found: dict[str, Any]):
    assert values(line) == found


@pytest.mark.parametrize(
    "line",
    [
        "name:",
        "name: ~",
        "listen-metrics-urls: ''",
        "initial-cluster-state: ''",
        "config-file: other.yml",
        "version: true",
        "snapshot: 3",
        "5: x",
        "client-transport-security:",
        "client-transport-security: {unknown: x}",
        "trusted-ca-file: counts-only-in-its-section.pem",
    ],
)
def test_what_says_nothing(line: str):
    assert values(line) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "etcd.yml: not a mapping"),
        ("a: [", "etcd.yml: while parsing"),
        ("\tname: a", "etcd.yml: while scanning"),
        ("client-transport-security: x", "etcd.yml: client-transport-security: not a mapping"),
        ("discovery-config: {client: []}", "etcd.yml: discovery-config.client: not a mapping"),
        ("snapshot-count: many", "etcd.yml: snapshot-count: 'many': must be a whole number"),
        ("snapshot-count: '10'", "etcd.yml: snapshot-count: '10': must be a whole number"),
        ("snapshot-count: -1", "etcd.yml: snapshot-count: -1: parse error"),
        ("snapshot-count: true", "etcd.yml: snapshot-count: True: must be a whole number"),
        ("grpc-keepalive-interval: 5s", "'5s': must be whole nanoseconds"),
        ("pre-vote: 1", "etcd.yml: pre-vote: 1: must be true or false"),
        ("pre-vote: 'true'", "'true': must be true or false"),
        ("initial-cluster-token: 010", "etcd.yml: initial-cluster-token: 8: must be a text"),
        ("listen-client-urls: [http://127.0.0.1:1]", "must be a text"),
        ("listen-client-urls: foo", "'foo': URL scheme must be http, https, unix, or unixs: foo"),
        ("initial-cluster-state: x", "'x': invalid value"),
        ("feature-gates: Nope=true", "unrecognized feature gate: Nope"),
        (
            "peer-transport-security: {client-cert-auth: 1}",
            "peer-transport-security.client-cert-auth: 1: must be true or false",
        ),
        ("name: !!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, words: str):
    with pytest.raises(ConfigError) as caught:
        read_file(text, "etcd.yml")
    assert str(caught.value).startswith("cannot parse etcd.yml: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_default_of_advertised_urls_stands_in_a_file():
    build(read_file("listen-client-urls: http://127.0.0.1:2379", "etcd.yml"))


def test_dates_are_still_dates_elsewhere():
    assert not isinstance(yaml.safe_load("2026-11-24"), str)
