"""A CA of one's own, and certificates of it for members and clients.

Pure but for chance: the time is handed in, and what is made is returned as PEM.
Source: RFC 5280; what etcd's page on cfssl has people do by hand.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = datetime.timedelta(hours=1)  # clocks differ: valid from so long before now
RSA_BITS = 3072
PEM = serialization.Encoding.PEM
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Unusable(Exception):
    """What was given is no certificate, no key, or they do not go together."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Shown:
    """What people want to know of a certificate."""

    subject: str
    issuer: str
    is_ca: bool
    hosts: tuple[str, ...]
    usages: tuple[str, ...]  # "server", "client"
    begins: datetime.datetime
    ends: datetime.datetime
    serial: int

    def days_left(self, now: datetime.datetime) -> int:
        return (self.ends - now).days


def new_key(algorithm: str) -> Key:
    """`ecdsa` (P-256) or `rsa`."""
    if algorithm == "rsa":
        return rsa.generate_private_key(65537, RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def authority(name: str, algorithm: str, days: int, now: datetime.datetime) -> Pair:
    key = new_key(algorithm)
    builder = _builder(name, _named(name), key, days, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(is_ca=True), critical=True)
    return Pair(builder.sign(key, hashes.SHA256()).public_bytes(PEM), _key_pem(key))


def issue(
    ca: Pair,
    name: str,
    hosts: Sequence[str],
    *,
    server: bool,
    key: Key,
    days: int,
    now: datetime.datetime,
) -> Pair:
    """For a member, who is both server and client to the others, or for a client.

    Raises:
        Unusable: the CA's files are none, or do not go together.
    """
    issuer, issuer_key = _load(ca)
    builder = _builder(name, issuer.subject, key, days, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(is_ca=False), critical=True)
    usages = [_SERVER, _CLIENT] if server else [_CLIENT]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
    )
    if hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return Pair(certificate.public_bytes(PEM), _key_pem(key))


def renewed(ca: Pair, old: Pair, *, new_key_too: bool, days: int, now: datetime.datetime) -> Pair:
    """The same name, hosts and uses, for as many days from now.

    Raises:
        Unusable: see `issue`; or the certificate is a CA's.
    """
    shown = inspect(old.certificate)
    if shown.is_ca:
        raise Unusable("a CA is not renewed: make another, and let members trust both for a time")
    _, key = _load(old)
    if new_key_too:
        key = new_key("rsa" if isinstance(key, rsa.RSAPrivateKey) else "ecdsa")
    server = "server" in shown.usages
    return issue(ca, shown.subject, shown.hosts, server=server, key=key, days=days, now=now)


def inspect(pem: bytes) -> Shown:
    """Raises Unusable."""
    certificate = _certificate(pem)
    hosts: list[str] = []
    usages: list[str] = []
    is_ca = False
    for extension in certificate.extensions:
        match extension.value:
            case x509.SubjectAlternativeName() as names:
                hosts = [str(one.value) for one in names]
            case x509.ExtendedKeyUsage() as uses:
                usages = [
                    word for use, word in ((_SERVER, "server"), (_CLIENT, "client")) if use in uses
                ]
            case x509.BasicConstraints() as constraints:
                is_ca = constraints.ca
    return Shown(
        subject=_common_name(certificate.subject),
        issuer=_common_name(certificate.issuer),
        is_ca=is_ca,
        hosts=tuple(hosts),
        usages=tuple(usages),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
    )


def is_issued_by(pem: bytes, ca: bytes) -> bool:
    """Whether the CA has signed it.  Raises Unusable."""
    try:
        _certificate(pem).verify_directly_issued_by(_certificate(ca))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _builder(
    subject: str, issuer: x509.Name, key: Key, days: int, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise Unusable("no certificate in PEM") from error


def _load(pair: Pair) -> tuple[x509.Certificate, Key]:
    certificate = _certificate(pair.certificate)
    try:
        key = serialization.load_pem_private_key(pair.key, None)
    except (ValueError, TypeError) as error:
        raise Unusable("no key in PEM, or one with a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Unusable("a key that is neither ECDSA nor RSA")
    if key.public_key() != certificate.public_key():
        raise Unusable("certificate and key do not go together")
    return certificate, key
