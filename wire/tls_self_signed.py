"""The certificate of `--auto-tls`: made once, kept in the data directory, and used again.

It encrypts, and proves nothing to anybody.
Source: etcd client/pkg/transport/listener.go (SelfCert).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CURVE = ec.SECP256R1()  # etcd takes P-521, whose handshakes cost several times as much
DAYS_IN_YEAR = 365
_PEM = serialization.Encoding.PEM


def self_signed(
    directory: Path, hosts: Sequence[str], years: int, now: datetime.datetime
) -> tuple[str, str]:
    """File names of certificate and key in `directory`, made unless both are there.

    As in etcd, what is there is used without a look at its names or its age.
    """
    certificate_path, key_path = directory / "cert.pem", directory / "key.pem"
    if not (certificate_path.exists() and key_path.exists()):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(CURVE)
        secret = key.private_bytes(
            _PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        certificate = _certificate(key, hosts, years, now)
        _write(key_path, secret)
        _write(certificate_path, certificate.public_bytes(_PEM))
    return str(certificate_path), str(key_path)


def _certificate(
    key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], years: int, now: datetime.datetime
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names = [_general_name(host) for host in dict.fromkeys(hosts) if host]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=DAYS_IN_YEAR * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_encipherment=True,
    crl_sign=True,
    key_cert_sign=True,  # it is its own authority
    content_commitment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, for its owner only."""
    unfinished = path.with_suffix(".tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(unfinished, path)
