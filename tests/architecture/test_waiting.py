"""Waiting goes one way: with bounded inboxes, a cycle of waiting is a deadlock."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter

import pytest

from tests.architecture.source import ROOT, sources, tree_of

ACTORS = [path for path in sources("actors") if path.name == "actor.py"]
# What an actor is called in "Waits on" lines, where it is not its directory's name.
NAMES = {"snapshot": "snapshotter", "lease": "lessor", "watch": "watch hub"}
NOBODY = {"nobody", "no one"}


def actor_name(path) -> str:
    return NAMES.get(path.parts[1], path.parts[1])


def lines_of(path) -> dict[str, str]:
    """The paragraphs `Inbox`, `Waits on` and `Restarts` of a module's docstring."""
    text = ast.get_docstring(tree_of(ROOT / path)) or ""
    found = {}
    for match in re.finditer(
        r"^(Inbox|Waits on|Restarts)\s+(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE
    ):
        found[match[1]] = " ".join(match[2].split())
    return found


@pytest.mark.parametrize("path", ACTORS, ids=str)
def test_an_actor_says_what_it_takes_waits_for_and_survives(path):
    assert set(lines_of(path)) == {"Inbox", "Waits on", "Restarts"}


def waits_on(path) -> set[str]:
    """`raft, to propose X; backend, for Y` -> raft, backend."""
    said = lines_of(path)["Waits on"].rstrip(".")
    parts = [part.strip().split(",")[0].split(":")[0] for part in said.split(";")]
    names = {re.sub(r"^the ", "", name).strip() for name in parts}
    return {name for name in names if name.lower() not in NOBODY}


def test_nobody_waits_in_a_circle():
    known = {actor_name(path) for path in ACTORS} | {"worker"}
    graph = {actor_name(path): waits_on(path) for path in ACTORS}
    unknown = {name: waited - known for name, waited in graph.items() if waited - known}
    assert unknown == {}, "a name in a `Waits on` line that is no actor"
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_a_circle_would_be_found():
    with pytest.raises(ValueError, match="cycle"):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
