"""Which leases have run out, and when to look again.

Pure: no clock, no channel, no disk.  Callers say what time it is, in seconds of any clock that
does not jump.  Only the primary lessor, the one beside the leader, lets leases run out; to
everyone else they last for ever.  A keep-alive is not replicated, so a new leader cannot know
when the last one came and gives every lease its TTL anew (or what a checkpoint left of it) and
an election timeout more: a lease may live longer than its TTL, never shorter.
Source: etcd server/lease/lessor.go (Renew, Promote, revokeExpiredLeases,
checkpointScheduledLeases), lease_queue.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from actors.lease.schedule import NEVER, Schedule
from actors.lease.table import LeaseChanges, LeaseID
from wire.errors import LeaseNotFound, NotPrimaryLessor
from wire.invariant import invariant

REVOKE_RETRY = 3.0  # seconds before an unanswered revoke is asked for again; etcd's value
EXPIRY_WINDOW = 0.5  # seconds; etcd looks for expired leases that often
EXPIRIES_PER_WINDOW = 500  # so at most 1000 revokes/s, which leaves the log to others
EXPIRIES_PER_SECOND_PROMOTED = 750  # after a promotion: 3/4 of the rate, so new ones find room
SPREAD_FROM = 1000  # leases; fewer cannot pile up past the rate
CHECKPOINT_INTERVAL = 300.0  # seconds; etcd's value
CHECKPOINT_BATCH = 1000  # leases in one LeaseCheckpoint entry


@dataclass(slots=True, eq=False)
class Queued:
    """One lease as its lessor sees it; TTLs in seconds."""

    lease_id: LeaseID
    ttl: int
    remaining_ttl: int  # as last checkpointed; 0: nothing is known, so all of it
    deadline: float = NEVER
    has_checkpoint_planned: bool = False

    @property
    def start_ttl(self) -> int:
        """What a new leader gives it."""
        return self.remaining_ttl if self.remaining_ttl > 0 else self.ttl


class LeaseQueue:
    """The leases of one member, soonest deadline first.

    Invariant: while primary, every live lease is filed exactly once, never later than its
    deadline; else none is, and no deadline is set.
    """

    def __init__(self, *, checkpoint_interval: float | None = None) -> None:
        """`checkpoint_interval` in seconds; None: no checkpoints are asked for."""
        self._checkpoint_interval = checkpoint_interval
        self._leases: dict[LeaseID, Queued] = {}
        self._filed: Schedule[Queued] = Schedule(self._is_live)
        self._checkpoints: Schedule[Queued] = Schedule(self._is_live)
        self._window_ends = -NEVER  # of the current expiry window
        self._window_left = EXPIRIES_PER_WINDOW
        self.is_primary = False

    def __len__(self) -> int:
        return len(self._leases)

    def _is_live(self, lease: Queued) -> bool:
        return self._leases.get(lease.lease_id) is lease

    # -- What the applied entries say

    def load(self, leases: Iterable[tuple[LeaseID, int, int]]) -> None:
        """Start over with these (id, TTL, remaining TTL or 0), not being primary."""
        self.demote()
        self._leases = {i: Queued(i, ttl, remaining) for i, ttl, remaining in leases}

    def change(self, changes: LeaseChanges, now: float) -> None:
        """Follow the table.  Told twice is told once, but granted anew."""
        for lease_id in changes.revoked:
            self._leases.pop(lease_id, None)
        if changes.revoked:
            self._filed.drop_dead()
            self._checkpoints.drop_dead()
        for lease_id, ttl in changes.granted.items():
            self._grant(Queued(lease_id, ttl, 0), now)
        for lease_id, remaining_ttl in changes.checkpointed.items():
            lease = self._leases.get(lease_id)
            if lease is not None:
                lease.remaining_ttl = remaining_ttl
                self._plan_checkpoint(lease, now)

    def _grant(self, lease: Queued, now: float) -> None:
        replaced = lease.lease_id in self._leases
        self._leases[lease.lease_id] = lease
        if replaced:
            self._filed.drop_dead()
            self._checkpoints.drop_dead()
        if self.is_primary:
            lease.deadline = now + lease.ttl
            self._filed.file(lease.deadline, lease)
            self._plan_checkpoint(lease, now)

    # -- Leadership

    def promote(self, now: float, extend: float) -> None:
        """Become primary: every lease starts over, `extend` seconds (an election) longer.

        Many leases starting at once would run out at once and pile up behind the expiry
        rate, so then their deadlines are spread: none earlier, none closer than the rate.
        """
        invariant(not self.is_primary, "promoted twice")
        self.is_primary = True
        for lease in self._leases.values():
            lease.deadline = now + extend + lease.start_ttl
        if len(self._leases) >= SPREAD_FROM:
            self._spread()
        self._filed.fill((lease.deadline, lease) for lease in self._leases.values())
        if self._checkpoint_interval is not None:
            for lease in self._leases.values():
                self._plan_checkpoint(lease, now)

    def _spread(self) -> None:
        slot = -NEVER
        for lease in sorted(self._leases.values(), key=_deadline):
            slot = max(lease.deadline, slot + 1 / EXPIRIES_PER_SECOND_PROMOTED)
            lease.deadline = slot

    def demote(self) -> None:
        """No longer primary: leases last for ever, as far as this member is concerned."""
        self.is_primary = False
        self._filed.clear()
        self._checkpoints.clear()
        self._window_ends = -NEVER
        for lease in self._leases.values():
            lease.deadline = NEVER
            lease.has_checkpoint_planned = False

    # -- Clients

    def renew(self, lease_id: LeaseID, now: float) -> int:
        """Start the TTL over and return it, in seconds.

        Callers first see to it that the lease has not run out (`has_run_out`), because then
        the log decides, and that no checkpoint would outlast the renewal (`is_shortened`).

        Raises:
            NotPrimaryLessor: somebody else's leases; ask there.
            LeaseNotFound: never granted, or revoked.
        """
        lease = self._find(lease_id)
        invariant(lease.deadline > now, "renewed after it ran out", lease=lease_id)
        # Keep-alives far outnumber expiries, so they are the cheap half: the
        # filing is left too early here, and `due` moves it when it comes up.
        lease.deadline = now + lease.ttl
        return lease.ttl

    def has_run_out(self, lease_id: LeaseID, now: float) -> bool:
        """Its time is over, and its revocation not yet applied.  Raises as `renew`."""
        return self._find(lease_id).deadline <= now

    def is_shortened(self, lease_id: LeaseID) -> bool:
        """A new leader would give it less than its TTL, so a renewal must reach the log.

        Raises as `renew`.
        """
        return self._find(lease_id).remaining_ttl > 0 and self._checkpoint_interval is not None

    def remaining(self, lease_id: LeaseID, now: float) -> tuple[int, int]:
        """Whole seconds left, negative when overdue, and the granted TTL.  Raises as `renew`."""
        lease = self._find(lease_id)
        return math.trunc(lease.deadline - now), lease.ttl

    def _find(self, lease_id: LeaseID) -> Queued:
        if not self.is_primary:
            raise NotPrimaryLessor
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFound
        return lease

    def leases(self) -> list[LeaseID]:
        """All of them, soonest deadline first; works on any member."""
        return [lease.lease_id for lease in sorted(self._leases.values(), key=_deadline)]

    # -- What is to be done

    @property
    def next_look(self) -> float:
        """When `due` may have something to say; NEVER when nothing can run out."""
        soonest = self._filed.next_time
        return soonest if self._window_left else max(soonest, self._window_ends)

    def due(self, now: float) -> list[LeaseID]:
        """The leases to revoke; each is named at most once per REVOKE_RETRY.

        At most EXPIRIES_PER_WINDOW of them; `next_look` is then the next window.
        """
        if now >= self._window_ends:
            self._window_ends = now + EXPIRY_WINDOW
            self._window_left = EXPIRIES_PER_WINDOW
        due = []
        while self._filed.next_time <= now and self._window_left:
            lease = self._filed.pop()
            if lease.deadline > now:
                self._filed.file(lease.deadline, lease)  # renewed since it was filed
            else:
                due.append(lease.lease_id)
                self._filed.file(now + REVOKE_RETRY, lease)
                self._window_left -= 1
        return due

    @property
    def next_checkpoint(self) -> float:
        """When `due_checkpoints` may have something to say."""
        return self._checkpoints.next_time

    def due_checkpoints(self, now: float) -> list[tuple[LeaseID, int]]:
        """(id, remaining TTL) to be written to the log; at most CHECKPOINT_BATCH.

        Each lease comes up once per interval, and again only when told that it was written
        (or found not to be worth writing).
        """
        batch: list[tuple[LeaseID, int]] = []
        while self._checkpoints.next_time <= now and len(batch) < CHECKPOINT_BATCH:
            lease = self._checkpoints.pop()
            lease.has_checkpoint_planned = False
            remaining_ttl = math.ceil(lease.deadline - now)
            if 0 < remaining_ttl < lease.ttl:
                batch.append((lease.lease_id, remaining_ttl))
            elif remaining_ttl > 0:
                self._plan_checkpoint(lease, now)
        return batch

    def postpone_checkpoints(self, lease_ids: Iterable[LeaseID], now: float) -> None:
        """The log did not take these: they come up again in an interval's time."""
        for lease_id in lease_ids:
            lease = self._leases.get(lease_id)
            if lease is not None:
                self._plan_checkpoint(lease, now)

    def _plan_checkpoint(self, lease: Queued, now: float) -> None:
        if self._checkpoint_interval is None or not self.is_primary:
            return
        # A lease that ends before the interval does has nothing to gain from one.  Two plans
        # for one lease would each make two more, one when written and one when cleared.
        if lease.start_ttl > self._checkpoint_interval and not lease.has_checkpoint_planned:
            lease.has_checkpoint_planned = True
            self._checkpoints.file(now + self._checkpoint_interval, lease)


def _deadline(lease: Queued) -> float:
    return lease.deadline
