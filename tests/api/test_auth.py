"""Authentication on a whole member: who is who, and what changes meanwhile."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest
import trio

from actors.apply.operation import tag_of
from actors.auth.jwt_tokens import CANNOT_SIGN
from actors.auth.token_settings import JWTSettings
from actors.kernel import InlineWorker
from tests.api.authentic import (
    PASSWORDS,
    READ,
    READWRITE,
    WRITE,
    auth,
    done,
    enable,
    grant,
    log_in,
    people,
    with_certificate,
    with_token,
)
from tests.api.streams import FakeStream
from tests.node.caller import Caller
from trioetcd.api.passwords import MOST_WAITING, Passwords
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.errors import (
    AuthFailed,
    AuthNotEnabled,
    AuthOldRevision,
    InvalidAuthToken,
    NoPasswordUser,
    PermissionDenied,
    TooManyRequests,
    UserEmpty,
    UserNotFound,
)
from wire.grpc.service import Context, Peer
from wire.pb import authpb, etcdserverpb

pb = etcdserverpb
CHEAP = 4  # cost of passwords
INLINE = InlineWorker()
ED_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    settings = NodeSettings(bcrypt_cost=CHEAP, client_cert_auth=True)
    async with open_node(settings, password_worker=INLINE) as node:
        await enable(Caller(node))
        yield node


def put(key: bytes, **fields) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, **fields))


def get(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key))


def delete(key: bytes, **fields) -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, **fields))


async def txn(caller: Caller, **fields):
    return await caller.call("/etcdserverpb.KV/Txn", pb.TxnRequest(**fields), pb.TxnResponse)


# -- Who somebody is


async def test_a_token_lives_on_while_it_is_used(node: Node, autojump_clock):
    alice = await log_in(node, "alice")
    for _ in range(3):
        await trio.sleep(299)
        assert not isinstance(await alice.put(b"a"), str)
    await trio.sleep(301)
    assert await alice.put(b"a") == InvalidAuthToken.text
    assert len(node.parts.tokens) == 0, "swept"


async def test_a_new_password_and_a_deleted_user_end_tokens(node: Node):
    root, alice, bob = [await log_in(node, name) for name in ("root", "alice", "bob")]
    await done(root, "UserChangePassword", name="alice", password="another")
    assert await alice.get(b"a") == InvalidAuthToken.text
    await log_in(node, "alice", "another")
    await done(root, "UserDelete", name="bob")
    assert await auth(bob, "AuthStatus") == InvalidAuthToken.text
    await auth(root, "AuthStatus")


async def test_disabling_ends_all_tokens_and_lets_everybody_in(node: Node):
    root, alice = await log_in(node, "root"), await log_in(node, "alice")
    await done(root, "AuthDisable")
    assert not isinstance(await Caller(node).put(b"z"), str)
    assert not isinstance(await with_token(node, "nonsense").put(b"z"), str)
    assert await auth(alice, "Authenticate", name="alice", password="x") == AuthNotEnabled.text
    await done(Caller(node), "AuthEnable")
    assert await alice.get(b"a") == InvalidAuthToken.text


async def test_the_wrong_password_and_the_wrong_name_sound_alike(node: Node):
    nobody = Caller(node)
    for name, password in (("alice", "x"), ("alice", ""), ("", ""), ("nobody", "x")):
        assert await auth(nobody, "Authenticate", name=name, password=password) == AuthFailed.text


async def test_tokens_may_come_as_bearers(node: Node):
    token = (await log_in(node, "alice")).metadata["token"][0]
    for value in (token, b"Bearer " + token):
        assert not isinstance(await Caller(node, {"authorization": (value,)}).put(b"a"), str)


@pytest.mark.parametrize("token", ["", "a.b", "a.1.2", "a", ".", "a.-1", "a.١", "\xff.1"])
async def test_what_is_no_token_is_refused(node: Node, token: str):
    caller = Caller(node, {"token": (token.encode("utf-8", "replace"),)})
    assert await caller.put(b"a") == InvalidAuthToken.text


async def test_a_token_of_the_future_is_waited_for_but_not_for_ever(node: Node, autojump_clock):
    alice = with_token(node, "abcdefghijklmnop.1000000")
    started = trio.current_time()
    answers: list[object] = []
    async with trio.open_nursery() as nursery:
        for ask in (alice.put, alice.get):

            async def run(ask=ask) -> None:
                answers.append(await ask(b"a"))

            nursery.start_soon(run)
        nursery.start_soon(trio.sleep, 1)
        # Others are served meanwhile.
        root = await log_in(node, "root")
        assert not isinstance(await root.put(b"a"), str)
        assert not answers
    assert answers == [InvalidAuthToken.text] * 2
    assert 6 < trio.current_time() - started < 9
    assert await auth(alice, "AuthStatus") == InvalidAuthToken.text


async def test_a_certificate_is_its_common_names_user(node: Node):
    root = await log_in(node, "root")
    no_password = authpb.UserAddOptions(no_password=True)
    await done(root, "UserAdd", name="device", options=no_password)
    await done(root, "UserGrantRole", user="device", role="r")
    device = with_certificate(node, "device")
    assert not isinstance(await device.put(b"a"), str)
    assert await device.put(b"z") == PermissionDenied.text
    answer = await auth(device, "Authenticate", name="device", password="x")
    assert answer == NoPasswordUser.text
    assert await with_certificate(node, "stranger").put(b"a") == PermissionDenied.text


async def test_a_token_counts_more_than_a_certificate(node: Node):
    bob = with_certificate(node, "alice")
    bob.metadata = (await log_in(node, "bob")).metadata
    assert await bob.get(b"a") == PermissionDenied.text


async def test_a_gateways_certificate_is_nobodys(node: Node):
    gateway = with_certificate(node, "root", grpcgateway_accept=b"*/*")
    assert await gateway.get(b"a") == UserEmpty.text
    assert await auth(gateway, "UserList") == UserEmpty.text


async def test_common_names_count_only_where_certificates_are_required():
    settings = NodeSettings(bcrypt_cost=CHEAP)
    async with open_node(settings, password_worker=INLINE) as node:
        await enable(Caller(node))
        assert await with_certificate(node, "root").get(b"a") == UserEmpty.text


async def test_a_signed_token_is_good_until_users_or_roles_change():
    tokens = JWTSettings("HS256", private_key=b"of all members, and of nobody else at all")
    settings = NodeSettings(bcrypt_cost=CHEAP, tokens=tokens)
    async with open_node(settings, password_worker=INLINE) as node:
        await enable(Caller(node))
        root, alice = await log_in(node, "root"), await log_in(node, "alice")
        assert alice.metadata["token"][0].count(b".") == 2
        assert not isinstance(await alice.put(b"a"), str)
        assert await alice.put(b"z") == PermissionDenied.text
        await done(root, "RoleAdd", name="another")
        for answer in (await alice.put(b"a"), await alice.get(b"a")):
            assert answer == AuthOldRevision.text
        await done(root, "UserDelete", name="alice")  # an old token of root's is root's still
        assert await auth(alice, "UserList") == UserNotFound.text


async def test_a_member_without_the_private_key_gives_no_tokens():
    for tokens, words in (
        (JWTSettings("EdDSA", public_key=ED_PUBLIC), CANNOT_SIGN),
        (None, AuthFailed.text),
    ):
        settings = NodeSettings(bcrypt_cost=CHEAP, tokens=tokens)
        async with open_node(settings, password_worker=INLINE) as node:
            await enable(Caller(node))
            given = {"name": "alice", "password": PASSWORDS["alice"]}
            assert await auth(Caller(node), "Authenticate", **given) == words


# -- What somebody may do


async def test_both_branches_and_every_depth_of_a_transaction_count(node: Node):
    alice = await log_in(node, "alice")
    bad = [put(b"z"), get(b"z"), delete(b"z"), put(b"a", lease=0, prev_kv=True)]
    root = await log_in(node, "root")
    await done(root, "RoleRevokePermission", role="r", key=b"a", range_end=b"b")
    await grant(root, "r", WRITE, b"a", b"b")
    assert not isinstance(await txn(alice, success=[put(b"a")]), str)
    for operation in [*bad, get(b"a")]:
        for branch in ("success", "failure"):
            assert await txn(alice, **{branch: [operation]}) == PermissionDenied.text
            nested = operation
            for depth in range(4):
                inner = "failure" if depth % 2 else "success"
                nested = pb.RequestOp(request_txn=pb.TxnRequest(**{inner: [nested]}))
                refused = await txn(alice, success=[put(b"a")], failure=[nested])
                assert refused == PermissionDenied.text
    for key in (b"a", b"z"):
        compare = pb.Compare(key=key, target=pb.Compare.VERSION)
        assert await txn(alice, compare=[compare]) == PermissionDenied.text
        nested = pb.RequestOp(request_txn=pb.TxnRequest(compare=[compare]))
        assert await txn(alice, success=[put(b"a"), nested]) == PermissionDenied.text
    assert (await root.get(b"z")).count == 0


async def test_what_was_there_before_may_be_seen_only_by_who_may_read(node: Node):
    root, alice = await log_in(node, "root"), await log_in(node, "alice")
    await done(root, "RoleRevokePermission", role="r", key=b"a", range_end=b"b")
    await grant(root, "r", WRITE, b"a", b"b")
    assert not isinstance(await alice.put(b"a"), str)
    assert await alice.put(b"a", prev_kv=True) == PermissionDenied.text
    request = pb.DeleteRangeRequest(key=b"a", prev_kv=True)
    path = "/etcdserverpb.KV/DeleteRange"
    assert await alice.call(path, request, pb.DeleteRangeResponse) == PermissionDenied.text
    request.prev_kv = False
    assert (await alice.call(path, request, pb.DeleteRangeResponse)).deleted == 1


async def lease(caller: Caller, name: str, **fields):
    request = getattr(pb, f"Lease{name}Request")(**fields)
    response = getattr(pb, f"Lease{name}Response")
    return await caller.call(f"/etcdserverpb.Lease/Lease{name}", request, response)


async def test_a_lease_is_only_his_who_may_write_all_its_keys(node: Node):
    root, alice = await log_in(node, "root"), await log_in(node, "alice")
    await lease(alice, "Grant", ID=7, TTL=60)
    await alice.put(b"a1", lease=7)
    await root.put(b"z", lease=7)
    assert await alice.put(b"a2", lease=7) == PermissionDenied.text
    assert await txn(alice, success=[put(b"a2", lease=7)]) == PermissionDenied.text
    assert await lease(alice, "Revoke", ID=7) == PermissionDenied.text
    assert await lease(alice, "TimeToLive", ID=7, keys=True) == PermissionDenied.text
    assert (await lease(alice, "TimeToLive", ID=7)).TTL > 0
    assert await lease(alice, "Leases") == PermissionDenied.text
    assert [each.ID for each in (await lease(root, "Leases")).leases] == [7]
    # A lease that is not there is everybody's.
    assert (await lease(alice, "TimeToLive", ID=8, keys=True)).TTL == -1
    await root.call(
        "/etcdserverpb.KV/DeleteRange", pb.DeleteRangeRequest(key=b"z"), pb.DeleteRangeResponse
    )
    assert not isinstance(await lease(alice, "Revoke", ID=7), str)
    assert (await alice.get(b"a1")).count == 0


async def test_leases_run_out_whoever_owns_their_keys(node: Node, autojump_clock):
    root = await log_in(node, "root")
    await lease(root, "Grant", ID=7, TTL=5)
    await root.put(b"z", lease=7)
    await trio.sleep(10)
    assert (await root.get(b"z")).count == 0


async def watched(node: Node, caller: Caller, key: bytes, end: bytes) -> str:
    """Why a watch is refused; empty if it is not."""
    path = "/etcdserverpb.Watch/Watch"
    stream = FakeStream()
    stream.context = Context(path, caller.metadata, Peer())
    request = pb.WatchCreateRequest(key=key, range_end=end)
    stream.ask(pb.WatchRequest(create_request=request).SerializeToString())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.registry.methods[path.encode()].stream, stream)
        response = pb.WatchResponse.FromString(await stream.read())
        nursery.cancel_scope.cancel()
    assert response.created
    return response.cancel_reason


async def test_a_watch_is_of_keys_that_may_be_read(node: Node):
    denied = f"rpc error: code = PermissionDenied desc = {PermissionDenied.text}"
    root, alice = await log_in(node, "root"), await log_in(node, "alice")
    assert await watched(node, alice, b"a", b"b") == ""
    for key, end in ((b"a", b"\0"), (b"a", b"c"), (b"b", b""), (b"", b""), (b"", b"\0")):
        assert await watched(node, alice, key, end) == denied
    await grant(root, "r", READ, b"aa", b"\0")
    assert await watched(node, alice, b"a", b"\0") == ""
    assert await watched(node, root, b"", b"\0") == ""
    assert "user name is empty" in await watched(node, Caller(node), b"a", b"")
    assert "invalid auth token" in await watched(node, with_token(node, "x.1"), b"a", b"")


class Meddler(Caller):
    """While his listing waits for room on the connection, a role comes to be."""

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()
        self.node.parts.auth.add_role("meanwhile")


async def test_a_listing_is_not_handed_over_if_users_changed_meanwhile(node: Node):
    root, alice = await log_in(node, "root"), await log_in(node, "alice")
    for first in range(0, 3000, 100):
        operations = [put(b"a%05d" % number) for number in range(first, first + 100)]
        await txn(root, success=operations)
    assert (await alice.get(b"a", b"b")).count == 3000
    assert await Meddler(node, alice.metadata).get(b"a", b"b") == AuthOldRevision.text
    assert (await alice.get(b"a", b"b")).count == 3000


async def test_what_changed_before_a_write_is_applied_counts(node: Node):
    """Its name and revision travel in the entry; here the change comes between."""
    parts = node.parts
    alice = await log_in(node, "alice")
    who = parts.permissions.identify(Context("", alice.metadata, Peer()))
    entry = parts.proposals.entry(tag_of("put"), pb.PutRequest(key=b"a").SerializeToString(), who)
    await done(await log_in(node, "root"), "RoleAdd", name="another")
    with pytest.raises(AuthOldRevision):
        await parts.proposals.propose_entry(entry)


# -- What is kept, and what must not be


async def test_a_restarted_member_knows_its_users(tmp_path: Path):
    settings = NodeSettings(data_dir=tmp_path / "n.etcd", bcrypt_cost=CHEAP)
    async with open_node(settings) as node:
        await enable(Caller(node))
        revision = node.parts.auth.revision
    async with open_node(settings) as node:
        assert await Caller(node).get(b"a") == UserEmpty.text
        alice = await log_in(node, "alice")
        assert not isinstance(await alice.put(b"a"), str)
        assert await alice.put(b"z") == PermissionDenied.text
        assert node.parts.auth.revision == revision


class Listener:
    """A log that keeps every word."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def bind(self, **fields: object) -> Listener:
        self.words.append(repr(fields))
        return self

    def debug(self, message: str, **fields: object) -> None:
        self.words.append(f"{message} {fields!r}")

    info = warning = error = debug


