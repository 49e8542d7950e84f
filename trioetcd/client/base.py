"""Keys, watches and leases: what locks, queues and caches are made of."""

from __future__ import annotations

import trio

from trioetcd.client.calls import Calls
from trioetcd.client.endpoints import Endpoints
from trioetcd.client.kv import KV
from trioetcd.client.lease import Leases
from trioetcd.client.values import Data, range_of
from trioetcd.client.watch import Watch, WatchRange, WatchResponses


class BaseClient(KV, Leases, Calls):
    """`nursery` holds the tasks that work for blocks of the program."""

    def __init__(self, endpoints: Endpoints, nursery: trio.Nursery) -> None:
        KV.__init__(self, endpoints)
        Leases.__init__(self, endpoints, nursery)

    def watch(
        self,
        key: Data | None = None,
        *,
        prefix: Data | None = None,
        end: Data = b"",
        start_revision: int = 0,
        previous: bool = False,
        progress: bool = False,
        relist: bool = False,
        puts: bool = True,
        deletes: bool = True,
    ) -> Watch:
        """Watch a key, the keys from `key` up to `end`, or all with a prefix.

        It begins at `start_revision`, or now.  With `relist` the first batch is a listing of what
        is there, and so is a later one if events were lost to compaction; without it those raise
        `WatchCompacted`.  `previous`: events tell what was there before.  `progress`: batches
        without events tell from time to time how far the store is.  Without `puts`, or without
        `deletes`, such events are left out.
        """
        first, last = range_of(key, prefix, end)
        wanted = WatchRange(first, last, start_revision, previous, progress, relist, puts, deletes)
        return Watch(self._endpoints, wanted)

    def watch_responses(self, wanted: WatchRange) -> WatchResponses:
        """As `watch`, but the server's messages themselves are handed out."""
        return WatchResponses(self._endpoints, wanted)
