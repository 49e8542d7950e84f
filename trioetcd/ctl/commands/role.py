"""role add, delete, get, list, grant-permission, revoke-permission.

Source: etcd etcdctl/ctlv3/command/role_command.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from trioetcd.cli.pflag import Flag, Parsed
from trioetcd.client.values import ALL, prefix_end
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.auth import AUTH
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.commands.shared import change
from trioetcd.ctl.errors import Misused
from trioetcd.ctl.output import simple
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import header, lines, permission_rows
from trioetcd.ctl.session import Session
from wire.go_quote import go_quote
from wire.pb import authpb, etcdserverpb

TYPES = {"READ": 0, "WRITE": 1, "READWRITE": 2}


def _one_name(said: Invocation, command: str) -> str:
    return said.only_argument(f"role {command} command requires role name as its argument")


async def add(said: Invocation) -> None:
    name = _one_name(said, "add")
    await change(
        said.session,
        f"{AUTH}/RoleAdd",
        etcdserverpb.AuthRoleAddRequest(name=name),
        etcdserverpb.AuthRoleAddResponse,
        f"Role {name} created",
    )


async def delete(said: Invocation) -> None:
    name = _one_name(said, "delete")
    await change(
        said.session,
        f"{AUTH}/RoleDelete",
        etcdserverpb.AuthRoleDeleteRequest(role=name),
        etcdserverpb.AuthRoleDeleteResponse,
        f"Role {name} deleted",
    )


async def get(said: Invocation) -> None:
    name = _one_name(said, "get")
    said.session.show(role_answer(name, await get_role(said.session, name)))


async def get_role(session: Session, name: str) -> etcdserverpb.AuthRoleGetResponse:
    return await session.call(
        f"{AUTH}/RoleGet",
        etcdserverpb.AuthRoleGetRequest(role=name),
        etcdserverpb.AuthRoleGetResponse,
    )


def role_answer(name: str, answer: etcdserverpb.AuthRoleGetResponse) -> Answer:
    return Answer(
        answer,
        simple.role_lines(name, answer.perm),
        fields=lambda: lines(permission_rows(answer)),
    )


async def list_roles(said: Invocation) -> None:
    said.no_arguments("role list command requires no arguments")
    answer = await said.session.call(
        f"{AUTH}/RoleList",
        etcdserverpb.AuthRoleListRequest(),
        etcdserverpb.AuthRoleListResponse,
    )
    quoted = "".join(f" {go_quote(role)}" for role in answer.roles)
    said.session.show(
        Answer(
            answer,
            "".join(f"{role}\n" for role in answer.roles),
            fields=lambda: lines(header(answer)) + f'"Roles" :{quoted}\n',
        )
    )


async def grant(said: Invocation) -> None:
    if len(said.arguments) < 3:
        raise Misused(
            "role grant command requires role name, permission type, and key [endkey] as its "
            "argument"
        )
    name, kind, *keys = said.arguments
    if kind.upper() not in TYPES:
        raise Misused(f"invalid permission type: {kind}")
    key, end = key_range(said.parsed, keys)
    permission = authpb.Permission(
        permType=TYPES[kind.upper()],  # type: ignore[arg-type]
        key=key,
        range_end=end,
    )
    await change(
        said.session,
        f"{AUTH}/RoleGrantPermission",
        etcdserverpb.AuthRoleGrantPermissionRequest(name=name, perm=permission),
        etcdserverpb.AuthRoleGrantPermissionResponse,
        f"Role {name} updated",
    )


async def revoke(said: Invocation) -> None:
    if len(said.arguments) < 2:
        raise Misused(
            "role revoke-permission command requires role name and key [endkey] as its argument"
        )
    name, *keys = said.arguments
    key, end = key_range(said.parsed, keys)
    shown = simple.key_range(key, end).decode(errors="surrogateescape").split(" (prefix")[0]
    what = f"range {shown}" if end else f"key {shown}"
    await change(
        said.session,
        f"{AUTH}/RoleRevokePermission",
        etcdserverpb.AuthRoleRevokePermissionRequest(role=name, key=key, range_end=end),
        etcdserverpb.AuthRoleRevokePermissionResponse,
        f"Permission of {what} is revoked from role {name}",
    )


def key_range(parsed: Parsed, keys: Sequence[str]) -> tuple[bytes, bytes]:
    """Raises CommandFailed."""
    is_prefix, is_from_key = parsed.is_on("prefix"), parsed.is_on("from-key")
    if is_prefix and is_from_key:
        raise Misused("--from-key and --prefix flags are mutually exclusive")
    key = encoded(keys[0])
    if not key:  # an end that is given with it is left out of account
        return b"\0", ALL if is_prefix or is_from_key else b""
    if len(keys) > 1:
        if is_prefix:
            raise Misused("unexpected endkey argument with --prefix flag")
        if is_from_key:
            raise Misused("unexpected endkey argument with --from-key flag")
        return key, encoded(keys[1])
    if is_prefix:
        return key, prefix_end(key)
    return key, ALL if is_from_key else b""


def _range_flags(what: str) -> dict[str, Flag]:
    return {
        "prefix": Flag(False, f"{what} a prefix permission"),
        "from-key": Flag(
            False,
            f"{what} a permission of keys that are greater than or equal to the given key using "
            "byte compare",
        ),
    }


COMMANDS = [
    Command(("role",), "Role related commands"),
    Command(("role", "add"), "Adds a new role", add, "<role name>"),
    Command(("role", "delete"), "Deletes a role", delete, "<role name>"),
    Command(("role", "get"), "Gets detailed information of a role", get, "<role name>"),
    Command(
        ("role", "grant-permission"),
        "Grants a key to a role",
        grant,
        "[options] <role name> <permission type> <key> [endkey]",
        "",
        _range_flags("grant"),
    ),
    Command(("role", "list"), "Lists all roles", list_roles),
    Command(
        ("role", "revoke-permission"),
        "Revokes a key from a role",
        revoke,
        "<role name> <key> [endkey]",
        "",
        _range_flags("revoke"),
    ),
]
