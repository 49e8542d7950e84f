"""`trioetcd serve`: a member as a process.

Source: etcd server/etcdmain/etcd.go, server/embed/etcd.go, pkg/osutil/interrupt_unix.go.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import trio

from actors.cluster.initial import BadInitialCluster, check_bootstrap, check_join
from actors.kernel import describe
from trioetcd.cli import systemd
from trioetcd.cli.announce import announce, introduce, version_text
from trioetcd.cli.data_dir import BadDataDir, look_around
from trioetcd.cli.logs import BadOutput, LineLog, open_log
from trioetcd.config.help import USAGE, full_help
from trioetcd.config.load import load
from trioetcd.config.server import ServerConfig
from trioetcd.config.sources import ConfigError, HelpAsked, UsageError, VersionAsked
from trioetcd.discovery.discover import discover
from trioetcd.discovery.errors import DiscoveryError
from trioetcd.node.node import Node, open_node
from trioetcd.node.recovery import StartError
from trioetcd.node.serving import serve_node
from wire.names import SystemNames
from wire.network import RealNetwork

FATAL, MISUSED = 1, 2  # exit statuses
SIGNALS = (signal.SIGTERM, signal.SIGINT)
WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}  # Go's


def serve(arguments: Sequence[str]) -> int:
    """Run until a signal comes; returns the exit status, or dies by that signal as etcd does."""
    try:
        config = load(arguments, os.environ, lambda path: Path(path).read_text(encoding="utf-8"))
        log = open_log(config.log)
    except HelpAsked:
        sys.stdout.write(full_help())
        return 0
    except VersionAsked:
        sys.stdout.write(version_text())
        return 0
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return MISUSED
    except (ConfigError, BadOutput) as error:
        LineLog([sys.stderr]).warning("failed to verify flags", error=str(error))
        return FATAL
    introduce(config, log, arguments)
    try:
        look_around(config.node.data_dir or Path(), log)
        is_new = not _has_log(config)
        if is_new and not config.cluster.discovery.is_asked:
            check_beginning(config)
    except (ConfigError, BadInitialCluster, BadDataDir) as error:
        log.fatal("failed to start etcd", error=str(error))
        return FATAL
    announce(config, log, is_new)
    return run(config, log)


def check_beginning(config: ServerConfig) -> None:
    """Raises BadInitialCluster."""
    node = config.node
    if node.joins or config.cluster.discovery.is_asked:
        check_join(node.initial_cluster, node.name)
    else:
        check_bootstrap(node.initial_cluster, node.name, node.peer_urls)


def _has_log(config: ServerConfig) -> bool:
    """Whether the member has begun before; then nobody asks how it is to begin."""
    node = config.node
    directory = node.wal_dir or (node.data_dir or Path()) / "member" / "wal"
    return any(directory.glob("*.wal"))


def run(config: ServerConfig, log: LineLog) -> int:
    """Run the member; whatever ends it is said in one line."""
    received: list[signal.Signals] = []
    failed = False
    try:
        trio.run(_main, config, log, received)
    except* StartError as group:
        failed = True
        log.fatal("failed to start etcd", error=describe(group).removeprefix("StartError: "))
    except* Exception as group:
        failed = True
        log.fatal("member failed", error=describe(group))
    if failed:
        return FATAL
    return die_by(received[0]) if received else 0


async def _main(config: ServerConfig, log: LineLog, received: list[signal.Signals]) -> None:
    """Everything until a signal, and then the way out: last started, first stopped."""
    ready, stop = trio.Event(), trio.Event()
    with trio.open_signal_receiver(*SIGNALS) as arriving:
        async with trio.open_nursery() as nursery:

            async def stop_on_signal() -> None:
                number = signal.Signals(await anext(arriving))
                received.append(number)
                _die_by_the_next()
                log.info("received signal; shutting down", signal=WORDS[number])
                systemd.notify("STOPPING=1")
                stop.set()
                if not ready.is_set():  # nobody is served yet: nothing to finish
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_on_signal)
            if config.cluster.discovery.is_asked and not _has_log(config):
                config = await _discover(config, log)
            async with serve_node(config, log, open_node) as node:
                ready.set()
                systemd.notify("READY=1")
                nursery.start_soon(_stop_with, node, stop)
                await stop.wait()
            nursery.cancel_scope.cancel()
    log.info("closed etcd server", name=config.node.name, data_dir=str(config.node.data_dir))


async def _discover(config: ServerConfig, log: LineLog) -> ServerConfig:
    """Raises StartError."""
    try:
        network = RealNetwork(config.listen.reuse_port, reuse_address=True)
        found = await discover(config, network, SystemNames(), random.Random(), log)
        check_beginning(found)
    except (DiscoveryError, BadInitialCluster) as error:
        raise StartError(str(error)) from error
    return found


async def _stop_with(node: Node, stop: trio.Event) -> None:
    """A member that was removed from its cluster ends by itself."""
    await node.stopped.wait()
    stop.set()


def _die_by_the_next() -> None:
    """Whoever sends a second signal does not want to wait; the log on disk can take it."""
    is_init = os.getpid() == 1  # which the kernel spares the default action
    for number in SIGNALS:
        signal.signal(number, _exit_at_once if is_init else signal.SIG_DFL)


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def die_by(number: signal.Signals) -> int:
    """End as whoever sent the signal expects: by it, unless we are PID 1."""
    sys.stdout.flush()
    if os.getpid() == 1:
        return 0
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
