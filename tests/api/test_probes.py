"""/livez and /readyz."""

from __future__ import annotations

import pytest
import trio

from tests.node.caller import Caller
from tests.peer.cluster import three_members
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.http import HTTPRequest
from wire.pb import etcdserverpb

READY = b"[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n"


async def page(node: Node, target: str, method: str = "GET") -> tuple[int, bytes]:
    response = await node.web.handle(HTTPRequest(method, target))
    return response.status, response.body


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/livez", b"ok\n"),
        ("/readyz", b"ok\n"),
        ("/livez?verbose", b"[+]serializable_read ok\nok\n"),
        ("/readyz?verbose", READY + b"[+]non_learner ok\nok\n"),
        ("/readyz?verbose&exclude=non_learner&exclude=unknown", READY + b"ok\n"),
        ("/readyz/linearizable_read", b"ok\n"),
        ("/readyz/linearizable_read?verbose", b"[+]linearizable_read ok\nok\n"),
    ],
)
async def test_a_member_that_is_well_says_so(target: str, body: bytes):
    async with open_node(NodeSettings()) as node:
        assert await page(node, target) == (200, body)
        assert (await page(node, target, "POST"))[0] == 405


async def test_a_check_that_there_is_not_has_no_page():
    async with open_node(NodeSettings()) as node:
        assert (await page(node, "/livez/linearizable_read"))[0] == 404


async def test_corruption_makes_a_member_unready_but_alive():
    async with open_node(NodeSettings()) as node:
        alarm = etcdserverpb.AlarmRequest(action="ACTIVATE", memberID=7, alarm="CORRUPT")
        path = "/etcdserverpb.Maintenance/Alarm"
        await Caller(node).call(path, alarm, etcdserverpb.AlarmResponse)
        status, body = await page(node, "/readyz")
        assert status == 503
        assert body.startswith(b"[-]data_corruption failed: alarm activated: CORRUPT\n[+]")
        assert await page(node, "/readyz?exclude=data_corruption") == (200, b"ok\n")
        assert await page(node, "/livez") == (200, b"ok\n")
        assert node.web.probes.outcomes["readyz", "data_corruption", False] == 1


async def test_a_member_without_a_majority_is_alive_and_not_ready(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        for one in cluster.running:
            if one is not leader:
                await one.kill()
        await trio.sleep(5)
        node = leader.node
        status, body = await page(node, "/readyz")
        assert status == 503
        assert b"[-]linearizable_read failed: etcdserver: no leader\n" in body
        assert await page(node, "/livez") == (200, b"ok\n")
