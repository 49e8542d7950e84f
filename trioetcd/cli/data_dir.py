"""A look into the data directory, before anything in it is opened.

Source: etcd server/etcdmain/etcd.go (identifyDataDirOrDie).
"""

from __future__ import annotations

from pathlib import Path

from wire.log import Log
from wire.network import reason

OURS = ("member", "fixtures")  # the member's data, and certificates of --auto-tls


class BadDataDir(Exception):
    """What is named as the data directory is none, or not ours to read."""


def look_around(directory: Path, log: Log) -> None:
    """Warn of what does not belong there.

    Raises:
        BadDataDir: it exists and cannot be listed.
    """
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return  # it will be made
    except OSError as error:
        words = f"failed to list data directory: open {directory}: {reason(error)}"
        raise BadDataDir(words) from error
    for name in names:
        if name not in OURS:
            log.warning(
                "found invalid file under data directory", filename=name, data_dir=str(directory)
            )
