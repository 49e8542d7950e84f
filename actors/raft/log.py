"""The log from its last compaction on: what is in it, what is on disk, what may be applied.

It is kept whole in memory, as a list that begins after `offset`:

    compacted | offset+1 ... applied ... committed ... stable ... handed ... last_index
                             applied <= applying <= min(settled, stable)
                                                     stable <= handed <= last_index

`handed` is what was given out to be written, `stable` what is known to be on disk.  Several
writes may be under way.  When a new leader truncates entries that are still being written, every
such write is remembered to vouch only for what came before the cut; so an answer that names an
index and arrives late can never be taken for the entry that has replaced it (the ABA problem).
Source: Raft thesis §3.5, §3.6; etcd-io/raft log.go, log_unstable.go, doc.go (asynchronous writes).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from actors.raft.types import Entry, SnapshotMetadata
from wire.invariant import invariant

_new_entry = tuple.__new__  # half the price of Entry(...), which is a Python function


@dataclass(slots=True)
class _Write:
    receipt: int
    last: int  # when it is done, entries up to here are on disk
    commit: int  # and this commit index


class Log:
    """The entries of one member.

    Invariant: entry `i` is `_entries[i - offset - 1]`; terms never fall; what is committed never
    changes.  `_bytes[k]` is how many bytes of data the first k entries (and everything compacted
    since the start) have, so that the size of any stretch is one subtraction.
    """

    def __init__(self, start: SnapshotMetadata, entries: Iterable[Entry] = ()) -> None:
        """A log as it was read from disk: all of it is stable."""
        self._reset(start)
        self.applied = start.index
        self._writing: deque[_Write] = deque()
        self.extend(list(entries))
        self.stable = self._handed = self.last_index

    def _reset(self, start: SnapshotMetadata) -> None:
        self.offset = start.index  # the last index that is not here any more
        self._offset_term = start.term
        self._entries: list[Entry] = []
        self._bytes = [0]
        self._conf_changes: list[int] = []  # indexes of the entries that are no plain data
        self.committed = start.index
        self._stable_commit = start.index
        self.stable = start.index
        self._handed = start.index
        self.applying = start.index  # handed out to be applied

    # What is in it

    @property
    def last_index(self) -> int:
        return self.offset + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self._offset_term

    def term(self, index: int) -> int | None:
        """None: compacted, or not there yet."""
        position = index - self.offset
        if 0 < position <= len(self._entries):
            return self._entries[position - 1].term
        return self._offset_term if position == 0 else None

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Whether a log that ends so misses nothing of this one; thesis §3.6.1."""
        return (term, index) >= (self.last_term, self.last_index)

    def size_bytes(self, after: int, through: int) -> int:
        """Bytes of data of the entries in (after, through]."""
        return self._bytes[through - self.offset] - self._bytes[after - self.offset]

    def slice(self, first: int, last: int, max_bytes: int, max_entries: int) -> list[Entry]:
        """Entries from `first` up to `last`: at least one, more while they fit both limits."""
        start, end = first - self.offset - 1, last - self.offset
        if end <= start:
            return []
        fits = bisect_right(self._bytes, self._bytes[start] + max_bytes, start + 1, end + 1) - 1
        return self._entries[start : min(max(fits, start + 1), start + max_entries)]

    def last_at_most(self, index: int, term: int) -> tuple[int, int]:
        """The last (index, term) in the log that is neither after `index` nor of a later term.

        What may match a log of which one entry is known, to skip whole terms of conflict at
        once (thesis §3.5, end).  Term 0 when that is compacted or before the beginning.
        """
        if index < self.offset:
            return index, 0
        if self._offset_term > term:
            return self.offset - 1, 0
        position = min(index - self.offset, len(self._entries))
        position = bisect_right(self._entries, term, 0, position, key=_term_of)
        return self.offset + position, self.term(self.offset + position) or 0

    # Appending

    def append_data(self, term: int, datas: Sequence[bytes]) -> None:
        """Append plain data at the end; the leader's hot path."""
        entries = enumerate(datas, self.last_index + 1)
        self._entries += [_new_entry(Entry, (0, term, index, data)) for index, data in entries]
        self._bytes[-1:] = accumulate(map(len, datas), initial=self._bytes[-1])

    def extend(self, entries: Sequence[Entry]) -> None:
        """Append entries that continue the log."""
        if not entries:
            return
        invariant(
            entries[0].index == self.last_index + 1 and entries[0].term >= self.last_term,
            "entries continue the log",
            first=entries[0][:3],
            last=(self.last_term, self.last_index),
        )
        self._entries += entries
        lengths = [len(entry[3]) for entry in entries]
        self._bytes[-1:] = accumulate(lengths, initial=self._bytes[-1])
        self._conf_changes += [entry[2] for entry in entries if entry[0]]

    def merge(self, index: int, term: int, entries: Sequence[Entry]) -> bool:
        """Take over what a leader has after (index, term); False if that entry is not here.

        Only entries that conflict are removed, with all that follows them: an old message must
        not shorten the log (thesis §3.5).
        """
        if self.term(index) != term:
            return False
        if index != self.last_index:
            for position, entry in enumerate(entries):
                if self.term(entry.index) != entry.term:
                    self._truncate(entry.index)
                    entries = entries[position:]
                    break
            else:
                return True
        self.extend(entries)
        return True

    def _truncate(self, index: int) -> None:
        """Remove the entry at `index` and all after it, if they are there."""
        if index > self.last_index:
            return
        invariant(index > self.committed, "what is committed stays", index=index, log=self)
        keep = index - self.offset - 1
        del self._entries[keep:]
        del self._bytes[keep + 1 :]
        del self._conf_changes[bisect_left(self._conf_changes, index) :]
        self.stable = min(self.stable, index - 1)
        self._handed = min(self._handed, index - 1)
        for write in self._writing:
            write.last = min(write.last, index - 1)

    # Writing

    @property
    def unwritten(self) -> bool:
        return self._handed < self.offset + len(self._entries)

    def begin_write(self, receipt: int) -> list[Entry]:
        """Entries no write has taken yet; `end_writes(receipt)` makes them stable."""
        entries = self._entries[self._handed - self.offset :]
        self._handed = self.last_index
        self._writing.append(_Write(receipt, self._handed, self.committed))
        return entries

    def end_writes(self, receipt: int) -> None:
        """Every write up to this one is durable."""
        while self._writing and self._writing[0].receipt <= receipt:
            write = self._writing.popleft()
            self.stable = max(self.stable, write.last)
            self._stable_commit = max(self._stable_commit, write.commit)

    # Committing and applying

    def commit_to(self, index: int) -> bool:
        """Whether that moved the commit index, which never goes back."""
        if index <= self.committed:
            return False
        invariant(
            index <= self.last_index,
            "what is committed is in this log: was it cut short, or lost?",
            index=index,
            log=self,
        )
        self.committed = index
        return True

    @property
    def settled(self) -> int:
        """What of the committed may be acted on and told to others.

        All of it, except that a change of configuration waits until the commit index is on disk
        that covers it: else a crash could bring back a member that needs the vote of one whom
        that change, once known to be committed, has let go for ever.
        """
        changes = self._conf_changes
        if not changes or changes[-1] <= self._stable_commit:
            return self.committed
        return min(self.committed, self._next_conf_change(self._stable_commit) - 1)

    def commits_conf_change_after(self, index: int) -> bool:
        """Whether a change of configuration after `index` is committed."""
        changes = self._conf_changes
        if not changes or changes[-1] <= index:
            return False
        return self._next_conf_change(index) <= self.committed

    def _next_conf_change(self, index: int) -> int:
        """The first after `index`; past the end of the log if there is none."""
        position = bisect_right(self._conf_changes, index)
        changes = self._conf_changes
        return changes[position] if position < len(changes) else self.last_index + 1

    def begin_apply(self, max_bytes: int) -> list[Entry]:
        """Committed entries to apply next, all on disk.

        At most about `max_bytes` are handed out and not yet `applied_to`; none while a snapshot
        waits to be installed.
        """
        last = min(self.settled, self.stable)
        if self.applying >= last or self.applied < self.offset:
            return []
        room = max_bytes - self.size_bytes(self.applied, self.applying)
        if room <= 0:
            return []
        entries = self.slice(self.applying + 1, last, room, len(self._entries))
        self.applying += len(entries)
        return entries

    def start_from(self, committed: int, applied: int) -> None:
        """What a member knows of its log when it starts: both from disk."""
        self.commit_to(committed)
        self._stable_commit = self.committed
        self.applied = self.applying = max(applied, self.offset)

    def applied_to(self, index: int) -> None:
        """Everything through `index` is in the state machine; older news is ignored."""
        invariant(
            index <= max(self.applying, self.offset),
            "only what was handed out is applied",
            index=index,
            log=self,
        )
        self.applied = max(self.applied, index)

    @property
    def conf_changes(self) -> Sequence[int]:
        """The indexes of the changes of configuration still here, ascending."""
        return self._conf_changes

    # The beginning of the log

    def compact(self, index: int) -> None:
        """Forget the entries through `index`, which must be applied; older ones is no change."""
        invariant(index <= self.applied, "only what is applied is compacted", index=index)
        term = self.term(index)
        if index <= self.offset or term is None:
            return
        gone = index - self.offset
        del self._entries[:gone]
        del self._bytes[:gone]
        del self._conf_changes[: bisect_right(self._conf_changes, index)]
        self.offset, self._offset_term = index, term

    def restore(self, snapshot: SnapshotMetadata) -> None:
        """Begin anew after a snapshot: nothing of the old log counts, nor of its writes."""
        invariant(snapshot.index > self.committed, "snapshots go forward", log=self)
        for write in self._writing:
            write.last = 0
        self._reset(snapshot)

    def __repr__(self) -> str:
        return (
            f"Log(offset={self.offset}, applied={self.applied}, applying={self.applying}, "
            f"committed={self.committed}, stable={self.stable}, last={self.last_index})"
        )


def _term_of(entry: Entry) -> int:
    return entry.term
