"""The compactor: forgets history by itself, by age or by count.

Inbox     none: it looks at the store when its time has come.
Waits on  raft, to propose a compaction.
Restarts  yes: it begins to note revisions anew, so the next compaction is a period late at most.

Every member notes how far the store had come, so that a new leader need not wait a whole period;
only the leader compacts.
Source: etcd server/etcdserver/api/v3compactor (periodic.go, revision.go).
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import trio

from actors.kernel import ActorStopped
from actors.mvcc.store import Store
from actors.raft.status import RaftStatus
from trioetcd.api.proposals import Proposals
from wire.errors import Compacted, EtcdError
from wire.log import Log
from wire.pb import etcdserverpb

REVISION_SECONDS = 300.0  # between compactions by count
LONGEST_SECONDS = 3600.0  # between compactions by age
PARTS = 10  # of that time, after each of which the revision is noted


class Policy(Protocol):
    """Which revision to compact to, and when to ask."""

    interval: float  # seconds between two questions
    mode: str
    fields: dict[str, object]  # for the log

    def note(self, revision: int) -> None:
        """The store's revision at the beginning of an interval."""
        ...

    def due(self, revision: int, now: float) -> int:
        """At its end: 0 if nothing is to be done."""
        ...

    def done(self, revision: int, now: float) -> None: ...


class ByAge:
    """Keeps what is younger than a period."""

    mode = "periodic"

    def __init__(self, period: float, now: float) -> None:
        """`period` in seconds."""
        self.interval = min(period, LONGEST_SECONDS) / PARTS
        self.fields: dict[str, object] = {"compact_period": f"{period:g}s"}
        self._period = period
        self._wait = period  # the first time; then, at most an hour
        self._revisions: deque[int] = deque(maxlen=int(period / self.interval) + 1)
        self._last = 0
        self._success = now

    def note(self, revision: int) -> None:
        self._revisions.append(revision)

    def due(self, revision: int, now: float) -> int:
        oldest = self._revisions[0]
        # Floats add up to a little less than what they should: half an interval is not missed.
        if now - self._success < self._wait - self.interval / 2 or oldest == self._last:
            return 0
        self._wait = min(self._period, LONGEST_SECONDS)
        return oldest

    def done(self, revision: int, now: float) -> None:
        self._last, self._success = revision, now


class ByCount:
    """Keeps so many revisions."""

    mode = "revision"
    interval = REVISION_SECONDS

    def __init__(self, count: int) -> None:
        self.fields: dict[str, object] = {"revision_compaction_retention": count}
        self._count = count
        self._last = 0

    def note(self, revision: int) -> None:
        pass

    def due(self, revision: int, now: float) -> int:
        target = revision - self._count
        return target if target > 0 and target != self._last else 0

    def done(self, revision: int, now: float) -> None:
        self._last = revision


async def run_compactor(
    policy: Policy | None,
    store: Store,
    status: RaftStatus,
    proposals: Proposals,
    log: Log,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    task_status.started()
    if policy is None:
        await trio.sleep_forever()
        return
    while True:
        policy.note(store.revision)
        await trio.sleep(policy.interval)
        if status.is_leader:
            revision = policy.due(store.revision, trio.current_time())
            if revision:
                await _compact(policy, revision, proposals, log)


async def _compact(policy: Policy, revision: int, proposals: Proposals, log: Log) -> None:
    began = trio.current_time()
    log.info(f"starting auto {policy.mode} compaction", revision=revision, **policy.fields)
    request = etcdserverpb.CompactionRequest(revision=revision)
    try:
        await proposals.propose("compaction", request.SerializeToString())
    except Compacted:
        pass  # somebody was faster
    except (EtcdError, ActorStopped) as error:
        log.warning(
            f"failed auto {policy.mode} compaction",
            revision=revision,
            retry_interval=f"{policy.interval:g}s",
            error=str(error),
            **policy.fields,
        )
        return
    now = trio.current_time()
    policy.done(revision, now)
    log.info(
        f"completed auto {policy.mode} compaction",
        revision=revision,
        took=f"{now - began:.3f}s",
        **policy.fields,
    )
