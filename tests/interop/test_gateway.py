"""The JSON gateway beside real etcd's: the same body gets the same status and the same JSON."""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.processes import Server, running

SECONDS = 30.0
ROUNDS = 400  # random bodies
VARYING = {"cluster_id", "member_id", "raft_term", "dbSize", "dbSizeInUse", "raftIndex"}
VARYING |= {"raftAppliedIndex", "leader", "version", "ID", "hash", "peerURLs", "clientURLs"}
PUT, RANGE, DELETE = "/v3/kv/put", "/v3/kv/range", "/v3/kv/deleterange"
TXN, COMPACT = "/v3/kv/txn", "/v3/kv/compaction"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    home: Path = tmp_path_factory.mktemp("gateway")
    with (
        running("etcd-3.5.1", home / "go") as go,
        running("etcd-3.4.23", home / "old") as old,
        running("trioetcd", home / "ours") as ours,
    ):
        yield [go, old, ours]


def ask(server: Server, path: str, body: str | bytes, method: str = "POST") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address, timeout=SECONDS)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def comparable(value: Any) -> Any:
    """Without what two servers may differ in."""
    if isinstance(value, dict):
        return {k: None if k in VARYING else comparable(v) for k, v in value.items()}
    return [comparable(one) for one in value] if isinstance(value, list) else value


def shown(answer: tuple[int, bytes]) -> tuple[int, Any]:
    status, body = answer
    try:
        found = [comparable(json.loads(line)) for line in body.splitlines()]
    except ValueError:
        return status, body
    for one in found:
        if set(one) <= {"header", "alarms"}:  # alarms have a header since 3.6
            one.pop("header", None)
    return status, found


def check(servers: list[Server], path: str, body: str | bytes, method: str = "POST") -> None:
    go, old, ours = (shown(ask(server, path, body, method)) for server in servers)
    assert ours == go, (path, body)
    if old[0] == 412:  # Debian's build still had another status for FailedPrecondition
        old = (400, old[1])
    assert (ours[0], set_of(ours)) == (old[0], set_of(old)), (path, body)


def set_of(answer: tuple[int, Any]) -> Any:
    """Of an error, what both releases say alike: the words of a parser may differ."""
    status, found = answer
    if status != 200 and isinstance(found, list):
        return {one.get("code") for one in found}
    return found


