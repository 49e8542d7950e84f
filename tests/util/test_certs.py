"""`trioetcd util certs`: what it makes is taken by trioetcd, by Go's etcd and by openssl."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest

from tests.interop.etcd_process import free_port
from tests.interop.processes import GO, running
from trioetcd import TLSSettings, open_client


@pytest.fixture
def certs(run, tmp_path):
    folder = tmp_path / "certs"

    def command(*words: object):
        return run("certs", *words, "--dir", folder)

    command.folder = folder
    assert command("init").status == 0
    assert command("node", "infra0", "--hosts", "localhost,127.0.0.1").status == 0
    assert command("client", "root").status == 0
    return command


def openssl(*words: object) -> str:
    done = subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def test_openssl_finds_them_good(certs):
    folder = certs.folder
    for name in ("infra0", "root"):
        assert "OK" in openssl("verify", "-CAfile", folder / "ca.pem", folder / f"{name}.pem")
    text = openssl("x509", "-in", folder / "infra0.pem", "-noout", "-text")
    for words in ("DNS:localhost", "IP Address:127.0.0.1", "TLS Web Server Authentication"):
        assert words in text
    assert "TLS Web Server" not in openssl("x509", "-in", folder / "root.pem", "-noout", "-text")


def test_keys_are_for_their_owner_alone_and_nothing_is_overwritten(certs):
    folder = certs.folder
    for key in folder.glob("*-key.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = (folder / "ca.pem").read_bytes()
    again = certs("init")
    assert again.status == 1
    assert "is there already" in again.err
    assert (folder / "ca.pem").read_bytes() == before
    assert certs("init", "--force").status == 0
    assert (folder / "ca.pem").read_bytes() != before
    assert certs("check").status == 1  # the others are of the old CA


def test_they_are_shown_checked_and_renewed(certs):
    rows = {row["name"]: row for row in certs("show", "-w", "json").json}
    assert rows["ca"]["ca"] is True
    assert rows["infra0"]["hosts"] == ["localhost", "127.0.0.1"]
    assert rows["infra0"]["usages"] == ["server", "client"]
    assert rows["root"]["subject"] == "root"
    assert rows["root"]["daysLeft"] in (364, 365)
    assert "infra0" in certs("show").out
    assert certs("check").status == 0
    assert certs("client", "short", "--days", "5", "--key", "rsa").status == 0
    soon = certs("check")
    assert soon.status == 1
    assert "short ends in" in soon.err
    assert "trioetcd util certs renew short" in soon.err
    key = (certs.folder / "short-key.pem").read_bytes()
    assert certs("renew", "short").status == 0
    assert (certs.folder / "short-key.pem").read_bytes() == key
    assert certs("renew", "short", "--rekey").status == 0
    assert (certs.folder / "short-key.pem").read_bytes() != key
    assert certs("check").status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["node", "x"], "needs --hosts"),
        (["node"], "requires the member's name"),
        (["client", "a/b"], "cannot be the name"),
        (["client", "ca"], "cannot be the name"),
        (["client", "x", "--key", "dsa"], "ecdsa or rsa"),
        (["renew", "nobody"], "no such file"),
        (["renew", "ca"], "a CA is not renewed"),
    ],
)
def test_mistakes_are_said(certs, words, said):
    done = certs(*words)
    assert done.status != 0
    assert said in done.err


def test_broken_files_are_named(certs):
    (certs.folder / "root.pem").write_text("no certificate")
    assert "root.pem: no certificate in PEM" in certs("show").err
    assert "no certificate in PEM" in certs("renew", "root").err


@pytest.mark.parametrize("kind", ["trioetcd", *GO])
async def test_servers_and_clients_know_each_other_by_them(certs, kind, tmp_path):
    folder = certs.folder
    url = f"https://127.0.0.1:{free_port()}"
    flags = [
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--cert-file={folder}/infra0.pem",
        f"--key-file={folder}/infra0-key.pem",
        f"--trusted-ca-file={folder}/ca.pem",
        "--client-cert-auth",
    ]
    with running(kind, tmp_path / "server", flags):
        known = TLSSettings(
            trusted_ca_file=f"{folder}/ca.pem",
            client_cert_file=f"{folder}/root.pem",
            client_key_file=f"{folder}/root-key.pem",
        )
        async with open_client(url, tls=known) as client:
            await client.put("a", "1")
            assert json.loads((await client.get("a")).text) == 1
