#!/usr/bin/env python3
"""Run whole clusters under faults, from seeds, for as long as you have patience.

    python scripts/simulate.py --seeds 5000                   # three members
    python scripts/simulate.py --seeds 5000 --members 1 --jobs 4
    python scripts/simulate.py --seed 48213 --trace           # one again, line by line

Prints the seeds that break a promise (see trioetcd/testing/verdict.py); exits 1 if there are any.
A seed means the same run only with the same code and the same options.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trioetcd.testing.simulation import Outcome, Scenario, simulate
from trioetcd.testing.trace import Trace

REPORT_EVERY = 10.0  # seconds
WORDS = 1000  # characters of a failure's message that are shown


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = Scenario()
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--members", type=int, default=usual.members)
    parser.add_argument("--clients", type=int, default=usual.clients)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="simulated")
    parser.add_argument("--trouble", type=float, default=usual.trouble, help="mean pause; 0: none")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--trace", action="store_true", help="show what happens")
    return parser.parse_args()


def scenario_of(options: argparse.Namespace) -> Scenario:
    return Scenario(
        members=options.members,
        clients=options.clients,
        seconds=options.seconds,
        trouble=options.trouble or None,
    )


def attempt(seed: int, scenario: Scenario, *, trace: bool = False) -> Outcome | str:
    """The outcome, or what is wrong, in words."""
    try:
        return simulate(seed, scenario, Trace(print) if trace else None)
    except Exception as error:
        return f"seed {seed}: {in_short(error)}"


def in_short(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:WORDS]


def campaign(seeds: range, scenario: Scenario, jobs: int) -> int:
    """Run them all; how many failed."""
    started = reported = time.monotonic()
    failed = operations = 0
    disturbances: Counter[str] = Counter()
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=200) as pool:
        outcomes = pool.imap_unordered(partial(attempt, scenario=scenario), seeds)
        for done, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, str):
                failed += 1
                print(outcome, flush=True)
            else:
                operations += outcome.operations
                disturbances.update(outcome.disturbances)
            now = time.monotonic()
            if now - reported > REPORT_EVERY or done == len(seeds):
                reported = now
                print(
                    f"{done} seeds in {now - started:.0f} s, {failed} failed; "
                    f"{operations} operations; {dict(disturbances)}",
                    flush=True,
                )
    return failed


def main() -> None:
    options = arguments()
    scenario = scenario_of(options)
    if options.seed is None:
        seeds = range(options.first, options.first + options.seeds)
        sys.exit(1 if campaign(seeds, scenario, options.jobs) else 0)
    outcome = attempt(options.seed, scenario, trace=options.trace)
    print(outcome)
    sys.exit(1 if isinstance(outcome, str) else 0)


if __name__ == "__main__":
    main()
