"""`trioetcd serve`: a member as a process.

Source: etcd server/etcdmain/etcd.go, server/embed/etcd.go.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from actors.kernel import describe
from trioetcd.cli import systemd
from trioetcd.cli.logs import BadOutput, LineLog, open_log
from trioetcd.config.server import ServerConfig, build
from trioetcd.config.sources import (
    ConfigError,
    Given,
    HelpAsked,
    UsageError,
    full_help,
    read_command_line,
    read_environment,
    read_file,
    short_usage,
)
from trioetcd.node.node import open_node
from trioetcd.node.recovery import StartError
from trioetcd.node.serving import serve_node
from wire.version import ETCD_VERSION

FATAL, USAGE = 1, 2  # exit statuses


def serve(arguments: Sequence[str]) -> int:
    """Run until a signal comes; returns the exit status, or dies by that signal as etcd does."""
    try:
        config = configure(arguments)
    except HelpAsked:
        sys.stdout.write(full_help())
        return 0
    except UsageError as error:
        sys.stderr.write(f"{error}\n{short_usage()}")
        return USAGE
    except ConfigError as error:
        LineLog([sys.stderr]).warning("failed to verify flags", error=str(error))
        return FATAL
    if config is None:
        return 0
    try:
        log = open_log(config.log)
    except BadOutput as error:
        sys.stderr.write(f"{error}\n")
        return FATAL
    return run(config, log)


def configure(arguments: Sequence[str]) -> ServerConfig | None:
    """The configuration; None if only the version was asked for, and shown."""
    values = read_command_line(arguments)
    if values.get("version"):
        python = ".".join(map(str, sys.version_info[:3]))
        sys.stdout.write(
            f"etcd Version: {ETCD_VERSION}\nGit SHA: trioetcd\nGo Version: none (Python {python})\n"
            f"Go OS/Arch: {sys.platform}/{os.uname().machine}\n"
        )
        return None
    name = values.get("config-file") or os.environ.get("ETCD_CONFIG_FILE")
    if name:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {name}: {error}") from error
        return build(Given(read_file(text, name)))
    found, warnings = read_environment(os.environ, values)
    return build(Given(found | values, warnings))


def run(config: ServerConfig, log: LineLog) -> int:
    """Run the member; whatever ends it is said in one line."""
    for warning in config.warnings:
        log.warning(warning)
    stopped_by: list[signal.Signals] = []
    failed = False
    try:
        trio.run(_main, config, log, stopped_by)
    except* StartError as group:
        failed = True
        log.fatal("failed to start etcd", error=describe(group).removeprefix("StartError: "))
    except* Exception as group:
        failed = True
        log.fatal("member failed", error=describe(group))
    if failed:
        return FATAL
    return _die_by(stopped_by[0]) if stopped_by else 0


async def _main(config: ServerConfig, log: LineLog, stopped_by: list[signal.Signals]) -> None:
    """Everything until a signal, and then the way out: last started, first stopped."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        log.info("starting an etcd server", etcd_version=ETCD_VERSION, name=config.node.name)
        async with trio.open_nursery() as nursery:

            async def stop_on_signal(arriving: AsyncIterator[int]) -> None:
                number = signal.Signals(await anext(arriving))
                stopped_by.append(number)
                log.info("received signal; shutting down", signal=number.name)
                systemd.notify("STOPPING=1")
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop_on_signal, signals)
            await _serve(config, log)
            nursery.cancel_scope.cancel()


async def _serve(config: ServerConfig, log: LineLog) -> None:
    async with serve_node(config, log, open_node):
        systemd.notify("READY=1")
        await trio.sleep_forever()


def _die_by(number: signal.Signals) -> int:
    """End as whoever sent the signal expects: by it, unless we are PID 1."""
    if os.getpid() == 1:
        return 0
    with _default_action(number):
        os.kill(os.getpid(), number)
    return 128 + number


@contextmanager
def _default_action(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
