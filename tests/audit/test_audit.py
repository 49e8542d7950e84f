"""The audit log: a line a call, and never a value."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.kernel import InlineWorker
from actors.wal.disk import DiskFull, RealDisk
from tests.api.authentic import done, enable, log_in
from tests.node.caller import Caller
from trioetcd.api.observing import Ended
from trioetcd.audit.audit import MOST_RECORDS, Audit, AuditFile, run_audit
from trioetcd.audit.records import MOST_KEY_BYTES, Record, line_of
from trioetcd.node.node import open_node
from trioetcd.node.settings import NodeSettings, SimpleTokenSettings
from wire.grpc.service import Context, Method, Peer
from wire.log import NullLog
from wire.pb import etcdserverpb
from wire.status import Status

PUT, TXN, RANGE = (f"/etcdserverpb.KV/{name}" for name in ("Put", "Txn", "Range"))


def record(path: str, request: Any, **changes: Any) -> Record:
    plain = Record("now", "", Peer("1.2.3.4:5"), path, request.SerializeToString(), "OK", "", b"")
    return plain._replace(**changes)


def shown(path: str, request: Any, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line_of(record(path, request, **changes)))
    return found


async def test_calls_of_a_member_are_written_with_their_revisions_and_results(tmp_path: Path):
    path = tmp_path / "audit.log"
    settings = NodeSettings(data_dir=tmp_path / "n", audit_log=path)
    async with open_node(settings) as node:
        caller = Caller(node)
        await caller.put(b"a", b"secret")
        await caller.get(b"a")
        await caller.put(b"")
        lease = etcdserverpb.LeaseGrantRequest(ID=7, TTL=60)
        grant = "/etcdserverpb.Lease/LeaseGrant"
        await caller.call(grant, lease, etcdserverpb.LeaseGrantResponse)
        renew = "/etcdserverpb.Lease/LeaseKeepAlive"
        await caller.stream(renew, etcdserverpb.LeaseKeepAliveRequest(ID=7))
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    said = [(line["method"].rpartition("/")[2], line.get("key"), line["result"]) for line in lines]
    assert said[:5] == [
        ("Put", "a", "OK"),
        ("Range", "a", "OK"),
        ("Put", "", "InvalidArgument"),
        ("LeaseGrant", None, "OK"),
        ("LeaseKeepAlive", None, "OK"),
    ]
    assert [line.get("revision") for line in lines[:3]] == [2, 2, None]
    assert lines[2]["error"] == "etcdserver: key is not provided"
    assert lines[3]["request"] == "TTL:60 ID:7"
    assert "secret" not in text
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_restart_writes_on_where_the_file_ended(tmp_path: Path):
    settings = NodeSettings(data_dir=tmp_path / "n", audit_log=tmp_path / "audit.log")
    for _ in range(2):
        async with open_node(settings) as node:
            await Caller(node).put(b"a")
    lines = (tmp_path / "audit.log").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "a"]


async def test_without_it_no_handler_is_wrapped():
    async with open_node(NodeSettings()) as node:
        assert node.parts.registry.methods[PUT.encode()].batch is node.parts.kv


async def test_a_file_that_cannot_be_had_is_found_out_at_the_start(tmp_path: Path):
    settings = NodeSettings(data_dir=tmp_path / "n", audit_log=tmp_path / "no" / "audit.log")
    with pytest.raises(ExceptionGroup) as caught:
        async with open_node(settings):
            pass
    assert caught.group_contains(FileNotFoundError)


def test_a_transaction_names_the_keys_of_both_branches_and_no_value():
    put = etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"p", value=b"secret"))
    delete = etcdserverpb.RequestOp(
        request_delete_range=etcdserverpb.DeleteRangeRequest(key=b"d", range_end=b"e")
    )
    inner = etcdserverpb.RequestOp(request_txn=etcdserverpb.TxnRequest(success=[put]))
    request = etcdserverpb.TxnRequest(
        compare=[etcdserverpb.Compare(key=b"c", value=b"secret")],
        success=[put, inner],
        failure=[delete],
    )
    line = shown(TXN, request)
    assert line["compare"] == [{"key": "c"}]
    assert line["success"] == [
        {"operation": "put", "key": "p"},
        {"operation": "txn", "success": [{"operation": "put", "key": "p"}]},
    ]
    assert line["failure"] == [{"operation": "delete_range", "key": "d", "range-end": "e"}]
    assert "secret" not in json.dumps(line)


def test_large_transactions_are_cut_and_counted():
    put = etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"p"))
    line = shown(TXN, etcdserverpb.TxnRequest(success=[put] * 103))
    assert (len(line["success"]), line["success-more"]) == (100, 3)


def test_a_key_that_is_no_text_is_in_hexadecimal_and_a_long_one_is_cut():
    assert shown(PUT, etcdserverpb.PutRequest(key=b"\xff\n"))["key-hex"] == "ff0a"
    line = shown(PUT, etcdserverpb.PutRequest(key=b"k" * 5000))
    assert (len(line["key"]), line["key-is-cut"]) == (MOST_KEY_BYTES, True)


def test_a_key_cannot_make_a_line_of_its_own():
    line = line_of(record(PUT, etcdserverpb.PutRequest(key=b'a\n{"user":"root"}')))
    assert line.count("\n") == 1


async def test_who_ends_authentication_is_named(tmp_path: Path):
    path = tmp_path / "audit.log"
    tokens = SimpleTokenSettings(ttl=300.0)
    settings = NodeSettings(data_dir=tmp_path / "n", audit_log=path, tokens=tokens, bcrypt_cost=4)
    async with open_node(settings) as node:
        await enable(Caller(node))
        await done(await log_in(node, "root"), "AuthDisable")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-1]["method"] == "/etcdserverpb.Auth/AuthDisable"
    assert (lines[-1]["user"], lines[-1]["result"]) == ("root", "OK")


def test_the_user_and_the_certificate_are_named_and_passwords_are_not():
    request = etcdserverpb.AuthUserAddRequest(name="bob", password="secret")
    peer = Peer("1.2.3.4:5", common_name="alice", secure=True)
    line = shown("/etcdserverpb.Auth/UserAdd", request, user="root", peer=peer)
    assert (line["user"], line["common-name"]) == ("root", "alice")
    assert line["request"] == 'name:"bob" password_size:6'


class FullDisk(RealDisk):
    """Has no room while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    def append(self, path: str, offset: int) -> Any:
        if self.is_full:
            raise DiskFull(path)
        return super().append(path, offset)


