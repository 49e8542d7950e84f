"""The supervision tree of a member, on one page.

    member                    nothing restarts here: what escapes ends the member
    ├─ durable                one_for_all, no restarts: the disk, and what was promised
    │  ├─ wal  backend  mvcc  raft  snapshotter
    ├─ derived                one_for_one, 5 in 60 s: rebuilt from the store
    │  ├─ lessor  watch-hub  auth-tokens  reads  long-reads  compactor  monitor
    ├─ peers                  one_for_one, 10 in 60 s: the ways to other members
    │  └─ links  link-ID …
    └─ edge                   one_for_one, no restarts: what clients talk to
       └─ proposals  gate  audit

Children start top to bottom and stop bottom to top.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from actors.auth.actor import run_tokens
from actors.backend.actor import run_backend
from actors.kernel import Child, Node, Strategy, Supervisor
from actors.lease.actor import run_lessor
from actors.mvcc.actor import run_machine
from actors.raft.actor import run_raft
from actors.snapshot import files
from actors.snapshot.actor import run_snapshotter
from actors.wal.actor import run_wal
from actors.watch.actor import WatchHub, run_watch_hub
from actors.watch.ticks import Ticks
from trioetcd.api.reads import run_long_reads, run_reads
from trioetcd.audit.audit import run_audit
from trioetcd.node.compactor import run_compactor
from trioetcd.node.monitor import run_monitor
from trioetcd.node.parts import Parts
from trioetcd.peer.links import run_links

DERIVED_BURST, PEERS_BURST, PERIOD = 5, 10, 60.0  # restarts in so many seconds
FRAGMENT_OVERHEAD_BYTES = 512 * 1024  # etcd splits responses this much over the request limit
COMMIT_GRACE = 30.0  # seconds for the backend's last commit


def build_tree(
    parts: Parts, root: Node, on_failure: Callable[[str, BaseException], None]
) -> Supervisor:
    """The member's root supervisor; its live picture grows under `root`."""

    def supervisor(name: str, children: list[Child], burst: int, strategy: Strategy) -> Child:
        node = Node(name)
        group = Supervisor(
            node,
            children,
            strategy=strategy,
            burst=burst,
            period=PERIOD,
            on_failure=on_failure,
        )
        groups[name] = group
        return Child(name, group.run, node_of=node)

    groups: dict[str, Supervisor] = {}

    def begin_link(child: Child) -> None:
        groups["peers"].begin(child)

    return Supervisor(
        root,
        [
            supervisor("durable", durable(parts), 0, Strategy.ONE_FOR_ALL),
            supervisor("derived", derived(parts), DERIVED_BURST, Strategy.ONE_FOR_ONE),
            supervisor("peers", peers(parts, begin_link), PEERS_BURST, Strategy.ONE_FOR_ONE),
            supervisor("edge", edge(parts), 0, Strategy.ONE_FOR_ONE),
        ],
        strategy=Strategy.ONE_FOR_ALL,
        burst=0,
        period=PERIOD,
        on_failure=on_failure,
    )


def durable(parts: Parts) -> list[Child]:
    wal = partial(
        run_wal,
        parts.wal,
        parts.log,
        parts.wal_worker,
        parts.raft.persisted,
        parts.fsync_times,
        save_snapshot=partial(files.save, parts.disk, parts.snapshot_directory),
    )
    backend = partial(
        run_backend,
        parts.backend,
        parts.backend_worker,
        batch_interval=parts.settings.batch_interval,
        times=parts.commit_times,
    )
    machine = partial(
        run_machine, parts.machine, parts.membership, parts.conf_state, parts.backend, parts.fanout
    )
    raft = partial(
        run_raft, parts.raft, parts.core, parts.wal, parts.machine, parts.links, parts.duties
    )
    snapshotter = partial(
        run_snapshotter,
        parts.snapshotter,
        parts.disk,
        parts.snapshot_directory,
        parts.wal,
        parts.backend,
        parts.wal_worker,
        parts.raft.compact,
    )
    return [
        Child("wal", wal, inbox=parts.wal.inbox),
        Child("backend", backend, inbox=parts.backend.inbox, grace=COMMIT_GRACE),
        Child("mvcc", machine, inbox=parts.machine.inbox),
        Child("raft", raft, inbox=parts.raft.inbox),
        Child("snapshotter", snapshotter, inbox=parts.snapshotter.inbox),
    ]


def derived(parts: Parts) -> list[Child]:
    settings = parts.settings
    lessor = partial(
        run_lessor,
        parts.lessor,
        parts.leases,
        parts.proposals.propose_as_root,
        election_timeout=settings.election_timeout,
        checkpoint_interval=parts.checkpoint_interval,
    )
    monitor = partial(run_monitor, parts.monitor, parts.alarms, parts.proposals, parts.log_to)

    def compactor(*, task_status: trio.TaskStatus[None]) -> Awaitable[object]:
        return run_compactor(
            parts.compaction_policy(),
            parts.store,
            parts.raft.status,
            parts.proposals,
            parts.log_to,
            task_status=task_status,
        )

    def watch_hub(*, task_status: trio.TaskStatus[WatchHub]) -> Awaitable[object]:
        ticks = Ticks(parts.rng, settings.watch_progress_interval)  # new for every start
        return run_watch_hub(
            parts.hub,
            parts.store,
            parts.headers.write,
            ticks,
            fragment_bytes=settings.max_request_bytes + FRAGMENT_OVERHEAD_BYTES,
            task_status=task_status,
        )

    return [
        Child("lessor", lessor, inbox=parts.lessor.inbox),
        Child("watch-hub", watch_hub, inbox=parts.hub.inbox),
        Child("auth-tokens", partial(run_tokens, parts.tokens)),
        Child("reads", partial(run_reads, parts.reads), inbox=parts.reads.inbox),
        Child("long-reads", partial(run_long_reads, parts.reads), inbox=parts.reads.long_inbox),
        Child("compactor", compactor),
        Child("monitor", monitor, inbox=parts.monitor.inbox),
    ]


def peers(parts: Parts, begin: Callable[[Child], None]) -> list[Child]:
    """`links` follows the membership, and begins a child for each other member."""
    return [Child("links", partial(run_links, parts.links, begin))]


def edge(parts: Parts) -> list[Child]:
    children = [Child("proposals", parts.kv.run), Child("gate", parts.gate.run)]
    if parts.audit is not None:
        audit = partial(
            run_audit, parts.audit, parts.audit_file, parts.backend_worker, parts.log_to
        )
        children.append(Child("audit", audit))
    return children
