"""The Trio client, for trioetcd and for Go's etcd."""

from trioetcd.client.client import Client, open_client
from trioetcd.client.endpoints import Retry
from trioetcd.client.errors import (
    LeaseLost,
    MaybeApplied,
    NotApplied,
    WatchCompacted,
    maybe_applied,
)
from trioetcd.client.lease import Lease, TimeToLive
from trioetcd.client.lock import Hold
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
from wire.errors import EtcdError

__all__ = [
    "Batch",
    "Client",
    "Deleted",
    "EtcdError",
    "Event",
    "Hold",
    "KeyValue",
    "Lease",
    "LeaseLost",
    "Listing",
    "MaybeApplied",
    "NotApplied",
    "Put",
    "Retry",
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
