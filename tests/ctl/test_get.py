"""get, where no other test types it."""

from __future__ import annotations

import pytest

from tests.ctl.terminal import open_terminal


@pytest.mark.parametrize("shape", ["simple", "json", "fields", "protobuf"])
async def test_a_stream_of_answers_is_shown_as_one(shape: str):
    async with open_terminal() as terminal:
        await terminal.run("put", "a", "1")
        for number in range(30):
            await terminal.run("put", f"k{number:02}", stdin=b"v" * 100_000)
        asked = ("-w", shape, "get", "", "--prefix")
        whole = await terminal.run(*asked)
        assert await terminal.run(*asked, "--stream") == whole
        assert len(whole.out) > 3_000_000
