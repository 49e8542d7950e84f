"""Member and cluster ids, as etcd computes them.

Source: etcd server/etcdserver/api/membership/member.go (computeMemberID), cluster.go (genID).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def member_id(peer_urls: Iterable[str], token: str, unix_seconds: int | None = None) -> int:
    """The id of a member with these peer URLs.

    `token` is the cluster's, for members of the first hour; one that is added later has an
    empty token and the time it was added.
    """
    text = "".join(sorted(peer_urls)) + token
    if unix_seconds is not None:
        text += str(unix_seconds)
    return _first_eight(text.encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    """The id of a cluster that begins with these members; it never changes afterwards."""
    return _first_eight(b"".join(one.to_bytes(8, "big") for one in sorted(member_ids)))


def _first_eight(data: bytes) -> int:
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big")


def show(one: int) -> str:
    """An id as people see it."""
    return f"{one:x}"
