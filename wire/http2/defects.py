"""Which exceptions of a handler must not be turned into an answer."""

from __future__ import annotations

from wire.invariant import InvariantBroken


def is_fatal(error: BaseException) -> bool:
    """Whether the state behind an error can no longer be trusted."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_fatal(inner) for inner in error.exceptions)
    return isinstance(error, InvariantBroken)
