"""The flags that every command takes, and the environment that stands in for them.

Source: etcd etcdctl/ctlv3/ctl.go, etcdctl/ctlv3/command/global.go, pkg/flags/flag.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trioetcd.cli.pflag import Flag, Parsed
from trioetcd.config.values import BadValue
from trioetcd.ctl.errors import CommandFailed

PREFIX = "ETCDCTL_"
_NO_FLAGS = {  # read by commands, or by nobody any more
    "ETCDCTL_API",
    "ETCDCTL_WATCH_KEY",
    "ETCDCTL_WATCH_RANGE_END",
}

GLOBAL = {
    "endpoints": Flag(("127.0.0.1:2379",), "gRPC endpoints"),
    "debug": Flag(False, "enable client-side debug logging"),
    "write-out": Flag(
        "simple", "set the output format (fields, json, protobuf, simple, table)", "w"
    ),
    "hex": Flag(False, "print byte strings as hex encoded strings"),
    "dial-timeout": Flag(2.0, "dial timeout for client connections"),
    "command-timeout": Flag(5.0, "timeout for short running command (excluding dial timeout)"),
    "keepalive-time": Flag(2.0, "keepalive time for client connections"),
    "keepalive-timeout": Flag(6.0, "keepalive timeout for client connections"),
    "insecure-discovery": Flag(True, "accept insecure SRV records describing cluster endpoints"),
    "insecure-transport": Flag(True, "disable transport security for client connections"),
    "insecure-skip-tls-verify": Flag(
        False,
        "skip server certificate verification (CAUTION: this option should be enabled only for "
        "testing purposes)",
    ),
    "cert": Flag("", "identify secure client using this TLS certificate file"),
    "key": Flag("", "identify secure client using this TLS key file"),
    "cacert": Flag("", "verify certificates of TLS-enabled secure servers using this CA bundle"),
    "user": Flag("", "username[:password] for authentication (prompt if password is not supplied)"),
    "password": Flag(
        "",
        "password for authentication (if this option is used, --user option shouldn't include "
        "password)",
    ),
    "auth-jwt-token": Flag("", "JWT token for authentication, in place of a user's password"),
    "max-request-bytes": Flag(0, "client-side limit of a request's bytes (0: none)", kind="int"),
    "max-recv-bytes": Flag(0, "client-side limit of an answer's bytes (0: 2 GiB)", kind="int"),
    "discovery-srv": Flag(
        "", "domain name to query for SRV records describing cluster endpoints", "d"
    ),
    "discovery-srv-name": Flag("", "service name to query when using DNS discovery"),
}


def variable(name: str) -> str:
    """The environment variable of a flag."""
    return PREFIX + name.upper().replace("-", "_")


def with_environment(parsed: Parsed, environ: Mapping[str, str]) -> tuple[Parsed, list[str]]:
    """The flags with what the environment says of those not given; and what it says of no flag.

    Raises:
        CommandFailed: something is said twice, or is no value of its flag.
    """
    values: dict[str, Any] = dict(parsed.values)
    named = {variable(name): name for name in GLOBAL}
    unknown = []
    for key, text in environ.items():
        if not key.startswith(PREFIX) or key in _NO_FLAGS or not text:
            continue
        name = named.get(key)
        if name is None:
            unknown.append(f"{key}={text}")
        elif name in parsed.given:
            raise CommandFailed(
                f'conflicting environment variable "{key}" is shadowed by corresponding '
                "command-line flag (either unset environment variable or disable flag)"
            )
        else:
            try:
                values[name] = GLOBAL[name].parse(text)
            except BadValue as error:
                raise CommandFailed(f'invalid value "{text}" for {key}: {error}') from error
    return replace(parsed, values=values), unknown
