"""What a handler's exception means to the client, and which must not be answered at all.

A handler with a nursery raises exception groups; a group is what its exceptions are.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from wire.errors import EtcdError, Refused
from wire.grpc.service import bad_request
from wire.invariant import InvariantBroken
from wire.status import Status

INTERNAL = Refused(Status.INTERNAL, "internal error")


def is_fatal(error: BaseException) -> bool:
    """Whether the state behind an error can no longer be trusted."""
    return any(isinstance(leaf, InvariantBroken) for leaf in _leaves(error))


def refusal_of(error: BaseException) -> EtcdError | None:
    """What the client is told, if it is all its own doing; None: the mistake is ours."""
    leaves = list(_leaves(error))
    if all(isinstance(leaf, EtcdError | DecodeError) for leaf in leaves):
        first = leaves[0]
        return first if isinstance(first, EtcdError) else bad_request(first)  # type: ignore[arg-type]
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
