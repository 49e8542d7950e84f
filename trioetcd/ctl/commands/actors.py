"""actors: the live tree of a member's actors."""

from __future__ import annotations

import json

import trio

from trioetcd.cli.pflag import Flag
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.errors import CommandFailed
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.pages import Page, page

WATCH_SECONDS = 1.0
CLEAR = "\x1b[H\x1b[2J"


async def actors(said: Invocation) -> None:
    said.no_arguments("actors takes no arguments")
    console = said.session.console
    while True:
        for endpoint in said.session.endpoints:
            found = await _tree(said, endpoint)
            if said.parsed.is_on("watch") and console.is_terminal:
                console.print(CLEAR)
            if len(said.session.endpoints) > 1 and said.session.style.format == "simple":
                console.print(f"{endpoint}\n")
            said.session.show(_answer(found))
        if not said.parsed.is_on("watch"):
            return
        await trio.sleep(WATCH_SECONDS)


def _answer(found: Page) -> Answer:
    return Answer(
        None,
        found.text,
        has_fields=False,
        json=lambda: json.loads(found.body),
        is_message=False,
    )


async def _tree(said: Invocation, endpoint: str) -> Page:
    """Raises CommandFailed."""
    as_json = said.session.style.format == "json"
    accept = "application/json" if as_json else "text/plain"
    found = await page(said.session, endpoint, "/debug/actors", accept)
    if found.status == 404:
        raise CommandFailed(f"{endpoint} has no actors to show: it is not trioetcd")
    if found.status != 200:
        raise CommandFailed(f"{endpoint}/debug/actors: HTTP {found.status}")
    return found


COMMANDS = [
    Command(
        ("actors",),
        "Shows the live tree of a member's actors",
        actors,
        flags={"watch": Flag(False, "show it again every second")},
    )
]
