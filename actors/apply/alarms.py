"""The alarms of the cluster: which member raised what, and what that forbids.

Pure, replicated state: changed only by applied AlarmRequests, stored one row an alarm in the
backend's `alarm` bucket, so that they survive restarts.
Source: etcd server/etcdserver/api/v3alarm/alarms.go, apply (applierV3Capped, applierV3Corrupt).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from wire.pb import etcdserverpb

BUCKET = "alarm"
NONE, NOSPACE, CORRUPT = (
    etcdserverpb.NONE,
    etcdserverpb.NOSPACE,
    etcdserverpb.CORRUPT,
)


class Sink(Protocol):
    """Where alarm rows are kept."""

    def put(self, bucket: str, key: bytes, value: bytes) -> None: ...

    def delete(self, bucket: str, key: bytes) -> None: ...


class Alarms:
    """Invariant: the rows in `sink` are exactly the members of `_active`, in any order."""

    def __init__(self, sink: Sink, rows: Iterable[bytes] = ()) -> None:
        self._sink = sink
        self.restore(rows)

    def restore(self, rows: Iterable[bytes]) -> None:
        """Forget everything and take over the keys of the alarm bucket."""
        self._active: dict[tuple[int, int], bytes] = {}
        for row in rows:
            member = etcdserverpb.AlarmMember.FromString(row)
            self._active[member.memberID, member.alarm] = row
        self._count()

    def _count(self) -> None:
        kinds = {kind for _, kind in self._active}
        self.no_space = NOSPACE in kinds
        self.corrupt = CORRUPT in kinds
        self.active = bool(kinds)  # asked once a put

    def get(self, kind: int = NONE) -> list[bytes]:
        """The rows (AlarmMember bytes) of this kind, or all; ordered by member, then kind.

        A member id in the request filters nothing: etcd looks at the kind alone.
        """
        return [row for (_, k), row in sorted(self._active.items()) if kind in (NONE, k)]

    def is_raised(self, member_id: int, kind: int) -> bool:
        return (member_id, kind) in self._active

    def activate(self, member_id: int, kind: int) -> bytes:
        """Raise an alarm, which may be raised already, and return its row."""
        row = self._active.get((member_id, kind))
        if row is None:
            alarm = cast("etcdserverpb.AlarmType.ValueType", kind)
            row = etcdserverpb.AlarmMember(memberID=member_id, alarm=alarm).SerializeToString()
            self._active[member_id, kind] = row
            self._sink.put(BUCKET, row, b"")
            self._count()
        return row

    def deactivate(self, member_id: int, kind: int) -> bytes | None:
        """Clear exactly this alarm and return its row, or None when it was not raised."""
        row = self._active.pop((member_id, kind), None)
        if row is not None:
            self._sink.delete(BUCKET, row)
            self._count()
        return row
