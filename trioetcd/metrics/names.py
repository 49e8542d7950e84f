"""What things are called outside."""

from __future__ import annotations

from wire.status import Status


def code_name(status: Status) -> str:
    """As Go's gRPC calls it: Canceled, with one l."""
    if status is Status.OK:
        return "OK"
    if status is Status.CANCELLED:
        return "Canceled"
    return "".join(word.capitalize() for word in status.name.split("_"))
