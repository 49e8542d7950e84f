"""kill -9 under eight concurrent writers: the short form of scripts/crash.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.crashes import Crashes, Journal, Lost, Write, _check
from tests.interop.differential.history import Change
from tests.interop.processes import running
from wire.pb import mvccpb

ROUNDS = 3
SEED = 4
PUT = Write(frozenset({(b"a", b"1")}))


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path):
    with running("trioetcd", tmp_path, ["--snapshot-count=500"]) as server:
        crashes = Crashes(server, SEED)
        for _ in range(ROUNDS):
            crashes.round()


def change(revision: int, key: bytes, value: bytes) -> Change:
    stored = mvccpb.KeyValue(key=key, value=value).SerializeToString()
    return Change(revision, 0, key, False, stored)


class TestTheCheckItself:
    def test_a_missing_write_is_noticed(self):
        with pytest.raises(Lost, match="revision 5 was acknowledged"):
            _check(Journal({5: PUT}), [])

    def test_a_write_at_another_revision_is_noticed(self):
        with pytest.raises(Lost, match="revision 5 was acknowledged"):
            _check(Journal({5: PUT}), [change(6, b"a", b"1")])

    def test_half_a_transaction_is_noticed(self):
        txn = Write(PUT.changes | {(b"b", b"1")})
        with pytest.raises(Lost, match="nobody asked for"):
            _check(Journal(doubtful=[txn]), [change(5, b"a", b"1")])

    def test_a_write_done_twice_is_noticed(self):
        twice = [change(5, b"a", b"1"), change(6, b"a", b"1")]
        with pytest.raises(Lost, match="nobody asked for"):
            _check(Journal(doubtful=[PUT]), twice)

    def test_an_unanswered_write_may_be_there_or_not(self):
        assert _check(Journal(doubtful=[PUT]), []) == 0
        assert _check(Journal(doubtful=[PUT]), [change(5, b"a", b"1")]) == 1
