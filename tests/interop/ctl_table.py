"""What two programs print, command by command: the same, or why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.interop.ctl_differences import differences, reason_of
from tests.interop.ctl_terminals import Etcdctl, OldEtcdctl, Ours, Printed, transcript
from tests.interop.ctl_words import FORMATS

TERMINALS = {"3.5": Etcdctl, "3.4": OldEtcdctl}  # of etcdctl, by its version


class Row(NamedTuple):
    theirs: Printed
    ours: Printed
    reason: str  # why they differ; empty: they do not, or must not

    @property
    def command(self) -> str:
        return self.theirs.typed.command

    @property
    def is_equal(self) -> bool:
        return self.theirs == self.ours

    @property
    def is_wrong(self) -> bool:
        """They differ, and nothing says that they may."""
        return not self.is_equal and not self.reason


class Table(NamedTuple):
    kind: str  # of the server
    version: str  # of etcdctl
    rows: Sequence[Row]

    def counts(self) -> Counter[str]:
        """Commands, by the reason why they differ; the empty one's are equal."""
        return Counter("" if row.is_equal else row.reason or "WRONG" for row in self.rows)

    def idle(self) -> list[str]:
        """Differences that are none any more."""
        used = {row.reason for row in self.rows if not row.is_equal}
        return [
            one.reason for one in differences(self.version, self.kind) if one.reason not in used
        ]


def compare(
    kind: str, version: str, home: Path, formats: Sequence[str] = FORMATS, *, whole: bool = True
) -> Table:
    """Both programs at once, each at a fresh server of the same kind."""
    with ThreadPoolExecutor(1) as pool:
        run = partial(transcript, kind, formats=formats, whole=whole)
        theirs = pool.submit(run, home / "etcdctl", TERMINALS[version])
        ours = run(home / "ours", Ours)
        pairs = zip(theirs.result(), ours, strict=True)
    rows = [Row(*pair, reason_of(pair[0].typed.command, version, kind)) for pair in pairs]
    return Table(kind, version, rows)
