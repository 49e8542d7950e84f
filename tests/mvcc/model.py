"""A store as plain as can be: every revision keeps a copy of everything.

What the real one must agree with.  Written from the rules, not from the code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KV:
    key: bytes
    value: bytes
    create: int
    mod: int
    version: int
    lease: int = 0


class Model:
    def __init__(self) -> None:
        self.history: dict[int, dict[bytes, KV]] = {1: {}}
        self.events: list[tuple[int, bytes, KV | None]] = []  # revision, key, None: deleted
        self.revision = 1
        self.compacted = -1

    @property
    def now(self) -> dict[bytes, KV]:
        return self.history[self.revision]

    def within(self, key: bytes, end: bytes, revision: int | None = None) -> list[KV]:
        state = self.history[self.revision if revision is None else revision]
        if not end:
            return [state[key]] if key in state else []
        return [state[k] for k in sorted(state) if k >= key and (end == b"\0" or k < end)]

    def write(self, changes: list[tuple[bytes, bytes | None, int]]) -> None:
        """Apply (key, value or None for deletion, lease) as one transaction."""
        state = dict(self.now)
        main = self.revision + 1
        done = False
        for key, value, lease in changes:
            old = state.get(key)
            if value is None:
                if old is None:
                    continue
                del state[key]
                self.events.append((main, key, None))
            else:
                create = old.create if old else main
                version = old.version + 1 if old else 1
                state[key] = KV(key, value, create, main, version, lease)
                self.events.append((main, key, state[key]))
            done = True
        if done:
            self.revision = main
            self.history[main] = state
