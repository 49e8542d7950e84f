"""The Trio client, for trioetcd and for Go's etcd."""

from trioetcd.client.auth import Auth, AuthStatus, Permission
from trioetcd.client.barrier import Barrier, DoubleBarrier
from trioetcd.client.cache import Cache, Change
from trioetcd.client.client import Client, open_client
from trioetcd.client.cluster import Cluster, Member
from trioetcd.client.endpoints import Retry
from trioetcd.client.errors import (
    BarrierFull,
    BarrierHeld,
    Conflict,
    LeaseLost,
    MaybeApplied,
    NotApplied,
    SnapshotDamaged,
    WatchCompacted,
    maybe_applied,
)
from trioetcd.client.lease import Lease, TimeToLive
from trioetcd.client.lock import Hold
from trioetcd.client.maintenance import Alarm, KeysHash, Maintenance, MemberStatus
from trioetcd.client.queue import Job, PriorityQueue, Queue
from trioetcd.client.snapshot import SavedSnapshot, SnapshotChunks
from trioetcd.client.stm import STM, Isolation
from trioetcd.client.txn import (
    Deleted,
    Put,
    Txn,
    delete,
    delete_prefix,
    get,
    get_prefix,
    key,
    keys,
    put,
    txn,
)
from trioetcd.client.values import KeyValue, Listing
from trioetcd.client.watch import Batch, Event, Watch
from wire.errors import Compacted, EtcdError
from wire.tls import TLSSettings

__all__ = [
    "STM",
    "Alarm",
    "Auth",
    "AuthStatus",
    "Barrier",
    "BarrierFull",
    "BarrierHeld",
    "Batch",
    "Cache",
    "Change",
    "Client",
    "Cluster",
    "Compacted",
    "Conflict",
    "Deleted",
    "DoubleBarrier",
    "EtcdError",
    "Event",
    "Hold",
    "Isolation",
    "Job",
    "KeyValue",
    "KeysHash",
    "Lease",
    "LeaseLost",
    "Listing",
    "Maintenance",
    "MaybeApplied",
    "Member",
    "MemberStatus",
    "NotApplied",
    "Permission",
    "PriorityQueue",
    "Put",
    "Queue",
    "Retry",
    "SavedSnapshot",
    "SnapshotChunks",
    "SnapshotDamaged",
    "TLSSettings",
    "TimeToLive",
    "Txn",
    "Watch",
    "WatchCompacted",
    "delete",
    "delete_prefix",
    "get",
    "get_prefix",
    "key",
    "keys",
    "maybe_applied",
    "open_client",
    "put",
    "txn",
]
