"""What commands say of themselves, laid out as etcdctl lays it out.

Source: etcd pkg/cobrautl/help.go.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from trioetcd.cli.pflag import Flag, label
from trioetcd.ctl.command import Command
from trioetcd.ctl.flags import GLOBAL

PROGRAM = "trioetcd ctl"
ABOUT = "A command line client for etcd, and for trioetcd."
API_VERSION = "3.6"


def root_help(commands: Sequence[Command], version: str) -> str:
    listed = [(command.name, command.short) for command in commands]
    return (
        _section("NAME", f"{PROGRAM} - {ABOUT}")
        + _section("USAGE", f"{PROGRAM} [flags]")
        + _section("VERSION", version)
        + _section("API VERSION", API_VERSION)
        + f"\nCOMMANDS:\n{_columns(listed)}"
        + f"\nOPTIONS:\n{options({**GLOBAL, **_help(PROGRAM)})}\n"
    )


def group_help(group: Command, commands: Sequence[Command]) -> str:
    listed = [(command.path[-1], command.short) for command in commands]
    return (
        _section("NAME", f"{group.name} - {group.short}")
        + _section("USAGE", f"{PROGRAM} {group.name} {group.usage or '<subcommand>'} [flags]")
        + _section("API VERSION", API_VERSION)
        + f"\nCOMMANDS:\n{_columns(listed)}"
        + f"\nOPTIONS:\n{options({**group.inherited, **_help(group.name)})}"
        + f"\nGLOBAL OPTIONS:\n{options(GLOBAL)}\n"
    )


def command_help(command: Command) -> str:
    usage = f"{PROGRAM} {command.name} {command.usage}".rstrip()
    long = _section("DESCRIPTION", command.long.strip("\n")) if command.long else ""
    own = {**command.flags, **_help(command.path[-1])}
    return (
        _section("NAME", f"{command.name} - {command.short}")
        + _section("USAGE", f"{usage} [flags]")
        + long
        + f"OPTIONS:\n{options(own)}"
        + f"\nGLOBAL OPTIONS:\n{options({**command.inherited, **GLOBAL})}\n"
    )


def _help(name: str) -> dict[str, Flag]:
    return {"help": Flag(False, f"help for {name}", "h")}


def _section(title: str, text: str) -> str:
    return f"{title}:\n{textwrap.indent(text, chr(9), lambda _: True)}\n\n"


def options(flags: Mapping[str, Flag]) -> str:
    rows = []
    for name, flag in sorted(flags.items()):
        shown = flag.shown_default
        value = f"[={shown}]" if flag.type == "" else f"={shown}"
        rows.append((label(name, flag) + value, flag.help))
    return _tabbed(rows)


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    return _tabbed([("\t" + name, text) for name, text in rows])


def _tabbed(rows: Sequence[tuple[str, str]]) -> str:
    """Cells ended by tabs that line up where a tab is eight wide, as Go's tabwriter does it."""
    plain = [(cell.removeprefix("\t"), cell.startswith("\t"), text) for cell, text in rows]
    width = max(len(cell) for cell, _, _ in plain)
    stop = (width // 8 + 1) * 8
    lines = []
    for cell, indented, text in plain:
        tabs = -(-(stop - len(cell)) // 8)
        lines.append(("\t" if indented else "") + cell + "\t" * tabs + text)
    return "\n".join(lines) + "\n"
