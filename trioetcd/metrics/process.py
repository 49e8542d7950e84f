"""What the system knows of this process, as Prometheus' client libraries name it.

Read from /proc, which is not a disk: nothing here waits.  Source: client_golang,
prometheus/process_collector_procfsenabled.go.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trioetcd.metrics.families import Family, counter, gauge

_PROC = Path("/proc")
_UNLIMITED = 2.0**64 - 1  # what Go's library shows


def families() -> Iterator[Family]:
    with suppress(OSError, ValueError, IndexError):  # not Linux, or not shown to us
        yield from _from_proc()
    open_files = _open_files()
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield gauge("os_fd_used", "File descriptors that are in use.", open_files)
    yield gauge("os_fd_limit", "File descriptors that may be in use.", most_files)
    yield gauge("process_open_fds", "File descriptors that are in use.", open_files)
    yield gauge("process_max_fds", "File descriptors that may be in use.", most_files)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    yield gauge(
        "process_virtual_memory_max_bytes",
        "Address space that may be used.",
        _UNLIMITED if limit == resource.RLIM_INFINITY else limit,
    )
    times = os.times()
    yield counter("process_cpu_seconds_total", "Processor time.", times.user + times.system)


def _from_proc() -> Iterator[Family]:
    # The name of the program, in parentheses, may hold anything: count from behind it.
    stat = (_PROC / "self" / "stat").read_text().rpartition(")")[2].split()
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    yield gauge(
        "process_start_time_seconds",
        "When the process started, since the epoch.",
        _booted_at() + int(stat[19]) / ticks,
    )
    yield gauge("process_virtual_memory_bytes", "Address space in use.", int(stat[20]))
    yield gauge("process_resident_memory_bytes", "Memory in use.", int(stat[21]) * page)


def _booted_at() -> int:
    lines = (_PROC / "stat").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("btime")).split()[1])


def _open_files() -> int:
    try:
        return len(os.listdir(_PROC / "self" / "fd")) - 1  # but for the listing's own
    except OSError:
        return 0
