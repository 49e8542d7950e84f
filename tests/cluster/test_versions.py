"""The version that members agree on."""

from __future__ import annotations

import pytest

from actors.cluster.versions import agreed, decide_cluster_version, parse_version, too_old


@pytest.mark.parametrize(
    ("current", "servers", "decided"),
    [
        ("", ["3.6.1"], "3.6.0"),
        ("", ["3.6.1", "3.5.12", "3.7.0"], "3.5.0"),
        ("", ["3.6.1", None], "3.0.0"),  # begun with the lowest while one cannot be asked
        ("", ["3.6.1", "x"], "3.0.0"),
        ("3.0.0", ["3.6.1", "3.6.0"], "3.6.0"),
        ("3.0.0", ["3.6.1", None], None),
        ("3.5.0", ["3.6.1", "3.5.9"], None),
        ("3.5.0", ["3.7.0", "3.10.0"], "3.7.0"),
        ("3.6.0", ["3.5.9"], None),  # never back by itself
        ("3.6.0", [], None),
    ],
)
def test_it_is_that_of_the_oldest_member(
    current: str, servers: list[str | None], decided: str | None
):
    assert decide_cluster_version(current, servers) == decided


def test_patches_do_not_count():
    assert agreed("3.6.4") == agreed("v3.6.0-rc.1+x") == "3.6.0"
    assert parse_version("3.10.2") == (3, 10, 2)
    with pytest.raises(ValueError, match="not a version"):
        parse_version("3.6")


def test_a_member_older_than_the_agreed_version_must_not_join():
    assert too_old("3.5.21", "3.6.0")
    assert not too_old("3.6.0", "3.6.0")
    assert not too_old("3.4.0", "")
