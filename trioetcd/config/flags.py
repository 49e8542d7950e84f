"""Every flag of the server, once.

Names, defaults and meanings are etcd's; what a flag is called in older releases is an alias.
`ignored` flags are taken and have no effect, with the reason in their meaning.
Source: etcd server/etcdmain/config.go, help.go; server/embed/config.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trioetcd.config.gates import parse_gates
from trioetcd.config.values import (
    Parser,
    parse_anything,
    parse_bool,
    parse_choice,
    parse_duration,
    parse_int,
    parse_list,
    parse_origins,
    parse_text,
    parse_uint,
    parse_uint32,
    parse_urls,
)


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    parse: Parser
    default: Any
    meaning: str
    section: str = ""
    aliases: tuple[str, ...] = ()
    ignored: bool = False

    @property
    def is_bool(self) -> bool:
        """Whether it may be given without a value; a following word is not its own then."""
        return self.parse in (parse_bool, parse_anything)


def variable(name: str) -> str:
    """The environment variable that stands for a flag."""
    return "ETCD_" + name.upper().replace("-", "_")


def _section(name: str, *flags: Flag) -> tuple[Flag, ...]:
    return tuple(
        Flag(f.name, f.parse, f.default, f.meaning, name, f.aliases, f.ignored) for f in flags
    )


def _text(name: str, default: str, meaning: str, *aliases: str) -> Flag:
    return Flag(name, parse_text, default, meaning, aliases=aliases)


def _bool(name: str, default: bool, meaning: str, *aliases: str) -> Flag:
    return Flag(name, parse_bool, default, meaning, aliases=aliases)


def _int(name: str, default: int, meaning: str, *aliases: str) -> Flag:
    return Flag(name, parse_int, default, meaning, aliases=aliases)


def _uint(name: str, default: int, meaning: str, *aliases: str) -> Flag:
    return Flag(name, parse_uint, default, meaning, aliases=aliases)


def _time(name: str, default: float, meaning: str, *aliases: str) -> Flag:
    return Flag(name, parse_duration, default, meaning, aliases=aliases)


def _list(name: str, default: str, meaning: str, *aliases: str) -> Flag:
    return Flag(name, parse_list, parse_list(default), meaning, aliases=aliases)


def _urls(name: str, default: str, meaning: str) -> Flag:
    return Flag(name, parse_urls, parse_urls(default), meaning)


def _ignored(name: str, parse: Parser, default: Any, why: str, *aliases: str) -> Flag:
    return Flag(name, parse, default, why, aliases=aliases, ignored=True)


def _old(name: str) -> str:
    return f"experimental-{name}"


MEMBER = _section(
    "Member",
    _text("name", "default", "Human-readable name for this member."),
    _text("data-dir", "", "Path to the data directory; ${name}.etcd unless given."),
    _text("wal-dir", "", "Path to a directory for the log alone."),
    _uint("snapshot-count", 10_000, "Applied entries between snapshots of the log position."),
    _uint(
        "snapshot-catchup-entries",
        5000,
        "Entries kept for members that are a little behind.",
        _old("snapshot-catchup-entries"),
        _old("snapshot-catch-up-entries"),  # in a configuration file
    ),
    _uint("max-wals", 5, "Log segments to keep (0 is unlimited)."),
    _uint("max-snapshots", 5, "Snapshot files to keep (0 is unlimited)."),
    _uint("heartbeat-interval", 100, "Time of a heartbeat interval (in milliseconds)."),
    _uint("election-timeout", 1000, "Time for an election to time out (in milliseconds)."),
    _bool("initial-election-tick-advance", True, "Whether to hasten the first election."),
    _urls("listen-peer-urls", "http://localhost:2380", "URLs to listen on for other members."),
    _urls("listen-client-urls", "http://localhost:2379", "URLs to listen on for clients."),
    _urls("listen-client-http-urls", "", "URLs to listen on for clients' plain HTTP alone."),
    _int("quota-backend-bytes", 0, "Size at which the NOSPACE alarm is raised (0: 2 GiB)."),
    _ignored(
        "backend-bbolt-freelist-type",
        parse_text,
        "map",
        "The database is not bbolt.",
        _old("backend-bbolt-freelist-type"),
    ),
    _time("backend-batch-interval", 0.0, "Longest time between backend commits (0: 100ms)."),
    _int("backend-batch-limit", 0, "Most changes between backend commits (0: 10000)."),
    _uint("max-txn-ops", 128, "Most operations in a transaction."),
    _uint("max-request-bytes", 1_572_864, "Largest request, in bytes."),
    Flag(
        "max-concurrent-streams",
        parse_uint32,
        4_294_967_295,
        "Most streams a client may have open.",
    ),
    _time("grpc-keepalive-min-time", 5.0, "Shortest time between a client's pings."),
    _time("grpc-keepalive-interval", 7200.0, "Idle time after which the server pings (0: never)."),
    _time("grpc-keepalive-timeout", 20.0, "Time for the answer to a ping."),
    _bool("socket-reuse-port", False, "Set SO_REUSEPORT on listeners."),
    _bool("socket-reuse-address", False, "Set SO_REUSEADDR on listeners."),
    _bool("enable-grpc-gateway", True, "Serve the JSON gateway."),
    _time("raft-read-timeout", 5.0, "Read timeout of connections between members."),
    _time("raft-write-timeout", 5.0, "Write timeout of connections between members."),
    _ignored(
        "memory-mlock",
        parse_bool,
        False,
        "Memory is the interpreter's to lay out.",
        _old("memory-mlock"),
    ),
    _uint("max-learners", 1, "Most learners in the cluster.", _old("max-learners")),
    Flag("feature-gates", parse_gates, {}, "Name=true|false pairs, comma separated."),
    _text("config-file", "", "Path to a configuration file; then all else is ignored."),
    _bool("version", False, "Print the version and exit."),
)

CLUSTERING = _section(
    "Clustering",
    _urls("initial-advertise-peer-urls", "http://localhost:2380", "Peer URLs to advertise."),
    _text("initial-cluster", "", "name=url pairs of the first members, comma separated."),
    Flag(
        "initial-cluster-state",
        parse_choice("new", "existing"),
        "new",
        "Initial cluster state ('new' or 'existing').",
    ),
    _text("initial-cluster-token", "etcd-cluster", "Keeps clusters with the same URLs apart."),
    _urls("advertise-client-urls", "http://localhost:2379", "Client URLs to advertise."),
    _text("discovery", "", "URL of the v2 discovery service; no longer offered."),
    _text("discovery-proxy", "", "HTTP proxy for the v2 discovery service."),
    Flag(
        "discovery-fallback",
        parse_choice("exit", "proxy"),
        "exit",
        "What to do when discovery fails ('exit').",
    ),
    _text("discovery-srv", "", "DNS domain to find the first members in."),
    _text("discovery-srv-name", "", "Suffix of the SRV names looked up."),
    _text("discovery-token", "", "Token of the v3 discovery service."),
    _list("discovery-endpoints", "", "Endpoints of the v3 discovery service."),
    _time("discovery-dial-timeout", 2.0, "Dial timeout of the v3 discovery service."),
    _time("discovery-request-timeout", 5.0, "Request timeout of the v3 discovery service."),
    _time("discovery-keepalive-time", 2.0, "Keepalive time of the v3 discovery service."),
    _time("discovery-keepalive-timeout", 6.0, "Keepalive timeout of the v3 discovery service."),
    _bool("discovery-insecure-transport", True, "Talk to the discovery service without TLS."),
    _bool("discovery-insecure-skip-tls-verify", False, "Do not verify the discovery service."),
    _text("discovery-cert", "", "Client certificate for the discovery service."),
    _text("discovery-key", "", "Its key."),
    _text("discovery-cacert", "", "CA of the discovery service."),
    _text("discovery-user", "", "User of the discovery service."),
    _text("discovery-password", "", "Password of the discovery service."),
    _bool("strict-reconfig-check", True, "Refuse changes that would lose quorum."),
    _bool("pre-vote", True, "Ask whether an election could be won before starting one."),
    _text("auto-compaction-retention", "0", "History to keep (0: all)."),
    _text("auto-compaction-mode", "periodic", "What the retention counts: 'periodic', 'revision'."),
    _bool("enable-v2", False, "The v2 API; not offered."),
    _ignored(
        "v2-deprecation",
        parse_choice("not-yet", "write-only", "write-only-drop-data", "gone"),
        "write-only",
        "There is no v2 store.",
        _old("v2-deprecation"),
    ),
    _text("proxy", "off", "The v2 proxy; not offered."),
    _ignored("proxy-failure-wait", parse_uint, 5000, "There is no v2 proxy."),
    _ignored("proxy-refresh-interval", parse_uint, 30000, "There is no v2 proxy."),
    _ignored("proxy-dial-timeout", parse_uint, 1000, "There is no v2 proxy."),
    _ignored("proxy-write-timeout", parse_uint, 5000, "There is no v2 proxy."),
    _ignored("proxy-read-timeout", parse_uint, 0, "There is no v2 proxy."),
)

SECURITY = _section(
    "Security",
    _text("cert-file", "", "Path to the client server TLS certificate."),
    _text("key-file", "", "Path to its key."),
    _text("client-cert-file", "", "Certificate the server uses as a client of itself."),
    _text("client-key-file", "", "Its key."),
    _bool("client-cert-auth", False, "Require client certificates."),
    _text("client-crl-file", "", "Path to the certificate revocation list."),
    _list("client-cert-allowed-cn", "", "Common names client certificates may have (ours)."),
    _list("client-cert-allowed-hostname", "", "Names a client certificate must have one of."),
    _text("trusted-ca-file", "", "Path to the CA of client certificates."),
    _bool("auto-tls", False, "Make a self-signed certificate for clients."),
    _text("peer-cert-file", "", "Path to the peer server TLS certificate."),
    _text("peer-key-file", "", "Path to its key."),
    _text("peer-client-cert-file", "", "Certificate used to connect to other members."),
    _text("peer-client-key-file", "", "Its key."),
    _bool("peer-client-cert-auth", False, "Require certificates of other members."),
    _text("peer-trusted-ca-file", "", "Path to the CA of other members' certificates."),
    _list("peer-cert-allowed-cn", "", "Common names other members' certificates may have."),
    _list("peer-cert-allowed-hostname", "", "Names other members' certificates must have one of."),
    _bool("peer-auto-tls", False, "Make a self-signed certificate for other members."),
    _uint("self-signed-cert-validity", 1, "Years that self-signed certificates are valid."),
    _text("peer-crl-file", "", "Path to the peers' certificate revocation list."),
    _bool(
        "peer-skip-client-san-verification",
        False,
        "Do not compare other members' certificates with their addresses.",
        _old("peer-skip-client-san-verification"),
    ),
    _list("cipher-suites", "", "TLS cipher suites allowed, by Go's names."),
    _text("tls-min-version", "TLS1.2", "Lowest TLS version allowed."),
    _text("tls-max-version", "", "Highest TLS version allowed."),
    Flag("cors", parse_origins, ("*",), "Origins allowed to call the JSON gateway."),
    _list("host-whitelist", "*", "Host names that plain HTTP may be asked for by."),
    _ignored("ca-file", parse_text, "", "Deprecated by trusted-ca-file."),
    _ignored("peer-ca-file", parse_text, "", "Deprecated by peer-trusted-ca-file."),
)

AUTH = _section(
    "Auth",
    _text("auth-token", "simple", "How tokens are made: 'simple' or 'jwt,…'."),
    _uint("bcrypt-cost", 10, "Cost of hashing passwords."),
    _uint("auth-token-ttl", 300, "Seconds a simple token lives after its last use."),
)

LOGGING = _section(
    "Logging",
    _text("logger", "zap", "The only logger there is."),
    _list("log-outputs", "default", "stderr, stdout, /dev/null, or files.", "log-output"),
    _text("log-level", "info", "debug, info, warn, error, panic, or fatal."),
    _text("log-format", "json", "json or console."),
    _bool("enable-log-rotation", False, "Rotate the log file."),
    _text(
        "log-rotation-config-json",
        '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
        "How it is rotated; maxsize in MB.",
    ),
    _time(
        "warning-apply-duration",
        0.1,
        "Applying longer than this is logged.",
        _old("warning-apply-duration"),
    ),
    _time(
        "warning-unary-request-duration",
        0.3,
        "Requests longer than this are logged.",
        _old("warning-unary-request-duration"),
    ),
    _bool("debug", False, "Log level debug."),
    _text("audit-log", "", "A file that gets a line for every call: who, what, and its result."),
    _ignored("log-package-levels", parse_text, "", "Levels are not by package."),
)

MONITORING = _section(
    "Monitoring",
    _text("metrics", "basic", "basic or extensive."),
    _urls("listen-metrics-urls", "", "More URLs to serve metrics and health on."),
    _bool("enable-pprof", False, "Serve /debug/profile."),
    _bool(
        "enable-distributed-tracing",
        False,
        "Traces; not offered.",
        _old("enable-distributed-tracing"),
    ),
    _ignored(
        "distributed-tracing-address",
        parse_text,
        "localhost:4317",
        "No traces.",
        _old("distributed-tracing-address"),
    ),
    _ignored(
        "distributed-tracing-service-name",
        parse_text,
        "etcd",
        "No traces.",
        _old("distributed-tracing-service-name"),
    ),
    _ignored(
        "distributed-tracing-instance-id",
        parse_text,
        "",
        "No traces.",
        _old("distributed-tracing-instance-id"),
    ),
    _ignored(
        "distributed-tracing-sampling-rate",
        parse_uint,
        0,
        "No traces.",
        _old("distributed-tracing-sampling-rate"),
    ),
)

CHECKS = _section(
    "Checks and unsafe features",
    _time(
        "corrupt-check-time",
        0.0,
        "Time between comparisons of members' data (0: never).",
        _old("corrupt-check-time"),
    ),
    _time(
        "compact-hash-check-time",
        60.0,
        "Time between comparisons of compaction hashes.",
        _old("compact-hash-check-time"),
    ),
    _uint(
        "compaction-batch-limit",
        1000,
        "Keys looked at in one step of a compaction.",
        _old("compaction-batch-limit"),
    ),
    _time(
        "compaction-sleep-interval",
        0.01,
        "Pause between steps of a compaction.",
        _old("compaction-sleep-interval"),
    ),
    _time(
        "watch-progress-notify-interval",
        600.0,
        "Time between progress notifications.",
        _old("watch-progress-notify-interval"),
    ),
    _time(
        "downgrade-check-time",
        5.0,
        "Time between looks at a downgrade.",
        _old("downgrade-check-time"),
    ),
    _uint(
        "bootstrap-defrag-threshold-megabytes",
        0,
        "Defragment at start if it frees this much.",
        _old("bootstrap-defrag-threshold-megabytes"),
    ),
    _bool("force-new-cluster", False, "Begin a cluster of one from existing data."),
    _bool("unsafe-no-fsync", False, "Do not wait for the disk: data are lost in a crash."),
    _bool("experimental-initial-corrupt-check", False, "Gate InitialCorruptCheck."),
    _bool("experimental-compact-hash-check-enabled", False, "Gate CompactHashCheck."),
    _bool("experimental-enable-lease-checkpoint", False, "Gate LeaseCheckpoint."),
    _bool("experimental-enable-lease-checkpoint-persist", False, "Gate LeaseCheckpointPersist."),
    _bool("experimental-stop-grpc-service-on-defrag", False, "Gate StopGRPCServiceOnDefrag."),
    _bool("experimental-txn-mode-write-with-shared-buffer", True, "Gate of that name; no effect."),
    _ignored("experimental-enable-v2v3", parse_text, "", "There is no v2 API."),
)

# Taken so that very old command lines still work.
ANCIENT = _section(
    "Ignored",
    *(
        _ignored(name, parse_anything, "", "Has had no effect since etcd 2.")
        for name in (
            "cluster-active-size",
            "cluster-remove-delay",
            "cluster-sync-interval",
            "config",
            "force",
            "max-result-buffer",
            "max-retry-attempts",
            "peer-heartbeat-interval",
            "peer-election-timeout",
            "retry-interval",
            "snapshot",
            "v",
            "vv",
        )
    ),
)

FLAGS: tuple[Flag, ...] = (
    *MEMBER,
    *CLUSTERING,
    *SECURITY,
    *AUTH,
    *LOGGING,
    *MONITORING,
    *CHECKS,
    *ANCIENT,
)
BY_NAME: dict[str, Flag] = {flag.name: flag for flag in FLAGS} | {
    alias: flag for flag in FLAGS for alias in flag.aliases
}
