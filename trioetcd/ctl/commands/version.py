"""version."""

from __future__ import annotations

from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.help import API_VERSION, PROGRAM
from wire.version import ETCD_VERSION


async def show_version(said: Invocation) -> None:
    said.session.console.print(f"{PROGRAM} version: {ETCD_VERSION}\nAPI version: {API_VERSION}\n")


COMMANDS = [Command(("version",), "Prints the version of trioetcd", show_version, is_offline=True)]
