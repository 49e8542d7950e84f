"""Where settings come from: the command line, ETCD_* variables, a file.

A file, when named, is the only source.  A flag may not be given in two places at once.
Source: Go's package flag; etcd server/etcdmain/config.go, pkg/flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from trioetcd.config.flags import BY_NAME, FLAGS, Flag
from trioetcd.config.values import BadValue, parse_duration, parse_list, parse_urls


class UsageError(Exception):
    """The command line is not understood: said with a short usage, exit status 2."""


class ConfigError(Exception):
    """The settings are understood and cannot be: one line, exit status 1."""


class HelpAsked(Exception):
    """-h or --help."""


@dataclass
class Given:
    """What was given, by flag name, and what is worth a warning."""

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def get(self, name: str) -> Any:
        """The value of a flag, its default if it was not given."""
        return self.values.get(name, BY_NAME[name].default)

    def is_set(self, name: str) -> bool:
        return name in self.values


def read_command_line(arguments: Sequence[str]) -> dict[str, Any]:
    """Raises UsageError, HelpAsked, or ConfigError for a word that is no flag."""
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--" or not word.startswith("-") or word == "-":
            stray = rest[0] if word == "--" and rest else word
            if word == "--" and not rest:
                break
            raise ConfigError(f"'{stray}' is not a valid flag")
        name = word[2:] if word.startswith("--") else word[1:]
        if not name or name[0] in "-=":
            raise UsageError(f"bad flag syntax: {word}")
        name, has_value, text = name.partition("=")
        if name in ("h", "help"):
            raise HelpAsked
        flag = BY_NAME.get(name)
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if not has_value:
            if flag.is_bool:
                text = "true"
            elif rest:
                text = rest.pop(0)
            else:
                raise UsageError(f"flag needs an argument: -{name}")
        values[flag.name] = _parse(flag, name, text, bool(has_value) and flag.is_bool)
    return values


def _parse(flag: Flag, name: str, text: str, boolean: bool) -> Any:
    try:
        return flag.parse(text)
    except BadValue as error:
        if boolean:
            raise UsageError(f'invalid boolean value "{text}" for -{name}: {error}') from error
        raise UsageError(f'invalid value "{text}" for flag -{name}: {error}') from error


def read_environment(
    environment: Mapping[str, str], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Values of ETCD_* variables, and warnings about those that are no flags'.

    Raises:
        ConfigError: a variable says what a flag says too, or is not of its flag's type.
    """
    by_variable = {"ETCD_" + name.upper().replace("-", "_"): flag for name, flag in BY_NAME.items()}
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for variable, text in sorted(environment.items()):
        if not variable.startswith("ETCD_") or not text or variable == "ETCD_UNSUPPORTED_ARCH":
            continue
        flag = by_variable.get(variable)
        if flag is None:
            warnings.append(f"unrecognized environment variable {variable}={text}")
            continue
        if flag.name in given:
            raise ConfigError(
                f'conflicting environment variable "{variable}" is shadowed by corresponding '
                "command-line flag (either unset environment variable or disable flag)"
            )
        try:
            values[flag.name] = flag.parse(text)
        except BadValue as error:
            raise ConfigError(f'invalid value "{text}" for {variable}: {error}') from error
    return values, warnings


# Sections of the file that stand for flags with a common beginning.
_TRANSPORT = {
    "client-transport-security": "",
    "peer-transport-security": "peer-",
}
_TRANSPORT_FLAGS = {
    ("", "allowed-hostname"): "client-cert-allowed-hostname",
    ("peer-", "allowed-cn"): "peer-cert-allowed-cn",
    ("peer-", "allowed-hostname"): "peer-cert-allowed-hostname",
    ("peer-", "client-cert-file"): "peer-client-cert-file",
    ("peer-", "client-key-file"): "peer-client-key-file",
    ("peer-", "skip-client-san-verification"): "peer-skip-client-san-verification",
}
_FLAT_TLS = frozenset(
    {"cert-file", "key-file", "client-cert-auth", "trusted-ca-file", "auto-tls"}
    | {f"peer-{name}" for name in ("cert-file", "key-file", "client-cert-auth", "trusted-ca-file")}
    | {"peer-auto-tls"}
)  # at the top of the file these count for nothing


def read_file(text: str, name: str) -> dict[str, Any]:
    """A configuration file's contents, YAML or JSON; keys that nobody knows count for nothing.

    Raises:
        ConfigError: it is no mapping, or a value is not of its flag's type.
    """
    try:
        contents = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        shown = " ".join(str(error).split())
        raise ConfigError(f"cannot parse {name}: {shown}") from error
    if not isinstance(contents, dict):
        raise ConfigError(f"cannot parse {name}: not a mapping")
    values: dict[str, Any] = {}
    for key, value in contents.items():
        if key in _TRANSPORT:
            _read_transport(_TRANSPORT[key], value or {}, values, name)
        elif key == "socket-options":
            for option in ("reuse-port", "reuse-address"):
                if option in (value or {}):
                    values[f"socket-{option}"] = _convert(f"socket-{option}", value[option], name)
        elif key in BY_NAME and key not in _FLAT_TLS and value is not None:
            values[BY_NAME[key].name] = _convert(key, value, name)
    return values


def _read_transport(prefix: str, section: Any, values: dict[str, Any], name: str) -> None:
    if not isinstance(section, dict):
        raise ConfigError(f"cannot parse {name}: transport security is not a mapping")
    for key, value in section.items():
        flag = _TRANSPORT_FLAGS.get((prefix, key), prefix + key)
        if flag in BY_NAME and value is not None:
            values[flag] = _convert(flag, value, name)


def _convert(key: str, value: Any, name: str) -> Any:
    """A YAML value as the flag's; durations are whole nanoseconds there."""
    flag = BY_NAME[key]
    try:
        if flag.parse is parse_duration and isinstance(value, int):
            return value / 1e9
        if isinstance(value, list):
            items = tuple(str(item) for item in value)
            return items if flag.parse in (parse_list, parse_urls) else ",".join(items)
        if isinstance(value, bool):
            return flag.parse("true" if value else "false")
        return flag.parse(str(value))
    except BadValue as error:
        raise ConfigError(f"cannot parse {name}: {key}: {value!r}: {error}") from error


def short_usage() -> str:
    return (
        "Usage:\n\n  trioetcd serve [flags]\n    Start an etcd server.\n\n"
        "  trioetcd serve --version\n    Show the version of etcd.\n\n"
        "  trioetcd serve -h | --help\n    Show the help information about etcd.\n"
    )


def full_help() -> str:
    """All flags, section by section, with their defaults."""
    lines = [short_usage()]
    section = ""
    for flag in FLAGS:
        if flag.section == "Ignored":
            break
        if flag.section != section:
            section = flag.section
            lines.append(f"{section}:\n")
        lines.append(f"  --{flag.name} '{_show(flag)}'\n    {flag.meaning}")
    return "\n".join(lines) + "\n"


def _show(flag: Flag) -> str:
    if flag.is_bool:
        return str(flag.default).lower()
    if isinstance(flag.default, tuple):
        return ",".join(flag.default)
    if isinstance(flag.default, float):
        from trioetcd.config.values import show_duration

        return show_duration(flag.default)
    return str(flag.default)
