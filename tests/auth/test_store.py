"""Users, roles and permissions; what is stored, and what somebody may do."""

from __future__ import annotations

import base64
import random

import pytest

from actors.auth.identity import NOBODY, Identity
from actors.auth.store import READ, READWRITE, ROOT, WRITE, AuthStore
from tests.auth.world import Rows, auth_store
from wire.errors import (
    AuthFailed,
    AuthNotEnabled,
    AuthOldRevision,
    InvalidAuthManagement,
    NoPasswordUser,
    PermissionDenied,
    PermissionNotGiven,
    PermissionNotGranted,
    RoleAlreadyExists,
    RoleEmpty,
    RoleNotFound,
    RoleNotGranted,
    RootRoleNotGranted,
    RootUserNotExist,
    UserAlreadyExists,
    UserEmpty,
    UserNotFound,
)
from wire.pb import authpb, etcdserverpb

HASH = b"$2a$10$abc"


def add(store: AuthStore, name: str, *, no_password: bool = False, hashed: bytes = HASH) -> None:
    store.add_user(
        etcdserverpb.AuthUserAddRequest(
            name=name,
            hashedPassword=base64.b64encode(hashed).decode(),
            options=authpb.UserAddOptions(no_password=no_password),
        )
    )


def grant(store: AuthStore, role: str, kind: int, key: bytes, end: bytes = b"") -> None:
    permission = authpb.Permission(permType=kind, key=key, range_end=end)
    store.grant_permission(etcdserverpb.AuthRoleGrantPermissionRequest(name=role, perm=permission))


def enabled(rows: Rows | None = None) -> AuthStore:
    """Root may do all, alice may read [a, c) and write b."""
    store = auth_store(rows)
    add(store, ROOT)
    store.grant_role(ROOT, ROOT)
    add(store, "alice")
    store.add_role("r")
    grant(store, "r", READ, b"a", b"c")
    grant(store, "r", WRITE, b"b")
    store.grant_role("alice", "r")
    store.enable()
    return store


def now(store: AuthStore, name: str) -> Identity:
    return Identity(name, store.revision)


# -- Users and roles


def test_a_new_store_is_at_revision_one_and_says_so_in_its_rows():
    rows = Rows()
    assert auth_store(rows).revision == 1
    assert rows.get("auth", b"authRevision") == bytes(7) + b"\1"
    assert auth_store(rows).revision == 1


def test_every_change_is_one_revision_and_enabling_is_none():
    store = auth_store()
    add(store, ROOT)
    store.grant_role(ROOT, ROOT)
    before = store.revision
    assert before == 3
    store.enable()
    store.enable()
    assert store.revision == before
    store.grant_role(ROOT, ROOT)  # he has it
    assert store.revision == before
    store.disable()
    assert store.revision == before + 1
    store.disable()
    assert store.revision == before + 1


def test_rows_are_etcds():
    rows = Rows()
    store = enabled(rows)
    # name, password, roles, and options, which are there even if empty
    assert rows.get("authUsers", b"alice") == b"\n\5alice\x12\n" + HASH + b"\x1a\1r\x22\0"
    assert rows.get("authRoles", b"r") == b"\n\1r\x12\6\x12\1a\x1a\1c\x12\5\x08\1\x12\1b"
    assert rows.get("auth", b"authEnabled") == b"\1"
    store.disable()
    assert rows.get("auth", b"authEnabled") == b"\0"


def test_a_restored_store_is_the_same():
    rows = Rows()
    store = enabled(rows)
    again = auth_store(rows)
    assert (again.users, again.roles, again.revision, again.enabled) == (
        store.users,
        store.roles,
        store.revision,
        True,
    )
    again.require_read(now(again, "alice"), b"a", b"c")


def test_authentication_needs_a_root_who_is_one():
    store = auth_store()
    with pytest.raises(RootUserNotExist):
        store.enable()
    add(store, ROOT)
    with pytest.raises(RootRoleNotGranted):
        store.enable()


