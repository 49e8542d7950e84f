"""check perf and check datascale: whether a cluster bears a load.

Source: etcd etcdctl/ctlv3/command/check.go, util.go (compact, defrag, endpointMemoryMetrics).
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from trioetcd.beside import beside
from trioetcd.cli.pflag import Flag
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.errors import CommandFailed, Exit, words
from trioetcd.ctl.load import Load, Open, Report, Write, scattered
from trioetcd.ctl.metrics_page import NoMetrics, resident_bytes
from trioetcd.ctl.progress import Bar
from trioetcd.ctl.session import TIMED_OUT, Session
from wire.errors import EtcdError, Refused
from wire.pb import etcdserverpb
from wire.status import Status
from wire.varint import encode

WRITE_SECONDS = 10.0  # for an answer; nobody waits for one that takes longer
CLEANUP_SECONDS = 30.0  # for each of deleting, compacting and defragmenting
CHECK_SECONDS = 60  # a performance check takes
SLOWEST, DEVIATION = 0.5, 0.1  # seconds; more is too much
ENOUGH = 0.9  # of the writes a second that were asked for
KEY_BYTES, VALUE_BYTES = 256, 1024
SCALE_KEY_BYTES, SCALE_VALUE_BYTES = 512, 512


@dataclass(frozen=True)
class Model:
    writes: int  # a second, or in all
    clients: int


PERFORMANCE = {
    "s": Model(150, 50),
    "m": Model(1000, 200),
    "l": Model(8000, 500),
    "xl": Model(15000, 1000),
}
SCALE = {
    "s": Model(10_000, 50),
    "m": Model(100_000, 200),
    "l": Model(1_000_000, 500),
    "xl": Model(3_000_000, 1000),
}
_LONG_NAMES = {"small": "s", "medium": "m", "large": "l", "xLarge": "xl"}


def model_of(said: Invocation, models: dict[str, Model]) -> Model:
    """Raises CommandFailed."""
    name = said.parsed.text("load")
    model = models.get(_LONG_NAMES.get(name, name))
    if model is None:
        raise CommandFailed(f"unknown load option {name}", Exit.BAD_FEATURE)
    return model


# perf


async def perf(said: Invocation) -> None:
    model = model_of(said, PERFORMANCE)
    await _must_be_empty(said, "'")
    load = Load(_writer(said, KEY_BYTES, VALUE_BYTES), model.clients)
    await _under_load(said.session, load, model)
    await _clean_up(said)
    _show_verdict(said, load.report, model)


async def _under_load(session: Session, load: Load, model: Model) -> None:
    """Until time is up, or an interrupt: what was seen so far then counts."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:

        async def stop_when_interrupted() -> None:
            async for _ in signals:
                load.stop()

        async def tick() -> None:
            with Bar(session.console, CHECK_SECONDS) as bar:
                for _ in range(CHECK_SECONDS):
                    await trio.sleep(1)
                    bar.advance()

        async with beside(stop_when_interrupted, tick):
            await load.run_for(CHECK_SECONDS, model.writes)


def _show_verdict(said: Invocation, report: Report, model: Model) -> None:
    """Raises CommandFailed: it did not pass."""
    say = said.session.console.print
    passed = not _show_errors(said, report)
    rate = int(report.rate) + 1
    if report.rate / model.writes <= ENOUGH:
        passed = False
        say(f"FAIL: Throughput too low: {rate} writes/s\n")
    else:
        say(f"PASS: Throughput is {rate} writes/s\n")
    if report.slowest > SLOWEST:
        passed = False
        say(f"Slowest request took too long: {report.slowest:f}s\n")
    else:
        say(f"PASS: Slowest request took {report.slowest:f}s\n")
    if report.deviation > DEVIATION:
        passed = False
        say(f"Stddev too high: {report.deviation:f}s\n")
    else:
        say(f"PASS: Stddev is {report.deviation:f}s\n")
    say("PASS\n" if passed else "FAIL\n")
    if not passed:
        raise CommandFailed("", Exit.ERROR)


def _show_errors(said: Invocation, report: Report) -> bool:
    """Whether there were any."""
    if report.errors:
        said.session.console.print("FAIL: too many errors\n")
    for text, times in report.errors.items():
        said.session.console.print(f"FAIL: ERROR({text}) -> {times}\n")
    return bool(report.errors)


# datascale


async def data_scale(said: Invocation) -> None:
    model = model_of(said, SCALE)
    await _must_be_empty(said, "")
    before = await _resident(said, "before")
    size = SCALE_KEY_BYTES + SCALE_VALUE_BYTES
    said.session.console.print(
        f"Start data scale check for work load [{model.writes} key-value pairs, "
        f"{size} bytes per key-value, {model.clients} concurrent clients].\n"
    )
    with Bar(said.session.console, model.writes) as bar:
        writer = _writer(said, SCALE_KEY_BYTES, SCALE_VALUE_BYTES, bar.advance)
        report = await Load(writer, model.clients).run_all(model.writes)
    after = await _resident(said, "after")
    await _clean_up(said)
    if _show_errors(said, report):
        raise CommandFailed("", Exit.ERROR)
    used = (after - before) / (1 << 20)
    said.session.console.print(f"PASS: Approximate system memory used : {used:.2f} MB.\n")


