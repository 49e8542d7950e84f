"""TLS: contexts made from files, and made again when the files change.

Certificates are renewed under a running server, so before a handshake the files' stamps are
looked at (3 µs), and new contents make a new context.  If they are no good, the old context
stays, and the log says so once per change.
Source: etcd client/pkg/transport/listener.go (TLSInfo).
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from wire.log import Log
from wire.network import reason
from wire.tls_peers import (
    Identity,
    PeerRefused,
    RevocationList,
    TLSStream,
    check_allowed,
    handshake_words,
    identity,
    peer_chain,
)
from wire.tls_suites import VERSIONS, openssl_suites

__all__ = [
    "ClientTLS",
    "Identity",
    "PeerRefused",
    "ServerTLS",
    "TLSError",
    "TLSSettings",
    "TLSStream",
    "handshake_words",
]

ALPN = ["h2", "http/1.1"]


class TLSError(Exception):
    """The settings or files cannot be used; one line for the operator."""


@dataclass(frozen=True, kw_only=True)
class TLSSettings:
    """One port's TLS, or one client's.  File names; empty means not given."""

    cert_file: str = ""
    key_file: str = ""
    client_cert_file: str = ""  # shown when connecting; if empty, `cert_file` is
    client_key_file: str = ""
    trusted_ca_file: str = ""
    crl_file: str = ""
    client_cert_auth: bool = False
    allowed_cn: tuple[str, ...] = ()
    allowed_hostname: tuple[str, ...] = ()
    min_version: str = "TLS1.2"
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    skip_verify: bool = False  # when connecting: talk to anyone
    server_name: str = ""  # when connecting: that certificates must have; if empty, the address's

    @property
    def requires_client_certificate(self) -> bool:
        """A trusted CA alone is enough to ask for it: etcd's rule."""
        return self.client_cert_auth or bool(self.trusted_ca_file)

    @property
    def files(self) -> tuple[str, ...]:
        return (
            self.cert_file,
            self.key_file,
            self.client_cert_file,
            self.client_key_file,
            self.trusted_ca_file,
            self.crl_file,
        )


class _Watched:
    """A context of the files as they are now, or as they last were good."""

    def __init__(
        self, settings: TLSSettings, log: Log, make: Callable[[TLSSettings], ssl.SSLContext]
    ) -> None:
        """Raises TLSError when the files are no good to begin with."""
        self.settings = settings
        self._log = log
        self._make = make
        self._stamps = self._look()
        self._context = make(settings)
        self._revoked = _revocations(settings)

    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        stamps = self._look()
        if stamps != self._stamps:
            # The stamps were taken before the files are read, so a change in between shows later.
            self._stamps = stamps
            self._reload()
        return self._context

    def _reload(self) -> None:
        try:
            context, revoked = self._make(self.settings), _revocations(self.settings)
        except TLSError as error:
            self._log.warning("kept old certificates", error=str(error))
        else:
            self._context, self._revoked = context, revoked
            self._log.info("reloaded certificates", cert=self.settings.cert_file)

    def _look(self) -> tuple[object, ...]:
        return tuple(_stamp(name) for name in self.settings.files if name)


class ServerTLS(_Watched):
    """What a listener needs: a context per handshake, and the checks after it."""

    def __init__(self, settings: TLSSettings, log: Log) -> None:
        """Raises TLSError."""
        super().__init__(settings, log, server_context)

    def check(self, stream: TLSStream) -> Identity:
        """Who has come in.  Raises PeerRefused if that one may not."""
        who = identity(stream)
        check_allowed(who, self.settings.allowed_cn, self.settings.allowed_hostname)
        if self._revoked is not None:
            self._revoked.check(peer_chain(stream))
        return who


class ClientTLS(_Watched):
    """What connecting needs."""

    def __init__(self, settings: TLSSettings, log: Log) -> None:
        """Raises TLSError."""
        super().__init__(settings, log, client_context)


