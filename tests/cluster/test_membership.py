"""Ids as etcd's, and what each change of the membership may and may not do."""

from __future__ import annotations

import pytest

from actors.backend.backend import Backend
from actors.backend.engine import MemoryEngine
from actors.cluster.ids import cluster_id, member_id, show
from actors.cluster.member import Member
from actors.cluster.membership import CLUSTER, MEMBERS, REMOVED, VERSION_KEY, Membership
from actors.raft.types import ConfChange, ConfChangeType, ConfChangeV2
from wire.errors import (
    EtcdError,
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    PeerURLExists,
    TooManyLearners,
)

ADD, REMOVE = ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE
UPDATE, LEARNER = ConfChangeType.UPDATE_NODE, ConfChangeType.ADD_LEARNER


@pytest.mark.parametrize(
    ("urls", "token", "members", "cluster"),
    [
        (["https://127.0.0.1:12380"], "etcd-cluster-1", ["d05e7521f6de6bab"], "7d0764d1262439e9"),
        (["http://localhost:2380"], "etcd-cluster", ["8e9e05c52164694d"], "cdf818194e3a8c32"),
        (
            [f"http://127.0.0.1:{port}" for port in (12380, 22380, 32380)],
            "etcd-cluster-1",
            ["8211f1d0f64f3269", "91bc3c398fb3c146", "fd422379fda50e48"],
            "ef37ad9dc622a7c4",
        ),
    ],
)
def test_ids_are_etcds(urls: list[str], token: str, members: list[str], cluster: str):
    ids = [member_id([url], token) for url in urls]
    assert sorted(map(show, ids)) == sorted(members)
    assert show(cluster_id(ids)) == cluster


def test_the_order_of_urls_does_not_matter_and_the_time_does():
    assert member_id(["b", "a"], "t") == member_id(["a", "b"], "t")
    assert member_id(["a"], "", 1) != member_id(["a"], "", 2)


def test_json_is_etcds():
    member = Member(7, ("http://a:1",), name="m", client_urls=("http://a:2",))
    assert member.to_json() == (
        b'{"id":7,"peerURLs":["http://a:1"],"name":"m","clientURLs":["http://a:2"]}'
    )
    assert Member.from_json(member.to_json()) == member
    learner = Member(8, ("http://b:1",), is_learner=True)
    assert learner.to_json(is_promote=False) == (
        b'{"id":8,"peerURLs":["http://b:1"],"isLearner":true,"isPromote":false}'
    )


def test_json_has_gos_escapes():
    member = Member(1, ("http://a:1?x=<1>&y",), name="gr\u00f6\u00dfe\u2028")
    assert member.to_json() == (
        b'{"id":1,"peerURLs":["http://a:1?x=\\u003c1\\u003e\\u0026y"],'
        b'"name":"gr\xc3\xb6\xc3\x9fe\\u2028"}'
    )
    assert Member.from_json(member.to_json()) == member


def add(node: int, port: int, kind: ConfChangeType = ADD) -> ConfChange:
    member = Member(node, (f"http://m:{port}",), is_learner=kind is LEARNER)
    return ConfChange(kind, node, member.to_json(is_promote=False))


def promote(node: int) -> ConfChange:
    return ConfChange(ADD, node, Member(node).to_json(is_promote=True))


@pytest.fixture
def membership() -> Membership:
    membership = Membership(Backend(MemoryEngine()), 1)
    for node in (1, 2):
        assert not isinstance(membership.apply_change(add(node, node), node), EtcdError)
    return membership


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (add(3, 3), None),
        (add(2, 9), MemberExists),
        (add(3, 2), PeerURLExists),
        (add(3, 3, LEARNER), None),
        (ConfChange(REMOVE, 2), None),
        (ConfChange(REMOVE, 9), MemberNotFound),
        (promote(1), MemberNotLearner),
        (promote(9), MemberNotFound),
        (add(1, 5, UPDATE), None),
        (add(1, 2, UPDATE), PeerURLExists),
        (add(9, 9, UPDATE), MemberNotFound),
    ],
)
def test_what_a_change_may_do(
    membership: Membership, change: ConfChange, refusal: type[EtcdError] | None
):
    before = membership.all
    outcome = membership.apply_change(change, 10)
    if refusal is None:
        assert outcome == change
        assert membership.all != before
    else:
        assert isinstance(outcome, refusal)
        assert membership.all == before


def test_a_removed_id_never_comes_back(membership: Membership):
    membership.apply_change(ConfChange(REMOVE, 2), 5)
    assert isinstance(membership.apply_change(add(2, 7), 6), MemberNotFound)
    assert isinstance(membership.apply_change(ConfChange(REMOVE, 2), 7), MemberNotFound)


def test_learners_are_few_and_become_voters(membership: Membership):
    membership.apply_change(add(3, 3, LEARNER), 5)
    assert [one.id for one in membership.voters] == [1, 2]
    assert isinstance(membership.apply_change(add(4, 4, LEARNER), 6), TooManyLearners)
    membership.apply_change(promote(3), 7)
    assert [one.id for one in membership.voters] == [1, 2, 3]
    assert membership.members[3].peer_urls == ("http://m:3",)


def test_leaving_a_joint_configuration_changes_no_member(membership: Membership):
    before = membership.all
    assert membership.apply_change(ConfChangeV2(), 5) == ConfChangeV2()
    assert membership.all == before


def test_everything_is_in_the_rows():
    backend = Backend(MemoryEngine())
    first = Membership(backend, 1)
    first.apply_change(add(0xAB, 1), 1)
    first.apply_change(add(2, 2), 2)
    first.update_attributes(0xAB, "infra0", ["http://c:1"])
    first.update_attributes(99, "gone", [])
    first.apply_change(ConfChange(REMOVE, 2), 3)
    first.set_version("3.6.0")
    again = Membership(backend, 1)
    again.restore(
        [value for _, value in backend.scan(MEMBERS)],
        [key for key, _ in backend.scan(REMOVED)],
        backend.get(CLUSTER, VERSION_KEY),
    )
    assert (
        again.all == first.all == [Member(0xAB, ("http://m:1",), False, "infra0", ("http://c:1",))]
    )
    assert again.removed == {2}
    assert again.version == "3.6.0"
    assert backend.scan(MEMBERS)[0][0] == b"ab"
