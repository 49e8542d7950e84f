"""verify: whether a member's database holds what its log says."""

from __future__ import annotations

import json

from trioetcd.cli.pflag import Flag
from trioetcd.util.command import BAD_FEATURE, Command, Failed, Invocation
from trioetcd.util.data_dir import opened
from trioetcd.util.verification import verify
from wire.network import reason


def run_verify(said: Invocation) -> None:
    path = said.only_argument("verify requires exactly one argument, a data directory")
    if said.style not in ("simple", "json"):
        raise Failed(f"{said.style} not supported as output format", BAD_FEATURE)
    parsed = said.parsed
    with opened(said.disk, path, parsed.text("wal-dir")) as found:
        try:
            verdict = verify(
                said.disk,
                found.wal,
                found.snap,
                found.engine,
                since_snapshot=parsed.is_on("since-snapshot"),
                election_timeout=parsed.number("election-timeout") / 1000,
                heartbeat_interval=parsed.number("heartbeat-interval") / 1000,
            )
        except OSError as error:
            raise Failed(f"open {error.filename or path}: {reason(error)}") from error
    if said.style == "json":
        shown = {"ok": not verdict.fault_count, "notes": verdict.notes, "faults": verdict.faults}
        said.print(json.dumps({**shown, "faultCount": verdict.fault_count}) + "\n")
    else:
        said.print("".join(f"{note}\n" for note in verdict.notes))
    if verdict.fault_count:
        named = "\n       ".join(verdict.faults)
        more = verdict.fault_count - len(verdict.faults)
        raise Failed(f"{named}{f' and {more} more' if more else ''}")
    if said.style == "simple":
        said.print(f"{path} is whole\n")


COMMANDS = [
    Command(
        ("verify",),
        "Replays a member's log and compares with its database",
        run_verify,
        "<data dir>",
        {
            "wal-dir": Flag("", "The directory of the log, if it is not in the data directory"),
            "since-snapshot": Flag(False, "Replay only what came after the newest snapshot"),
            "heartbeat-interval": Flag(100, "The member's, in milliseconds"),
            "election-timeout": Flag(1000, "The member's, in milliseconds"),
        },
    )
]
