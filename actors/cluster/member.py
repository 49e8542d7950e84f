"""One member, and its JSON, which is what the log and the backend hold.

Source: etcd server/etcdserver/api/membership/member.go, cluster.go (ConfigChangeContext).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from actors.raft.types import ConfState
from wire.pb import etcdserverpb


@dataclass(frozen=True, slots=True)
class Member:
    """`name` and `client_urls` are empty until the member has started."""

    id: int
    peer_urls: tuple[str, ...] = ()
    is_learner: bool = False
    name: str = ""
    client_urls: tuple[str, ...] = ()

    @property
    def is_started(self) -> bool:
        return bool(self.name)

    def with_attributes(self, name: str, client_urls: tuple[str, ...]) -> Member:
        return replace(self, name=name, client_urls=client_urls)

    def to_json(self, *, is_promote: bool | None = None) -> bytes:
        """As in a ConfChange's context (`is_promote` is said there) and in the backend."""
        shown: dict[str, Any] = {"id": self.id, "peerURLs": list(self.peer_urls) or None}
        if self.is_learner:
            shown["isLearner"] = True
        if self.name:
            shown["name"] = self.name
        if self.client_urls:
            shown["clientURLs"] = list(self.client_urls)
        if is_promote is not None:
            shown["isPromote"] = is_promote
        return _go_json(shown)

    @classmethod
    def from_json(cls, data: bytes) -> Member:
        """Raises ValueError."""
        shown = json.loads(data)
        if not isinstance(shown, dict):
            raise ValueError("a member is a JSON object")
        return cls(
            int(shown["id"]),
            tuple(shown.get("peerURLs") or ()),
            bool(shown.get("isLearner", False)),
            shown.get("name", ""),
            tuple(shown.get("clientURLs") or ()),
        )

    def to_message(self) -> etcdserverpb.Member:
        return etcdserverpb.Member(
            ID=self.id,
            name=self.name,
            peerURLs=self.peer_urls,
            clientURLs=self.client_urls,
            isLearner=self.is_learner,
        )


def is_promotion(context: bytes) -> bool:
    """Whether a ConfChange's context says that a learner becomes a voter."""
    shown = json.loads(context)
    return bool(isinstance(shown, dict) and shown.get("isPromote", False))


def conf_state_json(state: ConfState) -> bytes:
    """Raft's configuration as etcd keeps it in the backend's meta bucket."""
    shown: dict[str, Any] = {
        name: list(ids)
        for name, ids in (
            ("voters", state.voters),
            ("learners", state.learners),
            ("voters_outgoing", state.voters_outgoing),
            ("learners_next", state.learners_next),
        )
        if ids
    }
    shown["auto_leave"] = state.auto_leave
    return _go_json(shown)


def conf_state_from_json(data: bytes) -> ConfState:
    """Raises ValueError."""
    shown = json.loads(data)
    return ConfState(
        tuple(shown.get("voters") or ()),
        tuple(shown.get("learners") or ()),
        tuple(shown.get("voters_outgoing") or ()),
        tuple(shown.get("learners_next") or ()),
        bool(shown.get("auto_leave", False)),
    )


def _go_json(shown: dict[str, Any]) -> bytes:
    """As Go's encoding/json writes it: members of both kinds then hold the same bytes."""
    text = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()
