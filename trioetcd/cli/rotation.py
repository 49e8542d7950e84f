"""A log file that is put aside when it has grown, as etcd does with lumberjack.

`etcd.log` becomes `etcd-2026-01-02T03-04-05.678.log`, with `.gz` behind if it is compressed.
Source: gopkg.in/natefinch/lumberjack.v2.
"""

from __future__ import annotations

import datetime
import gzip
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trioetcd.config.log import Rotation

_STAMP = "%Y-%m-%dT%H-%M-%S"
_STAMPED = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}"


class RotatingFile:
    """Appends whole lines to a file; begins a new one when a line would not fit any more."""

    def __init__(
        self,
        path: Path,
        rotation: Rotation,
        now: Callable[[], datetime.datetime],
        beside: Callable[[Callable[[], None]], None],
    ) -> None:
        """`now` answers with a time in UTC; `beside` runs a function that takes seconds.

        Raises:
            OSError: the file cannot be written to.
        """
        self._path = path
        self._rotation = rotation
        self._now = now
        self._beside = beside
        self._file = open(path, "ab")  # noqa: SIM115
        self._size = os.fstat(self._file.fileno()).st_size

    def write(self, text: str) -> int:
        data = text.encode()
        if self._size and self._size + len(data) > self._rotation.max_bytes:
            with suppress(OSError):  # then it grows; a line too many is better than one lost
                self._rotate()
        self._file.write(data)
        self._size += len(data)
        return len(text)

    def flush(self) -> None:
        self._file.flush()

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        now = self._now()
        aside = self._aside(now)
        os.replace(self._path, aside)
        full, self._file = self._file, open(self._path, "ab")  # noqa: SIM115
        self._size = 0
        full.close()
        self._beside(lambda: self._tidy(aside, now))

    def _tidy(self, aside: Path, now: datetime.datetime) -> None:
        with suppress(OSError):  # perhaps an earlier call has deleted it already
            if self._rotation.compress:
                _compress(aside)
            self._forget(now)

    def _aside(self, now: datetime.datetime) -> Path:
        shown = now.astimezone() if self._rotation.local_time else now
        stamp = f"{shown.strftime(_STAMP)}.{shown.microsecond // 1000:03}"
        return self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")

    def _forget(self, now: datetime.datetime) -> None:
        """Delete the files that are too many or too old; newest first by their names."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        ours = re.compile(rf"{stem}-{_STAMPED}{suffix}(\.gz)?")
        files = sorted(self._path.parent.iterdir(), reverse=True)
        backups = [path for path in files if ours.fullmatch(path.name)]
        for place, path in enumerate(backups):
            too_many = 0 < self._rotation.max_backups <= place
            with suppress(OSError):
                age = now.timestamp() - path.stat().st_mtime
                if too_many or 0 < self._rotation.max_age < age:
                    path.unlink()


def _compress(path: Path) -> None:
    """In a whole or not at all: the plain file goes last."""
    packed = path.with_name(f"{path.name}.gz")
    with open(path, "rb") as plain, gzip.open(packed, "wb") as writing:
        shutil.copyfileobj(plain, writing)
    path.unlink()
