"""`trioetcd ctl` and etcdctl at a server that asks for certificates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.commands import make_certificates
from tests.interop.ctl_terminals import Etcdctl, Ours, Printed
from tests.interop.ctl_words import Typed
from tests.interop.secure_server import SecureServer

TRUSTED = "--cacert=TLS/ca.pem --cert=TLS/etcd.pem --key=TLS/etcd-key.pem"
LIMIT = "--command-timeout=1s"
LINES = (
    (f"{TRUSTED} get a", {}),
    (f"{TRUSTED} --insecure-transport=false get a", {}),
    (f"{TRUSTED} --endpoints https://ADDRESS get a", {}),
    (f"{TRUSTED} member list", {}),
    (f"{TRUSTED} endpoint health --cluster", {}),
    (f"{TRUSTED} snapshot save HOME/saved", {}),
    ("get a", {"ETCDCTL_CACERT": "TLS/ca.pem", "ETCDCTL_CERT": "TLS/etcd.pem"}),
    (
        "get a",
        {
            "ETCDCTL_CACERT": "TLS/ca.pem",
            "ETCDCTL_CERT": "TLS/etcd.pem",
            "ETCDCTL_KEY": "TLS/etcd-key.pem",
        },
    ),
    ("--cert=TLS/etcd.pem --key=TLS/etcd-key.pem --insecure-skip-tls-verify get a", {}),
    ("--cert=TLS/etcd.pem --key=TLS/ca-key.pem --cacert=TLS/ca.pem get a", {}),
    ("--cert=TLS/ca-key.pem --key=TLS/etcd-key.pem get a", {}),
    ("--cert=TLS/etcd.pem --key=TLS/etcd.pem get a", {}),
    (f"{LIMIT} --cacert=TLS/ca.pem get a", {}),
    (f"{LIMIT} --cert=TLS/etcd.pem --key=TLS/etcd-key.pem get a", {}),
    (f"{LIMIT} get a", {}),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[SecureServer]:
    home = tmp_path_factory.mktemp("secure")
    make_certificates(home / "tls")
    server = SecureServer("trioetcd", home / "server", home / "tls")
    server.start()
    try:
        server.etcdctl("put", "a", "1")
        yield server
    finally:
        server.kill()


@pytest.mark.parametrize(("line", "environ"), LINES)
def test_certificates_are_taken_as_etcdctl_takes_them(
    server: SecureServer, line: str, environ: dict[str, str]
):
    folder = str(server.certificates)
    environ = {name: value.replace("TLS", folder) for name, value in environ.items()}
    typed = Typed(line.replace("TLS", folder), environ=environ)
    theirs, ours = Etcdctl(server).run(typed), Ours(server).run(typed)
    assert shown(ours) == shown(theirs)


def shown(printed: Printed) -> tuple[int, bytes, bytes]:
    """But for the version that is said of a snapshot, which etcdctl 3.5 does not."""
    return printed.status, printed.out.replace(b"Server version 3.6.0\n", b""), printed.err
