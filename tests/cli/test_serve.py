"""The server as a process: what it says, how it stops, and why it does not start."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from wire.version import ETCD_VERSION

DEADLINE = 60  # seconds, for anything a test waits for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def flags(data_dir: Path, client: int, peer: int) -> list[str]:
    return [
        f"--data-dir={data_dir}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
    ]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "trioetcd", "serve", *arguments]


@contextmanager
def serving(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A server that has said it is ready."""
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["msg"] == "ready to serve client requests":
                break
        else:
            pytest.fail(f"the server ended with status {process.wait(DEADLINE)}")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


def refused(*arguments: str) -> tuple[int, str]:
    """Status and last line of a server that does not start."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=DEADLINE, cwd=ROOT
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, -2)])
def test_a_signal_stops_it_by_that_signal(tmp_path: Path, number: signal.Signals, status: int):
    with serving(*flags(tmp_path / "d", free_port(), free_port())) as process:
        process.send_signal(number)
        assert process.wait(DEADLINE) == status


def test_a_busy_port_is_one_line_and_status_1(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, line = refused(*flags(tmp_path / "d", port, free_port()))
    assert status == 1
    assert f"listen tcp 127.0.0.1:{port}: bind: address already in use" in line


def test_a_data_directory_in_use_is_refused(tmp_path: Path):
    with serving(*flags(tmp_path / "d", free_port(), free_port())):
        status, line = refused(*flags(tmp_path / "d", free_port(), free_port()))
    assert status == 1
    assert "holds the file lock" in line


def test_a_data_directory_that_cannot_be_made_is_refused():
    status, line = refused(*flags(Path("/proc/d"), free_port(), free_port()))
    assert status == 1
    assert "cannot access data directory: /proc/d: no such file or directory" in line


def test_a_database_of_etcd_itself_is_refused(tmp_path: Path):
    snap = tmp_path / "d" / "member" / "snap"
    snap.mkdir(parents=True)
    (snap / "db").write_bytes(b"bbolt")
    status, line = refused(*flags(tmp_path / "d", free_port(), free_port()))
    assert status == 1
    assert "is a database of etcd itself" in line


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("nonsense", "auth: invalid auth options"),
        ("jwt,sign-method=RS256", "auth: missing key data"),
        ("jwt,sign-method=RS257,priv-key=/dev/null", "auth: invalid auth signature method"),
    ],
)
def test_tokens_that_cannot_be_made_are_refused(tmp_path: Path, option: str, words: str):
    given = flags(tmp_path / "d", free_port(), free_port())
    status, line = refused(*given, f"--auth-token={option}")
    assert status == 1
    assert json.loads(line)["error"] == words


def test_an_unreadable_certificate_is_refused(tmp_path: Path):
    port = free_port()
    given = [
        flag.replace("http:", "https:", 1) for flag in flags(tmp_path / "d", port, free_port())
    ]
    given = [flag.replace("https", "http", 1) if "peer" in flag else flag for flag in given]
    status, line = refused(*given, "--cert-file=/no/cert.pem", "--key-file=/no/key.pem")
    assert status == 1
    assert "open /no/cert.pem: no such file or directory" in line


def test_a_corrupt_log_is_refused_with_file_and_offset(tmp_path: Path):
    given = flags(tmp_path / "d", free_port(), free_port())
    with serving(*given) as process:
        process.terminate()
        process.wait(DEADLINE)
    [segment] = (tmp_path / "d" / "member" / "wal").glob("*.wal")
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    status, line = refused(*given)
    assert status == 1
    assert segment.name in line
    assert "offset" in line


def test_a_file_is_all_it_needs(tmp_path: Path):
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    (tmp_path / "etcd.yml").write_text(
        f"name: infra0\ndata-dir: {tmp_path}/d\ninitial-cluster: infra0={peer}\n"
        f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n"
    )
    with serving(f"--config-file={tmp_path}/etcd.yml", "--data-dir=/no/such") as process:
        process.terminate()
        assert process.wait(DEADLINE) == -signal.SIGTERM
    assert (tmp_path / "d" / "member" / "wal").is_dir()


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--initial-cluster=", 'couldn\'t find local name \\"default\\" in the initial cluster'),
        ("--initial-cluster=a=http://h:1", 'couldn\'t find local name \\"default\\"'),
        (
            "--initial-cluster=default=http://h:1",
            "--initial-cluster has default=http://h:1 but missing from "
            "--initial-advertise-peer-urls=http://127.0.0.1:",
        ),
    ],
)
def test_a_new_member_must_be_in_its_cluster(tmp_path: Path, flag: str, words: str):
    status, line = refused(*flags(tmp_path / "d", free_port(), free_port()), flag)
    assert status == 1
    assert words in line
    assert not (tmp_path / "d").exists()


def test_how_a_member_began_does_not_matter_once_it_has_data(tmp_path: Path):
    given = flags(tmp_path / "d", free_port(), free_port())
    with serving(*given) as process:
        process.terminate()
        process.wait(DEADLINE)
    with serving(*given, "--initial-cluster=a=http://h:1", "--initial-cluster-token=other"):
        pass


def test_unknown_flags_end_with_status_2():
    done = subprocess.run(command("--bogus"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("flag provided but not defined: -bogus\nUsage:")


def test_the_version_is_etcds_shape():
    done = subprocess.run(command("--version"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout.startswith(f"etcd Version: {ETCD_VERSION}\nGit SHA: ")


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with serving(*flags(tmp_path / "d", free_port(), free_port())) as process:
            assert listening.recv(100) == b"READY=1"
            process.terminate()
            assert listening.recv(100) == b"STOPPING=1"


def page(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_http_with_urls_of_its_own_is_served_there_alone(tmp_path: Path):
    client, pages, metrics = free_port(), free_port(), free_port()
    with serving(
        *flags(tmp_path / "d", client, free_port()),
        f"--listen-client-http-urls=http://127.0.0.1:{pages}",
        f"--listen-metrics-urls=http://127.0.0.1:{metrics}",
    ):
        assert page(pages, "/health") == (200, b'{"health":"true","reason":""}')
        assert page(client, "/health")[0] == 404
        assert page(metrics, "/readyz") == (200, b"ok\n")
        assert b"etcd_server_has_leader 1" in page(metrics, "/metrics")[1]
