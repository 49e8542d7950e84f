"""Users, roles and what they may do: replicated state, changed by applied requests alone.

Kept in the backend's buckets `auth`, `authUsers` and `authRoles` just as etcd keeps it.  Every
change of users and roles moves the *auth revision* on; who was found to be allowed something at
an older revision must be looked at again.
Pure.  Source: etcd server/auth/store.go; server/storage/schema/auth*.go.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Protocol

from actors.auth.identity import Identity
from actors.auth.ranges import KeyRanges, is_valid
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

AUTH, USERS, ROLES = "auth", "authUsers", "authRoles"  # buckets
ENABLED, REVISION = b"authEnabled", b"authRevision"  # rows of AUTH
ROOT = "root"  # a user, and a role
READ, WRITE, READWRITE = (
    authpb.Permission.READ,
    authpb.Permission.WRITE,
    authpb.Permission.READWRITE,
)
ROOT_PERMISSION = authpb.Permission(permType=READWRITE, range_end=b"\0")  # as it is shown


class Rows(Protocol):
    """Where it is kept."""

    def get(self, bucket: str, key: bytes) -> bytes | None: ...

    def scan(self, bucket: str) -> list[tuple[bytes, bytes]]: ...

    def put(self, bucket: str, key: bytes, value: bytes) -> None: ...

    def delete(self, bucket: str, key: bytes) -> None: ...


class Tokens(Protocol):
    """Proofs of identity, of this member alone as far as they are not in the log."""

    def assign(self, username: str, prefix: str, index: int, revision: int) -> str:
        """A new one, for who has proved to be this user by the entry at `index`."""
        ...

    def forget_user(self, username: str) -> None: ...

    def forget_all(self) -> None: ...


class AuthStore:
    """Invariant: `users` and `roles` are the rows of their buckets."""

    def __init__(self, rows: Rows, tokens: Tokens) -> None:
        self._rows = rows
        self._tokens = tokens
        self.enabled = False
        self.restore()

    def restore(self) -> None:
        """Forget everything and take over what the buckets hold."""
        rows = self._rows
        self.users = {k.decode(): authpb.User.FromString(v) for k, v in rows.scan(USERS)}
        self.roles = {k.decode(): authpb.Role.FromString(v) for k, v in rows.scan(ROLES)}
        self.enabled = rows.get(AUTH, ENABLED) == b"\x01"
        self.revision = int.from_bytes(rows.get(AUTH, REVISION) or b"", "big")
        self._ranges: dict[str, tuple[KeyRanges, KeyRanges]] = {}  # what a user may read, write
        if not self.revision:
            self._changed()  # a new cluster's is 1
        if not self.enabled:
            self._tokens.forget_all()

    def _changed(self) -> None:
        self.revision += 1
        self._rows.put(AUTH, REVISION, self.revision.to_bytes(8, "big"))
        self._ranges.clear()

    # -- Authentication on and off

    def enable(self) -> None:
        """Raises RootUserNotExist, RootRoleNotGranted."""
        if self.enabled:
            return
        root = self.users.get(ROOT)
        if root is None:
            raise RootUserNotExist
        if ROOT not in root.roles:
            raise RootRoleNotGranted
        self.enabled = True
        self._rows.put(AUTH, ENABLED, b"\x01")

    def disable(self) -> None:
        if not self.enabled:
            return
        self.enabled = False
        self._rows.put(AUTH, ENABLED, b"\x00")
        self._changed()
        self._tokens.forget_all()

    # -- Who somebody is

    def password_of(self, username: str) -> bytes:
        """The hash that the user's password must have.

        Raises:
            AuthNotEnabled, NoPasswordUser; AuthFailed: no such user.
        """
        if not self.enabled:
            raise AuthNotEnabled
        user = self.users.get(username)
        if user is None:
            raise AuthFailed
        if user.options.no_password:
            raise NoPasswordUser
        return user.password

    def authenticate(self, username: str, prefix: str, index: int) -> str:
        """A token for a user whose password was found right.  Raises AuthNotEnabled, AuthFailed."""
        if not self.enabled:
            raise AuthNotEnabled
        user = self.users.get(username)
        if user is None or user.options.no_password:
            raise AuthFailed
        return self._tokens.assign(username, prefix, index, self.revision)

    # -- Users

    def add_user(self, request: etcdserverpb.AuthUserAddRequest) -> None:
        if not request.name:
            raise UserEmpty
        if request.name in self.users:
            raise UserAlreadyExists
        user = authpb.User(name=request.name.encode())
        user.options.SetInParent()  # is there even if empty, as in etcd
        user.options.MergeFrom(request.options)
        if not request.options.no_password:
            user.password = _decoded(request.hashedPassword)
        self._put_user(user)
        self._changed()

    def delete_user(self, name: str) -> None:
        if self.enabled and name == ROOT:
            raise InvalidAuthManagement
        self._user(name)
        del self.users[name]
        self._rows.delete(USERS, name.encode())
        self._changed()
        self._tokens.forget_user(name)

    def change_password(self, request: etcdserverpb.AuthUserChangePasswordRequest) -> None:
        user = self._user(request.name)
        password = b""
        if not user.options.no_password:
            password = _decoded(request.hashedPassword)
        user.password = password
        self._put_user(user)
        self._changed()
        self._tokens.forget_user(request.name)

    def grant_role(self, name: str, role: str) -> None:
        """The role root need not exist.  Granting what is granted changes nothing."""
        user = self._user(name)
        if role != ROOT and role not in self.roles:
            raise RoleNotFound
        if role in user.roles:
            return
        roles = list(user.roles)
        insort(roles, role)
        user.roles[:] = roles
        self._put_user(user)
        self._changed()

    def revoke_role(self, name: str, role: str) -> None:
        if self.enabled and name == ROOT and role == ROOT:
            raise InvalidAuthManagement
        user = self._user(name)
        if role not in user.roles:
            raise RoleNotGranted
        user.roles.remove(role)
        self._put_user(user)
        self._changed()

    def _user(self, name: str) -> authpb.User:
        user = self.users.get(name)
        if user is None:
            raise UserNotFound
        return user

    def _put_user(self, user: authpb.User) -> None:
        self.users[user.name.decode()] = user
        self._rows.put(USERS, user.name, user.SerializeToString())

    # -- Roles

    def add_role(self, name: str) -> None:
        if not name:
            raise RoleEmpty
        if name in self.roles:
            raise RoleAlreadyExists
        self._put_role(authpb.Role(name=name.encode()))
        self._changed()

    def delete_role(self, name: str) -> None:
        """Also from all users who have it; their tokens stay."""
        if self.enabled and name == ROOT:
            raise InvalidAuthManagement
        self._role(name)
        del self.roles[name]
        self._rows.delete(ROLES, name.encode())
        for _, user in sorted(self.users.items()):
            if name in user.roles:
                user.roles.remove(name)
                self._put_user(user)
        self._changed()

    def grant_permission(self, request: etcdserverpb.AuthRoleGrantPermissionRequest) -> None:
        """One on the same keys is replaced."""
        if not request.HasField("perm"):
            raise PermissionNotGiven
        given = request.perm
        if not is_valid(given.key, given.range_end):
            raise InvalidAuthManagement
        role = self._role(request.name)
        permissions = list(role.keyPermission)
        at = bisect_left(permissions, given.key, key=_key_of)
        found = permissions[at] if at < len(permissions) else None
        if found is not None and _is_on(found, given.key, given.range_end):
            found.permType = given.permType
        else:
            insort(permissions, given, key=_key_of)
        role = authpb.Role(name=role.name, keyPermission=permissions)
        self._put_role(role)
        self._changed()

    def revoke_permission(self, name: str, key: bytes, range_end: bytes) -> None:
        role = self._role(name)
        kept = [each for each in role.keyPermission if not _is_on(each, key, range_end)]
        if len(kept) == len(role.keyPermission):
            raise PermissionNotGranted
        self._put_role(authpb.Role(name=role.name, keyPermission=kept))
        self._changed()

    def permissions_of(self, name: str) -> list[authpb.Permission]:
        """As they are shown.  Raises RoleNotFound."""
        role = self._role(name)
        return [ROOT_PERMISSION] if name == ROOT else list(role.keyPermission)

    def roles_of(self, username: str) -> list[str]:
        """Raises UserNotFound."""
        return list(self._user(username).roles)

    def _role(self, name: str) -> authpb.Role:
        role = self.roles.get(name)
        if role is None:
            raise RoleNotFound
        return role

    def _put_role(self, role: authpb.Role) -> None:
        self.roles[role.name.decode()] = role
        self._rows.put(ROLES, role.name, role.SerializeToString())

    # -- What somebody may do

    def has_role(self, username: str, role: str) -> bool:
        user = self.users.get(username)
        return user is not None and role in user.roles

    def require_root(self, who: Identity) -> None:
        """Raises EtcdError if he has not the role root, which allows everything."""
        if not self.enabled:
            return
        if not who.username:
            raise UserEmpty
        if who.username not in self.users:
            raise UserNotFound
        if not self.has_role(who.username, ROOT):
            raise PermissionDenied

    def is_root(self, who: Identity) -> bool:
        return not self.enabled or self.has_role(who.username, ROOT)

    def require_read(self, who: Identity, key: bytes, range_end: bytes = b"") -> None:
        self._require(who, key, range_end, write=False)

    def require_write(self, who: Identity, key: bytes, range_end: bytes = b"") -> None:
        self._require(who, key, range_end, write=True)

    def _require(self, who: Identity, key: bytes, range_end: bytes, *, write: bool) -> None:
        if not self.enabled:
            return
        if not who.revision:
            raise UserEmpty
        if who.revision < self.revision:
            raise AuthOldRevision
        if who.username not in self.users:
            raise PermissionDenied
        if self.has_role(who.username, ROOT):
            return
        if not self._ranges_of(who.username)[write].cover(key, range_end):
            raise PermissionDenied

    def _ranges_of(self, username: str) -> tuple[KeyRanges, KeyRanges]:
        """What he may read, and what he may write."""
        found = self._ranges.get(username)
        if found is None:
            roles = [self.roles[name] for name in self.users[username].roles if name in self.roles]
            given = [each for role in roles for each in role.keyPermission]
            found = self._ranges[username] = (
                _ranges(each for each in given if each.permType in (READ, READWRITE)),
                _ranges(each for each in given if each.permType in (WRITE, READWRITE)),
            )
        return found


def _ranges(permissions: Iterable[authpb.Permission]) -> KeyRanges:
    return KeyRanges((each.key, each.range_end) for each in permissions)


def _key_of(permission: authpb.Permission) -> bytes:
    return permission.key


def _is_on(permission: authpb.Permission, key: bytes, range_end: bytes) -> bool:
    return permission.key == key and permission.range_end == range_end


def _decoded(hashed: str) -> bytes:
    """A password's hash, as it travels in requests.

    Without one (releases before 3.5 logged the password itself) nothing is a right password.
    """
    try:
        return base64.b64decode(hashed, validate=True)
    except binascii.Error:
        raise NoPasswordUser from None
