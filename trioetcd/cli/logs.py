"""The log as etcd writes it: a JSON object a line, or columns on a terminal.

Source: go.uber.org/zap's production encoder, as configured by etcd's zap logger.
"""

from __future__ import annotations

import datetime
import json
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Protocol

from trioetcd.cli.rotation import RotatingFile
from trioetcd.config.log import LogSettings, Rotation

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


class Output(Protocol):
    """What a line is written to: a text file, or what writes like one."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class LineLog:
    """See `wire.log.Log`.  One per process or per embedded node; bound copies share outputs."""

    def __init__(
        self,
        outputs: Iterable[Output],
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
        now = _moment()
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


def _moment() -> str:
    """Now, in local time, as zap writes it: to the microsecond, `Z` if that is UTC."""
    now = datetime.datetime.now(datetime.UTC).astimezone()
    zone = now.strftime("%z") if now.utcoffset() else "Z"
    return now.strftime("%Y-%m-%dT%H:%M:%S.%f") + zone


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _in_a_thread(function: Callable[[], None]) -> None:
    """Compressing 100 MB takes longer than an election."""
    threading.Thread(target=function, name="log rotation", daemon=True).start()


def open_log(settings: LogSettings) -> LineLog:
    """Raises BadOutput."""
    outputs = [_open(name, settings.rotation) for name in settings.outputs if name != "/dev/null"]
    as_json = settings.format == "json" and not (outputs and all(o.isatty() for o in outputs))
    return LineLog(outputs, level=settings.level, as_json=as_json)


def _open(name: str, rotation: Rotation | None) -> Output:
    if name in ("default", "stderr", "systemd/journal"):  # systemd reads stderr
        return sys.stderr
    if name == "stdout":
        return sys.stdout
    try:
        if rotation is not None:
            return RotatingFile(Path(name), rotation, _utc, _in_a_thread)
        return open(name, "a", encoding="utf-8")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BadOutput(f'couldn\'t open sink "{name}": open {name}: {why}') from error
