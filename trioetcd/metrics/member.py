"""The member and its place in the cluster.

Source: etcd server/etcdserver/metrics.go, api/membership/metrics.go, api/etcdhttp/health.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from actors.apply.times import operation_name
from trioetcd.api.probes import Probes
from trioetcd.config.gates import stage_of
from trioetcd.metrics.families import Family, counter, gauge, histogram
from trioetcd.node.parts import Parts
from wire.pb import etcdserverpb
from wire.version import ETCD_VERSION


class Health(Protocol):
    """Who answers /health, and how often it did."""

    healthy: int
    unhealthy: int
    probes: Probes


def families(parts: Parts, health: Health) -> Iterator[Family]:
    yield from _identity(parts)
    yield from _raft(parts)
    yield from _applying(parts)
    yield from _learners(parts)
    yield from _probes(health.probes)
    yield counter("etcd_server_health_success", "Successful health checks.", health.healthy)
    yield counter("etcd_server_health_failures", "Failed health checks.", health.unhealthy)


def _probes(probes: Probes) -> Iterator[Family]:
    latest = gauge("etcd_server_healthcheck", "How a check went last; 1: well.")
    for (root, name), is_well in sorted(probes.latest.items()):
        latest.add(is_well, name=name, type=root)
    counts = counter("etcd_server_healthchecks_total", "Checks, by how they went.")
    for (root, name, is_well), count in sorted(probes.outcomes.items()):
        counts.add(count, name=name, status="success" if is_well else "error", type=root)
    yield from (latest, counts)


def _identity(parts: Parts) -> Iterator[Family]:
    yield gauge("etcd_server_id", "Which member this is; 1.").add(
        1, server_id=f"{parts.member_id:x}"
    )
    yield gauge("etcd_server_version", "The release this server stands in for; 1.").add(
        1, server_version=ETCD_VERSION
    )
    features = gauge("etcd_server_feature_enabled", "Feature gates; 1: enabled.")
    for gate, is_enabled in parts.settings.gates.items():
        features.add(is_enabled, name=gate, stage=stage_of(gate))
    yield features
    cluster = gauge("etcd_cluster_version", "The version the members have agreed on; 1.")
    version = parts.membership.version
    if version:
        cluster.add(1, cluster_version=version.rpartition(".")[0])
    yield cluster
    yield gauge(
        "etcd_server_quota_backend_bytes",
        "Size that the backend may have, in bytes.",
        max(parts.quota.limit_bytes, 0),
    )
    yield gauge(
        "etcd_debugging_auth_revision", "The revision of users and roles.", parts.auth.revision
    )
    alarms = gauge("etcd_debugging_server_alarms", "Alarms that are raised; 1 each.")
    for row in parts.alarms.get():
        alarm = etcdserverpb.AlarmMember.FromString(row)
        kind = etcdserverpb.AlarmType.Name(alarm.alarm)
        alarms.add(1, alarm_type=kind, server_id=f"{alarm.memberID:x}")
    yield alarms


def _raft(parts: Parts) -> Iterator[Family]:
    status, reads = parts.raft.status, parts.reads
    me = parts.membership.members.get(parts.member_id)
    learner = me is not None and me.is_learner
    pending = parts.kv.pending + parts.proposals.pending
    failed = status.proposals_failed + parts.proposals.timed_out
    server = "etcd_server"
    yield gauge(f"{server}_has_leader", "Whether a leader exists.", bool(status.leader))
    yield gauge(f"{server}_is_leader", "Whether this member leads.", status.is_leader)
    yield gauge(f"{server}_is_learner", "Whether this member is a learner.", learner)
    yield counter(
        f"{server}_leader_changes_seen_total", "Changes of leader seen.", status.leader_changes
    )
    yield counter(
        f"{server}_heartbeat_send_failures_total",
        "Heartbeats a leader sent too late, for example because of a slow disk.",
        status.late_heartbeats,
    )
    yield gauge(f"{server}_proposals_committed_total", "Proposals committed.", status.commit_index)
    yield gauge(f"{server}_proposals_applied_total", "Proposals applied.", parts.rows.applied_index)
    yield gauge(f"{server}_proposals_pending", "Proposals that wait.", pending)
    yield counter(f"{server}_proposals_failed_total", "Proposals that failed.", failed)
    yield counter(f"{server}_slow_read_indexes_total", "Read indexes not had in time.", reads.slow)
    yield counter(f"{server}_read_indexes_failed_total", "Read indexes refused.", reads.failed)


def _applying(parts: Parts) -> Iterator[Family]:
    times, slow = parts.applier.times, parts.applier.times.slow + parts.slow.listings
    yield counter("etcd_server_slow_apply_total", "Slow applications and listings.", slow)
    family = histogram("etcd_server_apply_duration_seconds", "How long entries took to apply.")
    for (number, done), durations in sorted(times.durations.items()):
        success = "true" if done else "false"
        family.observe(durations, op=operation_name(number), success=success, version="v3")
    yield family
    yield gauge(
        "etcd_server_snapshot_apply_in_progress_total",
        "Whether a leader's snapshot is being put in.",
        parts.machine.is_installing,
    )


def _learners(parts: Parts) -> Iterator[Family]:
    cluster = parts.cluster
    failures = counter("etcd_server_learner_promote_failures", "Learners not promoted.")
    for reason, count in sorted(cluster.promotion_failures.items()):
        failures.add(count, Reason=reason)
    yield failures
    yield counter("etcd_server_learner_promote_successes", "Learners promoted.", cluster.promotions)
