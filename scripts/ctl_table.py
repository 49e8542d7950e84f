"""Every command of etcdctl, in every format, typed to etcdctl and to `trioetcd ctl`: a table of
what is equal, and of why the rest is not.

    python scripts/ctl_table.py                  # etcdctl 3.5.1 and 3.4.23, at both servers
    python scripts/ctl_table.py --etcdctl 3.5 --server trioetcd --all

Standard output, standard error and exit status are compared, but for what tests/interop/
ctl_terminals.py masks.  Exits with 1 if anything differs that must not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.interop.ctl_table import TERMINALS, Table, compare
from tests.interop.ctl_terminals import MASKS

SERVERS = ("etcd-3.5.1", "trioetcd")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--etcdctl", choices=list(TERMINALS), action="append")
    parser.add_argument("--server", choices=SERVERS, action="append")
    parser.add_argument("--all", action="store_true", help="list equal commands, too")
    parser.add_argument("--masks", action="store_true", help="list what is not compared")
    asked = parser.parse_args()
    if asked.masks:
        for mask in MASKS:
            print(f"{mask.name}: {mask.pattern.pattern!r}")
        return 0
    is_wrong = False
    for version in asked.etcdctl or TERMINALS:
        for kind in asked.server or SERVERS:
            with tempfile.TemporaryDirectory() as home:
                table = compare(kind, version, Path(home))
            show(table, with_equal=asked.all)
            is_wrong |= bool(table.idle()) or any(row.is_wrong for row in table.rows)
    return 1 if is_wrong else 0


def show(table: Table, *, with_equal: bool) -> None:
    print(f"\n## etcdctl {table.version} and ours, at {table.kind}\n")
    for row in table.rows:
        if row.is_wrong:
            print(f"WRONG: {row.theirs}\nours:\n{row.ours}\n")
        elif with_equal or not row.is_equal:
            print(f"{'equal' if row.is_equal else 'different'}\t{row.command}\t{row.reason}")
    counts = table.counts()
    for reason in table.idle():
        print(f"NO LONGER DIFFERENT: {reason}")
    print(f"\n{len(table.rows)} commands: {counts.pop('')} equal, {sum(counts.values())} different")
    for reason, count in counts.most_common():
        print(f"{count:4} {reason}")


if __name__ == "__main__":
    sys.exit(main())
