"""The log as etcd writes it: a JSON object a line, or columns on a terminal.

Source: go.uber.org/zap's production encoder, as configured by etcd's zap logger.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import PurePath
from typing import TextIO

from trioetcd.config.server import LogSettings

LEVELS = {
    "debug": 10,
    "info": 20,
    "warn": 30,
    "warning": 30,
    "error": 40,
    "dpanic": 50,
    "panic": 50,
    "fatal": 50,
}
_COLOURS = {"debug": "35", "info": "34", "warn": "33", "error": "31", "fatal": "31"}


class BadOutput(Exception):
    """A log output that cannot be written to."""


class LineLog:
    """See `wire.log.Log`.  One per process or per embedded node; bound copies share outputs."""

    def __init__(
        self,
        outputs: Iterable[TextIO],
        *,
        level: str = "info",
        as_json: bool = True,
        fields: dict[str, object] | None = None,
    ) -> None:
        self._outputs = list(outputs)
        self._threshold = LEVELS[level]
        self._as_json = as_json
        self._fields = fields or {}

    def bind(self, **fields: object) -> LineLog:
        bound = LineLog(self._outputs, as_json=self._as_json, fields=self._fields | _dashed(fields))
        bound._threshold = self._threshold
        return bound

    def debug(self, message: str, **fields: object) -> None:
        if self._threshold <= 10:
            self._write("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        if self._threshold <= 20:
            self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        if self._threshold <= 30:
            self._write("warn", message, fields)

    def error(self, message: str, **fields: object) -> None:
        if self._threshold <= 40:
            self._write("error", message, fields)

    def fatal(self, message: str, **fields: object) -> None:
        self._write("fatal", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        frame = sys._getframe(2)
        path = PurePath(frame.f_code.co_filename)
        caller = f"{path.parent.name}/{path.name}:{frame.f_lineno}"
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        shown = self._fields | _dashed(fields)
        for output in self._outputs:
            if self._as_json:
                line = json.dumps(
                    {"level": level, "ts": now, "caller": caller, "msg": message, **shown},
                    separators=(",", ":"),
                    default=str,
                )
            else:
                line = _columns(now, level, caller, message, shown, colour=output.isatty())
            with suppress(OSError, ValueError):  # a log that cannot be written stops nobody
                output.write(line + "\n")
                output.flush()


def _columns(
    now: str, level: str, caller: str, message: str, fields: dict[str, object], *, colour: bool
) -> str:
    shown = level.upper().ljust(5)
    if colour:
        shown = f"\x1b[{_COLOURS[level]}m{shown}\x1b[0m"
    rest = json.dumps(fields, separators=(", ", ": "), default=str) if fields else ""
    return f"{now}  {shown}  {caller:<24}  {message}  {rest}".rstrip()


def _dashed(fields: dict[str, object]) -> dict[str, object]:
    return {name.replace("_", "-"): value for name, value in fields.items()}


def open_log(settings: LogSettings) -> LineLog:
    """Raises BadOutput for a level or an output that is none."""
    if settings.level not in LEVELS:
        raise BadOutput(f'unrecognized level: "{settings.level}"')
    if settings.format not in ("json", "console"):
        raise BadOutput(f'unknown log format: "{settings.format}", supported values json, console')
    outputs = [_open(name) for name in settings.outputs if name != "/dev/null"]
    as_json = settings.format == "json" and not (outputs and all(o.isatty() for o in outputs))
    return LineLog(outputs, level=settings.level, as_json=as_json)


def _open(name: str) -> TextIO:
    if name in ("default", "stderr", "systemd/journal"):
        return sys.stderr
    if name == "stdout":
        return sys.stdout
    try:
        return open(name, "a", encoding="utf-8")
    except OSError as error:
        raise BadOutput(f"cannot open log output {name}: {error.strerror}") from error
