"""The log, the database, and the keys in it.

Source: etcd server/storage/backend/metrics.go, mvcc/metrics.go, wal/metrics.go, lease/metrics.go,
etcdserver/api/snap/metrics.go.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio

from trioetcd.metrics.families import Family, counter, gauge, histogram
from trioetcd.node.parts import Parts
from wire.durations import doubling


def families(parts: Parts) -> Iterator[Family]:
    yield from _log(parts)
    yield from _backend(parts)
    yield from _keys(parts)
    yield from _compaction(parts)
    yield from _watches(parts)
    yield from _leases(parts)


def _log(parts: Parts) -> Iterator[Family]:
    disk, saves = "etcd_disk", parts.snapshotter.saves
    yield histogram(
        f"{disk}_wal_fsync_duration_seconds",
        "How long the log's fdatasync took.",
        parts.fsync_times,
    )
    yield histogram(
        f"{disk}_wal_write_duration_seconds",
        "How long writing to the log took, before its fdatasync.",
        parts.wal.writes,
    )
    yield gauge(
        f"{disk}_wal_write_bytes_total", "Bytes written to the log.", parts.log.written_bytes
    )
    yield histogram(
        "etcd_snap_fsync_duration_seconds", "How long a snapshot's file took to save.", saves
    )
    yield histogram(
        "etcd_debugging_snap_save_total_duration_seconds",
        "How long a snapshot's file took to save.",
        saves,
    )


def _backend(parts: Parts) -> Iterator[Family]:
    disk, mvcc = "etcd_disk", "etcd_mvcc"
    backend, engine, maintenance = parts.backend, parts.rows.engine, parts.maintenance
    yield histogram(
        f"{disk}_backend_commit_duration_seconds", "How long commits took.", parts.commit_times
    )
    yield histogram(
        f"{disk}_backend_defrag_duration_seconds",
        "How long defragmentations took.",
        backend.defragmentations,
    )
    yield histogram(
        f"{disk}_backend_snapshot_duration_seconds", "How long snapshots took.", backend.snapshots
    )
    yield gauge(
        f"{disk}_defrag_inflight", "Whether it is being defragmented.", backend.is_defragmenting
    )
    yield gauge(f"{mvcc}_db_total_size_in_bytes", "Size of the database.", engine.size())
    yield gauge(
        f"{mvcc}_db_total_size_in_use_in_bytes",
        "Size of what is used of the database.",
        engine.size_in_use(),
    )
    yield gauge(f"{mvcc}_db_open_read_transactions", "Open readers.", engine.readers())
    yield histogram(f"{mvcc}_hash_duration_seconds", "How long Hash took.", maintenance.hashes)
    yield histogram(
        f"{mvcc}_hash_rev_duration_seconds", "How long HashKV took.", maintenance.revision_hashes
    )


def _keys(parts: Parts) -> Iterator[Family]:
    store, counts = parts.store, parts.store.counts
    method = parts.registry.methods[b"/etcdserverpb.KV/Range"]
    ranges = counts.ranges + method.counts.messages_sent
    puts = counts.puts + parts.applier.times.puts
    mvcc, debugging = "etcd_mvcc", "etcd_debugging_mvcc"
    yield counter(f"{mvcc}_put_total", "Puts.", puts)
    yield counter(f"{mvcc}_delete_total", "Deletions.", counts.deletes)
    yield counter(f"{mvcc}_txn_total", "Transactions of several operations.", counts.transactions)
    yield counter(f"{mvcc}_range_total", "Ranges.", ranges)
    yield counter(f"{debugging}_range_total", "Ranges.", ranges)
    yield gauge(
        f"{debugging}_total_put_size_in_bytes",
        "Bytes of rows stored since the start.",
        parts.rows.stored_bytes,
    )
    yield gauge(f"{debugging}_keys_total", "Keys.", store.index.count(b"", None))
    yield gauge(f"{debugging}_current_revision", "The revision.", store.revision)
    yield gauge(
        f"{debugging}_compact_revision",
        "The revision of the last compaction.",
        store.compact_revision,
    )


def _compaction(parts: Parts) -> Iterator[Family]:
    times, debugging = parts.machine.compactions, "etcd_debugging_mvcc"
    finished = 0.0
    if times.finished_at is not None:
        finished = parts.unix_seconds() - (trio.current_time() - times.finished_at)
    yield counter(
        f"{debugging}_db_compaction_keys_total", "Rows that compaction removed.", times.removed
    )
    yield gauge(f"{debugging}_db_compaction_last", "When the last compaction ended.", finished)
    yield histogram(
        f"{debugging}_db_compaction_pause_duration_milliseconds",
        "How long one step of a compaction took.",
        times.steps,
    )
    yield histogram(
        f"{debugging}_db_compaction_total_duration_milliseconds",
        "How long a compaction took.",
        times.runs,
    )
    yield histogram(
        f"{debugging}_index_compaction_pause_duration_milliseconds",
        "How long it took to find what to compact.",
        times.indexed,
    )


def _watches(parts: Parts) -> Iterator[Family]:
    watches, debugging = parts.hub.watches, "etcd_debugging_mvcc"
    if watches is None:
        return
    pending = len(parts.store.feed.events)
    yield gauge(f"{debugging}_watch_stream_total", "Watch streams.", len(watches.streams))
    yield gauge(f"{debugging}_watcher_total", "Watchers.", watches.watchers)
    yield gauge(
        f"{debugging}_slow_watcher_total", "Watchers that are behind.", watches.slow_watchers
    )
    yield counter(f"{debugging}_events_total", "Events sent to watchers.", watches.events_total)
    yield gauge(f"{debugging}_pending_events_total", "Events yet to be sent.", pending)


def _leases(parts: Parts) -> Iterator[Family]:
    table, lessor, debugging = parts.leases, parts.lessor, "etcd_debugging"
    yield counter(f"{debugging}_lease_granted_total", "Leases granted.", table.granted_total)
    yield counter(f"{debugging}_lease_revoked_total", "Leases revoked.", table.revoked_total)
    yield counter(f"{debugging}_lease_renewed_total", "Renewals.", lessor.renewed_total)
    yield counter(
        f"{debugging}_server_lease_expired_total", "Leases that ran out.", lessor.expired_total
    )
    yield histogram(f"{debugging}_lease_ttl_total", "TTLs of leases granted, in seconds.").buckets(
        doubling(1, len(table.ttl_counts) - 1), table.ttl_counts, table.ttl_total
    )
