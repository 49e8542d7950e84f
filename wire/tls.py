"""TLS: contexts made from files, made again when the files change; who the peer is.

Certificates are renewed under a running server, so before a handshake the files' stamps are
looked at (3 µs), and new contents make a new context.  If they are no good, the old context
stays, and the log says so once.
Source: etcd client/pkg/transport/listener.go (TLSInfo).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wire.log import Log

ALPN = ["h2", "http/1.1"]
_VERSIONS = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}

# Go's names of TLS 1.2 suites -> OpenSSL's.  Those of 1.3 cannot be chosen, in either.
_SUITES = {
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}


class TLSError(Exception):
    """The settings or files cannot be used; one line for the operator."""


@dataclass(frozen=True, kw_only=True)
class TLSSettings:
    """One side's TLS.  File names; empty means not given."""

    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    crl_file: str = ""
    client_cert_auth: bool = False
    allowed_cn: tuple[str, ...] = ()
    allowed_hostname: tuple[str, ...] = ()
    min_version: str = "TLS1.2"
    max_version: str = ""
    cipher_suites: tuple[str, ...] = field(default=())

    @property
    def requires_client_certificate(self) -> bool:
        """A trusted CA alone is enough to ask for it: etcd's rule."""
        return self.client_cert_auth or bool(self.trusted_ca_file)


class ServerTLS:
    """A server's context, always of the files as they are."""

    def __init__(self, settings: TLSSettings, log: Log) -> None:
        """Raises TLSError when the files are no good now."""
        self.settings = settings
        self._log = log
        self._stamps = self._look()
        self._context = server_context(settings)

    def context(self) -> ssl.SSLContext:
        stamps = self._look()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._context = server_context(self.settings)
            except TLSError as error:
                self._log.warning("kept old certificates", error=str(error))
            else:
                self._log.info("reloaded certificates", cert=self.settings.cert_file)
        return self._context

    def _look(self) -> tuple[object, ...]:
        names = self.settings
        return tuple(
            _stamp(name)
            for name in (names.cert_file, names.key_file, names.trusted_ca_file, names.crl_file)
        )


def _stamp(name: str) -> object:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def server_context(settings: TLSSettings) -> ssl.SSLContext:
    """Raises TLSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _apply_common(context, settings)
    if settings.requires_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        if settings.trusted_ca_file:
            _trust(context, settings.trusted_ca_file)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    if settings.crl_file:
        _trust(context, settings.crl_file)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def client_context(settings: TLSSettings, *, verify: bool = True) -> ssl.SSLContext:
    """For connecting; presents the certificate if one is given.  Raises TLSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.cert_file:
        _apply_common(context, settings)
    context.set_alpn_protocols(["h2"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.trusted_ca_file:
        _trust(context, settings.trusted_ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _apply_common(context: ssl.SSLContext, settings: TLSSettings) -> None:
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise TLSError(
            f"cannot load certificate {settings.cert_file} with key {settings.key_file}: "
            f"{_words(error)}"
        ) from error
    for name in (settings.min_version, settings.max_version):
        if name and name not in _VERSIONS:
            raise TLSError(f'unexpected TLS version "{name}", must be one of TLS1.2, TLS1.3')
    context.minimum_version = _VERSIONS[settings.min_version or "TLS1.2"]
    if settings.max_version:
        context.maximum_version = _VERSIONS[settings.max_version]
    unknown = [name for name in settings.cipher_suites if name not in _SUITES]
    if unknown:
        raise TLSError(f"unexpected TLS cipher suite {unknown[0]!r}")
    if settings.cipher_suites:
        context.set_ciphers(":".join(_SUITES[name] for name in settings.cipher_suites))
    context.set_alpn_protocols(ALPN)


def _trust(context: ssl.SSLContext, name: str) -> None:
    try:
        context.load_verify_locations(name)
    except (OSError, ssl.SSLError) as error:
        raise TLSError(f"cannot load {name}: {_words(error)}") from error


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return error.strerror or str(error)


# -- Who the peer is


class PeerRefused(Exception):
    """The peer's certificate is valid, but not one that may come in."""


def common_name(stream: trio.SSLStream[trio.abc.Stream]) -> str:
    """The CN of the peer's verified certificate; empty if it gave none."""
    certificate = stream.getpeercert() or {}
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""


def check_peer(stream: trio.SSLStream[trio.abc.Stream], settings: TLSSettings) -> None:
    """Raises PeerRefused unless the certificate's CN, or a name in it, is among the allowed."""
    if settings.allowed_cn:
        name = common_name(stream)
        if name not in settings.allowed_cn:
            raise PeerRefused(f"certificate authentication failed: CN {name!r} is not allowed")
    if settings.allowed_hostname:
        names = {str(value) for _, value in (stream.getpeercert() or {}).get("subjectAltName", ())}
        if not any(_matches(wanted, names) for wanted in settings.allowed_hostname):
            raise PeerRefused("certificate authentication failed: no allowed hostname")


def _matches(wanted: str, names: set[str]) -> bool:
    parent = wanted.partition(".")[2]
    return wanted in names or f"*.{parent}" in names


# -- Certificates made on the spot

CURVE = ec.SECP256R1()


def self_signed(
    directory: Path, hosts: Sequence[str], years: int, now: datetime.datetime
) -> tuple[str, str]:
    """Certificate and key for `--auto-tls` in `directory`, made unless they are there already.

    Returns their file names.
    """
    cert_path, key_path = directory / "cert.pem", directory / "key.pem"
    if not (cert_path.exists() and key_path.exists()):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(CURVE)
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=365 * years))
            .add_extension(x509.SubjectAlternativeName(map(_alternative, hosts)), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        _write_private(
            key_path,
            key.private_bytes(
                pem,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        _write_private(cert_path, certificate.public_bytes(pem))
    return str(cert_path), str(key_path)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
