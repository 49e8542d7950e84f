"""Ways to hurt a cluster that clients are using, and how soon it must be well again.

A case returns a line of figures; what is wrong raises.
Source: etcd tests/functional (the list of failures); the goals of this project.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from tests.system.cluster import (
    ELECTION_TIMEOUT,
    LOOK_SECONDS,
    PATIENCE,
    Cluster,
    Member,
    NotInTime,
)
from tests.system.load import Load
from tests.system.probe import Probe, fill
from tests.system.proxy import CUT, LOST, Rule
from wire.errors import EtcdError
from wire.pb import etcdserverpb

HEALED_SECONDS = 10.0  # after which all must be well; etcd's functional tests
CALM_SECONDS = 2.0  # of undisturbed work before anything happens
HURT_SECONDS = 5.0
DELAY_SECONDS = 0.3
BIG_MEGABYTES = 500
BEFORE_SECONDS = 10.0
MOST_SLOWER = 3.0  # the p99 of others, while a snapshot is sent
GAP_SECONDS = 2 * ELECTION_TIMEOUT  # of which one is an election's, at most, by chance
HEALTHY_SECONDS = 6.0  # after which connections count as healthy
MEDIAN_OF = 10  # kills at least, before their median says something
ADD, REMOVE, PROMOTE, LIST = (
    f"/etcdserverpb.Cluster/Member{name}" for name in ("Add", "Remove", "Promote", "List")
)

Case = Callable[[Cluster, Load, random.Random], Awaitable[str]]


async def pick(cluster: Cluster, who: str) -> list[Member]:
    """`leader`, `follower`, `quorum` (which the leader is in) or `all`."""
    leader = await cluster.leader()
    others = [one for one in cluster.running if one is not leader]
    match who:
        case "leader":
            return [leader]
        case "follower":
            return others[:1]
        case "quorum":
            return [leader, *others[: len(cluster.running) // 2]]
        case _:
            return cluster.running


async def healed(cluster: Cluster, load: Load, since: float) -> str:
    """Everybody follows one leader and writes go on."""
    await cluster.leader(list(cluster.members.values()), HEALED_SECONDS)
    took = await load.resumed(since, HEALED_SECONDS)
    return f"served again {took:.2f} s after healing"


# -- Processes that end


async def ended(
    number: signal.Signals, who: str, cluster: Cluster, load: Load, rng: random.Random
) -> str:
    await trio.sleep(CALM_SECONDS)
    victims = await pick(cluster, who)
    for victim in victims:
        await victim.end(number)
    hurt = trio.current_time()
    note = ""
    if who in ("leader", "follower"):
        took = await load.resumed(hurt, HEALED_SECONDS)
        note = f"writes resumed after {took:.2f} s; "
    await trio.sleep(HURT_SECONDS - (trio.current_time() - hurt))
    for victim in victims:
        victim.start()
    return note + await healed(cluster, load, trio.current_time())


async def kill_leader(rounds: int, cluster: Cluster, load: Load, rng: random.Random) -> str:
    """Many times; writes go on within one and a half election timeouts, in the median.

    A few rounds have no median worth the name: a campaign judges the time, CI what was said.
    """
    times = []
    for _ in range(rounds):
        await trio.sleep(0.5)
        leader = await cluster.leader()
        await leader.end()
        times.append(await load.resumed(trio.current_time(), HEALED_SECONDS))
        leader.start()
        await cluster.leader(list(cluster.members.values()))
    median = sorted(times)[len(times) // 2]
    if len(times) >= MEDIAN_OF and median > 1.5 * ELECTION_TIMEOUT:
        raise AssertionError(f"writes resumed after {median:.2f} s in the median")
    return (
        f"{rounds} kills; writes resumed after {median:.2f} s (median), {max(times):.2f} s (most)"
    )


async def stop_leader(rounds: int, cluster: Cluster, load: Load, rng: random.Random) -> str:
    """SIGSTOP for half a second to five, then go on."""
    times = []
    for _ in range(rounds):
        await trio.sleep(0.5)
        leader = await cluster.leader()
        leader.send(signal.SIGSTOP)
        stopped = trio.current_time()
        length = rng.uniform(0.5, 5.0)
        try:
            with trio.move_on_after(length):
                times.append(await load.resumed(stopped, HEALED_SECONDS))
                await trio.sleep_forever()
        finally:
            leader.send(signal.SIGCONT)
        await cluster.leader(list(cluster.members.values()), HEALED_SECONDS)
    most = max(times, default=0.0)
    return f"{rounds} stops; writes went on meanwhile in {len(times)}, after at most {most:.2f} s"


# -- Links


async def apart(rule: Rule, who: str, cluster: Cluster, load: Load, rng: random.Random) -> str:
    """Some members cannot reach the others, nor each other if they are a quorum or all."""
    await trio.sleep(CALM_SECONDS)
    victims = await pick(cluster, who)
    names = list(cluster.members)
    if who in ("quorum", "all"):
        for victim in victims:
            cluster.network.isolate([victim.name], names, rule)
    else:
        cluster.network.isolate([one.name for one in victims], names, rule)
    hurt = trio.current_time()
    note = ""
    if who in ("leader", "follower") and not rule.delay:
        took = await load.resumed(hurt, HEALED_SECONDS)
        note = f"writes resumed after {took:.2f} s; "
    await trio.sleep(HURT_SECONDS - (trio.current_time() - hurt))
    cluster.network.heal()
    return note + await healed(cluster, load, trio.current_time())


async def one_way(cluster: Cluster, load: Load, rng: random.Random) -> str:
    """What the leader says is lost; what it is told arrives."""
    await trio.sleep(CALM_SECONDS)
    leader = await cluster.leader()
    others = [name for name in cluster.members if name != leader.name]
    cluster.network.set([(leader.name, other) for other in others], LOST)
    took = await load.resumed(trio.current_time(), HEALED_SECONDS)
    await trio.sleep(HURT_SECONDS)
    cluster.network.heal()
    note = await healed(cluster, load, trio.current_time())
    return f"writes resumed after {took:.2f} s; {note}"


async def long_cut(seconds: float, cluster: Cluster, load: Load, rng: random.Random) -> str:
    """A follower that was cut off comes back to the same leader and the same term."""
    leader = await cluster.leader()
    before = await leader.status()
    assert before is not None
    victim = await cluster.follower()
    cluster.network.isolate([victim.name], cluster.members, LOST)
    hurt = trio.current_time()
    await trio.sleep(seconds)
    gap = load.longest_gap(hurt, trio.current_time())
    cluster.network.heal()
    note = await healed(cluster, load, trio.current_time())
    after = await (await cluster.leader()).status()
    assert after is not None
    if (after.leader, after.raftTerm) != (before.leader, before.raftTerm):
        raise AssertionError(f"term {before.raftTerm} became {after.raftTerm}")
    return f"same leader and term after {seconds:g} s; longest gap {gap:.2f} s; {note}"


# -- Until a snapshot is needed


async def until_snapshot(how: str, cluster: Cluster, load: Load, rng: random.Random) -> str:
    """A follower stays away until the log it needs is gone.  Needs a small --snapshot-count."""
    victim = await cluster.follower()
    if how == "kill":
        await victim.end()
    else:
        cluster.network.isolate([victim.name], cluster.members, LOST)
    others = [one for one in cluster.running if one is not victim]
    status = await others[0].status()
    assert status is not None
    target = status.raftIndex + 400
    while status is None or status.raftIndex < target:
        await trio.sleep(0.1)
        status = await others[0].status()
    if how == "kill":
        victim.start()
    cluster.network.heal()
    note = await healed(cluster, load, trio.current_time())
    return f"400 entries behind; {note}"


# -- Members that come and go


async def resize(cluster: Cluster, load: Load, rng: random.Random) -> str:
    """From three members to five, one by one as learners that are promoted, and back to three."""
    await trio.sleep(HEALTHY_SECONDS)
    began = trio.current_time()
    for name in ("m3", "m4"):
        await add_member(cluster, name)
    five = await cluster.leader(list(cluster.members.values()))
    for name in [name for name in cluster.members if name != five.name][:2]:
        await remove_member(cluster, name)
    await cluster.leader()
    gap = longest_gap(load, began)
    return f"3 to 5 to 3 members; longest time without a success {gap:.2f} s"


async def grow(cluster: Cluster, load: Load, rng: random.Random) -> str:
    """One member, then three, five, and three again: nobody waits longer than for an election."""
    first = await cluster.leader()
    terms = {await term_of(first)}
    began = trio.current_time()
    for name in ("m1", "m2", "m3", "m4"):
        await add_member(cluster, name)
        terms.add(await term_of(first))
    five = await cluster.leader(list(cluster.members.values()))
    spared = {first.name, five.name}  # clients know only the first
    for name in [name for name in cluster.members if name not in spared][:2]:
        await remove_member(cluster, name)
    terms.add(await term_of(await cluster.leader()))
    gap = longest_gap(load, began)
    return (
        f"1 to 3 to 5 to 3 members in {trio.current_time() - began:.1f} s and {len(terms)} terms; "
        f"longest time without a success {gap:.2f} s"
    )


def longest_gap(load: Load, since: float) -> float:
    """Without any success; nobody may wait longer than an election takes."""
    gap = load.longest_gap(since, trio.current_time())
    if gap > GAP_SECONDS:
        raise AssertionError(f"no operation succeeded for {gap:.2f} s")
    return gap


async def term_of(member: Member) -> int:
    status = await member.status()
    return 0 if status is None else status.raftTerm


async def replace(cluster: Cluster, load: Load, rng: random.Random) -> str:
    """A member that lost its data is removed, added anew, and catches up."""
    await trio.sleep(HEALTHY_SECONDS)
    victim = await cluster.follower()
    await victim.end()
    victim.wipe()
    began = trio.current_time()
    await remove_member(cluster, victim.name)
    await add_member(cluster, "m9")
    await cluster.leader(list(cluster.members.values()))
    gap = longest_gap(load, began)
    took = trio.current_time() - began
    return f"replaced in {took:.2f} s; longest time without a success {gap:.2f} s"


async def add_member(cluster: Cluster, name: str) -> None:
    """As a learner, until it may be promoted."""
    asked = list(cluster.running)
    member = await cluster.add(name)
    request = etcdserverpb.MemberAddRequest(peerURLs=[member.peer_url], isLearner=True)
    answer = await patiently(asked, ADD, request.SerializeToString())
    member.start(joins=True)
    added = etcdserverpb.MemberAddResponse.FromString(answer).member.ID
    promote = etcdserverpb.MemberPromoteRequest(ID=added).SerializeToString()
    await patiently(asked, PROMOTE, promote)


async def remove_member(cluster: Cluster, name: str) -> None:
    """It stops by itself, if it runs."""
    asked = [one for one in cluster.running if one.name != name]
    answer = await patiently(asked, LIST, b"")
    members = etcdserverpb.MemberListResponse.FromString(answer).members
    [member_id] = [one.ID for one in members if one.name == name]
    request = etcdserverpb.MemberRemoveRequest(ID=member_id).SerializeToString()
    await patiently(asked, REMOVE, request)
    gone = cluster.members.pop(name)
    process = gone.process
    if process is not None:
        with trio.fail_after(HEALED_SECONDS):
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


async def patiently(members: list[Member], path: str, request: bytes) -> bytes:
    """Ask one after the other until one does it: health counts after five seconds."""
    refusal: EtcdError | None = None
    with trio.move_on_after(PATIENCE):
        while True:
            for member in members:
                try:
                    return await member.ask(path, request)
                except EtcdError as error:
                    refusal = error
                await trio.sleep(LOOK_SECONDS)
    raise NotInTime(f"{path}: {refusal}")


async def big_snapshot(cluster: Cluster, load: Load, rng: random.Random) -> str:
    """A member whose data were deleted gets 500 MB; a lone writer and reader hardly notice.

    For a cluster without other clients: they would only measure how much two cores can do.
    """
    leader = await cluster.leader()
    async with Probe(leader.address) as probe:
        await fill(leader.address, BIG_MEGABYTES, rng)
        await trio.sleep(CALM_SECONDS)
        calm = trio.current_time()
        await trio.sleep(BEFORE_SECONDS)
        before = probe.p99(calm, trio.current_time())
        victim = await cluster.follower()
        await victim.end()
        victim.wipe()
        await remove_member(cluster, victim.name)
        began = trio.current_time()
        await add_member(cluster, "m9")
        ended = trio.current_time()
        during = probe.p99(began, ended)
    figures = ", ".join(
        f"{what} {1000 * before[what]:.1f} -> {1000 * during[what]:.1f} ms" for what in before
    )
    for what in before:
        if during[what] > MOST_SLOWER * before[what]:
            raise AssertionError(f"p99 of others: {figures}")
    await cluster.alike()
    return f"{BIG_MEGABYTES} MB in {ended - began:.1f} s; p99 of others: {figures}"


# -- All of them, by name


def cases(rounds: int, seconds: float) -> dict[str, Case]:
    """`rounds` of the cases that are repeated; `seconds` a follower is cut off in `long-cut`."""
    found: dict[str, Case] = {
        "kill-leader": partial(kill_leader, rounds),
        "stop-leader": partial(stop_leader, rounds),
        "one-way": one_way,
        "long-cut": partial(long_cut, seconds),
        "resize": resize,
        "grow": grow,
        "big-snapshot": big_snapshot,
        "replace": replace,
        "snapshot-kill": partial(until_snapshot, "kill"),
        "snapshot-lost": partial(until_snapshot, "lost"),
    }
    for who in ("follower", "leader", "quorum", "all"):
        found[f"term-{who}"] = partial(ended, signal.SIGTERM, who)
        found[f"kill-{who}-once"] = partial(ended, signal.SIGKILL, who)
        found[f"cut-{who}"] = partial(apart, CUT, who)
        found[f"lost-{who}"] = partial(apart, LOST, who)
        found[f"delay-{who}"] = partial(apart, Rule(delay=DELAY_SECONDS), who)
    return found
