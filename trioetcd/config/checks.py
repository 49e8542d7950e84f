"""Settings that cannot be, one by one or together, in etcd's words and in its order.

Source: etcd server/embed/config.go (Validate), server/embed/etcd.go (parseCompactionRetention),
server/etcdserver/bootstrap.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trioetcd.config import gates
from trioetcd.config.certificates import check_tls, tls_remarks
from trioetcd.config.sources import ConfigError, Given, Remark
from trioetcd.config.urls import check_client_urls, check_urls
from trioetcd.config.values import BadValue, read_duration, show_value

MAX_ELECTION_MS = 50_000
MAX_USUAL_REQUEST_BYTES = 10 << 20  # larger is allowed, and said
MAX_USUAL_QUOTA_BYTES = 8 << 30  # likewise
MIN_PEER_TIMEOUT = 5.0  # seconds; lower values of --raft-…-timeout are raised to it
HOUR = 3600.0


def check(given: Given) -> None:
    """Raises ConfigError."""
    check_urls(given)
    _check_bootstrap_flags(given)
    _check_times(given)
    _check_clients_are_told(given)
    retention(given)
    _check_gates(given)
    if given.get("compact-hash-check-time") <= 0:
        shown = show_value(given.get("compact-hash-check-time"))
        raise ConfigError(f"--compact-hash-check-time must be >0 (set to {shown})")
    check_tls(given)
    check_client_urls(given)


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


def _check_clients_are_told(given: Given) -> None:
    """In a file the default stands beside what was given; elsewhere it is taken for forgotten."""
    listens, advertises = given.is_set("listen-client-urls"), given.is_set("advertise-client-urls")
    if listens and not advertises and not given.from_file:
        raise ConfigError(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
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
    if text.isascii() and text.removeprefix("+").isdecimal():
        count = int(text)
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


def remarks(given: Given, chosen: Mapping[str, bool]) -> Iterator[Remark]:
    """What is possible, and worth a warning."""
    if not given.get("data-dir"):
        yield Remark(
            "'data-dir' was empty; using default", {"data_dir": f"{given.get('name')}.etcd"}
        )
    for flag in ("raft-read-timeout", "raft-write-timeout"):
        if given.get(flag) < MIN_PEER_TIMEOUT:
            shown = show_value(MIN_PEER_TIMEOUT)
            yield Remark(f"{flag} increased to minimum value: {shown}", is_warning=False)
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
                "quota_size_bytes": given.get("quota-backend-bytes"),
                "quota_maximum_size_bytes": MAX_USUAL_QUOTA_BYTES,
            },
        )
    if chosen["LeaseCheckpoint"] and not chosen["LeaseCheckpointPersist"]:
        yield Remark(
            "Detected that checkpointing is enabled without persistence. Consider enabling "
            "feature gate LeaseCheckpointPersist"
        )
    yield from tls_remarks(given)
