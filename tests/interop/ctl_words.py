"""Every command and flag of etcdctl, as one would type it, in every format.

In a line, LEASE stands for the id of the lease granted last, MEMBER for the member added last,
PORT for another one's, ADDRESS for the server's, HOME for a directory; quotes are a shell's.
Commands follow one another on the same server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

FORMATS = ("simple", "json", "fields", "table", "protobuf")
NOBODY = "127.0.0.1:1"  # nobody listens there
_TXN = 'mod("a") > "0"\nval("a") != "q\\n"\n\nput a "9 9"\nget a\ndel qq\n\n\n'
_TXN_ELSE = 'ver("a") = "0"\n\nput a 9\n\nget a\nget ab --prefix\n\n'
_TXN_FLAGS = (
    'c("a") < "1"\n\n\nput n 1 --lease=0 --prev-kv\nget a --limit=1 --keys-only --order=DESCEND\n'
    "del m --prev-kv\nget --from-key a --limit=2\n\n"
)


@dataclass(frozen=True)
class Typed:
    line: str
    stdin: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    shape: str = ""  # empty: it is not said, or in the line
    ends: bool = True  # False: one of the programs goes on for ever

    @property
    def command(self) -> str:
        """As the table shows it."""
        before = "".join(f"{name}={value} " for name, value in self.environ.items())
        shape = f"-w {self.shape} " if self.shape else ""
        given = f" < {self.stdin!r}" if self.stdin else ""
        return before + shape + self.line + given


def words(formats: Sequence[str] = FORMATS, *, whole: bool = True) -> Iterator[Typed]:
    """All of them, in an order that makes sense; or only what is typed in every format."""
    for line in (
        *("put a 1", "put ab 2", "put a 3", "put b --ignore-value", "put -- -d v"),
        *("put 'white space' 'v\\n'", "put é ü", "put aa '<&>'"),
    ):
        yield Typed(line)
    yield Typed("put piped", "from a pipe")
    for shape in formats:
        yield from in_format(shape)
    if not whole:
        return
    for shape in ("simple", "json"):
        yield from (Typed(line, shape=shape) for line in UNREACHABLE)
    yield from map(Typed, MISTAKES)
    yield from (Typed(line, ends=False) for line in ENDLESS)
    for line, stdin in TXN_MISTAKES:
        yield Typed(line, stdin)
    yield from ENVIRONMENT
    yield from map(Typed, LOCKS)
    yield from AUTHENTICATED


def in_format(shape: str) -> Iterator[Typed]:
    for line in (*KEYS, *MEMBERS, *LEASES, *auth_lines(shape)):
        yield Typed(line, shape=shape)
    for line, stdin in (
        *(("txn", _TXN), ("txn", _TXN_ELSE), ("txn", _TXN_FLAGS), ("txn -i", _TXN)),
        *((f"user add {shape}in --interactive=false", "secret\n"),),
        *((f"user passwd {shape}in --interactive=false", "secret\n"),),
    ):
        yield Typed(line, stdin, shape=shape)
    yield Typed(f"user delete {shape}in", shape=shape)


KEYS = (
    *("put a 4", "put a 5 --prev-kv", "put a --ignore-value --prev-kv", "put a 6 --ignore-lease"),
    *("get a --prefix", "get a --hex", "get nothing", "get a --keys-only", "get --prefix a --hex"),
    *("get a --count-only", "get --prefix '' --count-only", "get a --print-value-only"),
    *("get a z --order=DESCEND", "get --from-key a --sort-by=MODIFY", "get a --rev=2"),
    *("get --prefix a --sort-by=CREATE --order=DESCEND", "get --prefix a --sort-by=VERSION"),
    *("get --prefix a --sort-by=VALUE", "get --prefix a --sort-by=KEY --order=ASCEND"),
    *("get --prefix a --order=descend", "get --prefix a --sort-by=key", "get '' --from-key"),
    *("get --prefix a --limit=1", "get --prefix a --limit 2", "get --consistency=s a"),
    *("get --consistency=l a", "get a b", "get '' --prefix --keys-only", "put z v", "put zz v"),
    *("del z --prev-kv", "del none", "del none --prefix", "del none --prev-kv", "put y 1"),
    *("del y yz --prev-kv", "put y 1", "del --prefix y --prev-kv", "put '~' 1"),
    *("del --from-key '~' --prev-kv", "endpoint hashkv", "endpoint hashkv --rev=3"),
    *("watch a --rev=2 -- false", "watch z --rev=5 --prev-kv -- false"),
    *(
        "watch a b --rev=2 -- sh -c 'echo $ETCD_WATCH_KEY; exit 5'",
        "watch --prefix a --rev 2 -- false",
    ),
    "watch a --rev=2 --progress-notify -- false",
    "watch --prefix '' --rev=2 -- sh -c 'env | grep ETCD_WATCH_; test $ETCD_WATCH_REVISION = 1'",
    "watch a --rev=2 -- nosuchprogram x",
    *("snapshot save HOME/saved", "snapshot status HOME/saved"),
)
LOCKS = (
    *("lock n true", "lock n -- sh -c 'exit 3'", "lock n nosuchprogram", "lock n /dev/null"),
    *("lock n --ttl=5 -- sh -c 'echo $ETCD_LOCK_REV; echo e >&2'", "lock n ./none"),
    *("lock n -- sh -c 'kill -9 $$'", "lock n -- sh -c 'echo $ETCD_LOCK_KEY' -w", "lock n --x"),
    *("-w json lock n true", "-w bad lock n true"),
)
MEMBERS = (
    *("member list", "member list --hex", "endpoint health", "endpoint health --cluster"),
    *("endpoint status", "endpoint status --cluster", "endpoint hashkv --cluster"),
    *("alarm list", "alarm disarm", "defrag", "defrag --cluster", "move-leader 0"),
    # Go's members lose a change of membership that follows closely on another.
    *("member promote 1", "member list", "member remove 1", "member list"),
    *("member update 1 --peer-urls=http://1.2.3.4:1", "member list"),
    "member add x --peer-urls=http://127.0.0.1:PORT --learner",
    *("member list", "member promote MEMBER", "endpoint health --cluster"),
    "member update MEMBER --peer-urls=http://127.0.0.1:12398,http://127.0.0.1:12397",
    *("member list", "member remove MEMBER", "member list"),
    f"--endpoints {NOBODY},ADDRESS get a",
)
UNREACHABLE = tuple(
    f"--endpoints {NOBODY} --command-timeout 100ms {line}"
    for line in (
        *("endpoint health", "endpoint status", "endpoint hashkv", "defrag", "member list"),
        *("put a 1", "get a", "alarm list", "endpoint health --cluster"),
    )
)
LEASES = (
    *("lease grant 600", "put l v --lease=LEASE", "lease timetolive LEASE", "lease list"),
    *("lease timetolive LEASE --keys", "lease keep-alive LEASE --once", "put l w --ignore-lease"),
    *("get l", "put l x --lease=0", "lease timetolive LEASE --keys", "lease timetolive 123"),
    *("lease keep-alive 123", "lease revoke 7777", "lease revoke LEASE", "get l", "lease list"),
)


def auth_lines(shape: str) -> tuple[str, ...]:
    user, role = f"u{shape}", f"r{shape}"
    grant, revoke = f"role grant-permission {role}", f"role revoke-permission {role}"
    return (
        *("auth status", "user list", f"user add {user}:p", f"user get {user}"),
        *(f"user add {user}x --new-user-password=p", f"user add {user}y --no-password"),
        *(f"role add {role}", f"{grant} readwrite k z", f"{grant} read k"),
        *(f"{grant} write k --prefix", f"{grant} write q --from-key", f"{grant} write '' --prefix"),
        *(f"{grant} READ '' --from-key", f"role get {role}", f"user grant-role {user} {role}"),
        *(f"user get {user}", f"user get {user} --detail", "role list", "user list"),
        *(f"{revoke} k z", f"{revoke} k", f"{revoke} k --prefix", f"{revoke} q --from-key"),
        *(f"{revoke} nokey", f"user revoke-role {user} {role}", f"user delete {user}"),
        *(f"user delete {user}x", f"user delete {user}y", f"role delete {role}", "user get nobody"),
        *("role get norole", "role get root", "user grant-role nobody norole"),
    )


MISTAKES = (
    *("get", "put", "del", "get a --prefix --from-key", "get a b c", "del a b c"),
    *("get a b --prefix", "get a --order=x", "get a --sort-by=x", "get a --consistency=x"),
    *(
        "get a -w bad",
        "get a -w",
        "put a 1 --lease=xyz",
        "put a 1 --lease=7b",
        "put a 1 --lease=-1",
    ),
    *("put a x --ignore-value", "put '' 1", "get a --limit=x", "get a --limit", "get a --nosuch"),
    *("get a -z", "get a --rev=-1", "get a --rev=100000", "get a --keys-only --count-only"),
    *("get a --hex=x", "get --", "del a b --prefix", "del --prefix --from-key a", "del ''"),
    *("del nokey1 nokey2 --range", "get a --min-create-rev=2 --max-mod-rev=3", "get a --stream"),
    *(
        "downgrade validate 3.4",
        "downgrade enable",
        "downgrade cancel",
        "completion bash",
        "options",
    ),
    *("compaction", "compaction x", "compaction 12", "compaction 12", "compaction 1"),
    *("compaction 100000", "compaction 13 --physical", "compaction -5", "get a --rev=1"),
    *("get a --rev=2 -w json", "watch a --rev=1", "watch", "watch a b --prefix"),
    *("watch a --", "watch --rev=x a", "watch -- true", "lease", "lease grant", "lease grant x"),
    *("lease grant 0", "lease grant -- -5", "lease grant 10000000000", "lease revoke"),
    *("lease revoke zz", "lease timetolive", "lease timetolive zz", "lease keep-alive"),
    *("lease keep-alive zz", "lease keep-alive 1 --once", "lease nosuch", "member", "member add"),
    *("member add x", "member add x http://a:1", "member add x y", "member add x --peer-urls=a"),
    *("member add x --peer-urls=http://127.0.0.1:12380", "member remove", "member remove zz"),
    *("member update", "member update 1", "member update zz --peer-urls=http://a:1"),
    *("member promote", "member promote zz", "user add", "user add :p", "user get", "user delete"),
    *("user delete x", "user get x", "user grant-role x", "user grant-role x y", "user passwd"),
    *("user revoke-role x", "user revoke-role x y", "user list x", "user add a b"),
    *("role add", "role get", "role get x", "role delete", "role delete x", "role list x"),
    *("role grant-permission r read", "role grant-permission r walk k", "role add a b"),
    *("role grant-permission nobody read k", "role grant-permission r read k z --prefix"),
    *("role grant-permission r read k z --from-key", "role revoke-permission r"),
    *("role grant-permission r read k --prefix --from-key", "role revoke-permission nobody k"),
    *("auth", "auth enable x", "auth enable", "auth disable x", "auth status x", "auth disable"),
    *(
        "lock",
        "elect",
        "elect n",
        "elect n p -l",
        "elect a b c",
        "elect --nosuch",
        "lock --ttl=x n",
    ),
    *("move-leader", "move-leader zz", "move-leader 1", "move-leader 1 2", "alarm", "alarm list x"),
    *("alarm disarm x", "endpoint", "endpoint nosuch", "check", "check perf --load=x"),
    *("check datascale --load=x", "check perf --prefix=a", "check datascale --prefix=a"),
    *("make-mirror", "make-mirror a b", "make-mirror --rev=x a", "snapshot", "snapshot save"),
    *("snapshot status", "snapshot restore", "snapshot status /none", "snapshot save a b"),
    *("snapshot status /none -w bad", "snapshot status HOME -w json", "snapshot save /none/x"),
    *("snapshot restore /none", "--endpoints a,b snapshot save /none", "snapshot status /dev/null"),
    *("snapshot save HOME/whole", "snapshot restore HOME/whole --data-dir HOME/restored --name n"),
    *("snapshot restore HOME/whole --initial-cluster=bad", "defrag --data-dir=HOME/none"),
    "snapshot restore HOME/whole --data-dir HOME/restored",
    *("nosuch", "gett", "mem list", "end health", "r list", "l list", "mem ad", "--nosuch", "-h"),
    *("help", "help get", "get --help", "member --help", "help nosuch", "version", ""),
    *("--endpoints '' get a", "--endpoints ADDRESS,ADDRESS get a"),
    *("--endpoints http://ADDRESS get a", "--endpoints ' ADDRESS' get a"),
    *("--command-timeout=1ns get a", "--command-timeout=x get a", "--dial-timeout=5s get a"),
    *("--keepalive-time=1s --keepalive-timeout=2s get a", "--dial-timeout=-1s get a"),
    *("--insecure-transport get a", "--insecure-skip-tls-verify get a", "--user= get a"),
    *("--cacert=/none get a", "--cert=/none get a", "--key=/none get a", "--cert= get a"),
    *("--cert=/none --key=/none get a", "--insecure-discovery get a"),
    *("--user=root:x get a", "--user=root --password=x get a", "--user=:x get a"),
    *("--password=x get a", "-wjson get a", "-w=json get a", "get a -w json --hex", "--hex get a"),
    *("--debug=false get a", "get a --command-timeout 3s --dial-timeout 1s", "-- get a"),
)
ENDLESS = (
    *("watch a b c", "--endpoints=ftp://a:1 get a", "--cacert=/dev/null get a"),
    f"--endpoints {NOBODY} --command-timeout 100ms user list",
)
_HALF = 'ver("a") = "0"\n\nput a 9\n'
TXN_MISTAKES = (
    *(("txn x", ""), ("txn", ""), ("txn", _HALF), ("txn", "bad\n"), ("txn", 'mod("a") > x\n')),
    *(("txn", 'mod("a") ~ "0"\n\n\n\n'), ("txn", 'size("a") = "0"\n'), ("txn", 'mod("a") = "x"\n')),
    *(
        ("txn", 'mod(a) = "0"\n'),
        ("txn", 'lease("a") = "zz"\n'),
        ("txn", "\nput\n"),
        ("txn", "\nnosuch a\n"),
    ),
    *(("txn", "\nput a\n"), ("txn", "\nget a --nosuch\n"), ("txn", "\nput a 1\nput a 2\n\n\n")),
    *(("txn", "\nget a --sort-by=x\n\n\n"), ("txn", "\nget a b c\n\n\n"), ("txn -i", "bad\n")),
    *(("watch -i", ""), ("watch -i", "nosuch\n"), ("watch -i", "watch\n"), ("watch -i", "\n")),
    *(
        ("watch -i", "watch a b --prefix\n"),
        ("watch -i", "watch a --\n"),
        ("watch -i", "watch a --x\n"),
    ),
    *(("watch -i", "progress\n"), ("put k", ""), ("user add x --interactive=false", "")),
    *(("user passwd x --interactive=false", "p\n"), ("txn", 'lease("a") = "0"\n\nget a\n\n\n')),
)
ENVIRONMENT = (
    Typed("get a", environ={"ETCDCTL_WRITE_OUT": "json"}),
    Typed("get a", environ={"ETCDCTL_HEX": "true"}),
    Typed("get a", environ={"ETCDCTL_HEX": "x"}),
    Typed("get a", environ={"ETCDCTL_WRITE_OUT": "bad"}),
    Typed("get a -w json", environ={"ETCDCTL_WRITE_OUT": "json"}),
    Typed("get a", environ={"ETCDCTL_ENDPOINTS": "127.0.0.1:1"}),
    Typed("get a", environ={"ETCDCTL_ENDPOINTS": "ADDRESS"}),
    Typed("get a", environ={"ETCDCTL_ENDPOINTS": "127.0.0.1:1,ADDRESS"}),
    Typed("get a", environ={"ETCDCTL_NOSUCH": "1"}),
    Typed("get a", environ={"ETCDCTL_DIAL_TIMEOUT": "3s", "ETCDCTL_COMMAND_TIMEOUT": "3s"}),
    Typed("get a", environ={"ETCDCTL_KEEPALIVE_TIME": "3s", "ETCDCTL_KEEPALIVE_TIMEOUT": "3s"}),
    Typed("get a", environ={"ETCDCTL_INSECURE_TRANSPORT": "true"}),
    Typed("get a", environ={"ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true"}),
    Typed("get a", environ={"ETCDCTL_CACERT": "/none"}),
    Typed("get a", environ={"ETCDCTL_CERT": "/none", "ETCDCTL_KEY": "/none"}),
    Typed("get a", environ={"ETCDCTL_USER": "root:x"}),
    Typed("get a", environ={"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "x"}),
    Typed("get a", environ={"ETCDCTL_DEBUG": "false"}),
    Typed("get a", environ={"ETCDCTL_API": "3"}),
    Typed("get a", environ={"ETCDCTL_API": "4"}),
    Typed("ls", environ={"ETCDCTL_API": "2"}),
    Typed("watch --rev=2 -- false", environ={"ETCDCTL_WATCH_KEY": "a"}),
    Typed(
        "watch --rev=2 -- false",
        environ={"ETCDCTL_WATCH_KEY": "a", "ETCDCTL_WATCH_RANGE_END": "b"},
    ),
    Typed("watch a", environ={"ETCDCTL_WATCH_KEY": "a"}),
    Typed("watch a -- true", environ={"ETCDCTL_WATCH_KEY": "a"}),
    Typed("watch a", environ={"ETCDCTL_WATCH_RANGE_END": "b"}),
    Typed("version", environ={"ETCDCTL_NOSUCH": "1"}),
)
AUTHENTICATED = tuple(
    map(
        Typed,
        (
            *("user add root:secret", "user add joe:secret", "role add joes"),
            *("role grant-permission joes read a b", "user grant-role joe joes", "auth enable"),
            *("get a", "put a 1", "auth status", "user list", "member list", "endpoint health"),
            *(
                "endpoint status",
                "lease grant 60",
                "alarm list",
                "defrag",
                "watch a --rev=2 -- true",
            ),
            *("--user=root:wrong get a", "--user=nobody:x get a", "--user=joe:secret get a"),
            *("--user=joe:secret put a 1", "--user=joe:secret get b", "--user=joe:secret del a"),
            *("--user=joe:secret user list", "--user=joe:secret user get joe"),
            *("--user=joe:secret role get joes", "--user=joe:secret auth disable"),
            *("--user=joe --password=secret get a -w json", "--user=joe:secret endpoint health"),
            *("--user=root:secret auth status", "--user=root:secret auth status -w json"),
            *("--user=root:secret user get joe --detail", "--user=root:secret role get root"),
            *("--user=root:secret role delete root", "--user=root:secret user delete root"),
            *("--user=root:secret member list", "--user=root:secret auth enable"),
            *("--user=root:secret --password=secret get a", "--user=root:secret auth disable"),
        ),
    )
)
ODD = ("put zz b c",)  # etcdctl takes it, we do not: no revision is the same afterwards
ALARMED = (  # while a NOSPACE alarm is raised
    *("alarm list", "endpoint health", "endpoint status", "put a 1", "get a --count-only"),
    *("lease grant 600", "alarm disarm", "alarm list", "endpoint health"),
)
NO_QUORUM = (
    "--command-timeout=200ms put a 1",
    "--command-timeout=200ms get a",
    "--command-timeout=200ms get a --consistency=s",
    "--command-timeout=200ms endpoint health",
    "--command-timeout=200ms member list",
    "--command-timeout=200ms del a",
)
