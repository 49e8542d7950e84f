"""auth enable, disable, status.

Source: etcd etcdctl/ctlv3/command/auth_command.go.
"""

from __future__ import annotations

from contextlib import suppress

from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.output.answer import Answer
from wire.errors import EtcdError, RootRoleNotGranted
from wire.pb import etcdserverpb

AUTH = "/etcdserverpb.Auth"


def _takes_nothing(said: Invocation, name: str) -> None:
    said.no_arguments(f"auth {name} command does not accept any arguments")


async def enable(said: Invocation) -> None:
    """A root user without the root role is given it."""
    _takes_nothing(said, "enable")
    call = said.session.call
    request = etcdserverpb.AuthEnableRequest()
    try:
        await call(f"{AUTH}/AuthEnable", request, etcdserverpb.AuthEnableResponse)
    except RootRoleNotGranted:
        with suppress(EtcdError):  # it may be there
            await call(
                f"{AUTH}/RoleAdd",
                etcdserverpb.AuthRoleAddRequest(name="root"),
                etcdserverpb.AuthRoleAddResponse,
            )
        await call(
            f"{AUTH}/UserGrantRole",
            etcdserverpb.AuthUserGrantRoleRequest(user="root", role="root"),
            etcdserverpb.AuthUserGrantRoleResponse,
        )
        await call(f"{AUTH}/AuthEnable", request, etcdserverpb.AuthEnableResponse)
    said.session.console.print("Authentication Enabled\n")


async def disable(said: Invocation) -> None:
    _takes_nothing(said, "disable")
    await said.session.call(
        f"{AUTH}/AuthDisable",
        etcdserverpb.AuthDisableRequest(),
        etcdserverpb.AuthDisableResponse,
    )
    said.session.console.print("Authentication Disabled\n")


async def status(said: Invocation) -> None:
    _takes_nothing(said, "status")
    answer = await said.session.call(
        f"{AUTH}/AuthStatus",
        etcdserverpb.AuthStatusRequest(),
        etcdserverpb.AuthStatusResponse,
    )
    enabled = "true" if answer.enabled else "false"
    text = f"Authentication Status: {enabled}\nAuthRevision: {answer.authRevision}\n"
    said.session.show(Answer(answer, text, has_fields=False))


COMMANDS = [
    Command(("auth",), "Enable or disable authentication", usage="<enable or disable>"),
    Command(("auth", "disable"), "Disables authentication", disable),
    Command(("auth", "enable"), "Enables authentication", enable),
    Command(("auth", "status"), "Returns authentication status", status),
]