async def _resident(said: Invocation, when: str) -> float:
    """Of the first endpoint.  Raises CommandFailed."""
    session = said.session
    try:
        return await resident_bytes(session.access, session.endpoints[0], session.network)
    except NoMetrics as error:
        session.console.print(
            f"{error}\nFAIL: Could not read process_resident_memory_bytes {when} the put "
            "operations.\n"
        )
        raise CommandFailed("", Exit.ERROR) from error


# Before and after


def _writer(
    said: Invocation, key_bytes: int, value_bytes: int, done: Callable[[], None] | None = None
) -> Open:
    """Each has a connection of its own, that is there before it begins."""
    prefix, value = encoded(said.parsed.text("prefix")), bytes(value_bytes)

    @asynccontextmanager
    async def open_writer() -> AsyncIterator[Write]:
        async with said.session.another_client() as client:

            async def write(number: int) -> None:
                key = prefix + encode(scattered(number) << 1).ljust(key_bytes, b"\0")
                try:
                    with trio.fail_after(WRITE_SECONDS):
                        await client.put(key, value)
                except trio.TooSlowError as error:
                    raise Refused(Status.DEADLINE_EXCEEDED, TIMED_OUT) from error
                finally:
                    if done is not None:
                        done()

            with said.session.limit():
                await client.get(prefix or b"\0")
            yield write

    return open_writer


async def _must_be_empty(said: Invocation, quote: str) -> None:
    """Raises CommandFailed."""
    prefix = said.parsed.text("prefix")
    client = await said.session.client()
    with said.session.limit():
        found = await client.get_prefix(encoded(prefix), limit=1)
    if found.items:
        text = (
            f'prefix "{prefix}" has keys. Delete with '
            f"{quote}etcdctl del --prefix {prefix}{quote} first"
        )
        raise CommandFailed(text, Exit.INVALID_INPUT)


async def _clean_up(said: Invocation) -> None:
    """Delete what was written; compact and defragment, if that is asked for."""
    client = await said.session.client()
    try:
        with trio.fail_after(CLEANUP_SECONDS):
            gone = await client.delete_prefix(encoded(said.parsed.text("prefix")))
    except (EtcdError, trio.TooSlowError) as error:
        why = words(error) if isinstance(error, EtcdError) else TIMED_OUT
        said.session.console.print(f"FAIL: Cleanup failed during key deletion: ERROR({why})\n")
    else:
        await _compact(said, gone.revision)
    if said.parsed.is_on("auto-defrag"):
        await _defragment(said)


async def _compact(said: Invocation, revision: int) -> None:
    if said.parsed.is_on("auto-compact"):
        client = await said.session.client()
        said.session.console.print(f"Compacting with revision {revision}\n")
        with said.session.limit(CLEANUP_SECONDS):
            await client.compact(revision, physical=True)
        said.session.console.print(f"Compacted with revision {revision}\n")


async def _defragment(said: Invocation) -> None:
    for endpoint in said.session.endpoints:
        said.session.console.print(f'Defragmenting "{endpoint}"\n')
        await said.session.call_at(
            endpoint,
            "/etcdserverpb.Maintenance/Defragment",
            etcdserverpb.DefragmentRequest(),
            etcdserverpb.DefragmentResponse,
            seconds=CLEANUP_SECONDS,
        )
        said.session.console.print(f'Defragmented "{endpoint}"\n')


def _flags(check: str, prefix: str, more: str) -> dict[str, Flag]:
    return {
        "load": Flag(
            "s",
            f"The {check} check's workload model. Accepted workloads: s(small), m(medium), "
            f"l(large), xl(xLarge){more}",
        ),
        "prefix": Flag(prefix, f"The prefix for writing the {check} check's keys."),
        "auto-compact": Flag(False, "Compact storage with last revision after test is finished."),
        "auto-defrag": Flag(False, "Defragment storage after test is finished."),
    }


COMMANDS = [
    Command(
        ("check",),
        "commands for checking properties of the etcd cluster",
        usage="<subcommand>",
    ),
    Command(
        ("check", "datascale"),
        "Check the memory usage of holding data for different workloads on a given server "
        "endpoint.",
        data_scale,
        "[options]",
        "If no endpoint is provided, localhost will be used. If multiple endpoints are provided, "
        "first endpoint will be used.",
        _flags("datascale", "/etcdctl-check-datascale/", ""),
    ),
    Command(
        ("check", "perf"),
        "Check the performance of the etcd cluster",
        perf,
        "[options]",
        "Writes for 60 seconds; 256 bytes of key, 1024 of value.  Writes a second, and clients:\n"
        "s 150, 50; m 1000, 200; l 8000, 500; xl 15000, 1000.",
        _flags("performance", "/etcdctl-check-perf/", ""),
    ),
]
