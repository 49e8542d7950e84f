"""Compare trioetcd with Go's etcd 3.4.23 and 3.5.1 under the same random traffic.

    python scripts/differential.py                      # 100,000 calls
    python scripts/differential.py --calls 5000 --seed 7
    python scripts/differential.py --people --calls 20000   # with users, roles and permissions

Prints what was called, every mismatch, and where a rule newer than 3.5.1 was followed; the list
of those rules is tests/interop/differential/rules.py.  Exits with 1 if there was a mismatch.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.interop.differential.people import People
from tests.interop.differential.run import Differential, servers
from tests.interop.differential.scenes import SCENES

BETWEEN_SCENES = 10_000  # calls


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--people", action="store_true", help="calls of users, all of them")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    if options.people:
        return run_people(options.calls, options.seed)
    with tempfile.TemporaryDirectory() as directory, servers(Path(directory)) as running:
        addresses = {kind: server.address for kind, server in running.items()}
        differential = Differential(addresses, options.seed)
        try:
            while differential.report.calls < options.calls:
                differential.run(min(BETWEEN_SCENES, options.calls))
                for scene in SCENES:
                    scene(differential)
                print(differential.report.headline, flush=True)
        finally:
            differential.close()
    print(differential.report)
    return 1 if differential.report.mismatch_count else 0


def run_people(calls: int, seed: int) -> int:
    with (
        tempfile.TemporaryDirectory() as directory,
        servers(Path(directory), ["--bcrypt-cost=4"]) as running,
    ):
        people = People({kind: server.address for kind, server in running.items()}, seed)
        try:
            report = people.run(calls)
        finally:
            people.close()
    print(report)
    return 1 if report.mismatch_count else 0


if __name__ == "__main__":
    sys.exit(main())
