"""A server that asks its clients for a certificate, on a free port."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.interop.processes import Server


class SecureServer(Server):
    """Clients come over TLS, with a certificate."""

    def __init__(self, kind: str, home: Path, certificates: Path) -> None:
        super().__init__(kind, home)
        self.certificates = certificates

    @property
    def certificate_flags(self) -> tuple[str, ...]:
        folder = self.certificates
        return (f"cacert={folder}/ca.pem", f"cert={folder}/etcd.pem", f"key={folder}/etcd-key.pem")

    def _command(self) -> list[str]:
        plain, folder = f"http://{self.address}", self.certificates
        words = [word.replace(plain, f"https://{self.address}") for word in super()._command()]
        return [
            *words,
            "--client-cert-auth",
            f"--trusted-ca-file={folder}/ca.pem",
            f"--cert-file={folder}/etcd.pem",
            f"--key-file={folder}/etcd-key.pem",
        ]

    def etcdctl(
        self, *arguments: str, version: str = "3.4", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        flags = [f"--{flag}" for flag in self.certificate_flags]
        return super().etcdctl(*flags, *arguments, version=version, check=check)
