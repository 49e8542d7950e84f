"""The client on a way that is cut at random bytes: nothing twice, nothing left out, nothing held
too long.

    python scripts/client_faults.py                                  # 1,000 cuts for each server
    python scripts/client_faults.py --server etcd-3.5.1 --cuts 100 --seed 7

Prints what happened; exits with 1 if anything is not as it must be (tests/client/ordeal.py).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.client.ordeal import FLAGS, Ordeal
from tests.interop.processes import KINDS, running


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--server", choices=KINDS, action="append")
    options = parser.parse_args()
    count = 0
    for kind in options.server or KINDS:
        with tempfile.TemporaryDirectory() as home, running(kind, Path(home), FLAGS) as server:
            ordeal = Ordeal(random.Random(options.seed))
            proxy = trio.run(ordeal.run, server.address, options.cuts)
        faults = ordeal.faults()
        print(f"{kind}, seed {options.seed}: {ordeal.summary(proxy)}")
        print("\n".join(f"  FAULT: {fault}" for fault in faults[:20]) or "  no fault", flush=True)
        count += len(faults)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
