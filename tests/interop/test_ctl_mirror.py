"""`trioetcd ctl make-mirror` from Go's etcd to trioetcd and back, also over TLS and with a user."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.commands import COMMAND_SECONDS, make_certificates
from tests.interop.processes import Server, clean_environment, running
from tests.interop.secure_server import SecureServer

BETWEEN = [("etcd-3.5.1", "trioetcd"), ("trioetcd", "etcd-3.5.1")]


@contextmanager
def mirroring(source: Server, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "trioetcd", "ctl", "--endpoints", source.address]
    with subprocess.Popen(
        [*command, "make-mirror", *arguments], env=clean_environment(), stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_there(server: Server, key: str, *flags: str) -> None:
    """Until the key is put.  It may have been already."""
    fields = server.etcdctl("get", key, "-w", "fields", *flags).stdout
    if '"Count" : 1' in fields:
        return
    revision = int(fields.split('"Revision" : ')[1].split()[0])
    command = watch_command(server, key, revision + 1, *flags)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()) as watch:
        alarm = threading.Timer(COMMAND_SECONDS, watch.kill)
        alarm.start()
        assert watch.stdout is not None
        try:
            assert watch.stdout.readline() == b"PUT\n"
        finally:
            alarm.cancel()
            watch.kill()


def watch_command(server: Server, key: str, revision: int, *flags: str) -> list[str]:
    secured = getattr(server, "certificate_flags", ())
    command = [sys.executable, "-m", "trioetcd", "ctl", "--endpoints", server.address, *flags]
    return [*command, *(f"--{flag}" for flag in secured), "watch", key, f"--rev={revision}"]


@pytest.mark.parametrize(("kind", "other"), BETWEEN)
def test_one_kind_of_server_mirrors_the_other(kind: str, other: str, tmp_path: Path):
    with running(kind, tmp_path / "source") as source, running(other, tmp_path / "copy") as copy:
        source.etcdctl("put", "a/1", "one")
        source.etcdctl("put", "a/2", "two")
        with mirroring(source, "--prefix=a/", "--dest-prefix=b/", copy.address):
            until_there(copy, "b/2")
            source.etcdctl("del", "a/1")
            source.etcdctl("put", "a/3", "three")
            until_there(copy, "b/3")
            found = copy.etcdctl("get", "", "--prefix").stdout
            assert found == "b/2\ntwo\nb/3\nthree\n"


@pytest.mark.parametrize(("kind", "other"), BETWEEN)
def test_the_destination_may_ask_for_a_certificate_and_a_user(
    kind: str, other: str, tmp_path: Path
):
    make_certificates(tmp_path / "tls")
    copy = SecureServer(other, tmp_path / "copy", tmp_path / "tls")
    copy.start()
    try:
        root = "--user=root:secret"
        copy.etcdctl("user", "add", "root:secret")
        copy.etcdctl("auth", "enable")
        flags = [f"--dest-{flag}" for flag in copy.certificate_flags]
        with running(kind, tmp_path / "source") as source:
            source.etcdctl("put", "a", "one")
            for user in ("--dest-user=root:secret", "--dest-user=root --dest-password=secret"):
                copy.etcdctl(root, "del", "a")
                with mirroring(source, *flags, *user.split(), copy.address):
                    until_there(copy, "a", root)
            with mirroring(source, *flags, "--dest-user=root:wrong", copy.address) as process:
                assert process.wait(COMMAND_SECONDS) == 2
                assert process.stderr is not None
                assert process.stderr.read() == (
                    b"Error: etcdserver: authentication failed, invalid user ID or password\n"
                )
            with mirroring(source, *flags, copy.address) as process:
                assert process.wait(COMMAND_SECONDS) == 1
                assert process.stderr is not None
                assert process.stderr.read() == b"Error: etcdserver: permission denied\n"
    finally:
        copy.kill()
