"""How a command fails: what is said, and the exit status.

Source: etcd pkg/cobrautl/error.go.
"""

from __future__ import annotations

from enum import IntEnum

from trioetcd.client.errors import MaybeApplied, NotApplied
from wire.errors import EtcdError, Refused
from wire.status import Status


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    BAD_CONNECTION = 2
    INVALID_INPUT = 3
    BAD_FEATURE = 4  # a value that a flag does not take
    INTERRUPTED = 5
    BAD_ARGUMENTS = 128


class CommandFailed(Exception):
    """The command is over; `text` is said after "Error: ", unless it is empty."""

    def __init__(self, text: str, status: int = Exit.ERROR) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Misused(CommandFailed):
    """Arguments that the command does not take."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Exit.BAD_ARGUMENTS)


# As grpc-go spells them.
_NAMES = {
    Status.CANCELLED: "Canceled",
    Status.UNKNOWN: "Unknown",
    Status.INVALID_ARGUMENT: "InvalidArgument",
    Status.DEADLINE_EXCEEDED: "DeadlineExceeded",
    Status.NOT_FOUND: "NotFound",
    Status.ALREADY_EXISTS: "AlreadyExists",
    Status.PERMISSION_DENIED: "PermissionDenied",
    Status.RESOURCE_EXHAUSTED: "ResourceExhausted",
    Status.FAILED_PRECONDITION: "FailedPrecondition",
    Status.ABORTED: "Aborted",
    Status.OUT_OF_RANGE: "OutOfRange",
    Status.UNIMPLEMENTED: "Unimplemented",
    Status.INTERNAL: "Internal",
    Status.UNAVAILABLE: "Unavailable",
    Status.DATA_LOSS: "DataLoss",
    Status.UNAUTHENTICATED: "Unauthenticated",
}


def words(error: EtcdError) -> str:
    """etcd's own errors say only their text; others are framed, as grpc-go frames them.

    Of a write whose connection broke it is said that it may have been applied.
    """
    cause = error.__cause__
    if isinstance(error, NotApplied | MaybeApplied) and isinstance(cause, EtcdError):
        is_unknown = isinstance(error, MaybeApplied) and hasattr(cause, "maybe_sent")
        return words(cause) + (" (maybe applied)" if is_unknown else "")
    if not isinstance(error, Refused):
        return str(error)
    if error.text.startswith("context "):
        return error.text
    return f"rpc error: code = {_NAMES.get(error.status, error.status)} desc = {error.text}"
