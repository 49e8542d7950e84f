"""A snapshot of many keys, of one kind of server, restored into every kind, hashed and compared.

    python scripts/snapshots.py                          # 200,000 keys, written by Go's etcd
    python scripts/snapshots.py --kind trioetcd --keys 50000 --seed 7

Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.interop.large_snapshots import Differs, round_trip
from tests.interop.processes import KINDS


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kind", choices=KINDS, default="etcd-3.5.1")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        try:
            round_trip(options.kind, options.keys, options.seed, Path(directory), print)
        except Differs as error:
            print(f"seed {options.seed}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
