"""Users, roles and permissions by Go's etcdctl: what it prints is what it prints of etcd.

trioetcd and the etcd that the client comes with are given the same commands, every subcommand
of `user`, `role` and `auth`; where a newer rule holds here, that is said apart.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.commands import make_certificates
from tests.interop.etcd_process import free_port, program
from tests.interop.processes import Server, clean_environment, running
from tests.interop.snapshots import KINDS, restored
from tests.interop.snapshots import PEER_URL as SNAPSHOT_PEER_URL

PEER_URL = "http://127.0.0.1:22380"  # advertised alone, so that ids are the same
ROOT, ALICE, BOB = "--user=root:rootpw", "--user=alice:alicepw", "--user=bob:bobpw"
FORMATS = ("simple", "json", "fields", "table", "protobuf")
COMMAND_SECONDS = 30.0
CHEAP = ["--bcrypt-cost=4"]
_REPLACED = (
    (re.compile(r'\{"level".*\n'), ""),  # the client's own log
    (re.compile(r"\b[0-9a-f]{16}\b"), "<id>"),
    (re.compile(r"remaining\(\d+s\)"), "remaining(N)"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<address>"),
    (re.compile(r"took = .*"), "took = N"),
)


class Printed(NamedTuple):
    command: str
    status: int
    out: str
    err: str


def run(server: Server, version: str, command: str, stdin: str = "") -> Printed:
    """A command as one would type it; '' is an empty argument."""
    arguments = ["" if word == "''" else word for word in command.split()]
    done = subprocess.run(
        [program(version, "etcdctl"), f"--endpoints={server.address}", *arguments],
        input=stdin.encode(),
        capture_output=True,
        env=clean_environment(),
        timeout=COMMAND_SECONDS,
    )
    return Printed(command, done.returncode, _comparable(done.stdout), _comparable(done.stderr))


def _comparable(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text


def in_all_formats(*commands: str) -> list[str]:
    return [f"{command} -w {shape}" for command in commands for shape in FORMATS]


BEFORE = [
    *("auth enable", "auth disable", "user add root:rootpw"),
    *("user add root:rootpw", "user add :x", "user add '' --no-password", "user add"),
    *("user add alice --new-user-password=alicepw", "user add bob:bobpw", "user list"),
    *("user add nopw --no-password", "user add gone:gonepw -w json", "user delete gone -w json"),
    *("user get nobody", "user delete nobody", "user delete", "user get"),
    *("role add r1", "role add r1", "role add ''", "role add", "role add r2 -w json"),
    *("role get nope", "role get root", "role delete nope", "role delete r2 -w json"),
    *("role grant-permission r1 readwrite k1", "role grant-permission r1 read k2 k5"),
    *(
        "role grant-permission r1 write pfx/ --prefix",
        "role grant-permission r1 read zz --from-key",
    ),
    *("role grant-permission r1 readwrite '' --prefix", "role grant-permission r1 bogus k"),
    *("role grant-permission nope read k", "role grant-permission r1"),
    *("role grant-permission r1 write k1 -w json", "role grant-permission r1 readwrite k1"),
    *in_all_formats("role get r1"),
    *("role revoke-permission r1 '' --prefix", "role revoke-permission r1 zz --from-key"),
    *("role revoke-permission r1 k2 k5 -w json", "role revoke-permission r1 nokey"),
    *("role revoke-permission r1 k1 k2", "role revoke-permission nope k1"),
    *("role get r1", "role list", "user grant-role alice r1", "user grant-role alice r1"),
    *("user grant-role alice norole", "user grant-role nobody r1", "user grant-role alice"),
    *("user get alice --detail", "user revoke-role alice norole", "user revoke-role nobody r1"),
    *in_all_formats("user get alice", "user list", "role list"),
    *("user grant-role root root -w json", "put z secret", "lease grant 1000"),
]
AFTER = [
    *("auth enable", "get k1", "put k1 v", "del k1", "auth enable", f"{ROOT} auth enable"),
    *("--user=root:bad get k1", "--user=nobody:bad get k1", "--user=nopw:x get k1"),
    *(f"{ALICE} put k1 v", f"{ALICE} put k9 v", f"{ALICE} get k1", f"{ALICE} get k1 k3"),
    *(f"{ALICE} put pfx/a v", f"{ALICE} put pfx/a v --prev-kv", f"{ALICE} get pfx/a"),
    *(f"{ALICE} get pfx/ --prefix", f"{ALICE} get k1 --from-key", f"{ALICE} get '' --prefix"),
    *(f"{ALICE} del pfx/ --prefix", f"{ALICE} del pfx/ --prefix --prev-kv", f"{ALICE} del z"),
    *(f"{ALICE} watch k9", f"{BOB} watch k1", f"{ALICE} watch k1 --prefix"),
    *(f"{ALICE} member list", f"{ALICE} endpoint health", f"{ALICE} lease grant 60"),
    *(f"{ALICE} user list", f"{ALICE} user get alice", f"{ALICE} user get bob"),
    *(f"{ALICE} role list", f"{ALICE} role get r1", f"{ALICE} role get root", f"{BOB} get k1"),
    *(f"{ALICE} user add x:y", f"{ALICE} user delete bob", f"{ALICE} role add x"),
    *(f"{ALICE} user grant-role alice root", f"{ALICE} auth disable", f"{BOB} role get r1"),
    *(f"{ALICE} role grant-permission r1 read z", f"{ALICE} member remove 1"),
    *(f"{ALICE} member add x --peer-urls=http://x:1", f"{ALICE} role delete r1"),
    *("--user=alice --password=alicepw get k1", f"{ROOT} get z"),
    *(f"{ROOT} user delete root", f"{ROOT} role delete root", f"{ROOT} user revoke-role root root"),
    *(f"{ROOT} role add root",),
    *(f"{ROOT} user list", f"{ROOT} role list", f"{ROOT} compaction 2", f"{ROOT} alarm list"),
    *(f"{ROOT} endpoint hashkv", f"{ROOT} defrag"),
    *(f"{ROOT} user grant-role bob root", f"{BOB} get z", f"{ROOT} user revoke-role bob root"),
    *(f"{BOB} get z", f"{BOB} user list"),
]
TYPED = [  # passwords on standard input
    ("user add carol --interactive=false", "carolpw\n"),
    (f"{ROOT} user add carol --interactive=false", "carolpw\n"),
    (f"{ROOT} user passwd alice --interactive=false", "alicepw2\n"),
    (f"{ROOT} user passwd nobody --interactive=false", "x\n"),
    (f"{ROOT} user passwd nopw --interactive=false", "x\n"),
]
COMPARED = 'value("{0}") = "x"\n\nget {1}\n\nput {2} v\n\n'
TXNS = [
    (f"{ALICE} txn", COMPARED.format(*names))
    for names in (
        ("k1", "k1", "k1"),
        ("z", "k1", "k1"),
        ("k1", "z", "k1"),
        ("k1", "k1", "z"),
        ("k1", "pfx/a", "k1"),
    )
]
LAST = [
    *(f"{ALICE} get k1", "--user=alice:alicepw2 get k1", "--user=carol:carolpw get k1"),
    *(f"{ROOT} role delete r1", f"{ROOT} user get alice", f"{ROOT} user revoke-role alice r1"),
    *("--user=alice:alicepw2 get k1", f"{ROOT} user delete alice", "--user=alice:alicepw2 get k1"),
    *(f"{ROOT} auth disable", "get z", "user get bob"),
]
# Since 3.5.2 or later; older servers have other words, or let everybody in.
NEWER = {
    f"{ROOT} role get root": "<open ended>",
    f"{ROOT} user get root --detail": "<open ended>",
    "member list": "etcdserver: user name is empty",
    "endpoint status": "etcdserver: user name is empty",
    "lease grant 10": "etcdserver: user name is empty",
    "lease list": "etcdserver: user name is empty",
    "alarm list": "etcdserver: user name is empty",
    f"{ALICE} endpoint hashkv": "etcdserver: permission denied",
    f"{ALICE} endpoint hashkv --rev=1": "etcdserver: permission denied",
    f"{ALICE} compaction 1": "etcdserver: permission denied",
    f"{ALICE} defrag": "etcdserver: permission denied",
    f"{ALICE} move-leader 1": "etcdserver: permission denied",
    f"{ALICE} alarm disarm": "",  # nothing is raised, so the client asks for nothing more
    f"{ROOT} role grant-permission r1 read k5 k2": "etcdserver: invalid auth management",
}


def transcript(kind: str, version: str, home: Path) -> dict[str, list[Printed]]:
    with running(kind, home, CHEAP, peer_url=PEER_URL) as server:

        def typed(rows: Sequence[str | tuple[str, str]]) -> list[Printed]:
            given = [(row, "") if isinstance(row, str) else row for row in rows]
            return [run(server, version, command, stdin) for command, stdin in given]

        found = {"before": typed(BEFORE), "after": typed(AFTER), "typed": typed(TYPED)}
        found["txns"] = typed([f"{ROOT} role grant-permission r1 readwrite k1"])
        alice = [(command.replace("alicepw", "alicepw2"), text) for command, text in TXNS]
        found["txns"] += typed(alice)
        if kind == "trioetcd":  # 3.4.23 and 3.5.1 apply the last writes twice, in this order
            server.restart()
        newer = [command.replace("alicepw", "alicepw2") for command in NEWER]
        found["newer"] = typed(newer) if kind == "trioetcd" else []
        found["last"] = typed(LAST)
    return found


PARTS = ("before", "after", "typed", "txns", "last")


@pytest.fixture(scope="module", params=["3.4", "3.5"])
def both(request, tmp_path_factory: pytest.TempPathFactory):
    version = request.param
    theirs = {"3.4": "etcd-3.4.23", "3.5": "etcd-3.5.1"}[version]
    home = tmp_path_factory.mktemp("auth")
    return (
        transcript("trioetcd", version, home / "ours"),
        transcript(theirs, version, home / "theirs"),
    )


@pytest.mark.parametrize("part", PARTS)
def test_it_prints_the_same(part: str, both):
    ours, theirs = both
    different = [f"{a}\n{b}" for a, b in zip(ours[part], theirs[part], strict=True) if a != b]
    assert not different, "\n\n".join(different)


def test_what_newer_releases_refuse_is_refused(both):
    ours, _ = both
    for printed, words in zip(ours["newer"], NEWER.values(), strict=True):
        assert words in printed.out + printed.err, printed


@pytest.mark.parametrize("kind", ["trioetcd", "etcd-3.4.23"])
def test_the_common_name_of_a_certificate_is_a_user(kind: str, tmp_path: Path):
    make_certificates(tmp_path)
    url = f"https://127.0.0.1:{free_port()}"
    flags = [
        *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}", *CHEAP),
        *("--client-cert-auth", "--trusted-ca-file=ca.pem"),
        *("--cert-file=etcd.pem", "--key-file=etcd-key.pem"),
    ]
    with running(kind, tmp_path, flags) as server:

        def ctl(command: str) -> str:
            done = subprocess.run(
                [
                    *(program("3.4", "etcdctl"), f"--endpoints={url}", "--cacert=ca.pem"),
                    *("--cert=etcd.pem", "--key=etcd-key.pem", *command.split()),
                ],
                capture_output=True,
                env=clean_environment(),
                cwd=server.home,
                timeout=COMMAND_SECONDS,
            )
            return _comparable(done.stdout + done.stderr)

        for command in (
            *("user add root:rootpw", "user grant-role root root", "user add etcd --no-password"),
            *("role add r", "role grant-permission r readwrite mine", "user grant-role etcd r"),
            "auth enable",
        ):
            ctl(command)
        assert ctl("put mine 1") == "OK\n"
        assert ctl("get mine") == "mine\n1\n"
        assert "permission denied" in ctl("get yours")
        assert "permission denied" in ctl("user list")
        assert ctl(f"{ROOT} put yours 1") == "OK\n"


@pytest.mark.parametrize("kind", KINDS)
def test_users_go_along_with_a_snapshot_to_either_server(kind: str, tmp_path: Path):
    """Hashes of passwords, too: bcrypt is bcrypt."""
    with running(kind, tmp_path / "first", CHEAP, peer_url=SNAPSHOT_PEER_URL) as server:
        for command in (
            *("user add root:rootpw", "user add alice:alicepw", "role add r", "put z 1"),
            *("role grant-permission r readwrite k", "user grant-role alice r"),
            *("user grant-role root root", "auth enable"),
        ):
            server.etcdctl(*command.split())
        snapshot = tmp_path / "snapshot"
        server.etcdctl(ROOT, "snapshot", "save", str(snapshot))
    for target in KINDS:
        with restored(target, snapshot, tmp_path / target) as server:
            assert "user name is empty" in run(server, "3.4", "get k").err
            assert run(server, "3.4", f"{ALICE} put k {target}").out == "OK\n"
            assert "permission denied" in run(server, "3.4", f"{ALICE} get z").err
            assert run(server, "3.4", f"{ROOT} get z").out == "z\n1\n"


def post(server: Server, path: str, body: dict[str, object], token: str = "") -> dict[str, object]:
    """A call by the JSON gateway: the answer, or the error."""
    request = urllib.request.Request(
        f"http://{server.address}/v3/{path}",
        json.dumps(body).encode(),
        {"Authorization": token} if token else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=COMMAND_SECONDS) as answer:
            found: dict[str, object] = json.load(answer)
    except urllib.error.HTTPError as error:
        found = json.load(error)
    return found


@pytest.mark.parametrize(("method", "made"), [("RS256", "rsa:2048"), ("ES256", "ec")])
def test_a_signed_token_of_either_server_is_good_at_the_other(
    method: str, made: str, tmp_path: Path
):
    """Given the same key, and users and roles that have changed as often."""
    curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"] if made == "ec" else []
    for command in (
        f"req -x509 -newkey {made} -nodes -subj /CN=x -keyout private.pem -out unused.pem",
        "pkey -in private.pem -pubout -out public.pem",
    ):
        words = ["openssl", *command.split(), *(curve if "req" in command else [])]
        subprocess.run(words, cwd=tmp_path, capture_output=True, check=True)
    keys = f"pub-key={tmp_path}/public.pem,priv-key={tmp_path}/private.pem"
    flags = [*CHEAP, f"--auth-token=jwt,{keys},sign-method={method},ttl=10m"]
    with (
        running("trioetcd", tmp_path / "ours", flags) as ours,
        running("etcd-3.5.1", tmp_path / "theirs", flags) as theirs,
    ):
        for server in (ours, theirs):
            for command in (
                *("user add root:rootpw", "user grant-role root root", "role add root"),
                *("user add alice:alicepw", "role add r", "role grant-permission r readwrite k"),
                *("user grant-role alice r", "auth enable"),
            ):
                server.etcdctl(*command.split())
            assert run(server, "3.4", f"{ALICE} put k 1").out == "OK\n"
        k, z = {"key": "aw=="}, {"key": "eg=="}
        login = {"name": "alice", "password": "alicepw"}
        for maker, taker in ((ours, theirs), (theirs, ours), (ours, ours)):
            token = str(post(maker, "auth/authenticate", login)["token"])
            assert post(taker, "kv/range", k, token)["count"] == "1"
            assert "permission denied" in str(post(taker, "kv/range", z, token))
            assert "invalid auth token" in str(post(taker, "kv/range", k, token + "x"))
        for server in (ours, theirs):
            server.etcdctl(ROOT, "role", "add", "another")
        old = str(post(theirs, "kv/put", k, token))
        assert "auth: revision in header is old" in old  # the words of before 3.5.2
        assert "etcdserver: revision of auth store is old" in str(post(ours, "kv/put", k, token))
