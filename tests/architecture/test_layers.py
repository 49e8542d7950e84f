"""Who may know whom: wire <- actors <- trioetcd, and only an actor.py knows Trio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import CONCEPTS, ROOT, imports_any, module_name, sources

KERNEL_MAY_IMPORT = {"wire.invariant", "wire.invariant.invariant"}  # a word, not a layer
KNOWS_TRIO = "actor.py"


def is_core(path: Path) -> bool:
    return path.parts[0] == "actors" and path.parts[1] in CONCEPTS and path.name != KNOWS_TRIO


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("wire", ("actors", "trioetcd")),
        ("actors", ("trioetcd",)),
        ("trioetcd/api", ("trioetcd.node", "trioetcd.cli")),
        ("trioetcd/peer", ("trioetcd.node", "trioetcd.cli")),
        ("trioetcd/client", ("actors", "trioetcd.api", "trioetcd.node", "trioetcd.cli")),
        ("trioetcd/node", ("trioetcd.cli",)),
    ],
)
def test_imports_go_one_way(package: str, forbidden: tuple[str, ...]):
    broken = {
        str(path): found for path in sources(package) if (found := imports_any(path, *forbidden))
    }
    assert broken == {}


def test_the_kernel_knows_no_layer():
    broken = {
        str(path): found
        for path in sources("actors/kernel")
        if (
            found := imports_any(path, "wire", *(f"actors.{c}" for c in CONCEPTS))
            - KERNEL_MAY_IMPORT
        )
    }
    assert broken == {}


def test_only_the_actor_of_a_concept_knows_trio():
    broken = {
        str(path): found
        for path in sources("actors")
        if is_core(path) and (found := imports_any(path, "trio", "actors.kernel"))
    }
    assert broken == {}


def test_every_concept_is_looked_at():
    assert {"raft", "wal", "mvcc", "lease", "watch", "backend", "cluster"} <= set(CONCEPTS)


def test_cores_load_where_there_is_no_trio():
    modules = [module_name(path) for path in sources("actors") if is_core(path)]
    assert len(modules) > 40
    program = (
        "import sys\n"
        "sys.modules['trio'] = None\n"  # importing it now fails
        f"for name in {modules!r}:\n"
        "    __import__(name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
