"""When a batch of proposals passed each stage on its way, for whoever wonders why it took long.

One object for a whole batch, made where it comes in and stamped by whoever has it at hand; all in
Trio time, None for a stage that it has not passed, or has passed on another member.
"""

from __future__ import annotations


class Stages:
    __slots__ = ("applied", "committed", "proposed", "queued", "taken", "written")

    def __init__(self, taken: float) -> None:
        self.taken = taken  # at the edge
        self.queued: float | None = None  # until raft took it up
        self.proposed: float | None = None  # and gave it to the log
        self.written: float | None = None  # durable on this member
        self.committed: float | None = None  # durable on enough members
        self.applied: float | None = None

    def durations(self, answered: float) -> dict[str, float]:
        """Seconds in each stage that is known, in order.

        Writing and replicating go on at the same time: what is said of replication is how much
        longer it took.
        """
        if self.queued is None:
            return {"forward": answered - self.taken}
        marks = (
            ("queue", self.queued),
            ("propose", self.proposed),
            ("fsync", self.written),
            ("replicate", self.committed),
            ("apply", self.applied),
            ("send", answered),
        )
        found: dict[str, float] = {}
        before = self.taken
        for name, mark in marks:
            if mark is not None:
                found[name] = max(mark - before, 0.0)
                before = max(mark, before)
        return found