async def test_no_password_and_no_token_is_ever_said_or_stored(tmp_path: Path):
    log = Listener()
    settings = NodeSettings(data_dir=tmp_path / "n.etcd", bcrypt_cost=CHEAP)
    async with open_node(settings, log=log) as node:
        await enable(Caller(node))
        callers = [await log_in(node, name) for name in PASSWORDS]
        root = callers[0]
        await done(root, "UserChangePassword", name="bob", password="next-secret")
        await auth(root, "Authenticate", name="alice", password="wrong-secret")
        await auth(root, "UserAdd", name="alice", password="late-secret")
        await auth(with_token(node, "abcdefgh.1"), "UserList")
        tokens = [caller.metadata["token"][0].decode() for caller in callers]
    said = "\n".join(log.words)
    assert "invalid authentication was requested" in said
    for secret in [*PASSWORDS.values(), "next-secret", "wrong-secret", "late-secret", *tokens]:
        assert secret not in said
    stored = everything_under(tmp_path)
    assert b"authUsers" in stored or b"alice" in stored
    assert b"secret" not in stored


def everything_under(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_passwords_are_kept_as_etcd_keeps_them(node: Node):
    hashed = node.parts.auth.users["alice"].password
    assert hashed.startswith(b"$2a$04$")
    assert len(hashed) == 60
    assert bcrypt.checkpw(PASSWORDS["alice"].encode(), hashed)
    assert hashed[:29] != node.parts.auth.users["bob"].password[:29], "salted"


async def test_a_password_that_would_not_count_whole_is_refused(node: Node):
    root = await log_in(node, "root")
    answer = await auth(root, "UserAdd", name="long", password="x" * 73)
    assert answer == "bcrypt: password length exceeds 72 bytes"
    await done(root, "UserAdd", name="long", password="x" * 72)
    await log_in(node, "long", "x" * 72)


async def test_passwords_wait_in_a_line_of_limited_length():
    class Stuck:
        async def run(self, function, *args):
            await trio.sleep_forever()

    passwords = Passwords(Stuck(), random.Random(1), CHEAP)
    async with trio.open_nursery() as nursery:
        for _ in range(MOST_WAITING):
            nursery.start_soon(passwords.hash, "p")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(TooManyRequests):
            await passwords.hash("p")
        nursery.cancel_scope.cancel()
    with trio.move_on_after(0):
        await passwords.hash("p")  # they have left the line


async def test_a_password_that_was_right_before_a_change_is_looked_at_again(node: Node):
    """The change comes while the password is being hashed."""
    parts, checks = node.parts, 0
    real = InlineWorker()

    class Meddling:
        async def run(self, function, *args):
            nonlocal checks
            checks += 1
            result = await real.run(function, *args)
            if checks == 1:
                parts.auth.add_role("meanwhile")
            return result

    parts.auth_service.passwords = Passwords(Meddling(), parts.rng, CHEAP)
    await log_in(node, "alice")
    assert checks == 2


async def test_people_can_be_made_before_authentication_is_on():
    settings = NodeSettings(bcrypt_cost=CHEAP)
    async with open_node(settings, password_worker=INLINE) as node:
        caller = Caller(node)
        await people(caller)
        assert list((await done(caller, "UserList")).users) == ["alice", "bob", "root"]
        assert list((await done(caller, "RoleList")).roles) == ["r"]
        assert list((await done(caller, "UserGet", name="alice")).roles) == ["r"]
        [permission] = (await done(caller, "RoleGet", role="r")).perm
        assert (permission.permType, permission.key) == (READWRITE, b"a")
        status = await done(caller, "AuthStatus")
        assert (status.enabled, status.authRevision) == (False, 8)
        answer = await auth(caller, "Authenticate", name="alice", password="x")
        assert answer == AuthNotEnabled.text
