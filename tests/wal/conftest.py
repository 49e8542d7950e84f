from __future__ import annotations

import random

import pytest

from trioetcd.testing.disk import SimulatedDisk


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk(random.Random(1))
