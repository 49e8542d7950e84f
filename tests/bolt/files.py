"""Small bolt files, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.bolt.reader import BoltReader
from actors.bolt.writer import BoltWriter

Rows = dict[bytes, bytes]


class Bytes:
    """A file's content as a `Source`."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def read(self, offset: int, count: int) -> bytes:
        return self.content[offset : offset + count]


def write(buckets: Mapping[bytes, Rows]) -> bytes:
    def sorted_buckets() -> Iterable[tuple[bytes, list[tuple[bytes, bytes]]]]:
        return ((name, sorted(buckets[name].items())) for name in sorted(buckets))

    writer = BoltWriter(sorted_buckets)
    for _ in writer.layout():
        pass
    content = b"".join(writer.pages())
    assert len(content) == writer.size
    return content


def read(content: bytes) -> dict[bytes, Rows]:
    """All rows; the pages must be accounted for, too."""
    reader = BoltReader(Bytes(content))
    found = {name: dict(reader.rows(name)) for name in reader.buckets}
    assert reader.unaccounted() == []
    return found
