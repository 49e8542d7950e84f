"""A CA, and certificates of it for servers on this machine and for their clients.

    python scripts/make_certificates.py DIRECTORY

Writes ca.pem, server.pem, server-key.pem, client.pem and client-key.pem, good for a year.
"""

from __future__ import annotations

import datetime
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEAR = datetime.timedelta(days=365)
HOURS = datetime.timedelta(hours=1)  # clocks differ


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def begin(subject: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(name_of(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HOURS)
        .not_valid_after(now + YEAR)
    )


def write(directory: Path, name: str, certificate: x509.Certificate) -> None:
    path = directory / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def write_key(directory: Path, name: str, key: ec.EllipticCurvePrivateKey) -> None:
    path = directory / f"{name}-key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    authority = "trioetcd local CA"
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = (
        begin(authority, ca_key, authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    own = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = begin(f"trioetcd {name}", key, authority).add_extension(both, critical=False)
        if name == "server":
            builder = builder.add_extension(own, critical=False)
        write(directory, name, builder.sign(ca_key, hashes.SHA256()))
        write_key(directory, name, key)
    write(directory, "ca", ca)  # last: who finds it finds all


if __name__ == "__main__":
    main()
