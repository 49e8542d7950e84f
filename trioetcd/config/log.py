"""Where the log goes, and in what form.  Source: etcd server/embed/config_logging.go."""

from __future__ import annotations

import json
from dataclasses import dataclass

from trioetcd.config.sources import ConfigError, Given

LEVELS = ("debug", "info", "warn", "warning", "error", "dpanic", "panic", "fatal")
FORMATS = ("json", "console")
DEFAULT_OUTPUT = "default"
STREAMS = (DEFAULT_OUTPUT, "stderr", "stdout", "systemd/journal")  # what is no file
MEGABYTE, DAY = 1 << 20, 86_400.0


@dataclass(frozen=True)
class Rotation:
    """When a log file is put aside for a new one, and which of those put aside are kept."""

    max_bytes: int = 100 * MEGABYTE
    max_age: float = 0.0  # seconds; 0: however old
    max_backups: int = 0  # files; 0: however many
    local_time: bool = False  # in their names; else UTC
    compress: bool = False


@dataclass(frozen=True)
class LogSettings:
    level: str = "info"
    outputs: tuple[str, ...] = (DEFAULT_OUTPUT,)
    format: str = "json"
    rotation: Rotation | None = None


def log_settings(given: Given) -> LogSettings:
    """Raises ConfigError."""
    level = "debug" if given.get("debug") else given.get("log-level")
    outputs = tuple(dict.fromkeys(given.get("log-outputs"))) or (DEFAULT_OUTPUT,)
    if given.get("logger") == "capnslog":
        raise ConfigError("--logger=capnslog is removed in v3.5")
    if given.get("logger") != "zap":
        raise ConfigError(f'unknown logger option "{given.get("logger")}"')
    if level not in LEVELS:
        raise ConfigError(f'unrecognized level: "{level}"')
    if given.get("log-format") not in FORMATS:
        raise ConfigError(
            f'unknown log format: "{given.get("log-format")}", supported values json, console'
        )
    if len(outputs) > 1 and DEFAULT_OUTPUT in outputs:
        raise ConfigError(f'multi logoutput for "{DEFAULT_OUTPUT}" is not supported yet')
    return LogSettings(
        level,
        outputs,
        given.get("log-format"),
        _rotation(given, outputs),
    )


def _rotation(given: Given, outputs: tuple[str, ...]) -> Rotation | None:
    if not given.get("enable-log-rotation"):
        return None
    if len([name for name in outputs if name not in STREAMS]) != 1:
        raise ConfigError(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined"
        )
    try:
        read = json.loads(given.get("log-rotation-config-json"))
    except ValueError as error:
        raise ConfigError(f"improperly formatted log rotation config: {error}") from error
    if not isinstance(read, dict):
        raise ConfigError("invalid log rotation config: not an object")
    keys = {str(key).lower(): value for key, value in read.items()}

    def number(key: str) -> int:
        value = keys.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"invalid log rotation config: {key} must be a whole number")
        return value

    def switch(key: str) -> bool:
        value = keys.get(key, False)
        if not isinstance(value, bool):
            raise ConfigError(f"invalid log rotation config: {key} must be true or false")
        return value

    return Rotation(
        (number("maxsize") or 100) * MEGABYTE,
        number("maxage") * DAY,
        number("maxbackups"),
        switch("localtime"),
        switch("compress"),
    )
