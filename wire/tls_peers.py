"""Who is at the other end of a TLS connection, and whether that one may come in.

OpenSSL has verified the certificate against the trusted authorities already; here it is
compared with the allowed names and with the revocation list.  Failures are worded as Go's
crypto/tls words them, since that is what operators search for.
Source: etcd client/pkg/transport/listener.go (VerifyPeerCertificate), listener_tls.go (checkCRL);
Go crypto/x509 (VerifyHostname).
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import trio

TLSStream = trio.SSLStream[trio.abc.Stream]


class PeerRefused(Exception):
    """The peer's certificate is valid, but not one that may come in."""


@dataclass(frozen=True)
class Identity:
    """What a verified certificate says about its owner; all empty if there was none."""

    common_name: str = ""
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()

    def answers_to(self, host: str) -> bool:
        """Whether one of the certificate's names, not the CN, is `host`'s."""
        host = host.removeprefix("[").removesuffix("]")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return any(_same_name(host, pattern) for pattern in self.dns_names)
        return any(address == ipaddress.ip_address(one) for one in self.ip_addresses)


def _same_name(host: str, pattern: str) -> bool:
    """A wildcard stands for exactly one label, the first.  Source: RFC 9525 §6.3."""
    host, pattern = host.lower().removesuffix("."), pattern.lower().removesuffix(".")
    if not host or not pattern:
        return False
    first, dot, parent = pattern.partition(".")
    if first == "*" and dot:
        label, _, rest = host.partition(".")
        return bool(label) and rest == parent
    return host == pattern


def identity(stream: TLSStream) -> Identity:
    """Of the peer, after the handshake."""
    certificate: dict[str, Any] = stream.getpeercert() or {}
    common_name = ""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                common_name = str(value)  # the last one counts, as in Go
    names = certificate.get("subjectAltName", ())
    return Identity(
        common_name,
        tuple(str(value) for kind, value in names if kind == "DNS"),
        tuple(str(value) for kind, value in names if kind == "IP Address"),
    )


def peer_chain(stream: TLSStream) -> list[bytes]:
    """The certificates the peer has sent, in DER, its own first."""
    if hasattr(stream, "get_unverified_chain"):  # Python 3.13
        return [bytes(der) for der in stream.get_unverified_chain() or ()]
    inner = stream._ssl_object._sslobj  # type: ignore[attr-defined]
    return [_der(certificate) for certificate in inner.get_unverified_chain() or ()]


def _der(certificate: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())


def check_allowed(who: Identity, names: Iterable[str], hostnames: Iterable[str]) -> None:
    """Raises PeerRefused unless the CN, or a hostname, is among those that are allowed."""
    names, hostnames = tuple(names), tuple(hostnames)
    if names and who.common_name not in names:
        raise PeerRefused("client certificate authentication failed")
    if hostnames and not any(map(who.answers_to, hostnames)):
        raise PeerRefused("client certificate authentication failed")


class RevocationList:
    """Serial numbers that are no longer good.  As in etcd, whoever signed the list is trusted."""

    def __init__(self, data: bytes) -> None:
        """`data` is PEM or DER.  Raises ValueError."""
        from cryptography import x509  # 20 ms, for what few ask for

        is_pem = b"-----BEGIN" in data
        load = x509.load_pem_x509_crl if is_pem else x509.load_der_x509_crl
        self._serials = frozenset(revoked.serial_number for revoked in load(data))
        self._certificate = x509.load_der_x509_certificate

    def check(self, chain: Iterable[bytes]) -> None:
        """Raises PeerRefused if a certificate of the chain (DER) is on the list."""
        for der in chain:
            serial = self._certificate(der).serial_number
            if serial in self._serials:
                raise PeerRefused(f"transport: certificate serial {serial:x} revoked")


# -- What Go says

_VERIFY_WORDS = {
    9: "certificate has expired or is not yet valid",
    10: "certificate has expired or is not yet valid",
    18: "certificate signed by unknown authority",
    19: "certificate signed by unknown authority",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
    26: "certificate specifies an incompatible key usage",
}  # by OpenSSL's X509_V_ERR_ numbers

_REASON_WORDS = {
    "HTTP_REQUEST": "tls: first record does not look like a TLS handshake",
    "HTTPS_PROXY_REQUEST": "tls: first record does not look like a TLS handshake",
    "WRONG_VERSION_NUMBER": "tls: first record does not look like a TLS handshake",
    "BAD_RECORD_TYPE": "tls: first record does not look like a TLS handshake",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls: client didn't provide a certificate",
    "NO_SHARED_CIPHER": "tls: no cipher suite supported by both client and server",
    "UNSUPPORTED_PROTOCOL": "tls: client offered only unsupported versions",
    "TLSV1_ALERT_PROTOCOL_VERSION": "remote error: tls: protocol version not supported",
    "TLSV1_ALERT_UNKNOWN_CA": "remote error: tls: unknown certificate authority",
    "SSLV3_ALERT_BAD_CERTIFICATE": "remote error: tls: bad certificate",
    "TLSV1_ALERT_BAD_CERTIFICATE": "remote error: tls: bad certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "remote error: tls: expired certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "remote error: tls: unknown certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "remote error: tls: certificate required",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "remote error: tls: handshake failure",
    "UNEXPECTED_EOF_WHILE_READING": "EOF",
}


def handshake_words(error: BaseException) -> str:
    """Why a handshake failed, in one line."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__
    if cause is None:
        return str(error) or type(error).__name__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_why_not_verified(cause)}"
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "EOF"
    reason = cause.reason or ""
    return _REASON_WORDS.get(reason, f"tls: {reason.lower().replace('_', ' ') or cause}")


def _why_not_verified(error: ssl.SSLCertVerificationError) -> str:
    return _VERIFY_WORDS.get(error.verify_code, error.verify_message)
