"""Who calls, and what he may: the one place where calls are looked at for it.

Every method of the registry has a rule here; one without cannot be registered.  What is judged
again when it is applied (writes, users and roles) is only given its caller's name here.
Source: etcd server/etcdserver/api/v3rpc/auth.go, maintenance.go, key.go; v3_server.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

import trio

from actors.auth.checks import Checks
from actors.auth.identity import NOBODY, Identity
from actors.kernel import ActorStopped
from wire.errors import AuthOldRevision, InvalidAuthToken, Stopped, UserEmpty
from wire.grpc.service import Context, ServerStream, UnaryCall

TOKEN, AUTHORIZATION = "token", "authorization"  # metadata, looked at in this order
BEARER = "Bearer "
GATEWAY = "grpcgateway-accept"  # metadata of a call that was made for somebody else


class Rule(Enum):
    OPEN = "anybody may"
    KNOWN = "whoever says who he is"
    ROOT = "users with the role root"
    OWN = "its handler looks, at the keys that it is about"
    APPLIED = "looked at when it is applied"


def _rules() -> dict[str, Rule]:
    of_service = {
        "/etcdserverpb.KV/": {
            Rule.OWN: "Range RangeStream Put DeleteRange Txn",
            Rule.ROOT: "Compact",
        },
        "/etcdserverpb.Watch/": {Rule.OWN: "Watch"},
        "/etcdserverpb.Lease/": {
            Rule.KNOWN: "LeaseGrant LeaseRevoke LeaseTimeToLive",
            Rule.OWN: "LeaseLeases LeaseKeepAlive",
        },
        "/etcdserverpb.Cluster/": {
            Rule.OWN: "MemberList",
            Rule.ROOT: "MemberAdd MemberRemove MemberUpdate MemberPromote",
        },
        "/etcdserverpb.Maintenance/": {
            Rule.KNOWN: "Status",
            Rule.OWN: "Alarm",
            Rule.ROOT: "Defragment Hash HashKV Snapshot MoveLeader Downgrade",
        },
        "/etcdserverpb.Auth/": {
            Rule.OPEN: "Authenticate",
            Rule.APPLIED: "AuthEnable AuthDisable AuthStatus UserAdd UserGet UserList UserDelete "
            "UserChangePassword UserGrantRole UserRevokeRole RoleAdd RoleGet RoleList RoleDelete "
            "RoleGrantPermission RoleRevokePermission",
        },
        # Made of calls on the services above, each of which is looked at.
        "/v3lockpb.Lock/": {Rule.OWN: "Lock Unlock"},
        "/v3electionpb.Election/": {Rule.OWN: "Campaign Proclaim Leader Observe Resign"},
        "/grpc.health.v1.Health/": {Rule.OPEN: "Check Watch List"},
        "/grpc.reflection.v1.ServerReflection/": {Rule.OPEN: "ServerReflectionInfo"},
        "/grpc.reflection.v1alpha.ServerReflection/": {Rule.OPEN: "ServerReflectionInfo"},
    }
    return {
        service + name: rule
        for service, rules in of_service.items()
        for rule, names in rules.items()
        for name in names.split()
    }


RULES = _rules()


class NotYetApplied(Exception):
    """This member cannot know the token before it has applied the entry at `index`."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class TokenBook(Protocol):
    """See `SimpleTokens` and `JWTTokens`."""

    def identify(self, token: str, revision: int) -> Identity | None: ...

    def known_at(self, token: str) -> int: ...