def test_lines_that_were_lost_are_counted_in_the_file(tmp_path: Path):
    disk = FullDisk()
    file = AuditFile(disk, str(tmp_path / "audit.log"), lambda: 0.0)
    one = record(PUT, etcdserverpb.PutRequest(key=b"a"))
    file.write([one])
    file.close()
    disk.is_full = True
    for _ in range(2):
        with pytest.raises(OSError, match="no space") as caught:
            file.write([one, one])
        assert caught.value.errno == errno.ENOSPC
    disk.is_full = False
    file.write([one])
    file.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [line.get("key") for line in lines] == ["a", None, "a"]
    assert lines[1] == {"lost": 4}


def test_a_file_that_has_grown_is_put_aside(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("trioetcd.audit.audit.FILE_BYTES", 100)
    file = AuditFile(RealDisk(), str(tmp_path / "audit.log"), lambda: 7.0)
    one = record(PUT, etcdserverpb.PutRequest(key=b"a"))
    file.write([one])
    file.write([one])
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.log.7"]


def test_each_watch_of_a_stream_has_a_line_and_what_else_is_asked_there_has_none():
    audit = Audit(OneUser(), lambda: 0.0)
    watch = "/etcdserverpb.Watch/Watch"
    method, context = Method(watch, kind="bidi_stream"), Context(watch, {}, Peer())
    create = etcdserverpb.WatchCreateRequest(key=b"w", range_end=b"x")
    progress = etcdserverpb.WatchProgressRequest()
    for request in (
        etcdserverpb.WatchRequest(create_request=create),
        etcdserverpb.WatchRequest(progress_request=progress),
    ):
        audit.received(method, context, request.SerializeToString())
    audit.ended(Ended(method, context, b"", 1.0, Status.CANCELLED, b"", ""))
    [one] = [json.loads(line_of(one)) for one in audit.take()]
    assert (one["key"], one["range-end"], one["result"]) == ("w", "x", "asked")


class OneUser:
    """Everybody is bob."""

    def identify(self, context: Context) -> Any:
        class Bob:
            username = "bob"

        return Bob()


async def test_calls_wait_while_too_much_is_unwritten(autojump_clock, tmp_path: Path):
    audit = Audit(OneUser(), lambda: 0.0)
    for _ in range(MOST_RECORDS):
        audit._add(Method(PUT), Context(PUT, {}, Peer()), "bob", b"", "OK", "", b"")
    assert audit.is_full
    file = AuditFile(RealDisk(), str(tmp_path / "audit.log"), lambda: 0.0)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_audit, audit, file, InlineWorker(), NullLog())
            await audit.room()
            nursery.cancel_scope.cancel()
    lines = (tmp_path / "audit.log").read_text().splitlines()
    assert len(lines) == MOST_RECORDS
    assert json.loads(lines[0])["user"] == "bob"