def b64(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.b64encode(data).decode()


KEY = b64("foo")
BODIES: list[tuple[str, str]] = [
    (PUT, f'{{"key":"{KEY}","value":"{b64("bar")}"}}'),
    (PUT, f'{{"key":"{KEY}","value":"{b64("bar2")}","prev_kv":true}}'),
    (PUT, f'{{"key":"{KEY}","value":"{b64("bar3")}","prevKv":true}}'),
    (PUT, f'{{"key":"{KEY}","unknown_field":1}}'),
    (PUT, f'{{"key":"{KEY}","lease":"777"}}'),
    (PUT, f'{{"key":"{KEY}","ignore_value":true,"value":"{KEY}"}}'),
    (PUT, '{"key":[102,111,111]}'),
    (RANGE, f'{{"key":"{KEY}"}}'),
    (RANGE, f'{{"key":"{KEY}","revision":2}}'),
    (RANGE, f'{{"key":"{KEY}","revision":"2","countOnly":true}}'),
    (RANGE, f'{{"key":"{KEY}","revision":"999999"}}'),
    (RANGE, '{"key":"AA==","range_end":"AA==","sort_order":"DESCEND","sort_target":"MOD"}'),
    (RANGE, '{"key":"AA==","range_end":"AA==","sort_order":1,"sort_target":0,"limit":1}'),
    (RANGE, '{"key":"AA==","limit":" 5"}'),
    (RANGE, '{"key":"AA==","limit":"null"}'),
    (RANGE, '{"key":"AA=="} trailing'),
    (RANGE, ""),
    (RANGE, "null"),
    (RANGE, '{"key":null}'),
    (TXN, f'{{"compare":[{{"key":"{KEY}","target":"CREATE","create_revision":0}}]}}'),
    (
        TXN,
        f'{{"compare":[{{"key":"{KEY}","target":"VERSION","version":"4"}}],"success":'
        f'[{{"request_put":{{"key":"{KEY}","value":"eQ=="}}}},{{"request_txn":{{"success":'
        f'[{{"request_range":{{"key":"{KEY}"}}}}]}}}}]}}',
    ),
    (TXN, '{"success":[{}]}'),
    (TXN, '{"success":{}}'),
    (DELETE, f'{{"key":"{KEY}","prev_kv":true}}'),
    (DELETE, f'{{"key":"{KEY}"}}'),
    (COMPACT, '{"revision":"2"}'),
    (COMPACT, '{"revision":"2"}'),
    (COMPACT, '{"revision":"99999999"}'),
    ("/v3/lease/grant", '{"TTL":60,"ID":1234}'),
    ("/v3/lease/grant", '{"TTL":"60","ID":"1234"}'),
    ("/v3/lease/grant", '{"TTL":0}'),
    ("/v3/lease/timetolive", '{"ID":"9999"}'),
    ("/v3/lease/leases", "{}"),
    ("/v3/kv/lease/leases", "{}"),
    ("/v3/lease/keepalive", '{"ID":7}'),
    ("/v3/lease/keepalive", '{"ID":7}{"ID":8}'),
    ("/v3/lease/keepalive", '{"ID":7}{bad'),
    ("/v3/lease/keepalive", '{"ID":"x"}'),
    ("/v3/lease/keepalive", ""),
    ("/v3/kv/lease/revoke", '{"ID":"1234"}'),
    ("/v3/lease/revoke", '{"ID":"1234"}'),
    ("/v3/watch", "{bad"),
    ("/v3/watch", '{"create_request":7}'),
    ("/v3/cluster/member/list", "{}"),
    ("/v3/cluster/member/add", '{"peerURLs":["bogus"]}'),
    ("/v3/cluster/member/remove", '{"ID":"99"}'),
    ("/v3/maintenance/alarm", '{"action":"GET"}'),
    ("/v3/maintenance/alarm", '{"action":"ACTIVATE","memberID":"7","alarm":"NOSPACE"}'),
    (PUT, f'{{"key":"{KEY}"}}'),
    ("/v3/maintenance/alarm", '{"action":"DEACTIVATE","memberID":"7","alarm":"NOSPACE"}'),
    ("/v3/maintenance/alarm", '{"action":"DEACTIVATE","memberID":"7","alarm":"NOSPACE"}'),
    ("/v3/maintenance/defragment", "{}"),
    ("/v3/maintenance/transfer-leadership", '{"targetID":"1"}'),
    ("/v3/auth/authenticate", '{"name":"a","password":"b"}'),
    ("/v3/auth/user/get", '{"name":"zzz"}'),
    ("/v3/auth/role/get", '{"role":"zzz"}'),
    ("/v3/lease/grant", '{"TTL":600,"ID":1001}'),
    ("/v3/lease/grant", '{"TTL":600,"ID":1002}'),
    ("/v3/lock/lock", '{"name":"bGs=","lease":1001}'),
    ("/v3/lock/lock", '{"name":"bGs=","lease":1001}'),
    ("/v3/lock/lock", '{"name":"bGs=","lease":7}'),
    ("/v3/lock/unlock", f'{{"key":"{b64("lk/3e9")}"}}'),
    ("/v3/lock/unlock", '{"key":"eno="}'),
    ("/v3/lock/unlock", "{}"),
    ("/v3/lock/lock", '{"lease":1001}'),
    ("/v3/election/leader", '{"name":"ZWw="}'),
    ("/v3/election/campaign", '{"name":"ZWw=","value":"dg==","lease":1001}'),
    ("/v3/election/campaign", '{"name":"ZWw=","value":"dw==","lease":1001}'),
    ("/v3/election/campaign", '{"name":"ZWw=","value":"dw==","lease":7}'),
    ("/v3/election/leader", '{"name":"ZWw="}'),
    ("/v3/election/proclaim", '{"value":"dg=="}'),
    ("/v3/election/proclaim", '{"leader":{"name":"ZWw=","key":"eA==","rev":1},"value":"dg=="}'),
    ("/v3/election/resign", "{}"),
    ("/v3/election/resign", '{"leader":{"name":"ZWw=","key":"eA==","rev":1}}'),
    ("/v3/election/leader", "{}"),
    ("/v3beta/kv/range", f'{{"key":"{KEY}"}}'),
]
MALFORMED = [
    "{bad", "{", "[", "[]", "7", '"x"', "{,}", "{'a':1}", '{"a" 1}', '{"a":1 "b":2}', "tru", "nul",
    '{"key":"!!!"}', '{"key":"Zm8"}', '{"key":"Zm-_"}', '{"key":"A=A="}', '{"key":"AAAA="}',
    '{"key":"A"}', '{"key":7}', '{"key":{}}', '{"key":["a"]}', '{"key":[256]}', '{"key":true}',
    '{"limit":1.5}', '{"limit":"x"}', '{"limit":""}', '{"limit":"5x"}', '{"limit":true}',
    '{"limit":99999999999999999999}', '{"limit":{}}', '{"limit":1e2}', '{"limit":01}',
    '{"serializable":"x"}', '{"serializable":1}', '{"key":"\x01"}', '{"key":"\\x"}',
    '{"key":"AQ="}', '{"key":"AA=A"}', '{"key":"AAA=A"}', '{"key":"AA==AA"}', '{"key":"="}',
    '{"key":"A="}', '{"key":"AA\\n="}', '{"key":"AA\\n-"}', '{"key":"A\\nAA"}', '{"key":"\\u00e9"}',
    '{"key":"\\ud800"}', '{"limit":"\u00ff"}',
    '{"key":"\\u12g4"}', '{"key":-}', '{"key":1.}', '{"key":1e}', "\x00", "\ufeff{}",
]  # fmt: skip
PATHS = [
    ("POST", "/v3/kv/nope"), ("GET", "/v3/kv/put"), ("PUT", "/v3/kv/put"), ("GET", "/v3/nope"),
    ("POST", "/v3/"), ("POST", "/v3/kv/put/"), ("POST", "/v3alpha/kv/put"), ("OPTIONS", "/v3/x"),
    ("POST", "/v3/kv/Put"),
]  # fmt: skip


def test_every_call_is_answered_alike(servers: list[Server]):
    for path, body in BODIES:
        check(servers, path, body)


@pytest.mark.parametrize("body", MALFORMED)
def test_what_is_no_message_is_refused_alike(servers: list[Server], body: str):
    go, old, ours = (ask(server, RANGE, body.encode("utf-8", "replace")) for server in servers)
    assert ours[0] == go[0] == old[0], body
    assert json.loads(ours[1]) == json.loads(go[1]), body


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_other_paths_and_verbs_are_answered_alike(servers: list[Server], method: str, path: str):
    check(servers, path, "{}", method)


@pytest.mark.parametrize("size", [1_572_864, 2_000_000, 5_000_000])
def test_what_is_too_large_is_refused_alike(servers: list[Server], size: int):
    check(servers, PUT, json.dumps({"key": KEY, "value": b64(bytes(size))}))


def random_body(rng: random.Random, depth: int = 0) -> tuple[str, dict[str, Any]]:
    key = b64(rng.choice("abcd"))
    match rng.randrange(5 if depth < 2 else 3):
        case 0:
            return "put", {"key": key, "value": b64(rng.randbytes(3)), "prev_kv": True}
        case 1:
            end = {} if rng.random() < 0.5 else {"range_end": b64(rng.choice("bcde"))}
            return "range", {"key": key, **end, "limit": rng.choice(["0", 2]), "sort_target": "MOD"}
        case 2:
            return "delete_range", {"key": key, "prev_kv": True}
        case _:
            target = rng.choice(["VERSION", "CREATE", "MOD"])
            field = {"VERSION": "version", "CREATE": "create_revision", "MOD": "mod_revision"}
            compare = {
                "key": key,
                "target": target,
                "result": rng.choice(["EQUAL", "GREATER", 2]),
                field[target]: str(rng.randrange(4)),
            }
            branches = [random_body(rng, depth + 1) for _ in range(3)]
            operations = [{f"request_{kind}": body} for kind, body in branches]
            return "txn", {
                "compare": [compare],
                "success": operations[:2],
                "failure": operations[2:],
            }


def test_random_traffic_is_answered_alike(servers: list[Server]):
    rng = random.Random(20261124)
    for _ in range(ROUNDS):
        kind, body = random_body(rng)
        check(servers, f"/v3/kv/{kind.replace('_', '')}", json.dumps(body))


def test_a_watch_streams_a_line_an_answer(servers: list[Server]):
    found = []
    for server in servers:
        ask(server, PUT, f'{{"key":"{b64("watched")}","value":"{b64("1")}"}}')
        revision = json.loads(ask(server, RANGE, f'{{"key":"{b64("watched")}"}}')[1])["kvs"][0][
            "mod_revision"
        ]
        body = {"create_request": {"key": b64("watched"), "start_revision": revision}}
        connection = http.client.HTTPConnection(server.address, timeout=SECONDS)
        connection.request("POST", "/v3/watch", json.dumps(body))
        response = connection.getresponse()
        lines = [json.loads(response.readline()) for _ in range(2)]
        ask(server, DELETE, f'{{"key":"{b64("watched")}"}}')
        lines.append(json.loads(response.readline()))
        connection.close()
        found.append([_without_revisions(comparable(line)) for line in lines])
    assert found[0] == found[1] == found[2]
    assert list(found[0][0]["result"]) == ["header", "created"]


def _without_revisions(value: Any) -> Any:
    """The servers have come to different revisions by now only if a test before has failed."""
    if isinstance(value, dict):
        return {k: None if "revision" in k else _without_revisions(v) for k, v in value.items()}
    return [_without_revisions(one) for one in value] if isinstance(value, list) else value


# -- What stands around the JSON

PUT_BODY = f'{{"key":"{KEY}","value":"{b64("bar")}"}}'.encode()
LENGTH = b"Content-Length: %d\r\n\r\n" % len(PUT_BODY)
REQUESTS: list[bytes] = [
    b"POST /v3/kv/put HTTP/1.1\r\nHost: h\r\n" + LENGTH + PUT_BODY,
    b"POST http://h/v3/kv/put HTTP/1.1\r\nHost: h\r\n" + LENGTH + PUT_BODY,
    b"POST /v3/kv%2Fput HTTP/1.1\r\nHost: h\r\n" + LENGTH + PUT_BODY,
    b"POST /v3/kv/p%75t?limit=1 HTTP/1.1\r\nHost: h\r\n" + LENGTH + PUT_BODY,
    b"POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + LENGTH + PUT_BODY,
    b"POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nOrigin: http://x\r\n" + LENGTH + PUT_BODY,
    b"POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x;a=b\r\n%b\r\n0\r\nT: u\r\n\r\n" % (len(PUT_BODY), PUT_BODY),
    b"GET /v3/kv/put HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD /v3/kv/put HTTP/1.1\r\nHost: h\r\n\r\n",
    b"OPTIONS /v3/kv/put HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /v3/kv/nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /version HTTP/1.1\nHost: h\n\n",
]


def head_of(server: Server, request: bytes) -> tuple[bytes, list[bytes]]:
    """The status line, and the headers in some order; values that vary are left out."""
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            assert piece, request
            head += piece
    status, *headers = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    varying = (b"Date", b"Content-Length")
    shown = [one.partition(b":")[0] if one.startswith(varying) else one for one in headers]
    return status, sorted(shown)


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_an_answer_has_the_same_head(servers: list[Server], request_bytes: bytes):
    go, _, ours = servers
    assert head_of(ours, request_bytes) == head_of(go, request_bytes)