def test_users_have_names_of_their_own():
    store = enabled()
    with pytest.raises(UserEmpty):
        add(store, "")
    with pytest.raises(UserAlreadyExists):
        add(store, "alice")
    for act in (store.delete_user, store.roles_of):
        with pytest.raises(UserNotFound):
            act("nobody")


def test_roles_have_names_of_their_own():
    store = enabled()
    with pytest.raises(RoleEmpty):
        store.add_role("")
    with pytest.raises(RoleAlreadyExists):
        store.add_role("r")
    for act in (store.delete_role, store.permissions_of):
        with pytest.raises(RoleNotFound):
            act("none")
    with pytest.raises(RoleNotFound):
        store.grant_role("alice", "none")
    with pytest.raises(RoleNotGranted):
        store.revoke_role("alice", "none")


def test_the_role_root_need_not_exist_to_be_granted():
    store = enabled()
    store.grant_role("alice", ROOT)
    store.require_root(now(store, "alice"))
    with pytest.raises(RoleNotFound):
        store.permissions_of(ROOT)
    store.add_role(ROOT)
    [shown] = store.permissions_of(ROOT)
    assert (shown.permType, shown.key, shown.range_end) == (READWRITE, b"", b"\0")


def test_root_stays_root_while_authentication_is_on():
    store = enabled()
    for act in (
        lambda: store.delete_user(ROOT),
        lambda: store.delete_role(ROOT),
        lambda: store.revoke_role(ROOT, ROOT),
    ):
        with pytest.raises(InvalidAuthManagement):
            act()
    store.disable()
    store.revoke_role(ROOT, ROOT)
    store.delete_user(ROOT)


def test_roles_of_a_user_are_in_order():
    store = enabled()
    for name in ("z", "a"):
        store.add_role(name)
        store.grant_role("alice", name)
    assert store.roles_of("alice") == ["a", "r", "z"]


def test_a_deleted_role_is_taken_from_everybody():
    rows = Rows()
    store = enabled(rows)
    store.delete_role("r")
    assert store.roles_of("alice") == []
    assert auth_store(rows).roles_of("alice") == []
    with pytest.raises(PermissionDenied):
        store.require_read(now(store, "alice"), b"a")


def test_permissions_are_in_key_order_and_one_on_the_same_keys_is_replaced():
    store = enabled()
    grant(store, "r", READWRITE, b"a", b"c")
    grant(store, "r", READ, b"Z")
    shown = [(each.permType, each.key, each.range_end) for each in store.permissions_of("r")]
    assert shown == [(READ, b"Z", b""), (READWRITE, b"a", b"c"), (WRITE, b"b", b"")]


def test_of_several_permissions_on_a_key_only_the_first_is_replaced():
    """So a range may be there twice, as with etcd."""
    store = enabled()
    for end in (b"x", b"y", b"y"):
        grant(store, "r", WRITE, b"k", end)
    grant(store, "r", READ, b"k", b"x")
    shown = [(each.permType, each.range_end) for each in store.permissions_of("r")]
    assert shown[-3:] == [(READ, b"x"), (WRITE, b"y"), (WRITE, b"y")]
    store.revoke_permission("r", b"k", b"y")
    assert len(store.permissions_of("r")) == 3


def test_only_a_permission_that_is_there_can_be_revoked():
    store = enabled()
    with pytest.raises(PermissionNotGranted):
        store.revoke_permission("r", b"a", b"")
    store.revoke_permission("r", b"a", b"c")
    assert [each.key for each in store.permissions_of("r")] == [b"b"]


def test_a_permission_must_be_one():
    store = enabled()
    with pytest.raises(PermissionNotGiven):
        store.grant_permission(etcdserverpb.AuthRoleGrantPermissionRequest(name="r"))
    for key, end in ((b"", b""), (b"b", b"a")):
        with pytest.raises(InvalidAuthManagement):
            grant(store, "r", READ, key, end)
    with pytest.raises(RoleNotFound):
        grant(store, "none", READ, b"a")


# -- Passwords and tokens


def test_who_has_no_password_cannot_give_one():
    store = enabled()
    add(store, "cert", no_password=True)
    assert store.users["cert"].password == b""
    with pytest.raises(NoPasswordUser):
        store.password_of("cert")
    with pytest.raises(AuthFailed):
        store.authenticate("cert", "p", 1)
    with pytest.raises(AuthFailed):
        store.password_of("nobody")


