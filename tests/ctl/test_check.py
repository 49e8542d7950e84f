"""check perf and check datascale, by a clock that does not wait."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.ctl.terminal import open_terminal
from trioetcd.ctl.commands import check
from trioetcd.ctl.load import Load, Open, Write, scattered
from wire.errors import EtcdError, NoSpace

PASSED = re.compile(
    r"PASS: Throughput is (\d+) writes/s\n"
    r"PASS: Slowest request took 0\.\d{6}s\n"
    r"PASS: Stddev is 0\.\d{6}s\n"
    r"PASS\n"
)


@pytest.fixture
def few_writes(monkeypatch):
    monkeypatch.setitem(check.PERFORMANCE, "s", check.Model(10, 5))


async def test_a_cluster_that_keeps_up_passes_and_is_left_clean(autojump_clock):
    async with open_terminal() as terminal:
        done = await terminal.run("check", "perf")
        assert done.status == 0, done
        found = PASSED.fullmatch(done.out)
        assert found, done.out
        assert int(found[1]) == 150
        assert (await terminal.run("get", "", "--prefix")).out == ""


async def test_it_compacts_and_defragments_afterwards_if_told_to(few_writes, autojump_clock):
    async with open_terminal() as terminal:
        done = await terminal.run("check", "perf", "--auto-compact", "--auto-defrag")
        assert done.status == 0, done
        lines = done.out.splitlines()
        revision = lines[0].removeprefix("Compacting with revision ")
        assert lines[1:4] == [
            f"Compacted with revision {revision}",
            'Defragmenting "127.0.0.1:2379"',
            'Defragmented "127.0.0.1:2379"',
        ]
        old = await terminal.run("get", "a", f"--rev={int(revision) - 1}")
        assert old.err == ("Error: etcdserver: mvcc: required revision has been compacted\n"), (
            "not compacted"
        )


async def test_a_terminal_is_shown_how_far_it_is(few_writes, autojump_clock):
    async with open_terminal(is_terminal=True) as terminal:
        done = await terminal.run("check", "perf")
        drawn = done.out.split("\n")[0].split("\r")
        assert len(drawn) > 50
        assert drawn[-1].startswith("60 / 60 ")
        assert drawn[-1].endswith("100.00%")


@pytest.mark.parametrize(
    ("words", "status", "err"),
    [
        (("perf", "--load=huge"), 4, "Error: unknown load option huge\n"),
        (("datascale", "--load=huge"), 4, "Error: unknown load option huge\n"),
        (
            ("perf", "--prefix=a/"),
            3,
            "Error: prefix \"a/\" has keys. Delete with 'etcdctl del --prefix a/' first\n",
        ),
        (
            ("datascale", "--prefix=a/"),
            3,
            'Error: prefix "a/" has keys. Delete with etcdctl del --prefix a/ first\n',
        ),
    ],
)
async def test_what_cannot_be_checked_is_said(words, status: int, err: str, autojump_clock):
    async with open_terminal() as terminal:
        await terminal.run("put", "a/1", "mine")
        assert await terminal.run("check", *words) == (status, "", err)
        assert (await terminal.run("get", "a/1")).out == "a/1\nmine\n"


async def test_a_scale_check_reads_the_members_memory(monkeypatch, autojump_clock):
    monkeypatch.setitem(check.SCALE, "s", check.Model(500, 10))
    async with open_terminal() as terminal:
        done = await terminal.run("check", "datascale", "--auto-compact")
        assert done.status == 0, done
        lines = done.out.splitlines()
        assert lines[0] == (
            "Start data scale check for work load [500 key-value pairs, 1024 bytes per key-value, "
            "10 concurrent clients]."
        )
        assert lines[2] == "Compacted with revision 502"
        assert re.fullmatch(r"PASS: Approximate system memory used : -?\d+\.\d\d MB\.", lines[3])
        assert (await terminal.run("get", "", "--prefix")).out == ""


def opened(write: Write) -> Open:
    @asynccontextmanager
    async def open_writer() -> AsyncIterator[Write]:
        yield write

    return open_writer


async def test_writers_that_are_too_slow_lower_the_rate_and_nothing_piles_up(autojump_clock):
    async def write(number: int) -> None:
        await trio.sleep(0.1)

    report = await Load(opened(write), 5).run_for(10, rate=1000)
    assert 49 <= report.rate <= 51
    assert report.slowest == pytest.approx(0.1)
    assert report.deviation == pytest.approx(0.0)


async def test_errors_are_counted_by_their_words(autojump_clock):
    async def write(number: int) -> None:
        if number % 3 == 0:
            raise NoSpace

    report = await Load(opened(write), 2).run_all(9)
    assert dict(report.errors) == {str(NoSpace()): 3}
    assert len(report.seconds) == 6


async def test_a_load_that_is_stopped_ends_with_what_was_seen(autojump_clock):
    async def write(number: int) -> None:
        if number == 20:
            load.stop()

    load = Load(opened(write), 1)
    report = await load.run_for(60, rate=10)
    assert report.total == pytest.approx(2.0, abs=0.2)
    assert len(report.seconds) == 21


async def test_a_writer_that_cannot_begin_ends_it_all():
    @asynccontextmanager
    async def open_writer() -> AsyncIterator[Write]:
        raise NoSpace
        yield  # type: ignore[unreachable]

    with pytest.raises(NoSpace):
        await Load(open_writer, 3).run_all(9)


async def test_the_largest_load_has_a_thousand_clients(monkeypatch, autojump_clock):
    monkeypatch.setattr(check, "CHECK_SECONDS", 2)
    monkeypatch.setitem(check.PERFORMANCE, "xl", check.Model(1500, 1000))
    async with open_terminal() as terminal:
        done = await terminal.run("check", "perf", "--load=xLarge")
        assert done.status == 0, done


def test_scattered_numbers_are_all_different():
    found = [scattered(number) for number in range(100_000)]
    assert len(set(found)) == len(found)
    assert found != sorted(found)
    assert issubclass(NoSpace, EtcdError)
