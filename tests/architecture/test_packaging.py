"""What users install: few packages, each with its major version pinned."""

from __future__ import annotations

import re
import tomllib

from tests.architecture.source import ROOT

MOST_DEPENDENCIES = 15


def test_dependencies_are_few_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = project["dependencies"]
    assert len(needs) <= MOST_DEPENDENCIES
    for need in (*needs, *project["optional-dependencies"]["dev"]):
        assert re.fullmatch(r"[\w.-]+>=[\d.]+,<\d+", need), need
