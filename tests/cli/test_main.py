"""Which command is meant, and what is answered without a server."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT
from trioetcd.cli.main import main
from wire.version import ETCD_VERSION


@pytest.mark.parametrize("arguments", [["help"], ["-h"], ["--help", "serve"]])
def test_help_names_the_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: trioetcd COMMAND")
    assert "\n  serve " in out


@pytest.mark.parametrize(
    "arguments", [["version"], ["--version"], ["serve", "--version"], ["serve", "-version=true"]]
)
def test_the_version_has_the_lines_of_etcds(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"etcd Version: {ETCD_VERSION}"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "Git SHA",
        "Go Version",
        "Go OS/Arch",
    ]


def test_no_command_is_a_mistake(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("Usage: trioetcd COMMAND")


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]):
    assert main(["sreve"]) == 1
    err = capsys.readouterr().err
    assert err.startswith('Error: unknown command "sreve" for "trioetcd"\nUsage:')


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_serve_helps_on_standard_output(word: str, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", word]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage:\n\n  trioetcd serve [flags]\n")
    assert "\nMember:\n  --name 'default'\n" in out
    assert "  --data-dir '${name}.etcd'\n" in out
    assert "  --watch-progress-notify-interval '10m0s'\n" in out
    assert err == ""


def test_a_flag_that_is_not_understood_is_answered_with_the_usage(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["serve", "--snapshot-count=x"]) == 2
    err = capsys.readouterr().err
    assert err.startswith('invalid value "x" for flag -snapshot-count: parse error\nUsage:\n')


def test_settings_that_cannot_be_are_one_line_in_the_log(capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--heartbeat-interval=0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert '"msg":"failed to verify flags"' in line
    assert '"error":"--heartbeat-interval must be >0 (set to 0ms)"' in line


def test_a_file_that_is_not_text_is_one_line_too(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "etcd.yml").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("ETCD_CONFIG_FILE", str(tmp_path / "etcd.yml"))
    assert main(["serve"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"cannot parse {tmp_path / 'etcd.yml'}: " in line


def test_an_interrupt_before_anything_runs_leaves_no_traceback():
    """Importing a server takes long enough for somebody to think better of it."""
    program = (
        "import os, signal, sys\n"
        "from trioetcd.cli.main import main\n"
        "assert 'trio' not in sys.modules\n"
        "sys.argv = ['trioetcd', 'help']\n"
        "main()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
