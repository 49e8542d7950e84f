"""Settings that cannot be, one by one or together, in etcd's words and in its order.

Source: etcd server/embed/config.go (Validate), server/embed/etcd.go (parseCompactionRetention),
server/etcdserver/bootstrap.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from trioetcd.config import gates
from trioetcd.config.sources import ConfigError, Given, Remark
from trioetcd.config.values import BadValue, parse_int, read_duration, show_value
from wire.network import Address, BadURL, parse_url

MAX_ELECTION_MS = 50_000
MAX_USUAL_REQUEST_BYTES = 10 << 20  # larger is allowed, and said
MAX_USUAL_QUOTA_BYTES = 8 << 30  # likewise
TLS_VERSIONS = ("TLS1.2", "TLS1.3")
HOUR = 3600.0


def check(given: Given) -> None:
    """Raises ConfigError."""
    for flag in (
        "listen-peer-urls",
        "listen-client-urls",
        "listen-client-http-urls",
        "listen-metrics-urls",
    ):
        for url in given.get(flag):
            _check_bindable(url)
    _check_advertised(given, "initial-advertise-peer-urls", '"host:port"')
    _check_advertised(
        given,
        "advertise-client-urls",
        'in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket"',
    )
    _check_bootstrap_flags(given)
    _check_times(given)
    if not given.from_file:  # where the default stands beside what was given
        listens, advertises = (
            given.is_set("listen-client-urls"),
            given.is_set("advertise-client-urls"),
        )
        if listens and not advertises:
            raise ConfigError(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly"
            )
    retention(given)
    _check_gates(given)
    if given.get("compact-hash-check-time") <= 0:
        shown = show_value(given.get("compact-hash-check-time"))
        raise ConfigError(f"--compact-hash-check-time must be >0 (set to {shown})")
    _check_tls(given)


def _check_bindable(url: str) -> None:
    """A listener needs an address, not a name that may mean several."""
    address = parsed(url)
    if address.path or address.host == "localhost":
        return
    try:
        ipaddress.ip_address(address.host.partition("%")[0])
    except ValueError:
        raise ConfigError(f"expected IP in URL for binding ({url})") from None


def parsed(url: str) -> Address:
    try:
        return parse_url(url)
    except BadURL as error:
        raise ConfigError(str(error)) from error


def _check_advertised(given: Given, flag: str, form: str) -> None:
    urls = given.get(flag)
    for url in urls:
        address = parsed(url)
        if not address.path and not address.host:
            raise ConfigError(
                f'--{flag} "{",".join(urls)}" must be {form} (unexpected empty host ({url}))'
            )


def _check_bootstrap_flags(given: Given) -> None:
    flags = ("initial-cluster", "discovery-srv", "discovery-endpoints", "discovery")
    if sum(bool(given.is_set(flag) and given.get(flag)) for flag in flags) > 1:
        raise ConfigError(
            'multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", '
            '"discovery-endpoints" or "discovery-srv"'
        )
    if bool(given.get("discovery-token")) != bool(given.get("discovery-endpoints")):
        raise ConfigError("both --discovery-token and --discovery-endpoints must be set")


def _check_times(given: Given) -> None:
    heartbeat, election = given.get("heartbeat-interval"), given.get("election-timeout")
    for flag in ("heartbeat-interval", "election-timeout"):
        if given.get(flag) == 0:
            raise ConfigError(f"--{flag} must be >0 (set to 0ms)")
    if 5 * heartbeat > election:
        raise ConfigError(
            f"--election-timeout[{election}ms] should be at least as 5 times as "
            f"--heartbeat-interval[{heartbeat}ms]"
        )
    if election > MAX_ELECTION_MS:
        raise ConfigError(
            f"--election-timeout[{election}ms] is too long, and should be set less than "
            f"{MAX_ELECTION_MS}ms"
        )


def retention(given: Given) -> float:
    """What `--auto-compaction-retention` keeps: revisions, or seconds; a bare number is hours.

    Raises:
        ConfigError: it, or the mode, is neither.
    """
    mode, text = given.get("auto-compaction-mode"), given.get("auto-compaction-retention") or "0"
    if not mode:
        raise ConfigError("undefined auto-compaction-mode")
    if mode not in ("periodic", "revision"):
        raise ConfigError(f'unknown auto-compaction-mode "{mode}"')
    try:
        count = parse_int(text)
    except BadValue:
        count = -1
    if count >= 0:
        return float(count) if mode == "revision" else count * HOUR
    try:
        seconds = read_duration(text)
        if mode == "revision":
            raise BadValue(f'not a number of revisions: "{text}"')
    except BadValue as error:
        raise ConfigError(f"error parsing CompactionRetention: {error}") from error
    return seconds


def named_gates(given: Given) -> dict[str, bool]:
    """Gates that are set, by name or by their flags of old."""
    named = dict(given.get("feature-gates"))
    for flag, gate in gates.FLAGS.items():
        if given.is_set(flag):
            named[gate] = given.get(flag)
    return named


def _check_gates(given: Given) -> None:
    by_name = given.get("feature-gates")
    for flag, gate in gates.FLAGS.items():
        if given.is_set(flag) and gate in by_name:
            old, new = show_value(given.get(flag)), show_value(by_name[gate])
            raise ConfigError(
                f"cannot specify both flags: --{flag}={old} and --feature-gates={gate}={new} at "
                f"the same time, please just use --feature-gates={gate}={new}"
            )
    chosen = gates.all_gates(named_gates(given))
    if chosen["LeaseCheckpointPersist"] and not chosen["LeaseCheckpoint"]:
        raise ConfigError(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
            "LeaseCheckpoint"
        )


def _check_tls(given: Given) -> None:
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
    if given.get("peer-cert-allowed-cn") and given.get("peer-cert-allowed-hostname"):
        raise ConfigError(
            "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other"
        )
    for prefix, kind in (("", "client"), ("peer-", "peer")):
        if has_certificate(given, prefix):
            continue
        for url in (*given.get(f"listen-{kind}-urls"), *_http_urls(given, kind)):
            if parsed(url).secure:
                raise ConfigError(
                    f"TLS key/cert (--{prefix}cert-file, --{prefix}key-file) must be provided "
                    f"for {kind} url {url} with HTTPS scheme"
                )


def _http_urls(given: Given, kind: str) -> tuple[str, ...]:
    urls: tuple[str, ...] = given.get("listen-client-http-urls") if kind == "client" else ()
    return urls


def has_certificate(given: Given, prefix: str) -> bool:
    pair = given.get(f"{prefix}cert-file") and given.get(f"{prefix}key-file")
    return bool(pair or given.get(f"{prefix}auto-tls"))


def remarks(given: Given, chosen: Mapping[str, bool]) -> Iterator[Remark]:
    """What is possible, and worth a warning."""
    if given.get("max-request-bytes") > MAX_USUAL_REQUEST_BYTES:
        yield Remark(
            "exceeded recommended request limit",
            {
                "max_request_bytes": given.get("max-request-bytes"),
                "recommended_request_bytes": MAX_USUAL_REQUEST_BYTES,
            },
        )
    if given.get("quota-backend-bytes") > MAX_USUAL_QUOTA_BYTES:
        yield Remark(
            "quota exceeds the maximum value",
            {
                "given_quota_size_bytes": given.get("quota-backend-bytes"),
                "maximum_quota_size_bytes": MAX_USUAL_QUOTA_BYTES,
            },
        )
    if chosen["LeaseCheckpoint"] and not chosen["LeaseCheckpointPersist"]:
        yield Remark(
            "Detected that checkpointing is enabled without persistence. Consider enabling "
            "feature gate LeaseCheckpointPersist"
        )
    for prefix, kind in (("", "client"), ("peer-", "peer")):
        if not has_certificate(given, prefix):
            continue
        for url in given.get(f"listen-{kind}-urls"):
            if not parsed(url).secure:
                yield Remark(
                    "scheme is HTTP while key and cert files are present; "
                    "ignoring key and cert files",
                    {f"{kind}_url": url},
                )
