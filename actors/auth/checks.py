"""What a request to the store takes: which keys must be readable, and which writable.

The same rules where a request is applied and where a read is answered.
Pure.  Source: etcd server/etcdserver/apply/auth.go; v3_server.go (checkLeaseRenew …).
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.auth.identity import Identity
from actors.auth.store import AuthStore
from actors.lease.table import LeaseID, LeaseTable
from wire.pb import etcdserverpb


class Checks:
    """Every method raises an EtcdError if it must not be; all are for when auth is enabled."""

    def __init__(self, auth: AuthStore, leases: LeaseTable) -> None:
        self.auth = auth
        self._leases = leases

    def range(self, who: Identity, request: etcdserverpb.RangeRequest) -> None:
        self.auth.require_read(who, request.key, request.range_end)

    def put(self, who: Identity, request: etcdserverpb.PutRequest) -> None:
        """A key may hang only on a lease that the user could revoke."""
        self.auth.require_write(who, request.key)
        self.lease_write(who, request.lease)
        if request.prev_kv:
            self.auth.require_read(who, request.key)

    def delete_range(self, who: Identity, request: etcdserverpb.DeleteRangeRequest) -> None:
        self.auth.require_write(who, request.key, request.range_end)
        if request.prev_kv:
            self.auth.require_read(who, request.key, request.range_end)

    def txn(self, who: Identity, request: etcdserverpb.TxnRequest) -> None:
        """Both branches, whichever is taken: which one it is tells something, too."""
        for compare in request.compare:
            self.auth.require_read(who, compare.key, compare.range_end)
        self._operations(who, request.success)
        self._operations(who, request.failure)

    def _operations(self, who: Identity, operations: Iterable[etcdserverpb.RequestOp]) -> None:
        for operation in operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    self.range(who, operation.request_range)
                case "request_put":
                    self.put(who, operation.request_put)
                case "request_delete_range":
                    self.delete_range(who, operation.request_delete_range)
                case "request_txn":
                    self.txn(who, operation.request_txn)

    def lease_write(self, who: Identity, lease: LeaseID) -> None:
        """To revoke or renew a lease, every key on it must be writable."""
        if not self.auth.is_root(who):
            for key in self._keys_of(lease):
                self.auth.require_write(who, key)

    def lease_read(self, who: Identity, leases: Iterable[LeaseID]) -> None:
        """To hear of leases, every key on them must be readable."""
        if not self.auth.is_root(who):
            for lease in leases:
                for key in self._keys_of(lease):
                    self.auth.require_read(who, key)

    def _keys_of(self, lease: LeaseID) -> list[bytes]:
        return self._leases.keys_of(lease) if self._leases.exists(lease) else []
