"""What many commands do: answers that are only a header, ids in hex."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trioetcd.client.calls import Kind
from trioetcd.ctl.errors import Misused
from trioetcd.ctl.numbers import BadNumber, parse_hex, parse_unsigned_hex
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.session import Session

if TYPE_CHECKING:
    from google.protobuf.message import Message


async def change(
    session: Session, path: str, request: Message, kind: Kind[Message], text: str
) -> None:
    """A write of whose answer people only want to hear that it was done."""
    answer = await session.call(path, request, kind, is_write=True)
    session.show(Answer(answer, text + "\n"))


def lease_id(text: str) -> int:
    """Raises CommandFailed."""
    try:
        return parse_hex(text)
    except BadNumber as error:
        raise Misused(f"bad lease ID arg ({error}), expecting ID in Hex") from error


def member_id(text: str) -> int:
    """Raises CommandFailed."""
    try:
        return parse_unsigned_hex(text)
    except BadNumber as error:
        raise Misused(f"bad member ID arg ({error}), expecting ID in Hex") from error
