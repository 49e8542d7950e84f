"""kill -9 under eight concurrent writers, again and again; fsync is on.

    python scripts/crash.py                       # 100 rounds
    python scripts/crash.py --rounds 10 --seed 7
    python scripts/crash.py --kind etcd-3.5.1     # the check itself, against Go's etcd

Exits with 1 at the first acknowledged write that is missing, revision that goes back, change that
nobody asked for, or hash that is not that of the history.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.interop.crashes import Crashes, Lost
from tests.interop.processes import KINDS, running

PRINT_EVERY = 10  # rounds
SNAPSHOT_COUNT = 5000  # entries; low, so that segments of the log are released in between


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kind", choices=KINDS, default="trioetcd")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    flags = [f"--snapshot-count={SNAPSHOT_COUNT}"]
    with (
        tempfile.TemporaryDirectory() as directory,
        running(options.kind, Path(directory), flags) as server,
    ):
        crashes = Crashes(server, options.seed)
        try:
            while crashes.rounds < options.rounds:
                crashes.round()
                if crashes.rounds % PRINT_EVERY == 0:
                    print(f"{time.monotonic() - began:.0f} s, {crashes}", flush=True)
        except Lost as error:
            print(f"seed {options.seed}, round {crashes.rounds}: {error}")
            print("\n".join(server.log))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
