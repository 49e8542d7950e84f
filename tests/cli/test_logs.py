"""Log lines in etcd's form."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from trioetcd.cli.logs import BadOutput, LineLog, open_log
from trioetcd.config.log import LogSettings, log_settings
from trioetcd.config.sources import ConfigError, Given, read_command_line


def lines(text: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_line_has_zaps_fields_in_order():
    out = io.StringIO()
    LineLog([out]).info("ready to serve client requests", local_member_id="ab", n=1)
    [line] = lines(out)
    assert list(line) == ["level", "ts", "caller", "msg", "local-member-id", "n"]
    assert line["level"] == "info"
    assert line["msg"] == "ready to serve client requests"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d{4})", str(line["ts"]))
    assert re.fullmatch(r"cli/test_logs\.py:\d+", str(line["caller"]))


def test_levels_below_the_threshold_are_silent():
    out = io.StringIO()
    log = LineLog([out], level="warn")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.bind(x=1).info("d")
    log.bind(x=1).error("e")
    assert [(line["level"], line["msg"]) for line in lines(out)] == [("warn", "c"), ("error", "e")]


def test_bound_fields_are_on_every_line():
    out = io.StringIO()
    LineLog([out]).bind(local_member_id="ab").bind(y=2).info("m", z=3)
    [line] = lines(out)
    assert (line["local-member-id"], line["y"], line["z"]) == ("ab", 2, 3)


def test_console_is_columns():
    out = io.StringIO()
    LineLog([out], as_json=False).warning("slow disk", took="1s")
    assert re.fullmatch(
        r'\S+  WARN   cli/test_logs\.py:\d+\s+slow disk  \{"took": "1s"\}\n', out.getvalue()
    )


def test_a_log_that_cannot_be_written_stops_nobody():
    out = io.StringIO()
    out.close()
    LineLog([out]).info("x")


def test_outputs_are_files_too(tmp_path: Path):
    log = open_log(LogSettings(outputs=(str(tmp_path / "log"), "/dev/null")))
    log.info("x")
    assert json.loads((tmp_path / "log").read_text())["msg"] == "x"


def test_a_bad_output_is_said():
    words = (
        'couldn\'t open sink "/no/such/dir/log": open /no/such/dir/log: no such file or directory'
    )
    with pytest.raises(BadOutput, match=f"^{words}$"):
        open_log(LogSettings(outputs=("/no/such/dir/log",)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--log-level=loud"], 'unrecognized level: "loud"'),
        (["--log-format=xml"], 'unknown log format: "xml"'),
        (["--logger=capnslog"], "--logger=capnslog is removed in v3.5"),
        (["--log-outputs=default,x"], 'multi logoutput for "default" is not supported yet'),
        (
            ["--enable-log-rotation", "--log-outputs=a,b"],
            "--log-outputs requires a single file path",
        ),
        (
            ["--enable-log-rotation", "--log-outputs=a", "--log-rotation-config-json={"],
            "improperly formatted log rotation config",
        ),
    ],
)
def test_a_log_that_cannot_be_is_said(arguments: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        log_settings(Given(read_command_line(arguments)))
