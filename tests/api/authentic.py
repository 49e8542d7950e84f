"""A member with authentication on, and those who call it."""

from __future__ import annotations

from tests.node.caller import Caller
from trioetcd.node.node import Node
from wire.grpc.service import Peer
from wire.pb import authpb, etcdserverpb

READ, WRITE, READWRITE = 0, 1, 2
PASSWORDS = {"root": "secret-of-root", "alice": "secret-of-alice", "bob": "secret-of-bob"}


async def auth(caller: Caller, name: str, /, **fields):
    """One call of the Auth service: the response, or the error's words."""
    message = name if name.startswith("Auth") else f"Auth{name}"
    request = getattr(etcdserverpb, f"{message}Request")(**fields)
    response = getattr(etcdserverpb, f"{message}Response")
    return await caller.call(f"/etcdserverpb.Auth/{name}", request, response)


async def done(caller: Caller, name: str, /, **fields):
    """`auth`, of what must go well."""
    answer = await auth(caller, name, **fields)
    assert not isinstance(answer, str), (name, fields, answer)
    return answer


async def grant(caller: Caller, role: str, kind: int, key: bytes, range_end: bytes = b""):
    permission = authpb.Permission(permType=kind, key=key, range_end=range_end)
    return await done(caller, "RoleGrantPermission", name=role, perm=permission)


async def people(caller: Caller) -> None:
    """root, who may all; alice, who may read and write [a, b); bob, who may nothing."""
    for name, password in PASSWORDS.items():
        await done(caller, "UserAdd", name=name, password=password)
    await done(caller, "UserGrantRole", user="root", role="root")
    await done(caller, "RoleAdd", name="r")
    await grant(caller, "r", READWRITE, b"a", b"b")
    await done(caller, "UserGrantRole", user="alice", role="r")


async def enable(caller: Caller) -> None:
    await people(caller)
    await done(caller, "AuthEnable")


async def log_in(node: Node, name: str, password: str | None = None) -> Caller:
    """Somebody with a token."""
    password = PASSWORDS[name] if password is None else password
    answer = await done(Caller(node), "Authenticate", name=name, password=password)
    return with_token(node, answer.token)


def with_token(node: Node, token: str) -> Caller:
    return Caller(node, {"token": (token.encode(),)})


def with_certificate(node: Node, common_name: str, **metadata: bytes) -> Caller:
    """Somebody whose certificate was verified."""
    given = {name.replace("_", "-"): (value,) for name, value in metadata.items()}
    return Caller(node, given, Peer("127.0.0.1:1", common_name, secure=True))
