"""JSON Web Tokens: any member with the key can tell whose one is, and nobody remembers it.

Claims are `username`, `revision` (of the auth store when it was made) and `exp`.
Source: etcd server/auth/jwt.go, options.go; RFC 7519.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_pem_x509_certificate
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from actors.auth.identity import Identity
from actors.auth.token_settings import BadTokenOptions, Forgetful, JWTSettings
from wire.errors import Refused
from wire.status import Status

CACHED_TOKENS = 4096  # found good once; checking a signature takes 50 to 200 µs
CANNOT_SIGN = "auth: token signing attempted with verify-only key"
_KINDS: dict[str, tuple[type, type]] = {  # of keys, by the method's first letters
    "RS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "PS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "ES": (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey),
    "Ed": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
}
METHODS = (
    *(f"{family}{bits}" for family in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)),
    "EdDSA",
)


class JWTTokens(Forgetful):
    def __init__(self, settings: JWTSettings, unix_seconds: Callable[[], float]) -> None:
        """Raises BadTokenOptions."""
        if settings.method not in METHODS:
            raise BadTokenOptions("auth: invalid auth signature method")
        self._method = settings.method
        self._signing_key, self._checking_key = _keys(settings)
        self._ttl = settings.ttl
        self._unix_seconds = unix_seconds
        self._jws = PyJWS(algorithms=[self._method])
        self._good: dict[str, tuple[Identity, float]] = {}  # -> whose, until when
        self._try_keys()

    def _try_keys(self) -> None:
        """A key of another curve, or too short for the method: said now, not at a log-in."""
        method, key = self._method, self._signing_key
        try:
            if key is None:
                self._jws.get_algorithm_by_name(method).prepare_key(self._checking_key)
            else:
                token = self._jws.encode(b"{}", key, algorithm=method)
                self._jws.decode(token, self._checking_key, algorithms=[method])
        except (PyJWTError, ValueError, TypeError) as error:
            raise BadTokenOptions(f"auth: invalid key: {error}") from error

    def new_prefix(self) -> str:
        return ""

    def assign(self, username: str, prefix: str, index: int, revision: int) -> str:
        """Every member makes one, and only the one of who was asked is seen."""
        if self._signing_key is None:
            raise Refused(Status.UNKNOWN, CANNOT_SIGN)
        until = int(self._unix_seconds() + self._ttl)
        claims = {"username": username, "revision": revision, "exp": until}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return self._jws.encode(payload, self._signing_key, algorithm=self._method)

    def identify(self, token: str, revision: int) -> Identity | None:
        found = self._good.get(token) or self._check(token)
        if found is None:
            return None
        who, until = found
        if until <= self._unix_seconds():
            self._good.pop(token, None)
            return None
        return who

    def known_at(self, token: str) -> int:
        return 0

    def _check(self, token: str) -> tuple[Identity, float] | None:
        try:
            payload = self._jws.decode(token, self._checking_key, algorithms=[self._method])
            found = _claimed(json.loads(payload), self._unix_seconds())
        except (PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None
        if found is not None:
            if len(self._good) >= CACHED_TOKENS:
                del self._good[next(iter(self._good))]
            self._good[token] = found
        return found


def _claimed(claims: Any, now: float) -> tuple[Identity, float] | None:
    """What is claimed and until when; None: too little, or not yet."""
    if not isinstance(claims, dict):
        return None
    username: object = claims.get("username")
    revision: Any = claims.get("revision")
    until, begin = claims.get("exp", float("inf")), claims.get("nbf", 0)
    if not isinstance(username, str) or not all(
        isinstance(each, int | float) for each in (revision, until, begin)
    ):
        return None
    return None if begin > now else (Identity(username, int(revision)), float(until))


def _keys(settings: JWTSettings) -> tuple[Any, Any]:
    """To sign, None if that cannot be done, and to check."""
    if settings.method.startswith("HS"):
        if not settings.private_key:
            raise BadTokenOptions("auth: missing key data")
        return settings.private_key, settings.private_key
    private_kind, public_kind = _KINDS[settings.method[:2]]
    try:
        private = load_pem_private_key(settings.private_key, None) if settings.private_key else None
        public = _public_key(settings.public_key) if settings.public_key else None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadTokenOptions(f"auth: invalid key: {error}") from error
    if private is None and public is None:
        raise BadTokenOptions("auth: missing key data")
    if private is not None and not isinstance(private, private_kind):
        raise BadTokenOptions(f"auth: not a private key for {settings.method}")
    if public is not None and not isinstance(public, public_kind):
        raise BadTokenOptions(f"auth: not a public key for {settings.method}")
    if private is None:
        return None, public
    own = private.public_key()
    if public is not None and _encoded(public) != _encoded(own):
        raise BadTokenOptions("auth: public and private keys don't match")
    return private, own


def _public_key(pem: bytes) -> Any:
    if b"BEGIN CERTIFICATE" in pem:
        return load_pem_x509_certificate(pem).public_key()
    return load_pem_public_key(pem)


def _encoded(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
