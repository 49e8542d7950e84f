"""The ways to the other members.  Source: etcd server/etcdserver/api/rafthttp/metrics.go."""

from __future__ import annotations

from collections.abc import Iterator

from trioetcd.metrics.families import Family, counter, gauge, histogram
from trioetcd.node.parts import Parts
from trioetcd.peer.traffic import SnapshotTraffic, Traffic
from wire.durations import Durations, doubling

_NETWORK = "etcd_network"


def families(parts: Parts) -> Iterator[Family]:
    """What has a member in its labels; nothing on a member that is alone."""
    members = [(f"{peer:x}", traffic) for peer, traffic in parts.links.traffic.members.items()]
    yield from _presence(parts)
    yield from _bytes(members)
    sent = [(name, traffic.snapshots_sent) for name, traffic in members]
    received = [(name, traffic.snapshots_received) for name, traffic in members]
    yield from _snapshots("send", "To", sent)
    yield from _snapshots("receive", "From", received)
    saves = Durations(doubling(0.1, 10))
    for _, counts in received:
        for at, count in enumerate(counts.durations.counts):
            saves.counts[at] += count
        saves.total_seconds += counts.durations.total_seconds
    yield histogram(
        "etcd_snap_db_save_total_duration_seconds", "How long databases took to come in.", saves
    )


def _presence(parts: Parts) -> Iterator[Family]:
    links, local = parts.links, f"{parts.member_id:x}"
    active = gauge(f"{_NETWORK}_active_peers", "Members that are reached; 1 each.")
    known = gauge(f"{_NETWORK}_known_peers", "Members that are known; 1 each.")
    lost = counter(f"{_NETWORK}_disconnected_peers_total", "Connections to members lost.")
    for peer in links.peers:
        remote = f"{peer:x}"
        known.add(1, Local=local, Remote=remote)
        if links.active_since(peer) is not None:
            active.add(1, Local=local, Remote=remote)
    for peer, traffic in links.traffic.members.items():
        if traffic.disconnections:
            lost.add(traffic.disconnections, Local=local, Remote=f"{peer:x}")
    yield from (active, known, lost)


def _bytes(members: list[tuple[str, Traffic]]) -> Iterator[Family]:
    sent = counter(f"{_NETWORK}_peer_sent_bytes_total", "Bytes sent to members.")
    failed = counter(f"{_NETWORK}_peer_sent_failures_total", "Messages not sent to members.")
    received = counter(f"{_NETWORK}_peer_received_bytes_total", "Bytes received from members.")
    broken = counter(f"{_NETWORK}_peer_received_failures_total", "Messages not understood.")
    round_trips = histogram(
        f"{_NETWORK}_peer_round_trip_time_seconds", "How long a question to a member took."
    )
    for name, traffic in members:
        sent.add(traffic.sent_bytes, To=name)
        failed.add(traffic.sent_failures, To=name)
        received.add(traffic.received_bytes, From=name)
        if traffic.received_failures:
            broken.add(traffic.received_failures, From=name)
        round_trips.observe(traffic.round_trips, To=name)
    yield from (sent, failed, received, broken, round_trips)


def _snapshots(
    way: str, label: str, members: list[tuple[str, SnapshotTraffic]]
) -> Iterator[Family]:
    begin = f"{_NETWORK}_snapshot_{way}"
    succeeded = counter(f"{begin}_success", f"Snapshots, {way} succeeded.")
    failed = counter(f"{begin}_failures", f"Snapshots, {way} failed.")
    under_way = gauge(f"{begin}_inflights_total", f"Snapshots, {way} under way.")
    durations = histogram(f"{begin}_total_duration_seconds", f"Snapshots, {way}: how long.")
    for name, counts in members:
        if counts.succeeded:
            succeeded.add(counts.succeeded, **{label: name})
            durations.observe(counts.durations, **{label: name})
        if counts.failed:
            failed.add(counts.failed, **{label: name})
        if counts.succeeded or counts.failed or counts.under_way:
            under_way.add(counts.under_way, **{label: name})
    yield from (succeeded, failed, under_way, durations)
