"""What was given, on the command line and in ETCD_* variables; a file is read in `file.py`.

A file, when named, is the only source.  A flag may not be given in two places at once.
Source: Go's package flag; etcd server/etcdmain/config.go, pkg/flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trioetcd.config.flags import BY_NAME, variable
from trioetcd.config.values import BadValue, parse_bool, parse_urls

NOT_FLAGS = frozenset({"ETCD_UNSUPPORTED_ARCH", "ETCD_VERSION", "ETCD_CONFIG_FILE"})


class UsageError(Exception):
    """The command line is not understood: said with a short usage, exit status 2."""


class ConfigError(Exception):
    """The settings are understood and cannot be: one line, exit status 1."""


class HelpAsked(Exception):
    """-h or --help."""


class VersionAsked(Exception):
    """--version."""


@dataclass(frozen=True)
class Remark:
    """Something about the settings that the log should say, once there is a log."""

    message: str
    fields: Mapping[str, object] = field(default_factory=dict)
    is_warning: bool = True


@dataclass
class Given:
    """What was given, by flag name, and what there is to say about it."""

    values: dict[str, Any] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    from_file: bool = False

    def get(self, name: str) -> Any:
        """The value of a flag, its default if it was not given."""
        return self.values.get(name, BY_NAME[name].default)

    def is_set(self, name: str) -> bool:
        return name in self.values


def read_command_line(arguments: Sequence[str]) -> dict[str, Any]:
    """Raises UsageError, HelpAsked, or ConfigError for a word that is no flag."""
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest and rest[0] not in ("-", "--") and rest[0].startswith("-"):
        name, text = _next_flag(rest)
        flag = BY_NAME[name]
        if text == "" and flag.parse is parse_urls:  # counts as given, and changes nothing
            values.setdefault(flag.name, flag.default)
        else:
            values[flag.name] = _parse(name, text)
    if rest[:1] == ["--"]:
        del rest[0]
    if rest:
        raise ConfigError(f"'{rest[0]}' is not a valid flag")
    return values


def _next_flag(rest: list[str]) -> tuple[str, str]:
    """Take a flag's name, as it was given, and the text of its value from the words."""
    word = rest.pop(0)
    name = word.removeprefix("-").removeprefix("-")
    if not name or name[0] in "-=":
        raise UsageError(f"bad flag syntax: {word}")
    name, has_value, text = name.partition("=")
    flag = BY_NAME.get(name)
    if flag is None and name in ("h", "help"):
        raise HelpAsked
    if flag is None:
        raise UsageError(f"flag provided but not defined: -{name}")
    if not has_value and not flag.is_bool:
        if not rest:
            raise UsageError(f"flag needs an argument: -{name}")
        text = rest.pop(0)
    elif not has_value:
        text = "true"
    return name, text


def _parse(name: str, text: str) -> Any:
    parse = BY_NAME[name].parse
    try:
        return parse(text)
    except BadValue as error:
        kind = ("boolean value", "") if parse is parse_bool else ("value", "flag ")
        message = f'invalid {kind[0]} "{text}" for {kind[1]}-{name}: {error}'
        raise UsageError(message) from error


def read_environment(environment: Mapping[str, str], given: Mapping[str, Any]) -> Given:
    """What the command line has said, and ETCD_* variables beside it; empty ones say nothing.

    Raises:
        ConfigError: a variable says what a flag says too, or is not of its flag's type.
    """
    by_variable = {variable(name): flag for name, flag in BY_NAME.items()}
    found = Given(dict(given))
    for name, text in sorted(environment.items()):
        if not name.startswith("ETCD_") or not text or name in NOT_FLAGS:
            continue
        flag = by_variable.get(name)
        if flag is None:
            # Its value is not shown: images pass passwords in variables like these.
            found.remarks.append(
                Remark("unrecognized environment variable", {"environment_variable": name})
            )
            continue
        if flag.name in given:
            raise ConfigError(
                f'conflicting environment variable "{name}" is shadowed by corresponding '
                "command-line flag (either unset environment variable or disable flag)"
            )
        try:
            found.values[flag.name] = flag.parse(text)
        except BadValue as error:
            raise ConfigError(f'invalid value "{text}" for {name}: {error}') from error
        used = {"variable_name": name, "variable_value": text}
        if "PASSWORD" not in name:
            found.remarks.append(
                Remark("recognized and used environment variable", used, is_warning=False)
            )
    return found
