"""What happened in a simulation, line by line, and a hash of it that two runs can compare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import trio

HASH_BYTES = 8


class Trace:
    """Every line has Trio's time and who says it."""

    def __init__(self, listener: Callable[[str], None] | None = None) -> None:
        self._listener = listener
        self._hash = hashlib.blake2b(digest_size=HASH_BYTES)
        self.lines = 0

    def note(self, who: str, what: str) -> None:
        line = f"{trio.current_time():12.6f} {who:8} {what}"
        self.lines += 1
        self._hash.update(line.encode() + b"\n")
        if self._listener is not None:
            self._listener(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class TraceLog:
    """A member's log, as part of the trace."""

    def __init__(self, trace: Trace, who: str, fields: dict[str, object] | None = None) -> None:
        self._trace = trace
        self._who = who
        self._fields = fields or {}

    def bind(self, **fields: object) -> TraceLog:
        return TraceLog(self._trace, self._who, {**self._fields, **fields})

    def debug(self, message: str, **fields: object) -> None:
        more = {**self._fields, **fields}
        more.pop("local_member_id", None)
        self._trace.note(
            self._who, " ".join([message, *(f"{name}={value}" for name, value in more.items())])
        )

    info = warning = error = debug
