"""The audit log: every call a line, in a file of its own.

Inbox     none: calls leave records, and those that follow wait while MOST_RECORDS are unwritten.
Waits on  the worker, to write what has gathered as one.
Restarts  no: who asked for it does not want calls that it knows nothing of.

Lines are handed to the system before the calls after MOST_RECORDS go on; they are not synced.  A
file that cannot be written to is said in the log; the calls go on, and the lines that were lost
are counted in the file once it can be written to again.
"""

from __future__ import annotations

import datetime
import json
import os.path
from collections.abc import Callable

import trio

from actors.kernel import Worker
from actors.wal.disk import Disk, WritableFile
from trioetcd.api.observing import Ended
from trioetcd.api.permissions import NotYetApplied, Permissions
from trioetcd.audit.records import Record, line_of
from trioetcd.metrics.names import code_name
from wire.errors import EtcdError
from wire.grpc.service import Context, Method
from wire.log import Log

MOST_RECORDS = 10_000  # unwritten
FILE_BYTES = 100 << 20  # after which another file is begun, and this one gets the time as suffix
RETRY_SECONDS = 1.0  # after a write that failed
HEADER_BYTES = 64  # of an answer: its header is in them
WATCH = "/etcdserverpb.Watch/Watch"
CREATE = b"\x0a"  # what a WatchRequest begins with that begins a watch


class Audit:
    """The handle; an `Observer`."""

    def __init__(self, permissions: Permissions, unix_seconds: Callable[[], float]) -> None:
        self._permissions = permissions
        self._unix_seconds = unix_seconds
        self._written = trio.lowlevel.ParkingLot()
        self.gathered = trio.Event()
        self.records: list[Record] = []

    # -- What calls leave

    def caller(self, context: Context) -> str:
        """Whose call it is.  With his AuthDisable, nobody is anybody any more."""
        try:
            return self._permissions.identify(context).username
        except (EtcdError, NotYetApplied):
            return ""  # an invalid token: the result says so

    def ended(self, call: Ended) -> None:
        method, context, payload, _, status, message, error, caller = call
        if method.path == WATCH and not error:
            return  # each of its watches has a line
        caller = caller or self.caller(context)
        self._add(method, context, caller, payload, code_name(status), error, message)

    def received(self, method: Method, context: Context, message: bytes) -> None:
        if method.path == WATCH and message[:1] == CREATE:
            self._add(method, context, self.caller(context), message, "asked", "", b"")

    def _add(
        self,
        method: Method,
        context: Context,
        caller: str,
        payload: bytes,
        result: str,
        error: str,
        message: bytes,
    ) -> None:
        now = datetime.datetime.fromtimestamp(self._unix_seconds(), datetime.UTC)
        time = now.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        self.records.append(
            Record(
                time,
                caller,
                context.peer,
                method.path,
                payload,
                result,
                error,
                message[:HEADER_BYTES],
            )
        )
        if len(self.records) == 1:
            self.gathered.set()

    @property
    def is_full(self) -> bool:
        return len(self.records) >= MOST_RECORDS

    async def room(self) -> None:
        while self.is_full:
            await self._written.park()

    # -- What is written

    def take(self) -> list[Record]:
        taken, self.records = self.records, []
        self.gathered = trio.Event()
        self._written.unpark_all()
        return taken


class AuditFile:
    """Lines at the end of a file.  Blocks."""

    def __init__(self, disk: Disk, path: str, unix_seconds: Callable[[], float]) -> None:
        self._disk = disk
        self._path = path
        self._unix_seconds = unix_seconds
        self._file: WritableFile | None = None
        self._size = 0
        self.lost = 0  # records, since the last that was written

    def write(self, records: list[Record]) -> None:
        """Raises OSError; then they are lost, and counted."""
        try:
            data = "".join(map(line_of, records)).encode()
            if self.lost:
                data = json.dumps({"lost": self.lost}).encode() + b"\n" + data
            self.open().write(data)
        except OSError:
            self.lost += len(records)
            self.close()
            raise
        self.lost = 0
        self._size += len(data)
        if self._size >= FILE_BYTES:
            self.close()
            self._disk.rename(self._path, f"{self._path}.{int(self._unix_seconds())}")

    def open(self) -> WritableFile:
        """Raises OSError."""
        if self._file is None:
            directory = os.path.dirname(self._path) or "."
            if os.path.basename(self._path) in self._disk.list(directory):
                there = self._disk.open(self._path)
                self._size = there.size
                there.close()
                self._file = self._disk.append(self._path, self._size)
            else:
                self._size = 0
                self._file = self._disk.create(self._path, 0)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


async def run_audit(
    audit: Audit,
    file: AuditFile,
    worker: Worker,
    log: Log,
    *,
    task_status: trio.TaskStatus[Audit] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Until it is cancelled; then what has gathered is still written.

    Raises:
        OSError: the file cannot be opened at the beginning.
    """
    await worker.run(file.open)
    task_status.started(audit)
    try:
        while True:
            await audit.gathered.wait()
            if not await _write(audit, file, worker, log):
                await trio.sleep(RETRY_SECONDS)
    finally:
        if audit.records:
            await _write(audit, file, worker, log)
        with trio.CancelScope(shield=True):
            await worker.run(file.close)


async def _write(audit: Audit, file: AuditFile, worker: Worker, log: Log) -> bool:
    """Not cancellable: what is taken must be written."""
    try:
        with trio.CancelScope(shield=True):
            await worker.run(file.write, audit.take())
    except OSError as error:
        log.error("failed to write audit log", error=str(error))
        return False
    return True