def test_passwords_count_only_while_authentication_is_on():
    store = auth_store()
    with pytest.raises(AuthNotEnabled):
        store.password_of("alice")
    with pytest.raises(AuthNotEnabled):
        store.authenticate("alice", "p", 1)


def test_a_token_is_its_prefix_and_the_index_of_its_entry():
    assert enabled().authenticate("alice", "abcdefghijklmnop", 71) == "abcdefghijklmnop.71"


def test_a_password_that_is_no_base64_is_refused():
    store = enabled()
    request = etcdserverpb.AuthUserChangePasswordRequest(name="alice", hashedPassword="*")
    with pytest.raises(NoPasswordUser):
        store.change_password(request)
    assert store.users["alice"].password == HASH


# -- What somebody may do


def test_nobody_is_allowed_nothing_and_everything_while_authentication_is_off():
    store = enabled()
    for check in (store.require_read, store.require_write):
        with pytest.raises(UserEmpty):
            check(NOBODY, b"a")
    with pytest.raises(UserEmpty):
        store.require_root(NOBODY)
    store.disable()
    store.require_read(NOBODY, b"a")
    store.require_root(NOBODY)


def test_a_user_may_what_his_roles_permit():
    store = enabled()
    alice = now(store, "alice")
    store.require_read(alice, b"a", b"c")
    store.require_write(alice, b"b")
    for refused in (
        lambda: store.require_read(alice, b"a", b"\0"),
        lambda: store.require_read(alice, b"c"),
        lambda: store.require_write(alice, b"a"),
        lambda: store.require_root(alice),
    ):
        with pytest.raises(PermissionDenied):
            refused()


def test_what_was_found_out_before_a_change_is_old():
    store = enabled()
    alice = now(store, "alice")
    store.add_role("another")
    with pytest.raises(AuthOldRevision):
        store.require_read(alice, b"a")
    store.require_read(now(store, "alice"), b"a")


def test_a_user_who_was_deleted_may_nothing():
    store = enabled()
    ghost = Identity("ghost", store.revision)
    with pytest.raises(PermissionDenied):
        store.require_read(ghost, b"a")
    with pytest.raises(UserNotFound):
        store.require_root(ghost)


def test_permissions_follow_every_change_of_users_and_roles():
    """Against a model: a permission is a pair (user, key) that some role of his holds."""
    for seed in range(20):
        rng = random.Random(seed)
        rows = Rows()
        store = enabled(rows)
        users, roles, keys = ["u1", "u2", "u3"], ["r1", "r2", "r3"], [b"k1", b"k2", b"k3", b"k4"]
        for name in users:
            add(store, name)
        for name in roles:
            store.add_role(name)
        has: set[tuple[str, str]] = set()
        holds: dict[tuple[str, bytes], int] = {}
        for _ in range(100):
            user, role, key = rng.choice(users), rng.choice(roles), rng.choice(keys)
            match rng.randrange(5):
                case 0 if (user, role) in has:
                    store.revoke_role(user, role)
                    has.discard((user, role))
                case 1 if (role, key) in holds:
                    store.revoke_permission(role, key, b"")
                    del holds[role, key]
                case 2:
                    kind = rng.choice((READ, WRITE, READWRITE))
                    grant(store, role, kind, key)
                    holds[role, key] = kind
                case 3 if rng.random() < 0.2:
                    store = auth_store(rows)
                case _:
                    store.grant_role(user, role)
                    has.add((user, role))
            for user in users:
                for key in keys:
                    kinds = {holds.get((role, key)) for role in roles if (user, role) in has}
                    assert allows(store.require_read, store, user, key) == bool(
                        kinds & {READ, READWRITE}
                    )
                    assert allows(store.require_write, store, user, key) == bool(
                        kinds & {WRITE, READWRITE}
                    )


def allows(check, store: AuthStore, user: str, key: bytes) -> bool:
    try:
        check(now(store, user), key)
    except PermissionDenied:
        return False
    return True
