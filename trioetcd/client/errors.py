"""What a client raises: etcd's own errors, and whether a write that failed may have happened.

    EtcdError            the server's words (`wire.errors`): the request was refused
    ├─ NotApplied        no server has seen the write
    ├─ MaybeApplied      it may have been seen, or may still be carried out: look before you repeat
    ├─ WatchCompacted    a watch missed events that are gone
    ├─ SnapshotDamaged   a snapshot did not come as the server has it
    ├─ LeaseLost         a lease, lock or leadership has ended, or may be about to
    ├─ Conflict          others were faster than an STM, again and again
    ├─ BarrierHeld       somebody holds the barrier already
    └─ BarrierFull       all for whom the barrier is are there already

Source: etcd client/v3/retry.go (isSafeRetryMutableRPC).
"""

from __future__ import annotations

from wire.errors import Compacted, EtcdError, Refused
from wire.status import Status

# A server may say these of a write that it has proposed to the others already.
UNDECIDED = {
    Status.UNAVAILABLE,
    Status.DEADLINE_EXCEEDED,
    Status.CANCELLED,
    Status.INTERNAL,
    Status.UNKNOWN,
}


class NotApplied(Refused):
    """A write that no server has seen."""


class MaybeApplied(Refused):
    """A write whose fate is unknown.  It was not repeated."""

    def __str__(self) -> str:
        return f"{self.text} (maybe applied)"


class WatchCompacted(Compacted):
    """The watch's next revision is compacted: events are lost to it."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__()
        self.compact_revision = compact_revision  # the oldest that can be watched


class SnapshotDamaged(Refused):
    """What came of a snapshot is not what the server has."""

    def __init__(self, why: str) -> None:
        super().__init__(Status.DATA_LOSS, f"snapshot is damaged: {why}")


class LeaseLost(Refused):
    """The block's lease is gone, or could not be kept alive; the block was cancelled in time."""

    def __init__(self, lease_id: int) -> None:
        super().__init__(Status.NOT_FOUND, f"lease {lease_id:x} is lost")
        self.lease_id = lease_id


class Conflict(Refused):
    """What an STM had read was changed by others each time before it could write."""

    def __init__(self, attempts: int) -> None:
        super().__init__(Status.ABORTED, f"given up after {attempts} conflicts")
        self.attempts = attempts


class BarrierHeld(Refused):
    def __init__(self, key: bytes) -> None:
        shown = key.decode(errors="backslashreplace")
        super().__init__(Status.ALREADY_EXISTS, f"the barrier {shown} is held already")


class BarrierFull(Refused):
    def __init__(self, count: int) -> None:
        super().__init__(Status.FAILED_PRECONDITION, f"too many clients: {count} are there already")


def maybe_applied(error: EtcdError) -> bool:
    """Whether a write that failed with this may have happened."""
    return isinstance(error, MaybeApplied)


def fate_of_write(error: EtcdError) -> EtcdError:
    """The error to raise for a write that failed with this one."""
    maybe_sent = getattr(error, "maybe_sent", None)
    if maybe_sent is False:
        return NotApplied(error.status, str(error))
    if maybe_sent or error.status in UNDECIDED:
        return MaybeApplied(error.status, str(error))
    return error
