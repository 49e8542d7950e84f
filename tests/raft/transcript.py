"""Raft's messages and writes as a line each, for transcripts and failure reports."""

from __future__ import annotations

from actors.raft.ready import Write
from actors.raft.types import TRANSFER, Entry, Message, MessageType

_VOTES = (MessageType.VOTE, MessageType.PRE_VOTE)


def show_entries(entries: list[Entry]) -> str:
    return " ".join(f"{e.term}/{e.index}{_show_data(e)}" for e in entries)


def _show_data(entry: Entry) -> str:
    if entry.type:
        return ":conf"
    return f":{entry.data.decode('latin-1')}" if entry.data else ""


def show_message(message: Message) -> str:
    """`APPEND term 2, after 1/4, commit 3: 2/5:x`; positions are term/index."""
    kind = message.type
    parts = [kind.name.replace("_", "-")]
    details = [f"term {message.term}"] if message.term else []
    if kind is MessageType.APPEND:
        details += [f"after {message.log_term}/{message.index}", f"commit {message.commit}"]
    elif kind in _VOTES:
        details.append(f"last {message.log_term}/{message.index}")
        if message.context == TRANSFER:
            details.append("for transfer")
    elif kind is MessageType.APPEND_REPLY and message.reject:
        details.append(f"no {message.index}, try {message.log_term}/{message.hint}")
    elif kind is MessageType.APPEND_REPLY:
        details.append(f"have {message.index}")
    elif kind is MessageType.HEARTBEAT:
        details.append(f"commit {message.commit}")
    elif kind is MessageType.READ_INDEX_REPLY:
        details.append(f"index {message.index}")
    if kind in (MessageType.HEARTBEAT, MessageType.HEARTBEAT_REPLY) and message.context:
        details.append(f"round {message.context}")
    if kind in (MessageType.VOTE_REPLY, MessageType.PRE_VOTE_REPLY):
        details.append("no" if message.reject else "yes")
    if message.snapshot is not None:
        metadata = message.snapshot.metadata
        details.append(f"snapshot {metadata.term}/{metadata.index}")
    shown = " ".join([*parts, ", ".join(details)]).rstrip()
    return f"{shown}: {show_entries(list(message.entries))}" if message.entries else shown


def show_write(write: Write) -> str:
    parts = []
    if write.snapshot is not None:
        parts.append(f"snapshot {write.snapshot.metadata.term}/{write.snapshot.metadata.index}")
    if write.entries:
        parts.append(f"entries {show_entries(write.entries)}")
    if write.hard_state is not None:
        term, vote, commit = write.hard_state
        parts.append(f"term {term}, vote {vote}, commit {commit}")
    return "; ".join(parts) + ("" if write.receipt else " (no fsync)")
