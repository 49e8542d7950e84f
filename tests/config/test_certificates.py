"""Which URLs want TLS, and whether they get it."""

from __future__ import annotations

import pytest

from trioetcd.config.load import load
from trioetcd.config.server import ServerConfig
from trioetcd.config.sources import ConfigError

HTTPS = ["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://h:1"]
HTTPS_PEERS = ["--listen-peer-urls=https://127.0.0.1:2"]
HTTPS_METRICS = ["--listen-metrics-urls=https://127.0.0.1:3"]
PAIR = ["--cert-file=c.pem", "--key-file=k.pem"]
PEER_PAIR = ["--peer-cert-file=c.pem", "--peer-key-file=k.pem"]


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


def configured(*arguments: str) -> ServerConfig:
    return load(["--data-dir=d", *arguments], {}, no_file)


@pytest.mark.parametrize(
    "arguments",
    [
        [*HTTPS, *PAIR],
        [*HTTPS, "--auto-tls"],
        [*HTTPS_PEERS, *PEER_PAIR],
        [*HTTPS_PEERS, "--peer-auto-tls"],
        [*HTTPS_METRICS, *PAIR],
        ["--cert-file=c.pem"],  # no URL needs it
        ["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
        ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.3"],
        ["--tls-min-version="],
    ],
)
def test_what_can_be(arguments: list[str]):
    configured(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            HTTPS,
            "TLS key/cert (--cert-file, --key-file) must be provided for client url "
            "https://127.0.0.1:1 with HTTPS scheme",
        ),
        (
            ["--listen-client-http-urls=https://127.0.0.1:4"],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url "
            "https://127.0.0.1:4 with HTTPS scheme",
        ),
        (
            HTTPS_METRICS,
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
        ),
        (
            HTTPS_PEERS,
            "cannot listen on TLS for 127.0.0.1:2: KeyFile and CertFile are not presented",
        ),
        (
            [*HTTPS, "--cert-file=c.pem"],
            "KeyFile and CertFile must both be present[key: , cert: c.pem]",
        ),
        (
            [*HTTPS_METRICS, "--key-file=k.pem"],
            "KeyFile and CertFile must both be present[key: k.pem, cert: ]",
        ),
        (
            ["--peer-cert-file=c.pem"],
            "KeyFile and CertFile must both be present[key: , cert: c.pem]",
        ),
        (["--cipher-suites=FOO"], 'unexpected TLS cipher suite "FOO"'),
        (
            ["--tls-min-version=TLS1.1"],
            'unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)',
        ),
        (
            ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (
            ["--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"],
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (
            ["--peer-cert-allowed-cn=a,b", "--peer-cert-allowed-hostname=c"],
            'AllowedCN and AllowedHostname are mutually exclusive (cn="a,b", hostname="c")',
        ),
    ],
)
def test_what_cannot_be_is_said_in_etcds_words(arguments: list[str], words: str):
    with pytest.raises(ConfigError) as caught:
        configured(*arguments)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("arguments", "message", "url"),
    [
        (
            PAIR,
            "scheme is HTTP while key and cert files are present; ignoring key and cert files",
            {"client_url": "http://localhost:2379"},
        ),
        (
            PEER_PAIR,
            "scheme is HTTP while key and cert files are present; ignoring key and cert files",
            {"peer_url": "http://localhost:2380"},
        ),
        (
            ["--client-cert-auth"],
            "scheme is HTTP while --client-cert-auth is enabled; "
            "ignoring client cert auth for this URL",
            {"client_url": "http://localhost:2379"},
        ),
        (
            ["--peer-client-cert-auth"],
            "scheme is HTTP while --peer-client-cert-auth is enabled; "
            "ignoring client cert auth for this URL",
            {"peer_url": "http://localhost:2380"},
        ),
        (
            [*HTTPS, *PAIR, "--auto-tls"],
            "ignoring client auto TLS since certs given",
            {},
        ),
    ],
)
def test_what_is_not_done_is_said(arguments: list[str], message: str, url: dict[str, str]):
    (remark,) = configured(*arguments).remarks
    assert (remark.message, remark.fields, remark.is_warning) == (message, url, True)


def test_files_that_no_url_needs_are_not_looked_at():
    listen = configured(*PAIR, "--auto-tls").listen
    assert listen.client_tls.cert_file == ""
    assert not listen.client_auto_tls


def test_files_for_other_members_are_kept_since_we_connect_to_them_too():
    assert configured(*PEER_PAIR).listen.peer_tls.cert_file == "c.pem"
