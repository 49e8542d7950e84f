"""What must hold after a simulation, whatever happened in it.

- the operations of every key are linearizable, and all of them fit the log of changes;
- all members have the same log and the same hash of everything;
- every watch told all that happened, in order, once;
- no lease ended before its time was up, and each ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from trioetcd.testing.checker import Wrong, check_keys
from trioetcd.testing.history import Event, Operation, Watching, keys_of
from trioetcd.testing.replay import FIRST_REVISION, Log, check_replay, log_of
from trioetcd.testing.watches import check_watch
from trioetcd.testing.workload import LEASED, Client, Leased, Notes, event_of
from wire.pb import etcdserverpb

LEASED_RANGE = LEASED, LEASED[:-1] + b"0"
ANSWER_SECONDS = 10.0  # for each member's, when all is calm


@dataclass(frozen=True)
class Findings:
    notes: Notes
    log: Log  # of all that was ever applied
    events: Sequence[Sequence[Event]]  # every member's, as far as it was not compacted
    hashes: Sequence[tuple[int, int, int]]  # every member's revision, compacted one, and hash

    @property
    def revision(self) -> int:
        """Up to which every watch should tell."""
        return max(found[0] for found in self.hashes)

    @property
    def is_all_told(self) -> bool:
        """Whether every watch is as far as it will be."""
        return all(watching.next_revision > self._last(watching) for watching in self._living)

    @property
    def _living(self) -> list[Watching]:
        return [watching for watching in self.notes.watchings if not watching.is_over]

    def _last(self, watching: Watching) -> int:
        """The last revision that a watch should tell of."""
        wanted = (
            revision
            for revision in sorted(self.log, reverse=True)
            if any(watching.covers(event.key) for event in self.log[revision])
        )
        return next(wanted, 0)


async def hashes(client: Client) -> tuple[int, int, int]:
    """A member's revision, the one it has compacted at, and the hash of all it stores."""
    request = etcdserverpb.HashKVRequest().SerializeToString()
    answer = await client.call("/etcdserverpb.Maintenance/HashKV", request)
    response = etcdserverpb.HashKVResponse.FromString(answer)
    return response.header.revision, response.compact_revision, response.hash


async def final_events(client: Client, revision: int, compacted: int) -> list[Event]:
    """Everything that happened since a compaction, as a member tells it."""
    first = max(compacted, FIRST_REVISION) + 1
    found: list[Event] = []
    create = etcdserverpb.WatchCreateRequest(
        key=b"\0", range_end=b"\0", start_revision=first, fragment=True
    )
    request = etcdserverpb.WatchRequest(create_request=create).SerializeToString()
    async with client.channel().stream("/etcdserverpb.Watch/Watch") as stream:
        await stream.send(request)
        with trio.move_on_after(ANSWER_SECONDS):
            while revision >= first and (not found or found[-1].revision < revision):
                message = await stream.receive()
                if message is None:
                    break
                response = etcdserverpb.WatchResponse.FromString(message)
                found += [event_of(event) for event in response.events]
    return found


def judge(findings: Findings) -> None:
    """Raises Wrong."""
    notes = findings.notes
    log = log_of(event for revision in sorted(findings.log) for event in findings.log[revision])
    _check_members(findings)
    ordinary = [one for one in notes.operations if not _is_leased(one)]
    leased = {key for one in notes.operations if _is_leased(one) for key in keys_of(one.request)}
    check_replay(notes.operations, log, expired=leased)
    check_keys(ordinary)
    for watching in notes.watchings:
        watching.drop_fragments()
        check_watch(watching, log, None if watching.is_over else findings.revision)
    for held in notes.leases:
        _check_lease(held, notes, log)


def _check_members(findings: Findings) -> None:
    if len(set(findings.hashes)) > 1:
        raise Wrong(f"members differ: {findings.hashes}")
    for (_, compacted, _), told in zip(findings.hashes, findings.events, strict=True):
        applied = [
            event
            for revision in sorted(findings.log)
            if revision > compacted
            for event in findings.log[revision]
        ]
        if told != applied:
            raise Wrong(f"a member tells otherwise than was applied: {set(told) ^ set(applied)}")


def _is_leased(one: Operation) -> bool:
    return any(key.startswith(LEASED) for key in keys_of(one.request))


def _check_lease(held: Leased, notes: Notes, log: Log) -> None:
    """Its key is there until `ttl` after the last renewal that was acknowledged, then goes."""
    changes = [event for events in log.values() for event in events if event.key == held.key]
    if not changes:
        return  # the put was of unknown outcome, and did not happen
    if changes[-1].value is not None:
        raise Wrong(f"{held} has never run out")
    seen = _first_seen(held.key, notes)
    if held.revoked is not None and seen >= held.revoked:
        return
    for asked, _ in held.renewed:
        if seen < asked + held.ttl:
            raise Wrong(f"{held} was gone at {seen}, {asked + held.ttl - seen} s too early")


def _first_seen(key: bytes, notes: Notes) -> float:
    """When anybody first heard that a key was deleted; infinite if nobody did."""
    return min(
        (
            delivery.time
            for watching in notes.watchings
            for delivery in watching.deliveries
            for event in delivery.events
            if event.key == key and event.value is None
        ),
        default=float("inf"),
    )
