"""What is known of a cluster at a moment: every member asked, over gRPC and over HTTP."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import trio

from trioetcd.ctl.errors import CommandFailed
from trioetcd.ctl.members import members, reason_of, status_of
from trioetcd.ctl.pages import page
from trioetcd.ctl.prometheus import Samples, parse
from trioetcd.ctl.session import Session
from wire.errors import EtcdError
from wire.pb import etcdserverpb

PROBE_KEY = b"\0trioetcd ctl: nobody's key"
ALARMS = {1: "NOSPACE", 2: "CORRUPT"}


@dataclass
class MemberFacts:
    """One member, by one of its client URLs; or an endpoint that says nothing."""

    endpoint: str
    member_id: int = 0  # 0: not known
    name: str = ""
    is_learner: bool = False
    error: str = ""  # why it does not answer
    status: etcdserverpb.StatusResponse | None = None
    metrics: Samples | None = None  # None: it has none to show
    probe_seconds: float | None = None  # of a read at this member
    hash: tuple[int, int, int] | None = None  # of keys, at a revision, compacted at
    certificate: bytes | None = None  # DER


@dataclass
class ClusterFacts:
    members: list[MemberFacts] = field(default_factory=list)
    unstarted: list[str] = field(default_factory=list)  # peer URLs of members without a name
    list_error: str = ""  # why the members could not be listed
    alarms: list[tuple[int, str]] = field(default_factory=list)
    auth_enabled: bool | None = None  # None: not known
    client_certificate: bytes | None = None  # PEM


async def gather(session: Session, *, hashes: bool = False) -> ClusterFacts:
    """Whoever does not answer is a fact, too."""
    facts = ClusterFacts()
    places = await _places(session, facts)
    async with trio.open_nursery() as nursery:
        for one in places:
            nursery.start_soon(_ask, session, one, facts)
    facts.members = places
    if hashes:
        await _hash(session, places)
    return facts


async def _places(session: Session, facts: ClusterFacts) -> list[MemberFacts]:
    """The members as one of them lists them; without a list, the endpoints that were named."""
    try:
        listed = await members(session)
    except (EtcdError, CommandFailed) as error:
        facts.list_error = reason_of(error)
        return [MemberFacts(endpoint) for endpoint in session.endpoints]
    named = await _named(session)
    places = []
    for member in listed:
        if not member.clientURLs:
            facts.unstarted.append(", ".join(member.peerURLs))
            continue
        endpoint = named.get(member.ID, member.clientURLs[0])
        places.append(MemberFacts(endpoint, member.ID, member.name, member.isLearner))
    return places


async def _named(session: Session) -> dict[int, str]:
    """Whose the endpoints are that were named: there a member is, whatever it advertises."""
    found: dict[int, str] = {}

    async def ask(endpoint: str) -> None:
        with suppress(EtcdError, CommandFailed):
            status = await status_of(session, endpoint)
            found.setdefault(status.header.member_id, endpoint)

    async with trio.open_nursery() as nursery:
        for endpoint in session.endpoints:
            nursery.start_soon(ask, endpoint)
    return found


async def _ask(session: Session, one: MemberFacts, facts: ClusterFacts) -> None:
    try:
        one.status = await status_of(session, one.endpoint)
        one.member_id = one.member_id or one.status.header.member_id
        began = trio.current_time()
        await session.call_at(
            one.endpoint,
            "/etcdserverpb.KV/Range",
            etcdserverpb.RangeRequest(key=PROBE_KEY, serializable=True),
            etcdserverpb.RangeResponse,
        )
        one.probe_seconds = trio.current_time() - began
    except (EtcdError, CommandFailed) as error:
        if one.status is None:
            one.error = reason_of(error)
            return
    await _ask_alarms(session, one, facts)
    with suppress(CommandFailed):  # gRPC answers, so it lives
        found = await page(session, one.endpoint, "/metrics")
        one.certificate = found.certificate
        if found.status == 200:
            one.metrics = parse(found.text)


async def _ask_alarms(session: Session, one: MemberFacts, facts: ClusterFacts) -> None:
    try:
        answer = await session.call_at(
            one.endpoint,
            "/etcdserverpb.Maintenance/Alarm",
            etcdserverpb.AlarmRequest(),
            etcdserverpb.AlarmResponse,
        )
    except (EtcdError, CommandFailed):
        return
    for alarm in answer.alarms:
        found = (alarm.memberID, ALARMS.get(alarm.alarm, str(alarm.alarm)))
        if found not in facts.alarms:
            facts.alarms.append(found)


async def _hash(session: Session, places: list[MemberFacts]) -> None:
    """All at one revision, which all have applied."""
    revisions = [one.status.header.revision for one in places if one.status is not None]
    for one in places:
        if one.status is None:
            continue
        try:
            answer = await session.call_at(
                one.endpoint,
                "/etcdserverpb.Maintenance/HashKV",
                etcdserverpb.HashKVRequest(revision=min(revisions)),
                etcdserverpb.HashKVResponse,
            )
        except (EtcdError, CommandFailed):
            continue
        one.hash = (answer.hash, min(revisions), answer.compact_revision)
