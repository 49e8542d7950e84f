"""Every flag of etcd's works here, or it is said that it does not, and why."""

from __future__ import annotations

import pytest

from tests.architecture.source import ROOT
from trioetcd.config.flags import BY_NAME
from trioetcd.config.offered import GATES_WITHOUT_EFFECT, NO_EFFECT

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DIFFERENCES = ARCHITECTURE[ARCHITECTURE.index("## Differences from etcd") :]


@pytest.mark.parametrize("name", [*NO_EFFECT, *GATES_WITHOUT_EFFECT])
def test_what_has_no_effect_is_a_difference_that_is_written_down(name: str):
    assert name in DIFFERENCES


def test_only_flags_that_there_are_can_be_without_effect():
    assert set(NO_EFFECT) <= set(BY_NAME)
