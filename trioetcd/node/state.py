"""The replicated state over a backend: everything that an entry of the log can change."""

from __future__ import annotations

from actors.apply.alarms import BUCKET as ALARM
from actors.apply.alarms import Alarms
from actors.apply.applier import Applier
from actors.auth.store import AuthStore, Tokens
from actors.backend.backend import Backend
from actors.backend.buckets import CLUSTER, LEASE, MEMBERS, MEMBERS_REMOVED
from actors.cluster.membership import DOWNGRADE_KEY, VERSION_KEY, Membership
from actors.lease.table import LeaseTable, min_ttl
from actors.mvcc.store import Store


class ReplicatedState:
    """Restored from the backend when it is made."""

    def __init__(
        self,
        rows: Backend,
        cluster_id: int,
        tokens: Tokens,
        *,
        election_timeout: float = 1.0,
        heartbeat_interval: float = 0.1,
        max_learners: int = 1,
    ) -> None:
        """Times in seconds, etcd's defaults: the shortest lease hangs on them."""
        ticks = round(election_timeout / heartbeat_interval)
        shortest = min_ttl(ticks, round(heartbeat_interval * 1000))
        self.rows = rows
        self.leases = LeaseTable(rows, min_ttl=shortest)
        self.alarms = Alarms(rows)
        self.membership = Membership(rows, cluster_id, max_learners)
        self.store = Store(rows, self.leases)
        self.auth = AuthStore(rows, tokens)
        self.restore()
        self.applier = Applier(self.store, self.leases, self.alarms, self.membership, self.auth)

    def restore(self) -> None:
        """Take over what the backend holds, in one step."""
        rows = self.rows
        self.leases.restore(value for _, value in rows.scan(LEASE))
        self.alarms.restore(key for key, _ in rows.scan(ALARM))
        self.membership.restore(
            (value for _, value in rows.scan(MEMBERS)),
            (key for key, _ in rows.scan(MEMBERS_REMOVED)),
            rows.get(CLUSTER, VERSION_KEY),
            rows.get(CLUSTER, DOWNGRADE_KEY),
        )
        self.auth.restore()
        self.store.restore()
