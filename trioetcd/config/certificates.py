"""Which URLs want TLS, and whether the flags give them what they need, in etcd's words.

Files are not looked at here: that is done when a context is made of them.
Source: etcd server/embed/etcd.go (configurePeerListeners, configureClientListeners,
createMetricsListener), client/pkg/transport/listener.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from trioetcd.config.sources import ConfigError, Given, Remark
from trioetcd.config.urls import parsed
from wire.tls_suites import openssl_suites

TLS_VERSIONS = ("TLS1.2", "TLS1.3")
KINDS = (("", "client"), ("peer-", "peer"))  # beginnings of `--…cert-file` and of `--listen-…-urls`


def check_tls(given: Given) -> None:
    """Raises ConfigError."""
    _check_versions(given)
    try:
        openssl_suites(given.get("cipher-suites"))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    _check_allowed(given)
    _check_certificates(given)
    _check_pairs(given)


def _check_allowed(given: Given) -> None:
    for kind in ("client-", "peer-"):
        names = ",".join(given.get(f"{kind}cert-allowed-cn"))
        hosts = ",".join(given.get(f"{kind}cert-allowed-hostname"))
        if names and hosts:
            raise ConfigError(
                "AllowedCN and AllowedHostname are mutually exclusive "
                f'(cn="{names}", hostname="{hosts}")'
            )


def _check_certificates(given: Given) -> None:
    """Nobody is served without TLS at a URL that promises it."""
    if not has_certificate(given, "peer-"):
        for url in _secure(given, "listen-peer-urls"):
            raise ConfigError(
                f"cannot listen on TLS for {parsed(url)}: KeyFile and CertFile are not presented"
            )
    if not has_certificate(given, ""):
        for url in _secure(given, "listen-client-urls", "listen-client-http-urls"):
            raise ConfigError(
                "TLS key/cert (--cert-file, --key-file) must be provided for client url "
                f"{url} with HTTPS scheme"
            )
        if _secure(given, "listen-metrics-urls"):
            raise ConfigError(
                "client TLS key/cert (--cert-file, --key-file) must be provided for metrics "
                "secure url"
            )


def _check_pairs(given: Given) -> None:
    for prefix, is_used in (("", serves_tls(given)), ("peer-", True)):
        cert, key = given.get(f"{prefix}cert-file"), given.get(f"{prefix}key-file")
        if is_used and bool(cert) != bool(key):
            raise ConfigError(
                f"KeyFile and CertFile must both be present[key: {key}, cert: {cert}]"
            )


def _check_versions(given: Given) -> None:
    lowest, highest = given.get("tls-min-version"), given.get("tls-max-version")
    for version in (lowest, highest):
        if version and version not in TLS_VERSIONS:
            raise ConfigError(
                f'unexpected TLS version "{version}" (must be one of: {", ".join(TLS_VERSIONS)})'
            )
    if highest and lowest > highest:
        raise ConfigError(f"min version ({lowest}) is greater than max version ({highest})")
    if lowest == "TLS1.3" and given.get("cipher-suites"):
        raise ConfigError("cipher suites cannot be configured when only TLS1.3 is enabled")


def serves_tls(given: Given) -> bool:
    """Whether clients, or those who read metrics, are to be served over TLS anywhere."""
    return bool(
        _secure(given, "listen-client-urls", "listen-client-http-urls", "listen-metrics-urls")
    )


def has_certificate(given: Given, prefix: str) -> bool:
    """Half of a pair counts: that the other half is missing is another mistake."""
    return bool(
        given.get(f"{prefix}cert-file")
        or given.get(f"{prefix}key-file")
        or given.get(f"{prefix}auto-tls")
    )


def _secure(given: Given, *flags: str) -> list[str]:
    return [url for flag in flags for url in given.get(flag) if parsed(url).secure]


def tls_remarks(given: Given) -> Iterator[Remark]:
    """What was asked for and is not done."""
    for prefix, kind in KINDS:
        if given.get(f"{prefix}auto-tls") and given.get(f"{prefix}cert-file"):
            yield Remark(f"ignoring {kind} auto TLS since certs given")
        for url in given.get(f"listen-{kind}-urls"):
            if parsed(url).secure:
                continue
            if has_certificate(given, prefix):
                yield Remark(
                    "scheme is HTTP while key and cert files are present; "
                    "ignoring key and cert files",
                    {f"{kind}_url": url},
                )
            if given.get(f"{prefix}client-cert-auth"):
                yield Remark(
                    f"scheme is HTTP while --{prefix}client-cert-auth is enabled; "
                    "ignoring client cert auth for this URL",
                    {f"{kind}_url": url},
                )