class Permissions:
    def __init__(
        self,
        checks: Checks,
        tokens: TokenBook,
        wait_applied: Callable[[int], Awaitable[None]],
        *,
        trusts_certificates: bool,
        timeout: float,
    ) -> None:
        """`trusts_certificates`: a verified client certificate's common name is its user.

        A token of the future is waited for `timeout` seconds.
        """
        self.checks = checks
        self.auth = checks.auth
        self._tokens = tokens
        self._wait_applied = wait_applied
        self._trusts_certificates = trusts_certificates
        self._timeout = timeout

    # -- Who calls

    def identify(self, context: Context) -> Identity:
        """Who calls; NOBODY also while authentication is off.

        Raises:
            InvalidAuthToken: nobody's, or its time is over.
            NotYetApplied: see there.
        """
        if not self.auth.enabled:
            return NOBODY
        metadata = context.metadata
        given = metadata.get(TOKEN) or metadata.get(AUTHORIZATION)
        if given is None:
            return self._by_certificate(context)
        token = given[0].decode("latin-1").removeprefix(BEARER)
        index = self._tokens.known_at(token)
        if index:
            raise NotYetApplied(index)
        who = self._tokens.identify(token, self.auth.revision)
        if who is None:
            raise InvalidAuthToken
        return who

    def _by_certificate(self, context: Context) -> Identity:
        """A gateway's certificate says nothing of whom it calls for."""
        peer = context.peer
        if not self._trusts_certificates or not peer.secure or GATEWAY in context.metadata:
            return NOBODY
        return Identity(peer.common_name, self.auth.revision)

    async def who(self, context: Context) -> Identity:
        """`identify`, having waited for what must be applied first."""
        try:
            return self.identify(context)
        except NotYetApplied as early:
            await self.reached(early.index)
        try:
            return self.identify(context)
        except NotYetApplied:
            raise InvalidAuthToken from None

    async def reached(self, index: int) -> None:
        """Until the log is applied so far, or it is clear that a token says so in vain."""
        try:
            with trio.move_on_after(self._timeout) as waiting:
                await self._wait_applied(index)
        except ActorStopped:
            raise Stopped from None
        if waiting.cancelled_caught:
            raise InvalidAuthToken

    # -- What he may.  Without authentication, everything

    async def require_known(self, context: Context) -> Identity:
        """Raises EtcdError."""
        who = await self.who(context)
        if self.auth.enabled and who is NOBODY:
            raise UserEmpty
        return who

    async def require_root(self, context: Context) -> None:
        if self.auth.enabled:
            self.auth.require_root(await self.who(context))

    async def require_read(self, context: Context, key: bytes, range_end: bytes) -> Identity:
        """Raises EtcdError; a watch is looked at when it is created."""
        who = await self.who(context)
        self.auth.require_read(who, key, range_end)
        return who

    def unchanged_since(self, revision: int) -> None:
        """Raises AuthOldRevision."""
        if self.auth.enabled and self.auth.revision != revision:
            raise AuthOldRevision

    def still(self, who: Identity) -> None:
        """After a read that took time.  Raises AuthOldRevision: it may not be his any more."""
        if who.revision and who.revision != self.auth.revision:
            raise AuthOldRevision

    # -- Every method behind its rule

    def unary(
        self, path: str, handler: Callable[[UnaryCall], Awaitable[bytes]]
    ) -> Callable[[UnaryCall], Awaitable[bytes]]:
        check = self._check_of(path)
        if check is None:
            return handler

        async def allowed(call: UnaryCall) -> bytes:
            if self.auth.enabled:
                await check(call.context)
            return await handler(call)

        return allowed

    def stream(
        self, path: str, handler: Callable[[ServerStream], Awaitable[None]]
    ) -> Callable[[ServerStream], Awaitable[None]]:
        check = self._check_of(path)
        if check is None:
            return handler

        async def allowed(stream: ServerStream) -> None:
            if self.auth.enabled:
                await check(stream.context)
            await handler(stream)

        return allowed

    def _check_of(self, path: str) -> Callable[[Context], Awaitable[object]] | None:
        """Raises KeyError for a method that nobody has thought about."""
        match RULES[path]:
            case Rule.KNOWN:
                return self.require_known
            case Rule.ROOT:
                return self.require_root
            case _:
                return None
