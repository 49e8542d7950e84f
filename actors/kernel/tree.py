"""The live tree: what runs under what, how often it was restarted, what waits for it.

Plain data for people: served at /debug/actors and drawn by `trioetcd ctl actors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from actors.kernel.mailbox import Inbox


class State(Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class Node:
    """One actor or supervisor."""

    name: str
    state: State = State.STOPPED
    restarts: int = 0
    last_error: str = ""
    started_at: float | None = None  # Trio time
    inbox: Inbox | None = None
    children: list[Node] = field(default_factory=list)

    def child(self, name: str, inbox: Inbox | None = None) -> Node:
        """Add a node below this one."""
        node = Node(name, inbox=inbox)
        self.children.append(node)
        return node

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shown: dict[str, Any] = {"name": self.name, "state": self.state.value}
        if self.restarts:
            shown["restarts"] = self.restarts
        if self.last_error:
            shown["last_error"] = self.last_error
        if self.started_at is not None:
            shown["started_at"] = round(self.started_at, 3)
        if self.inbox is not None:
            shown["inbox"] = {
                "depth": self.inbox.depth,
                "peak": self.inbox.peak,
                "dropped": self.inbox.dropped,
            }
        if self.children:
            shown["children"] = [child.as_dict() for child in self.children]
        return shown

    def as_text(self) -> str:
        """One line a node, indented as in the documents."""
        return "\n".join(self._lines("", ""))

    def _lines(self, first: str, rest: str) -> Iterator[str]:
        line = f"{first}{self.name}  {self.state.value}"
        if self.restarts:
            line += f"  restarts {self.restarts}"
        if self.inbox is not None:
            line += f"  inbox {self.inbox.depth} (peak {self.inbox.peak})"
        if self.last_error:
            line += f"  last error: {self.last_error}"
        yield line
        for child in self.children:
            last = child is self.children[-1]
            yield from child._lines(
                rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")
            )
