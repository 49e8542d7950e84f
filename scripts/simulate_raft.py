#!/usr/bin/env python3
"""Run random schedules of the raft core, for as long as you have patience.

    python scripts/simulate_raft.py --seeds 10000 --voters 3 5 7
    python scripts/simulate_raft.py --seed 48213 --voters 5 --trace     # one, step by step

Prints the seeds that break a promise (see tests/raft/safety.py); exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.raft.simulation import STEPS, run_schedule

REPORT_EVERY = 10.0  # seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--voters", type=int, nargs="+", default=[3, 5, 7])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"per schedule ({STEPS})")
    parser.add_argument("--trace", action="store_true", help="show what happens")
    return parser.parse_args()


def campaign(seeds: range, voters: list[int], steps: int, *, trace: bool = False) -> list[str]:
    """Run every schedule; a line for each that failed."""
    failures: list[str] = []
    started = reported = time.monotonic()
    for seed in seeds:
        for count in voters:
            try:
                run_schedule(seed, count, steps, print if trace else None)
            except Exception as error:
                failures.append(f"seed {seed}, {count} voters: {type(error).__name__}: {error}")
                print(failures[-1], flush=True)
        if time.monotonic() - reported > REPORT_EVERY:
            reported = time.monotonic()
            done = (seed - seeds.start + 1) * len(voters)
            print(f"{done} schedules in {reported - started:.0f} s, {len(failures)} failed")
    return failures


def main() -> None:
    options = arguments()
    first = options.first if options.seed is None else options.seed
    seeds = range(first, first + (options.seeds if options.seed is None else 1))
    failures = campaign(seeds, options.voters, options.steps, trace=options.trace)
    print(f"{len(seeds) * len(options.voters)} schedules, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
