"""Where `trioetcd ctl` does otherwise than etcdctl, and why."""

from __future__ import annotations

import re
from typing import NamedTuple


class Difference(NamedTuple):
    reason: str
    commands: re.Pattern[str]  # as the table shows them, whole
    versions: tuple[str, ...] = ("3.4", "3.5")  # of etcdctl
    kinds: tuple[str, ...] = ("etcd-3.5.1", "trioetcd")  # of servers


def _those(reason: str, *commands: str, versions: tuple[str, ...] = ("3.4", "3.5")) -> Difference:
    return Difference(reason, re.compile("|".join(commands)), versions)


_OLD = ("3.4",)
DIFFERENCES = (
    _those(
        "help texts are ours: it is another program",
        *("lease", "member", "auth", "alarm", "endpoint", "check", "snapshot", "lease nosuch"),
        *("endpoint nosuch", "-h", "help", "help get", "help nosuch", "get --help"),
        *("member --help", "", "-- get a"),
    ),
    _those(
        "what is no flag is said once, and the usage goes to standard error, as in 3.6",
        *("get a -w", "get a --limit=x", "get a --limit", "get a --nosuch", "get a -z"),
        *("get a --hex=x", "compaction -5", "watch --rev=x a", "elect --nosuch"),
        *("lock --ttl=x n", "lock n --x", "make-mirror --rev=x a", "--nosuch"),
        *("--command-timeout=x get a", r"txn < '\\nget a --nosuch\\n'"),
    ),
    _those("an unknown command is said once, as in 3.6", "nosuch", "gett", "l list"),
    _those("its own name and version", "version", "ETCDCTL_NOSUCH=1 version"),
    _those(
        "a word of a later release",
        *("del nokey1 nokey2 --range", "get a --min-create-rev=2 --max-mod-rev=3"),
        *("get a --stream", "downgrade .*", "completion bash", "options"),
    ),
    _those(
        "an argument too many is refused, not dropped without a word",
        *("get a b c", "put zz b c", "watch a b c", r"txn < '\\nget a b c\\n\\n\\n'"),
    ),
    _those(
        "etcdctl panics",
        *(
            "-w fields alarm disarm",
            "defrag --data-dir=HOME/none",
            r'txn < \'mod\("a"\) ~ .*',
            r'txn < \'lease\("a"\) = .*',
        ),
    ),
    _those(
        "etcdctl does not end: what cannot be used is refused",
        *("--endpoints=ftp://a:1 get a", "--cacert=/dev/null get a"),
        "--endpoints 127.0.0.1:1 --command-timeout 100ms user list",
    ),
    _those(
        "one line on standard error, where etcdctl logs JSON or nothing",
        *("ETCDCTL_WRITE_OUT=json get a -w json", "ETCDCTL_ENDPOINTS=127.0.0.1:1 get a"),
        *("ETCDCTL_NOSUCH=1 get a",),
    ),
    _those("a variable's value that cannot be read is refused, not ignored", "ETCDCTL_HEX=x get a"),
    _those("ETCDCTL_API is left out of account, as in 3.6", "ETCDCTL_API=[24] .*"),
    _those("what is wrong with a file is said", "snapshot status /dev/null"),
    Difference(
        "the server's version is shown, as in 3.6",
        re.compile(r"(-w \w+ )?snapshot save HOME/\w+"),
        kinds=("trioetcd",),
    ),
    _those(
        "it is said that util is the place for it, as in 3.5",
        r"(-w \w+ )?snapshot (status|restore)( .*)?",
        versions=_OLD,
    ),
    _those("root's permissions are shown, as in 3.6", "--user=root:secret role get root"),
    _those(
        "a flag or command of 3.5",
        *(".*--count-only.*", ".*--progress-notify.*", ".*auth status.*"),
        versions=_OLD,
    ),
    _those(
        "endpoint health goes to standard output, as in 3.5",
        *("(-w simple |--user=joe:secret )?endpoint health( --cluster)?", "end health"),
        versions=_OLD,
    ),
    _those(
        "who raises an alarm is not healthy, as in 3.5",
        "-w (json|fields|table) endpoint health",
        versions=_OLD,
    ),
    _those("ids in hex, as in 3.5", "-w json member list --hex", versions=_OLD),
    _those("the keys of a transaction's JSON are 3.5's", "-w json txn.*", versions=_OLD),
    _those("quotes around a command, as in 3.5", "check perf --prefix=a", versions=_OLD),
    _those("a small letter, as in 3.5", "watch -i.*", versions=_OLD),
    _those("a lock ends with its command's status, as in 3.5", "lock n -- sh .*", versions=_OLD),
    _those(
        "members are listed by agreement, as in 3.5",
        "--command-timeout=200ms member list",
        versions=_OLD,
    ),
)


def reason_of(command: str, version: str, kind: str) -> str:
    """Why it differs, or nothing, if it must not."""
    for difference in differences(version, kind):
        if difference.commands.fullmatch(command):
            return difference.reason
    return ""


def differences(version: str, kind: str) -> list[Difference]:
    """Of an etcdctl, at a server."""
    return [one for one in DIFFERENCES if version in one.versions and kind in one.kinds]