def server_context(settings: TLSSettings) -> ssl.SSLContext:
    """Raises TLSError."""
    if not (settings.cert_file and settings.key_file):
        given = f"[key: {settings.key_file}, cert: {settings.cert_file}]"
        raise TLSError(f"KeyFile and CertFile must both be present{given}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, settings)
    _load_certificate(context, settings.cert_file, settings.key_file)
    context.set_alpn_protocols(ALPN)
    # Tickets would let a client skip the look at its certificate, and etcd's clients keep none.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    if settings.requires_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, settings.trusted_ca_file, ssl.Purpose.CLIENT_AUTH)
    return context


def client_context(settings: TLSSettings) -> ssl.SSLContext:
    """Raises TLSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context, settings)
    context.set_alpn_protocols(["h2"])
    shown = settings.client_cert_file or settings.cert_file
    key = settings.client_key_file if settings.client_cert_file else settings.key_file
    if shown or key:
        _load_certificate(context, shown, key)
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, settings.trusted_ca_file, ssl.Purpose.SERVER_AUTH)
    return context


def _restrict(context: ssl.SSLContext, settings: TLSSettings) -> None:
    """Versions and suites."""
    for name in (settings.min_version, settings.max_version):
        if name and name not in VERSIONS:
            raise TLSError(f'unexpected TLS version "{name}" (must be one of: TLS1.2, TLS1.3)')
    context.minimum_version = VERSIONS[settings.min_version or "TLS1.2"]
    if settings.max_version:
        context.maximum_version = VERSIONS[settings.max_version]
    try:
        suites = openssl_suites(settings.cipher_suites)
        if suites:
            context.set_ciphers(suites)
    except ValueError as error:
        raise TLSError(str(error)) from error
    except ssl.SSLError as error:
        raise TLSError(f"no usable cipher suite in {','.join(settings.cipher_suites)}") from error


def _load_certificate(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    certificate, key = _blocks(cert_file), _blocks(key_file)
    if not certificate or not key:
        what = "key" if certificate else "certificate"
        raise TLSError(f"tls: failed to find any PEM data in {what} input")
    if "CERTIFICATE" not in certificate and certificate[0].endswith("PRIVATE KEY"):
        raise TLSError(
            "tls: failed to find certificate PEM data in certificate input, but did find a private "
            "key; PEM inputs may have been switched"
        )
    if key == ["CERTIFICATE"]:
        raise TLSError("tls: found a certificate rather than a key in the PEM for the private key")
    try:
        context.load_cert_chain(cert_file, key_file, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TLSError("tls: private key does not match public key") from error
        words = (error.reason or str(error)).lower().replace("_", " ")
        raise TLSError(f"tls: cannot use {cert_file} with {key_file}: {words}") from error
    except (OSError, ValueError) as error:
        raise TLSError(f"tls: cannot use {cert_file} with {key_file}: {error}") from error


def _blocks(name: str) -> list[str]:
    """What is in a PEM file.  Raises TLSError: it cannot be read."""
    return re.findall(r"-----BEGIN ([^-]+)-----", _read(name).decode("latin-1"))


def _refuse_password() -> str:
    """Without this OpenSSL would ask on the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted")


def _trust(context: ssl.SSLContext, ca_file: str, purpose: ssl.Purpose) -> None:
    """Trust the authorities of a file, whether roots or not, as Go does; or the system's."""
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not ca_file:
        context.load_default_certs(purpose)
        return
    _read(ca_file)
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise TLSError(f"tls: no certificate found in {ca_file}") from error


def _revocations(settings: TLSSettings) -> RevocationList | None:
    if not settings.crl_file:
        return None
    try:
        return RevocationList(_read(settings.crl_file))
    except ValueError as error:
        raise TLSError(f"x509: malformed crl {settings.crl_file}: {error}") from error


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise TLSError(f"open {name}: {reason(error)}") from error


def _stamp(name: str) -> object:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
