"""`--config-file`: YAML, of which JSON is a part.

Keys are flags' names, in any case, but for a few sections; durations are whole nanoseconds.  Keys
that nobody knows count for nothing, as in etcd.  A value must be of its flag's type in YAML too:
taken as text, an unquoted 010 would be another cluster's token.
Source: etcd server/embed/config.go (configFromFile, configJSON).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from trioetcd.config.flags import ANCIENT, BY_NAME
from trioetcd.config.sources import ConfigError, Given, Remark
from trioetcd.config.values import (
    BadValue,
    parse_bool,
    parse_duration,
    parse_int,
    parse_list,
    parse_text,
    parse_uint,
    parse_uint32,
)

# Sections, by the flag that each of their keys stands for.
_CLIENT_TLS = {
    "cert-file": "cert-file",
    "key-file": "key-file",
    "client-cert-file": "client-cert-file",
    "client-key-file": "client-key-file",
    "client-cert-auth": "client-cert-auth",
    "trusted-ca-file": "trusted-ca-file",
    "auto-tls": "auto-tls",
    "allowed-cn": "client-cert-allowed-cn",
    "allowed-hostname": "client-cert-allowed-hostname",
}
_PEER_TLS = {
    "cert-file": "peer-cert-file",
    "key-file": "peer-key-file",
    "client-cert-file": "peer-client-cert-file",
    "client-key-file": "peer-client-key-file",
    "client-cert-auth": "peer-client-cert-auth",
    "trusted-ca-file": "peer-trusted-ca-file",
    "auto-tls": "peer-auto-tls",
    "allowed-cn": "peer-cert-allowed-cn",
    "allowed-hostname": "peer-cert-allowed-hostname",
    "skip-client-san-verification": "peer-skip-client-san-verification",
}
_SOCKET = {"reuse-port": "socket-reuse-port", "reuse-address": "socket-reuse-address"}
_DISCOVERY = {"token": "discovery-token"}
_DISCOVERY_CLIENT = {
    "endpoints": "discovery-endpoints",
    "dial-timeout": "discovery-dial-timeout",
    "request-timeout": "discovery-request-timeout",
    "keepalive-time": "discovery-keepalive-time",
    "keepalive-timeout": "discovery-keepalive-timeout",
}
_DISCOVERY_SECURE = {
    "cert": "discovery-cert",
    "key": "discovery-key",
    "cacert": "discovery-cacert",
    "insecure-transport": "discovery-insecure-transport",
    "insecure-skip-tls-verify": "discovery-insecure-skip-tls-verify",
}
_DISCOVERY_AUTH = {"username": "discovery-user", "password": "discovery-password"}
_SECTIONS: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("client-transport-security",): _CLIENT_TLS,
    ("peer-transport-security",): _PEER_TLS,
    ("socket-options",): _SOCKET,
    ("discovery-config",): _DISCOVERY,
    ("discovery-config", "client"): _DISCOVERY_CLIENT,
    ("discovery-config", "client", "secure"): _DISCOVERY_SECURE,
    ("discovery-config", "client", "auth"): _DISCOVERY_AUTH,
}
_IN_SECTIONS = frozenset(name for keys in _SECTIONS.values() for name in keys.values())
_NO_KEYS = _IN_SECTIONS | {"config-file", "version"} | {flag.name for flag in ANCIENT}
_NUMBERS = (parse_int, parse_uint, parse_uint32)


class _Loader(yaml.SafeLoader):
    """YAML without dates: a token that looks like one is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, shape) for tag, shape in known if not tag.endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_file(text: str, path: str) -> Given:
    """A configuration file's contents.

    Raises:
        ConfigError: it is no mapping, or a value is not of its flag's type.
    """
    try:
        contents = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        shown = " ".join(str(error).split())
        raise ConfigError(f"cannot parse {path}: {shown}") from error
    top = _mapping(contents, path)
    values: dict[str, Any] = {}
    for key, value in top.items():
        flag = BY_NAME.get(key)
        if flag is not None and flag.name not in _NO_KEYS and _says_something(flag.name, value):
            values[flag.name] = _convert(flag.name, value, f"{path}: {key}")
    for section, keys in _SECTIONS.items():
        inner = top
        for step in section:
            inner = _mapping(inner.get(step), f"{path}: {'.'.join(section)}")
        for key, name in keys.items():
            if _says_something(name, inner.get(key)):
                where = f"{path}: {'.'.join((*section, key))}"
                values[name] = _convert(name, inner[key], where)
    remark = Remark(
        "loaded server configuration, other configuration command line flags and environment "
        "variables will be ignored if provided",
        {"path": path},
        is_warning=False,
    )
    return Given(values, [remark], from_file=True)


def _mapping(contents: Any, where: str) -> Mapping[str, Any]:
    if contents is None:
        return {}
    if not isinstance(contents, dict):
        raise ConfigError(f"cannot parse {where}: not a mapping")
    return {str(key).lower(): value for key, value in contents.items()}


def _says_something(name: str, value: Any) -> bool:
    """Empty text is a value only where any text is."""
    return value is not None and (value != "" or BY_NAME[name].parse is parse_text)


def _convert(name: str, value: Any, where: str) -> Any:
    """A YAML value as the flag's."""
    parse = BY_NAME[name].parse
    try:
        if parse is parse_duration:
            return _number(value, "whole nanoseconds") / 1e9
        if parse in _NUMBERS:
            return parse(str(_number(value, "a whole number")))
        if parse is parse_bool:
            if isinstance(value, bool):
                return value
            raise BadValue("must be true or false")
        if parse is parse_list and isinstance(value, list):
            return tuple(str(item) for item in value)
        if isinstance(value, str):
            return parse(value)
        raise BadValue("must be a text")
    except BadValue as error:
        raise ConfigError(f"cannot parse {where}: {value!r}: {error}") from error


def _number(value: Any, what: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise BadValue(f"must be {what}")
