"""An answer, and how each format shows it; a command says what is special about its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trioetcd.cli.shown import Table
from trioetcd.ctl.errors import CommandFailed, Exit
from trioetcd.ctl.output.fields import header_fields
from trioetcd.ctl.output.go_json import go_json

if TYPE_CHECKING:
    from google.protobuf.message import Message


@dataclass(frozen=True)
class Style:
    format: str
    hex: bool = False  # keys and values, where people read them


@dataclass(frozen=True)
class Answer:
    """What is not given is the message itself, where the format can show one."""

    message: Message | None
    simple: str | bytes = ""
    fields: Callable[[], str] | None = None  # without: the header's
    has_fields: bool = True
    json: Callable[[], Any] | None = None
    table: Table | None = None
    marshalled: Callable[[], bytes] | None = None
    is_message: bool = True  # False: there is nothing for protobuf to show

    def show(self, style: Style) -> str | bytes:
        """Raises CommandFailed: not in this format."""
        match style.format:
            case "simple":
                return self.simple
            case "json":
                shown = self.json() if self.json is not None else go_json(self.message)
                return json_line(shown)
            case "fields" if self.has_fields:
                return self.fields() if self.fields is not None else header_fields(self.message)
            case "protobuf" if self.is_message:
                if self.marshalled is not None:
                    return self.marshalled()
                return self.message.SerializeToString() if self.message is not None else b""
            case "table" if self.table is not None:
                return self.table.draw()
        raise CommandFailed(f"{style.format} not supported as output format", Exit.BAD_FEATURE)


_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def json_line(shown: Any) -> str:
    """As Go's encoder writes it, which keeps HTML out."""
    text = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
    for character, escaped in _ESCAPED.items():
        text = text.replace(character, escaped)
    return text + "\n"
