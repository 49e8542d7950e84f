"""The monitor: raises this member's alarms.

Inbox     one notice (a request did not fit the quota).
Waits on  raft, to propose the alarm.
Restarts  yes: the next request that does not fit tells it again.

Source: etcd server/etcdserver/api/v3rpc/quota.go (raising NOSPACE).
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from actors.apply.alarms import Alarms
from actors.kernel import Inbox, Notice
from trioetcd.api.proposals import Proposals
from wire.errors import EtcdError
from wire.log import Log
from wire.pb import etcdserverpb


@dataclass(frozen=True, slots=True)
class SpaceExceeded(Notice):
    """A request would have grown the database past its quota."""


class Monitor:
    """The handle."""

    def __init__(self, member_id: int) -> None:
        self.inbox = Inbox("monitor", calls=0)
        self.member_id = member_id

    def space_exceeded(self) -> None:
        self.inbox.notify(SpaceExceeded())


async def run_monitor(
    monitor: Monitor,
    alarms: Alarms,
    proposals: Proposals,
    log: Log,
    *,
    task_status: trio.TaskStatus[Monitor] = trio.TASK_STATUS_IGNORED,
) -> None:
    activate = etcdserverpb.AlarmRequest(
        action=etcdserverpb.AlarmRequest.ACTIVATE,
        memberID=monitor.member_id,
        alarm=etcdserverpb.NOSPACE,
    ).SerializeToString()
    with monitor.inbox:
        task_status.started(monitor)
        while True:
            await monitor.inbox.receive()
            if alarms.is_raised(monitor.member_id, etcdserverpb.NOSPACE):
                continue
            try:
                await proposals.propose("alarm", activate)
            except EtcdError as refusal:
                log.warning("failed to raise alarm", error=str(refusal))
            else:
                log.warning("raised alarm", alarm="NOSPACE")
