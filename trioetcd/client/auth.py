"""Users, roles and what they may do.

    await client.auth.add_role("reader")
    await client.auth.grant("reader", prefix="config/", access="read")
    await client.auth.add_user("web", "secret")
    await client.auth.grant_role("web", "reader")

Source: etcd api/etcdserverpb/rpc.proto (Auth), client/v3/auth.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trioetcd.client.calls import A, Calls, Kind
from trioetcd.client.values import Data, range_of
from wire.pb import authpb, etcdserverpb

if TYPE_CHECKING:
    from google.protobuf.message import Message

Access = Literal["read", "write", "readwrite"]
_AUTH = "/etcdserverpb.Auth"
_Type = authpb.Permission.Type


@dataclass(frozen=True, slots=True)
class AuthStatus:
    enabled: bool
    revision: int  # grows with every change of users, roles and permissions


@dataclass(frozen=True, slots=True)
class Permission:
    access: Access
    key: bytes
    range_end: bytes  # empty: of that key alone


class Auth(Calls):
    """Every method raises EtcdError: for one, that the user may not."""

    async def enable(self) -> None:
        """From now on every call needs a user; there must be a user `root` with a role `root`."""
        kind = etcdserverpb.AuthEnableResponse
        await self.call(f"{_AUTH}/AuthEnable", etcdserverpb.AuthEnableRequest(), kind)

    async def disable(self) -> None:
        kind = etcdserverpb.AuthDisableResponse
        await self.call(f"{_AUTH}/AuthDisable", etcdserverpb.AuthDisableRequest(), kind)

    async def status(self) -> AuthStatus:
        kind = etcdserverpb.AuthStatusResponse
        found = await self.call(f"{_AUTH}/AuthStatus", etcdserverpb.AuthStatusRequest(), kind)
        return AuthStatus(found.enabled, found.authRevision)

    # -- Users

    async def add_user(self, name: str, password: str | None = None) -> None:
        """Without a password it can only come with a client certificate of that name."""
        options = authpb.UserAddOptions(no_password=password is None)
        request = etcdserverpb.AuthUserAddRequest(
            name=name, password=password or "", options=options
        )
        await self._change("UserAdd", request, etcdserverpb.AuthUserAddResponse)

    async def delete_user(self, name: str) -> None:
        request = etcdserverpb.AuthUserDeleteRequest(name=name)
        await self._change("UserDelete", request, etcdserverpb.AuthUserDeleteResponse)

    async def change_password(self, name: str, password: str) -> None:
        """Tokens that the user has are no good any more."""
        request = etcdserverpb.AuthUserChangePasswordRequest(name=name, password=password)
        kind = etcdserverpb.AuthUserChangePasswordResponse
        await self._change("UserChangePassword", request, kind)

    async def users(self) -> list[str]:
        kind = etcdserverpb.AuthUserListResponse
        found = await self.call(f"{_AUTH}/UserList", etcdserverpb.AuthUserListRequest(), kind)
        return list(found.users)

    async def roles_of(self, user: str) -> list[str]:
        request = etcdserverpb.AuthUserGetRequest(name=user)
        found = await self.call(f"{_AUTH}/UserGet", request, etcdserverpb.AuthUserGetResponse)
        return list(found.roles)

    async def grant_role(self, user: str, role: str) -> None:
        request = etcdserverpb.AuthUserGrantRoleRequest(user=user, role=role)
        await self._change("UserGrantRole", request, etcdserverpb.AuthUserGrantRoleResponse)

    async def revoke_role(self, user: str, role: str) -> None:
        request = etcdserverpb.AuthUserRevokeRoleRequest(name=user, role=role)
        await self._change("UserRevokeRole", request, etcdserverpb.AuthUserRevokeRoleResponse)

    # -- Roles

    async def add_role(self, name: str) -> None:
        """A role that may do nothing yet."""
        request = etcdserverpb.AuthRoleAddRequest(name=name)
        await self._change("RoleAdd", request, etcdserverpb.AuthRoleAddResponse)

    async def delete_role(self, name: str) -> None:
        request = etcdserverpb.AuthRoleDeleteRequest(role=name)
        await self._change("RoleDelete", request, etcdserverpb.AuthRoleDeleteResponse)

    async def roles(self) -> list[str]:
        kind = etcdserverpb.AuthRoleListResponse
        found = await self.call(f"{_AUTH}/RoleList", etcdserverpb.AuthRoleListRequest(), kind)
        return list(found.roles)

    async def permissions(self, role: str) -> list[Permission]:
        request = etcdserverpb.AuthRoleGetRequest(role=role)
        found = await self.call(f"{_AUTH}/RoleGet", request, etcdserverpb.AuthRoleGetResponse)
        return [Permission(_access(p), p.key, p.range_end) for p in found.perm]

    async def grant(
        self,
        role: str,
        key: Data | None = None,
        *,
        access: Access,
        prefix: Data | None = None,
        end: Data = b"",
    ) -> None:
        """Let a role read or write a key, the keys from `key` up to `end`, or all with a prefix.

        A second grant of the same keys takes the first one's place.
        """
        first, last = range_of(key, prefix, end)
        permission = authpb.Permission(
            permType=_Type.Value(access.upper()), key=first, range_end=last
        )
        request = etcdserverpb.AuthRoleGrantPermissionRequest(name=role, perm=permission)
        kind = etcdserverpb.AuthRoleGrantPermissionResponse
        await self._change("RoleGrantPermission", request, kind)

    async def revoke(
        self, role: str, key: Data | None = None, *, prefix: Data | None = None, end: Data = b""
    ) -> None:
        """Take back what was granted for just these keys."""
        first, last = range_of(key, prefix, end)
        request = etcdserverpb.AuthRoleRevokePermissionRequest(role=role, key=first, range_end=last)
        kind = etcdserverpb.AuthRoleRevokePermissionResponse
        await self._change("RoleRevokePermission", request, kind)

    async def _change(self, method: str, request: Message, kind: Kind[A]) -> None:
        await self.call(f"{_AUTH}/{method}", request, kind, is_write=True)


def _access(permission: authpb.Permission) -> Access:
    word: Access
    match _Type.Name(permission.permType):
        case "READ":
            word = "read"
        case "WRITE":
            word = "write"
        case _:
            word = "readwrite"
    return word
