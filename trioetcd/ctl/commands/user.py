"""user add, delete, get, list, passwd, grant-role, revoke-role.

Source: etcd etcdctl/ctlv3/command/user_command.go.
"""

from __future__ import annotations

from trioetcd.cli.pflag import Flag
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.auth import AUTH
from trioetcd.ctl.commands.role import get_role, role_answer
from trioetcd.ctl.commands.shared import change
from trioetcd.ctl.errors import Misused
from trioetcd.ctl.output.answer import Answer
from wire.pb import etcdserverpb


async def add(said: Invocation) -> None:
    word = said.only_argument("user add command requires user name as its argument")
    name, password = word, ""
    if said.parsed.is_on("no-password"):
        pass
    elif said.parsed.text("new-user-password"):
        password = said.parsed.text("new-user-password")
    elif ":" in word:
        name, _, password = word.partition(":")
        if not name:
            raise Misused("empty user name is not allowed")
    else:
        password = _ask_password(said, name)
    request = etcdserverpb.AuthUserAddRequest(name=name, password=password)
    request.options.no_password = said.parsed.is_on("no-password")
    await change(
        said.session,
        f"{AUTH}/UserAdd",
        request,
        etcdserverpb.AuthUserAddResponse,
        f"User {name} created",
    )


def _ask_password(said: Invocation, name: str) -> str:
    """Raises CommandFailed: the two that were typed are not the same."""
    console = said.session.console
    if not said.parsed.is_on("interactive"):
        words = console.line().split()
        return words[0] if words else ""
    first = console.ask(f"Password of {name}: ")
    if not first:
        raise Misused("empty password")
    if first != console.ask(f"Type password of {name} again for confirmation: "):
        raise Misused("given passwords are different")
    return first


async def delete(said: Invocation) -> None:
    name = said.only_argument("user delete command requires user name as its argument")
    await change(
        said.session,
        f"{AUTH}/UserDelete",
        etcdserverpb.AuthUserDeleteRequest(name=name),
        etcdserverpb.AuthUserDeleteResponse,
        f"User {name} deleted",
    )


async def get(said: Invocation) -> None:
    name = said.only_argument("user get command requires user name as its argument")
    answer = await said.session.call(
        f"{AUTH}/UserGet",
        etcdserverpb.AuthUserGetRequest(name=name),
        etcdserverpb.AuthUserGetResponse,
    )
    if not said.parsed.is_on("detail"):
        text = f"User: {name}\nRoles:{''.join(f' {role}' for role in answer.roles)}\n"
        said.session.show(Answer(answer, text, has_fields=False))
        return
    said.session.console.print(f"User: {name}\n")
    for role in answer.roles:
        said.session.console.print("\n")
        said.session.show(role_answer(role, await get_role(said.session, role)))


async def list_users(said: Invocation) -> None:
    said.no_arguments("user list command requires no arguments")
    answer = await said.session.call(
        f"{AUTH}/UserList",
        etcdserverpb.AuthUserListRequest(),
        etcdserverpb.AuthUserListResponse,
    )
    text = "".join(f"{name}\n" for name in answer.users)
    said.session.show(Answer(answer, text, has_fields=False))


async def passwd(said: Invocation) -> None:
    name = said.only_argument("user passwd command requires user name as its argument")
    await change(
        said.session,
        f"{AUTH}/UserChangePassword",
        etcdserverpb.AuthUserChangePasswordRequest(name=name, password=_ask_password(said, name)),
        etcdserverpb.AuthUserChangePasswordResponse,
        "Password updated",
    )


async def grant(said: Invocation) -> None:
    if len(said.arguments) != 2:
        raise Misused("user grant command requires user name and role name as its argument")
    name, role = said.arguments
    await change(
        said.session,
        f"{AUTH}/UserGrantRole",
        etcdserverpb.AuthUserGrantRoleRequest(user=name, role=role),
        etcdserverpb.AuthUserGrantRoleResponse,
        f"Role {role} is granted to user {name}",
    )


async def revoke(said: Invocation) -> None:
    if len(said.arguments) != 2:
        raise Misused("user revoke-role requires user name and role name as its argument")
    name, role = said.arguments
    await change(
        said.session,
        f"{AUTH}/UserRevokeRole",
        etcdserverpb.AuthUserRevokeRoleRequest(name=name, role=role),
        etcdserverpb.AuthUserRevokeRoleResponse,
        f"Role {role} is revoked from user {name}",
    )


_INTERACTIVE = Flag(True, "Read the password from the terminal; if false, from stdin")
COMMANDS = [
    Command(("user",), "User related commands"),
    Command(
        ("user", "add"),
        "Adds a new user",
        add,
        "<user name or user:password> [options]",
        "",
        {
            "interactive": _INTERACTIVE,
            "new-user-password": Flag("", "Supply password from the command line flag"),
            "no-password": Flag(False, "Create a user without password (CN based auth only)"),
        },
    ),
    Command(("user", "delete"), "Deletes a user", delete, "<user name>"),
    Command(
        ("user", "get"),
        "Gets detailed information of a user",
        get,
        "<user name> [options]",
        "",
        {"detail": Flag(False, "Show permissions of roles granted to the user")},
    ),
    Command(("user", "grant-role"), "Grants a role to a user", grant, "<user name> <role name>"),
    Command(("user", "list"), "Lists all users", list_users),
    Command(
        ("user", "passwd"),
        "Changes password of user",
        passwd,
        "<user name> [options]",
        "",
        {"interactive": _INTERACTIVE},
    ),
    Command(
        ("user", "revoke-role"), "Revokes a role from a user", revoke, "<user name> <role name>"
    ),
]
