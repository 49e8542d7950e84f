"""The Auth service.

Everything goes through the log, questions too: whoever may ask is judged where it is applied.
Passwords never do: what is proposed is a hash, or that a password was found right.
Source: etcd server/etcdserver/api/v3rpc/auth.go; server/etcdserver/v3_server.go.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio
from google.protobuf.message import Message

from actors.auth.store import AuthStore
from trioetcd.api.parse import parse
from trioetcd.api.passwords import Passwords
from trioetcd.api.proposals import Proposals
from trioetcd.api.reads import Reads
from wire.errors import AuthFailed, EtcdError, NoPasswordUser, RequestTimeout
from wire.grpc.service import Registry, UnaryCall
from wire.log import Log
from wire.pb import etcdserverpb

_SERVICE = "/etcdserverpb.Auth"
_PLAIN: dict[str, tuple[str, type[Message]]] = {  # the entry, and the request
    "AuthEnable": ("auth_enable", etcdserverpb.AuthEnableRequest),
    "AuthDisable": ("auth_disable", etcdserverpb.AuthDisableRequest),
    "AuthStatus": ("auth_status", etcdserverpb.AuthStatusRequest),
    "UserGet": ("auth_user_get", etcdserverpb.AuthUserGetRequest),
    "UserList": ("auth_user_list", etcdserverpb.AuthUserListRequest),
    "UserDelete": ("auth_user_delete", etcdserverpb.AuthUserDeleteRequest),
    "UserGrantRole": ("auth_user_grant_role", etcdserverpb.AuthUserGrantRoleRequest),
    "UserRevokeRole": ("auth_user_revoke_role", etcdserverpb.AuthUserRevokeRoleRequest),
    "RoleAdd": ("auth_role_add", etcdserverpb.AuthRoleAddRequest),
    "RoleGet": ("auth_role_get", etcdserverpb.AuthRoleGetRequest),
    "RoleList": ("auth_role_list", etcdserverpb.AuthRoleListRequest),
    "RoleDelete": ("auth_role_delete", etcdserverpb.AuthRoleDeleteRequest),
    "RoleGrantPermission": (
        "auth_role_grant_permission",
        etcdserverpb.AuthRoleGrantPermissionRequest,
    ),
    "RoleRevokePermission": (
        "auth_role_revoke_permission",
        etcdserverpb.AuthRoleRevokePermissionRequest,
    ),
}


class TokenMaker(Protocol):
    def new_prefix(self) -> str:
        """The random part of the next token, if it has one; it goes through the log."""
        ...


class AuthService:
    def __init__(
        self,
        store: AuthStore,
        tokens: TokenMaker,
        passwords: Passwords,
        proposals: Proposals,
        reads: Reads,
        header: Callable[[int], bytes],
        log: Log,
        timeout: float,
    ) -> None:
        """`header` makes field 1 of a response for a revision; `timeout` in seconds."""
        self._store = store
        self._tokens = tokens
        self.passwords = passwords
        self._proposals = proposals
        self._reads = reads
        self._header = header
        self._log = log
        self._timeout = timeout

    def register(self, registry: Registry) -> None:
        for name, (entry, request) in _PLAIN.items():
            registry.unary(f"{_SERVICE}/{name}", self._passed_on(entry, request))
        registry.unary(f"{_SERVICE}/UserAdd", self.user_add)
        registry.unary(f"{_SERVICE}/UserChangePassword", self.user_change_password)
        registry.unary(f"{_SERVICE}/Authenticate", self.authenticate)

    def _passed_on(
        self, entry: str, request: type[Message]
    ) -> Callable[[UnaryCall], Awaitable[bytes]]:
        async def handle(call: UnaryCall) -> bytes:
            parse(request, call.payload)
            return await self._propose(entry, call.payload, call)

        return handle

    async def _propose(self, entry: str, payload: bytes, call: UnaryCall) -> bytes:
        revision, body = await self._proposals.propose(entry, payload, call.context)
        return self._header(revision) + body

    async def user_add(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.AuthUserAddRequest, call.payload)
        if not request.options.no_password:
            request.hashedPassword = await self._hash(request.password)
            request.password = ""
        return await self._propose("auth_user_add", request.SerializeToString(), call)

    async def user_change_password(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.AuthUserChangePasswordRequest, call.payload)
        if request.password:
            request.hashedPassword = await self._hash(request.password)
            request.password = ""
        return await self._propose("auth_user_change_password", request.SerializeToString(), call)

    async def _hash(self, password: str) -> str:
        return base64.b64encode(await self.passwords.hash(password)).decode()

    async def authenticate(self, call: UnaryCall) -> bytes:
        """A token for who knows the password.

        If users or roles changed meanwhile, the password that was right may be so no more.
        """
        request = parse(etcdserverpb.AuthenticateRequest, call.payload)
        await self._reads.current()
        with trio.move_on_after(self._timeout):
            while True:
                checked_at = self._store.revision
                try:
                    await self._check_password(request.name, request.password)
                except (AuthFailed, NoPasswordUser) as refusal:
                    self._note(request.name, refusal)
                    raise
                proposal = etcdserverpb.InternalAuthenticateRequest(
                    name=request.name, simple_token=self._tokens.new_prefix()
                )
                revision, body = await self._proposals.propose(
                    "authenticate", proposal.SerializeToString()
                )
                if checked_at == self._store.revision:
                    return self._header(revision) + body
        raise RequestTimeout

    async def _check_password(self, name: str, password: str) -> None:
        """Raises EtcdError."""
        hashed = self._store.password_of(name)
        if not await self.passwords.check(password, hashed):
            raise AuthFailed

    def _note(self, name: str, refusal: EtcdError) -> None:
        self._log.warning("invalid authentication was requested", user=name, error=str(refusal))
