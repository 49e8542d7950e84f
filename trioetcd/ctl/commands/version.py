"""version and options."""

from __future__ import annotations

from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.flags import GLOBAL
from trioetcd.ctl.help import API_VERSION, PROGRAM, options
from wire.version import ETCD_VERSION


async def show_version(said: Invocation) -> None:
    said.session.console.print(f"{PROGRAM} version: {ETCD_VERSION}\nAPI version: {API_VERSION}\n")


async def show_options(said: Invocation) -> None:
    text = options(GLOBAL)
    said.session.console.print(f"The following options can be passed to any command:\n\n{text}")


COMMANDS = [
    Command(
        ("options",),
        "Lists the flags that every command takes",
        show_options,
        is_offline=True,
    ),
    Command(("version",), "Prints the version of trioetcd", show_version, is_offline=True),
]
