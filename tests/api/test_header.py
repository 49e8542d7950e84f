"""The header by hand is the header by protobuf."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trioetcd.api.header import HeaderWriter
from wire.pb import etcdserverpb


@pytest.mark.parametrize("revision", [0, 1, 127, 128, 2**40, 2**63 - 1])
@pytest.mark.parametrize("term", [0, 2, 2**64 - 1])
def test_it_reads_back(revision: int, term: int):
    status = SimpleNamespace(term=1)
    writer = HeaderWriter(2**64 - 1, 7, status)
    writer.write(1)
    status.term = term
    response = etcdserverpb.PutResponse.FromString(writer.write(revision))
    expected = etcdserverpb.ResponseHeader(
        cluster_id=2**64 - 1, member_id=7, revision=revision, raft_term=term
    )
    assert response.header == expected
    assert writer.write(revision) == response.SerializeToString()
