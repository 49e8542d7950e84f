"""What members say to each other: the names of calls, and what every call carries.

Ours, not etcd's: only our members talk to ours.  gRPC over HTTP/2 on the peer port:

    Messages       raft messages, a batch a gRPC message; two streams each way (see `link.py`)
    Snapshot       raft's SNAPSHOT message, the database in chunks, and its SHA-256
    Members …      questions of one member to another, as etcd's own request and response messages

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from actors.raft.codec import MalformedMessage, decode, encode
from actors.raft.types import Message, NodeID
from wire.errors import EtcdError, Refused
from wire.grpc.metadata import Metadata
from wire.http2.headers import Headers
from wire.status import Status
from wire.varint import decode as decode_varint
from wire.varint import encode as encode_varint
from wire.version import ETCD_VERSION

_SERVICE = "/trioetcd.Peer"
MESSAGES = f"{_SERVICE}/Messages"
SNAPSHOT = f"{_SERVICE}/Snapshot"
MEMBERS = f"{_SERVICE}/Members"
LEASE_RENEW = f"{_SERVICE}/LeaseRenew"
LEASE_TIME_TO_LIVE = f"{_SERVICE}/LeaseTimeToLive"
HASH_KV = f"{_SERVICE}/HashKV"
PROMOTE = f"{_SERVICE}/Promote"
VERSION = f"{_SERVICE}/Version"

CHUNK, END = b"\0", b"\1"  # what a message of a snapshot's stream begins with
BATCH_BYTES = 1 << 20  # of messages joined into one; a larger message goes alone
MAX_MESSAGE_BYTES = 64 << 20  # of one gRPC message between members

_CLUSTER, _FROM, _TO = b"trioetcd-cluster-id", b"trioetcd-from", b"trioetcd-to"
_VERSION, _URLS = b"trioetcd-version", b"trioetcd-peer-urls"


class Introduction(NamedTuple):
    """Who calls whom, said with every call."""

    cluster_id: int
    sender: NodeID
    to: NodeID
    urls: tuple[str, ...] = ()  # of the sender, for who does not know the members yet
    version: str = ETCD_VERSION

    def headers(self) -> Headers:
        return (
            (_CLUSTER, b"%x" % self.cluster_id),
            (_FROM, b"%x" % self.sender),
            (_TO, b"%x" % self.to),
            (_URLS, ",".join(self.urls).encode()),
            (_VERSION, self.version.encode()),
        )

    @property
    def is_compatible(self) -> bool:
        """Releases with the same major version understand each other."""
        return self.version.partition(".")[0] == ETCD_VERSION.partition(".")[0]

    @classmethod
    def of(cls, metadata: Metadata) -> Introduction:
        """Raises Refused if the call does not introduce itself."""
        try:
            cluster, sender, to = (
                int(metadata[name.decode()][0], 16) for name in (_CLUSTER, _FROM, _TO)
            )
            urls = metadata[_URLS.decode()][0].decode()
            version = metadata[_VERSION.decode()][0].decode()
            return cls(cluster, sender, to, tuple(filter(None, urls.split(","))), version)
        except (KeyError, IndexError, ValueError):
            raise Refused(Status.INVALID_ARGUMENT, "not a call of a member") from None


class ClusterMismatch(Refused):
    """The other side belongs to another cluster, or is another member than was meant."""

    def __init__(self, text: str = "cluster ID mismatch") -> None:
        super().__init__(Status.FAILED_PRECONDITION, text)


class Removed(Refused):
    """Whoever called was removed from the cluster for good."""

    text = "the member has been permanently removed from the cluster"

    def __init__(self) -> None:
        super().__init__(Status.PERMISSION_DENIED, self.text)


def is_removal(error: EtcdError) -> bool:
    """Whether the other side says that we were removed."""
    return error.status is Status.PERMISSION_DENIED and str(error) == Removed.text


def join_messages(messages: Iterable[Message]) -> bytes:
    """A batch: every message behind its length."""
    parts: list[bytes] = []
    for message in messages:
        data = encode(message)
        parts += (encode_varint(len(data)), data)
    return b"".join(parts)


def split_messages(batch: bytes) -> Iterator[Message]:
    """Raises MalformedMessage."""
    position = 0
    while position < len(batch):
        try:
            size, position = decode_varint(batch, position)
        except (ValueError, IndexError) as error:
            raise MalformedMessage(f"a batch of messages: {error}") from error
        if position + size > len(batch):
            raise MalformedMessage("a batch of messages ends inside one")
        yield decode(batch[position : position + size])
        position += size
