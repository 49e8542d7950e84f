"""Which leases exist and which keys hang on them: the replicated half of leases.

Pure, and changed only by applied log entries, so it is the same on every member.  When a lease
runs out is not here: that is one member's opinion (`actors.lease.queue`), and becomes a fact
only as a LeaseRevoke in the log.
Source: etcd server/lease/lessor.go (Grant, Revoke, Checkpoint, Attach, Detach, initAndRecover).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from wire.errors import LeaseExists, LeaseNotFound, LeaseTTLTooLarge
from wire.pb import leasepb

LeaseID: TypeAlias = int  # any int64 but 0

BUCKET = "lease"
NO_LEASE: LeaseID = 0
MAX_TTL = 9_000_000_000  # seconds; etcd's, so that a deadline in nanoseconds fits an int64
TTL_BUCKETS = 24  # of the histogram of granted TTLs: 1, 2, 4, … 2**23 seconds


class Sink(Protocol):
    """Where lease rows are kept."""

    def put(self, bucket: str, key: bytes, value: bytes) -> None: ...

    def delete(self, bucket: str, key: bytes) -> None: ...


@dataclass(slots=True)
class LeaseChanges:
    """What entries did to the leases, for the lessor: first `revoked`, then the other two."""

    revoked: set[LeaseID] = field(default_factory=set)
    granted: dict[LeaseID, int] = field(default_factory=dict)  # -> TTL
    checkpointed: dict[LeaseID, int] = field(default_factory=dict)  # -> remaining TTL, 0 = whole

    def __bool__(self) -> bool:
        return bool(self.revoked or self.granted or self.checkpointed)

    def after(self, older: LeaseChanges) -> LeaseChanges:
        """`older` and then these, in one."""
        kept = {i: ttl for i, ttl in older.granted.items() if i not in self.revoked}
        told = {i: ttl for i, ttl in older.checkpointed.items() if i not in self.revoked}
        return LeaseChanges(
            older.revoked | self.revoked, kept | self.granted, told | self.checkpointed
        )


@dataclass(slots=True)
class Lease:
    """TTLs in seconds; `remaining_ttl` is what the last checkpoint left of it, 0 when unknown."""

    ttl: int
    remaining_ttl: int = 0
    keys: set[bytes] | None = None  # most leases have one key or none: no empty sets


class LeaseTable:
    """Every lease of the cluster.

    Invariant: `_lease_of[key] == id` exactly when `key` is in the keys of lease `id`; the rows
    in `sink` are the leases with their TTLs.  Attachments are not stored: a key's row names its
    lease, so the store attaches anew when it is restored.
    """

    def __init__(self, sink: Sink, *, min_ttl: int, persist_checkpoints: bool = True) -> None:
        """TTLs below `min_ttl` are raised to it; see the function of that name."""
        self._sink = sink
        self._min_ttl = min_ttl
        self._persist_checkpoints = persist_checkpoints
        self._leases: dict[LeaseID, Lease] = {}
        self._lease_of: dict[bytes, LeaseID] = {}
        self._changes = LeaseChanges()
        self.granted_total = 0
        self.revoked_total = 0
        self.ttl_total = 0  # seconds granted
        self.ttl_counts = [0] * (TTL_BUCKETS + 1)  # grants of at most 2**i seconds; then longer

    def restore(self, rows: Iterable[bytes]) -> None:
        """Forget everything and take over the values of the lease bucket."""
        self._leases.clear()
        self._lease_of.clear()
        self._changes = LeaseChanges()
        for row in rows:
            stored = leasepb.Lease.FromString(row)
            self._leases[stored.ID] = Lease(max(stored.TTL, self._min_ttl), stored.RemainingTTL)

    # -- Applied entries

    def grant(self, lease_id: LeaseID, ttl: int) -> int:
        """Create a lease and return the TTL it got, in seconds.

        Raises:
            LeaseNotFound: id 0, which stands for no lease; the edge chooses ids.
            LeaseTTLTooLarge: more than MAX_TTL.
            LeaseExists: the id is in use.
        """
        if lease_id == NO_LEASE:
            raise LeaseNotFound
        if ttl > MAX_TTL:
            raise LeaseTTLTooLarge
        if lease_id in self._leases:
            raise LeaseExists
        lease = self._leases[lease_id] = Lease(max(ttl, self._min_ttl))
        self._store(lease_id, lease)
        self._changes.granted[lease_id] = lease.ttl
        self.granted_total += 1
        self.ttl_total += lease.ttl
        self.ttl_counts[min((lease.ttl - 1).bit_length(), TTL_BUCKETS)] += 1
        return lease.ttl

    def revoke(self, lease_id: LeaseID) -> list[bytes]:
        """Remove a lease; its keys, in order, are now attached to nothing and must be deleted.

        Raises:
            LeaseNotFound: never granted, or revoked before.
        """
        lease = self._leases.pop(lease_id, None)
        if lease is None:
            raise LeaseNotFound
        keys = sorted(lease.keys or ())
        for key in keys:
            del self._lease_of[key]
        self._sink.delete(BUCKET, row_key(lease_id))
        self._changes.granted.pop(lease_id, None)
        self._changes.checkpointed.pop(lease_id, None)
        self._changes.revoked.add(lease_id)
        self.revoked_total += 1
        return keys

    def checkpoint(self, lease_id: LeaseID, remaining_ttl: int) -> None:
        """Remember what is left of a lease's TTL (0: all of it), for the next leader.

        A lease that was revoked meanwhile is passed over, as in etcd.
        """
        lease = self._leases.get(lease_id)
        if lease is None:
            return
        lease.remaining_ttl = remaining_ttl
        if self._persist_checkpoints:
            self._store(lease_id, lease)
        self._changes.checkpointed[lease_id] = remaining_ttl

    def _store(self, lease_id: LeaseID, lease: Lease) -> None:
        row = leasepb.Lease(ID=lease_id, TTL=lease.ttl, RemainingTTL=lease.remaining_ttl)
        self._sink.put(BUCKET, row_key(lease_id), row.SerializeToString())

    # -- The store's side: which key hangs on which lease

    def exists(self, lease_id: LeaseID) -> bool:
        return lease_id in self._leases

    def lease_of(self, key: bytes) -> LeaseID:
        """NO_LEASE when the key hangs on none."""
        return self._lease_of.get(key, NO_LEASE)

    def attach(self, lease_id: LeaseID, key: bytes) -> None:
        """Hang `key` on a lease, taking it off another.

        Raises:
            LeaseNotFound: no such lease; nothing was changed.
        """
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFound
        former = self._lease_of.get(key, NO_LEASE)
        if former not in (NO_LEASE, lease_id):
            self.detach(former, key)
        if lease.keys is None:
            lease.keys = {key}
        else:
            lease.keys.add(key)
        self._lease_of[key] = lease_id

    def detach(self, lease_id: LeaseID, key: bytes) -> None:
        """Take `key` off a lease; nothing happens when it does not hang there."""
        if self._lease_of.get(key, NO_LEASE) != lease_id or lease_id == NO_LEASE:
            return
        del self._lease_of[key]
        keys = self._leases[lease_id].keys
        if keys is not None:
            keys.discard(key)

    # -- Readers

    def __len__(self) -> int:
        return len(self._leases)

    def leases(self) -> Iterator[tuple[LeaseID, int, int]]:
        """(id, TTL, remaining TTL or 0) of each, oldest grant first."""
        for lease_id, lease in self._leases.items():
            yield lease_id, lease.ttl, lease.remaining_ttl

    def ttl_of(self, lease_id: LeaseID) -> int:
        """The granted TTL, in seconds.  Raises LeaseNotFound."""
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFound
        return lease.ttl

    def keys_of(self, lease_id: LeaseID) -> list[bytes]:
        """In key order.  Raises LeaseNotFound."""
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFound
        return sorted(lease.keys or ())

    def take_changes(self) -> LeaseChanges:
        """What happened since this was last asked; empty, and falsy, when nothing did."""
        changes = self._changes
        if changes:
            self._changes = LeaseChanges()
        return changes


def row_key(lease_id: LeaseID) -> bytes:
    """A lease's key in its bucket: eight bytes, big-endian, two's complement."""
    return lease_id.to_bytes(8, "big", signed=True)


def min_ttl(election_ticks: int, heartbeat_ms: int) -> int:
    """The shortest TTL a lease may have, in seconds: one and a half elections, rounded up.

    A shorter one could run out while a new leader is being found.
    Source: etcd server/etcdserver/server.go (minTTL), which halves in whole ticks.
    """
    return -(-(3 * election_ticks // 2) * heartbeat_ms // 1000)
