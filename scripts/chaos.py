"""Hurt a cluster of processes while clients use it, and judge what they were told.

    python scripts/chaos.py                                # every case, a few rounds
    python scripts/chaos.py kill-leader --rounds 50
    python scripts/chaos.py cut lost --server etcd-3.5.1   # cases by the start of their names

Prints a line a case; the exit status is the number of cases that failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.processes import KINDS  # noqa: E402
from tests.system.cases import Case, cases  # noqa: E402
from tests.system.cluster import cluster_of  # noqa: E402
from tests.system.load import Load, load_on  # noqa: E402

SIZES = {"grow": 1}  # members to begin with
OWN_CLIENTS = {"big-snapshot"}  # cases whose clients are judged by how long they wait
SMALL_LOG = ["--snapshot-count=100"]
SMALL_LOG_HERE = [*SMALL_LOG, "--snapshot-catchup-entries=50"]


async def run(name: str, case: Case, options: argparse.Namespace) -> str:
    """One case on a cluster of its own.  Returns its figures; raises whatever is wrong."""
    with tempfile.TemporaryDirectory(prefix=".chaos-", dir=options.directory) as home:
        flags: list[str] = []
        if name.startswith("snapshot"):
            flags = SMALL_LOG_HERE if options.server == "trioetcd" else SMALL_LOG
        elif name.startswith("big"):
            flags = [f"--quota-backend-bytes={4 << 30}"]
        line = ""
        async with cluster_of(options.server, Path(home), SIZES.get(name, 3), flags) as cluster:
            rng = random.Random(options.seed)
            if name in OWN_CLIENTS:
                return await case(cluster, Load(cluster, options.seed), rng)
            async with load_on(cluster, options.seed) as load:
                line = await case(cluster, load, rng)
                await load.judge()
                line += f"; {len(load.done)} operations judged"
        return line


def shown(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(shown(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"[:2000]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", help="names, or how they begin; all if none")
    parser.add_argument("--server", choices=KINDS, default="trioetcd")
    parser.add_argument("--rounds", type=int, default=5, help="of the cases that repeat")
    parser.add_argument("--seconds", type=float, default=60.0, help="of `long-cut`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=str(ROOT), help="disk to run on")
    options = parser.parse_args()
    every = cases(options.rounds, options.seconds)
    chosen = {
        name: case
        for name, case in every.items()
        if not options.cases or any(name.startswith(start) for start in options.cases)
    }
    failures = 0
    for name, case in chosen.items():
        began = time.perf_counter()
        try:
            line = trio.run(run, name, case, options)
        except Exception as error:
            failures += 1
            line = f"FAILED {shown(error)}"
        print(f"{name:<20} {time.perf_counter() - began:6.1f} s  {line}", flush=True)
    sys.exit(min(failures, 99))


if __name__ == "__main__":
    main()
