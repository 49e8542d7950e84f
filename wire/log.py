"""How everything here speaks to the log: a message and fields, bound to one node.

There is no global logger: several nodes may live in one process, each with its own.  Field
names are written with underscores and appear with dashes, as in etcd's log (`local-member-id`).
"""

from __future__ import annotations

from typing import Protocol


class Log(Protocol):
    def bind(self, **fields: object) -> Log:
        """The same log, with these fields on every line."""
        ...

    def debug(self, message: str, **fields: object) -> None: ...

    def info(self, message: str, **fields: object) -> None: ...

    def warning(self, message: str, **fields: object) -> None: ...

    def error(self, message: str, **fields: object) -> None: ...


class NullLog:
    """Says nothing."""

    def bind(self, **fields: object) -> NullLog:
        return self

    def debug(self, message: str, **fields: object) -> None:
        pass

    info = warning = error = debug
