"""The keeper of tokens: lets go of those whose time is over.

Inbox     none.
Waits on  nobody.
Restarts  yes: it remembers nothing.

The tokens themselves change where entries are applied and where calls come in, in steps of
those tasks; whether one has run out is looked at whenever it is used.
"""

from __future__ import annotations

from typing import Protocol

import trio

SWEEP_SECONDS = 1.0  # etcd's


class Sweepable(Protocol):
    def sweep(self) -> None: ...


async def run_tokens(
    tokens: Sweepable, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    task_status.started()
    while True:
        await trio.sleep(SWEEP_SECONDS)
        tokens.sweep()
