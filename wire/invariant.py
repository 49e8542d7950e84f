"""What cannot happen, checked where it would be seen first."""

from __future__ import annotations


class InvariantBroken(Exception):
    """A defect of ours: the state can no longer be trusted, so whoever owns it must end."""

    def __init__(self, message: str, state: dict[str, object]) -> None:
        super().__init__(message, state)
        self.message = message
        self.state = state

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.state.items())
        return f"{self.message} ({shown})" if shown else self.message


def invariant(condition: object, message: str, **state: object) -> None:
    """Raise `InvariantBroken` with the state that broke it, unless `condition` holds.

    Unlike `assert` it survives `python -O`.
    """
    if not condition:
        raise InvariantBroken(message, state)
