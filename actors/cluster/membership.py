"""The cluster's members, changed only by applied log entries.

Pure, replicated state; rows in the backend's buckets `members`, `members_removed`, `cluster`.
Source: etcd server/etcdserver/api/membership/cluster.go, store.go; server.go (applyConfChange).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from actors.cluster.ids import show
from actors.cluster.member import Member, is_promotion
from actors.raft.types import AnyConfChange, ConfChange, ConfChangeType
from wire.errors import (
    EtcdError,
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    PeerURLExists,
    TooManyLearners,
)

MEMBERS, REMOVED, CLUSTER = "members", "members_removed", "cluster"
VERSION_KEY = b"clusterVersion"
DOWNGRADE_KEY = b"downgrade"
DEFAULT_MAX_LEARNERS = 1


class Sink(Protocol):
    """Where rows are kept."""

    def put(self, bucket: str, key: bytes, value: bytes) -> None: ...

    def delete(self, bucket: str, key: bytes) -> None: ...


class Membership:
    """Invariant: an id is never in `members` and `removed` at once; rows in `sink` agree."""

    def __init__(
        self, sink: Sink, cluster_id: int, max_learners: int = DEFAULT_MAX_LEARNERS
    ) -> None:
        self._sink = sink
        self.cluster_id = cluster_id
        self.max_learners = max_learners
        self.members: dict[int, Member] = {}
        self.removed: set[int] = set()
        self.version = ""  # of the cluster, "3.6.0"; empty before the first decision
        self.downgrade_target = ""  # "3.5.0" while a downgrade is announced
        self.on_change: Callable[[], None] = _nothing  # called after a change of the members

    def restore(
        self,
        members: Iterable[bytes],
        removed: Iterable[bytes],
        version: bytes | None,
        downgrade: bytes | None = None,
    ) -> None:
        """Take over rows: members' values, removed members' keys, the version's value, and a
        downgrade's."""
        self.members = {one.id: one for one in map(Member.from_json, members)}
        self.removed = {int(key, 16) for key in removed}
        self.version = (version or b"").decode()
        self.downgrade_target = downgrade_target(downgrade)
        self.on_change()

    def is_removed(self, member_id: int) -> bool:
        return member_id in self.removed

    @property
    def all(self) -> list[Member]:
        """By id."""
        return sorted(self.members.values(), key=lambda one: one.id)

    @property
    def voters(self) -> list[Member]:
        return [one for one in self.all if not one.is_learner]

    # -- Applied entries

    def apply_change(self, change: AnyConfChange, index: int) -> AnyConfChange | EtcdError:
        """Do what a configuration change says, or say why not; then it must change nothing."""
        if not isinstance(change, ConfChange):
            return change  # the end of a joint configuration: the members are known already
        refusal = self.refusal_of(change)
        if refusal is not None:
            return refusal
        self._change(change)
        return change

    def refusal_of(self, change: ConfChange) -> EtcdError | None:
        """Why a change cannot be, judged by the members alone."""
        if change.node_id in self.removed:
            return MemberNotFound()
        known = self.members.get(change.node_id)
        if change.type is ConfChangeType.REMOVE_NODE:
            return None if known else MemberNotFound()
        urls = set(Member.from_json(change.context).peer_urls)
        others = [one for one in self.members.values() if one.id != change.node_id]
        taken = any(urls & set(one.peer_urls) for one in others)
        if change.type is ConfChangeType.UPDATE_NODE:
            if known is None:
                return MemberNotFound()
            return PeerURLExists() if taken else None
        if is_promotion(change.context):
            if known is None:
                return MemberNotFound()
            return None if known.is_learner else MemberNotLearner()
        if known is not None:
            return MemberExists()
        if taken:
            return PeerURLExists()
        learners = sum(one.is_learner for one in others)
        if change.type is ConfChangeType.ADD_LEARNER and learners >= self.max_learners:
            return TooManyLearners()
        return None

    def _change(self, change: ConfChange) -> None:
        if change.type is ConfChangeType.REMOVE_NODE:
            del self.members[change.node_id]
            self.removed.add(change.node_id)
            self._sink.delete(MEMBERS, _key(change.node_id))
            self._sink.put(REMOVED, _key(change.node_id), b"removed")
            self.on_change()
            return
        named = Member.from_json(change.context)
        known = self.members.get(change.node_id)
        if change.type is ConfChangeType.UPDATE_NODE and known is not None:
            self._store(replace(known, peer_urls=named.peer_urls))
        elif known is not None:
            self._store(replace(known, is_learner=False))
        else:
            learner = change.type is ConfChangeType.ADD_LEARNER
            self._store(replace(named, is_learner=learner))
        self.on_change()

    def update_attributes(self, member_id: int, name: str, client_urls: Iterable[str]) -> None:
        """A member has started and says how it is called and reached."""
        known = self.members.get(member_id)
        if known is not None:  # else it was removed meanwhile
            self._store(known.with_attributes(name, tuple(client_urls)))

    def set_version(self, version: str) -> None:
        self.version = version
        self._sink.put(CLUSTER, VERSION_KEY, version.encode())

    def set_downgrade(self, target: str) -> None:
        """To which version members are about to be downgraded; empty: to none."""
        self.downgrade_target = target
        shown = {"target-version": target, "enabled": bool(target)}
        value = json.dumps(shown, separators=(",", ":")).encode()
        self._sink.put(CLUSTER, DOWNGRADE_KEY, value)

    def _store(self, member: Member) -> None:
        self.members[member.id] = member
        self._sink.put(MEMBERS, _key(member.id), member.to_json())


def downgrade_target(row: bytes | None) -> str:
    """What a stored row says; empty for none."""
    shown = json.loads(row or b"{}")
    return str(shown.get("target-version", "")) if shown.get("enabled") else ""


def _nothing() -> None:
    """Nobody follows the membership yet."""


def _key(member_id: int) -> bytes:
    return show(member_id).encode()
