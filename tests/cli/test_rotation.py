"""A log file that is put aside when it has grown."""

from __future__ import annotations

import datetime
import gzip
import os
from collections.abc import Callable
from pathlib import Path

from trioetcd.cli.rotation import RotatingFile
from trioetcd.config.log import DAY, Rotation

START = datetime.datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=datetime.UTC)
STAMP = "2026-01-02T03-04-05.678"


class Clock:
    """Goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime.datetime:
        self.now += datetime.timedelta(seconds=1)
        return self.now - datetime.timedelta(seconds=1)


def at_once(function: Callable[[], None]) -> None:
    function()


def opened(path: Path, **settings: int | bool) -> RotatingFile:
    return RotatingFile(path, Rotation(**({"max_bytes": 10} | settings)), Clock(), at_once)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_a_full_file_is_put_aside_under_the_time_and_a_new_one_begun(tmp_path: Path):
    log = opened(tmp_path / "etcd.log")
    log.write("12345678\n")
    log.write("abc\n")
    log.flush()
    assert names(tmp_path) == [f"etcd-{STAMP}.log", "etcd.log"]
    assert (tmp_path / f"etcd-{STAMP}.log").read_text() == "12345678\n"
    assert (tmp_path / "etcd.log").read_text() == "abc\n"


def test_lines_that_fit_exactly_stay_in_one_file(tmp_path: Path):
    log = opened(tmp_path / "log")
    log.write("1234\n")
    log.write("6789\n")
    log.flush()
    assert names(tmp_path) == ["log"]


def test_a_line_longer_than_a_file_has_one_to_itself(tmp_path: Path):
    log = opened(tmp_path / "log")
    log.write("x" * 50 + "\n")
    log.flush()
    assert names(tmp_path) == ["log"]


def test_what_was_there_before_counts(tmp_path: Path):
    (tmp_path / "log").write_text("123456789\n")
    log = opened(tmp_path / "log")
    log.write("a\n")
    log.flush()
    assert (tmp_path / "log").read_text() == "a\n"
    assert len(names(tmp_path)) == 2


def test_the_oldest_files_too_many_are_deleted(tmp_path: Path):
    log = opened(tmp_path / "log", max_backups=2)
    for number in range(6):
        log.write(f"{number:09}\n")
    log.flush()
    *kept, current = [tmp_path / name for name in names(tmp_path)][-3:]
    assert len(names(tmp_path)) == 3
    assert current.name.startswith("log-")
    assert [path.read_text() for path in (*kept, current)] == [
        "000000005\n",
        "000000003\n",
        "000000004\n",
    ]


def test_files_too_old_are_deleted_and_foreign_ones_are_not(tmp_path: Path):
    old = tmp_path / "log-2025-01-01T00-00-00.000"
    foreign = tmp_path / "log-of-something-else"
    for path in (old, foreign):
        path.write_text("x")
        os.utime(path, (0, 0))
    log = opened(tmp_path / "log", max_age=DAY)
    log.write("123456789\n")
    os.utime(tmp_path / "log", (START.timestamp(), START.timestamp()))
    log.write("a\n")
    assert names(tmp_path) == ["log", f"log-{STAMP}", "log-of-something-else"]


def test_a_file_put_aside_may_be_compressed(tmp_path: Path):
    log = opened(tmp_path / "log", compress=True)
    log.write("123456789\n")
    log.write("a\n")
    log.flush()
    assert names(tmp_path) == ["log", f"log-{STAMP}.gz"]
    with gzip.open(tmp_path / f"log-{STAMP}.gz", "rt") as packed:
        assert packed.read() == "123456789\n"


def test_compressing_is_done_beside_and_loses_nothing_if_it_is_late(tmp_path: Path):
    later: list[Callable[[], None]] = []
    rotation = Rotation(max_bytes=10, compress=True, max_backups=1)
    log = RotatingFile(tmp_path / "log", rotation, Clock(), later.append)
    for number in range(4):
        log.write(f"{number:09}\n")
    log.flush()
    assert len(names(tmp_path)) == 4
    for tidy in reversed(later):  # the last deletes what the others were to compress
        tidy()
    assert len(names(tmp_path)) == 2
    with gzip.open(tmp_path / names(tmp_path)[1], "rt") as packed:
        assert packed.read() == "000000002\n"


def test_a_file_that_cannot_be_put_aside_grows(tmp_path: Path):
    directory = tmp_path / "logs"
    directory.mkdir()
    log = opened(directory / "log")
    log.write("123456789\n")
    (directory / "log").rename(tmp_path / "taken-away")
    log.write("a\n")
    log.flush()
    assert (tmp_path / "taken-away").read_text() == "123456789\na\n"


def test_a_line_is_measured_in_bytes(tmp_path: Path):
    log = opened(tmp_path / "log")
    log.write("ééé\n")
    log.write("ééé\n")
    log.flush()
    log.close()
    assert len(names(tmp_path)) == 2
