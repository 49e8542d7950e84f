"""wal dump: what stands in a member's log, of trioetcd or of Go's etcd."""

from __future__ import annotations

from collections import Counter

from actors.wal.scan import LogCorrupt
from actors.wal.segments import SegmentsBroken
from trioetcd.cli.pflag import Flag
from trioetcd.util.command import BAD_FEATURE, Command, Failed, Invocation
from trioetcd.util.data_dir import listed, places
from trioetcd.util.log_text import Line, lines

DUMP = {
    "start-index": Flag(0, "The first entry to be shown"),
    "end-index": Flag(0, "The last entry to be shown (0: the last there is)"),
    "type": Flag((), "Only entries with these requests (put, txn, lease_grant, conf change, ...)"),
    "entries-only": Flag(False, "Leave out hard states, checksums and the like"),
    "values": Flag(False, "Show values, too, and not only their sizes"),
}


def dump(said: Invocation) -> None:
    given = said.only_argument("wal dump requires a data directory, or that of a log")
    if said.style not in ("simple", "json"):
        raise Failed(f"{said.style} not supported as output format", BAD_FEATURE)
    directory = _log_of(said, given)
    counts: Counter[str] = Counter()
    last = 0
    try:
        for line in lines(said.disk, directory, values=said.parsed.is_on("values")):
            last = max(last, line.index)
            if _is_wanted(said, line):
                counts[line.what or line.kind] += 1
                said.print((line.in_json() if said.style == "json" else line.in_words()) + "\n")
    except (LogCorrupt, SegmentsBroken) as error:
        raise Failed(str(error)) from error
    if said.style == "simple":
        shown = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        said.print(f"the log ends at index {last}; shown: {shown or 'nothing'}\n")


def _log_of(said: Invocation, given: str) -> str:
    """Raises Failed."""
    if any(name.endswith(".wal") for name in listed(said.disk, given)):
        return given.rstrip("/")
    directory = places(given)[1]
    if not any(name.endswith(".wal") for name in listed(said.disk, directory)):
        raise Failed(f"no log in {given}, nor in {directory}")
    return directory


def _is_wanted(said: Invocation, line: Line) -> bool:
    parsed = said.parsed
    kinds = parsed.values["type"]
    if line.kind != "entry":
        return not (kinds or parsed.is_on("entries-only"))
    if line.index < parsed.number("start-index"):
        return False
    end = parsed.number("end-index")
    if end and line.index > end:
        return False
    return not kinds or line.what in kinds  # type: ignore[operator]


COMMANDS = [
    Command(
        ("wal", "dump"),
        "Shows what stands in a member's log, an entry a line",
        dump,
        "<data dir or log dir>",
        DUMP,
    )
]
