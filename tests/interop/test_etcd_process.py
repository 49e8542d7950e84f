"""The oracle itself: both versions of Go's etcd start, answer, survive kill -9, and end."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.interop.etcd_process import VERSIONS, EtcdFailed, EtcdProcess, etcd_process


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_key_put_before_kill_is_there_after_a_new_start(version: str, tmp_path: Path):
    async with etcd_process(version, tmp_path / "data") as etcd:
        assert await etcd.etcdctl("put", "key", "value") == "OK\n"
        await etcd.kill()
        await etcd.start()
        assert await etcd.etcdctl("get", "key") == "key\nvalue\n"
        assert f'"{version}.' in str(await etcd.etcdctl("-w", "json", "endpoint", "status"))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_member_that_cannot_start_says_why(version: str, tmp_path: Path):
    async with trio.open_nursery() as nursery:
        etcd = EtcdProcess(nursery, version, tmp_path / "data", ["--no-such-flag"])
        with pytest.raises(EtcdFailed, match="no-such-flag"):
            await etcd.start()
