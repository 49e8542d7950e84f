"""What applied entries do to users and roles, and what users may not do when theirs are applied.

While authentication is on, every entry is judged once more when it is applied, for the user
and the auth revision that stand in its header: what was true when it was proposed may have
changed, and every member must come to the same end.
Source: etcd server/etcdserver/apply/auth.go, backend.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.apply.operation import FIELDS
from actors.auth.checks import Checks
from actors.auth.identity import Identity
from wire.pb import etcdserverpb

Step = Callable[[bytes, Identity, int], bytes | None]
"""(request, who asks, log index) -> the response without a header, if it says anything beside.

Raises EtcdError."""

NEED_ROOT = frozenset(
    FIELDS[name]
    for name in (
        "auth_enable",
        "auth_disable",
        "auth_user_add",
        "auth_user_delete",
        "auth_user_change_password",
        "auth_user_grant_role",
        "auth_user_revoke_role",
        "auth_user_list",
        "auth_role_add",
        "auth_role_delete",
        "auth_role_grant_permission",
        "auth_role_revoke_permission",
        "auth_role_list",
    )
)


class Authority:
    """The steps of the auth requests."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.store = checks.auth
        steps: Mapping[str, Step] = {
            "authenticate": self._authenticate,
            "auth_enable": lambda _, who, index: self.store.enable(),
            "auth_disable": lambda _, who, index: self.store.disable(),
            "auth_status": lambda _, who, index: self._status(),
            "auth_user_add": self._user_add,
            "auth_user_get": self._user_get,
            "auth_user_list": lambda _, who, index: self._user_list(),
            "auth_user_delete": self._user_delete,
            "auth_user_change_password": self._user_change_password,
            "auth_user_grant_role": self._user_grant_role,
            "auth_user_revoke_role": self._user_revoke_role,
            "auth_role_add": self._role_add,
            "auth_role_get": self._role_get,
            "auth_role_list": lambda _, who, index: self._role_list(),
            "auth_role_delete": self._role_delete,
            "auth_role_grant_permission": self._role_grant_permission,
            "auth_role_revoke_permission": self._role_revoke_permission,
        }
        self.steps = {FIELDS[name]: step for name, step in steps.items()}

    def apply(self, number: int, payload: bytes, who: Identity, index: int) -> bytes:
        if number in NEED_ROOT:
            self.store.require_root(who)
        return self.steps[number](payload, who, index) or b""

    def _authenticate(self, payload: bytes, who: Identity, index: int) -> bytes:
        """The password was checked by whoever proposed this."""
        request = etcdserverpb.InternalAuthenticateRequest.FromString(payload)
        token = self.store.authenticate(request.name, request.simple_token, index)
        return etcdserverpb.AuthenticateResponse(token=token).SerializeToString()

    def _status(self) -> bytes:
        return etcdserverpb.AuthStatusResponse(
            enabled=self.store.enabled, authRevision=self.store.revision
        ).SerializeToString()

    def _user_add(self, payload: bytes, who: Identity, index: int) -> None:
        self.store.add_user(etcdserverpb.AuthUserAddRequest.FromString(payload))

    def _user_get(self, payload: bytes, who: Identity, index: int) -> bytes:
        """Everybody may look himself up."""
        name = etcdserverpb.AuthUserGetRequest.FromString(payload).name
        if name != who.username:
            self.store.require_root(who)
        roles = self.store.roles_of(name)
        return etcdserverpb.AuthUserGetResponse(roles=roles).SerializeToString()

    def _user_list(self) -> bytes:
        return etcdserverpb.AuthUserListResponse(users=sorted(self.store.users)).SerializeToString()

    def _user_delete(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthUserDeleteRequest.FromString(payload)
        self.store.delete_user(request.name)

    def _user_change_password(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthUserChangePasswordRequest.FromString(payload)
        self.store.change_password(request)

    def _user_grant_role(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthUserGrantRoleRequest.FromString(payload)
        self.store.grant_role(request.user, request.role)

    def _user_revoke_role(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthUserRevokeRoleRequest.FromString(payload)
        self.store.revoke_role(request.name, request.role)

    def _role_add(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthRoleAddRequest.FromString(payload)
        self.store.add_role(request.name)

    def _role_get(self, payload: bytes, who: Identity, index: int) -> bytes:
        """Everybody may look up the roles he has."""
        role = etcdserverpb.AuthRoleGetRequest.FromString(payload).role
        if not self.store.has_role(who.username, role):
            self.store.require_root(who)
        found = self.store.permissions_of(role)
        return etcdserverpb.AuthRoleGetResponse(perm=found).SerializeToString()

    def _role_list(self) -> bytes:
        return etcdserverpb.AuthRoleListResponse(roles=sorted(self.store.roles)).SerializeToString()

    def _role_delete(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthRoleDeleteRequest.FromString(payload)
        self.store.delete_role(request.role)

    def _role_grant_permission(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthRoleGrantPermissionRequest.FromString(payload)
        self.store.grant_permission(request)

    def _role_revoke_permission(self, payload: bytes, who: Identity, index: int) -> None:
        request = etcdserverpb.AuthRoleRevokePermissionRequest.FromString(payload)
        self.store.revoke_permission(request.role, request.key, request.range_end)
