"""What --auth-token asks for.

Source: etcd server/auth/store.go (decomposeOpts, NewTokenProvider), options.go.
"""

from __future__ import annotations

from pathlib import Path

from actors.auth.token_settings import DEFAULT_TTL, BadTokenOptions, JWTSettings
from trioetcd.config.values import BadValue, parse_duration
from trioetcd.node.settings import SimpleTokenSettings, TokenSettings
from wire.network import reason

INVALID = "auth: invalid auth options"


def token_settings(option: str, ttl: float) -> TokenSettings:
    """`ttl` in seconds, of simple tokens.  Reads the files that are named.

    Raises BadTokenOptions.
    """
    kind, *parts = option.split(",")
    options: dict[str, str] = {}
    for part in parts:
        name, *values = part.split("=")
        if len(values) != 1 or name in options:
            raise BadTokenOptions(INVALID)
        options[name] = values[0]
    match kind:
        case "simple":
            return SimpleTokenSettings(ttl)
        case "jwt":
            return _jwt(options)
        case "":
            return None
        case _:
            raise BadTokenOptions(INVALID)


def _jwt(options: dict[str, str]) -> JWTSettings:
    try:
        ttl = parse_duration(options["ttl"]) if options.get("ttl") else DEFAULT_TTL
    except BadValue:
        raise BadTokenOptions(INVALID) from None
    return JWTSettings(
        options.get("sign-method", ""),
        _read(options.get("pub-key", "")),
        _read(options.get("priv-key", "")),
        ttl,
    )


def _read(path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadTokenOptions(f"{INVALID}: open {path}: {reason(error)}") from error
