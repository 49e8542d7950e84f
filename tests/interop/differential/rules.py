"""Where trioetcd follows a release newer than 3.5.1, or what no release promises: the whole list.

Everything not named here must be as 3.5.1 has it, to the byte.
"""

from __future__ import annotations

OURS = "trioetcd"
REFERENCE = "etcd-3.5.1"
BACKPORTED = "etcd-3.4.23"  # younger than 3.5.1, with some of what was mended since

SILENT_PROGRESS = "3.5.8: no word of progress while a watch of the stream is yet to start"
HASH_REVISION = "3.6: HashKV says which revision was hashed"
HASH_COMPACTED = "3.6: HashKV takes the revision of the last compaction itself"
SORT_OPTION = "3.6: an order or a target that nobody knows is refused"
TIES = "Go's sort is not stable: its order among equals changed from Go 1.18 to 1.19"

LEASE_KEYS = "the keys of a lease come in the order of a Go map, which is random"
OVERLOOKED = "since 3.5.1: nested calls, old values and the keys of leases are looked at, too"

WATCH_REFUSED = "3.4.21, 3.5.5: a watch that is refused has the id -1, and says why"
HASH_PATH = "since 3.5.1: HashKV has a path of its own at the gateway"
NESTED_PUTS = "main, July 2026: under NOSPACE, puts in nested transactions count as puts"
WIDE_TAG = "main, 2026: the number of a field has 29 bits, and a tag 32"
SLOW = "watchers of a stream with 1 MiB unsent catch up later"
BATCHED = "live events of several revisions come together when they happen close together"

NEWER = {
    SILENT_PROGRESS: "A client may go on from the revision it is told, and would miss what the"
    " watch asked for. 3.4.23 and 3.5.1 answer.",
    HASH_REVISION: "Field 4 of HashKVResponse; it must be the revision asked for, or the current.",
    HASH_COMPACTED: "3.4.23 and 3.5.1 call it compacted. The hash is compared with the history's.",
    SORT_OPTION: "3.4.23 and 3.5.1 take it for any order they like.",
    TIES: "3.4.23 (Go 1.19) and 3.5.1 (Go 1.16) disagree. Ours keeps the keys' order; compared is"
    " everything but the order among equals, and which of them a limit leaves.",
    OVERLOOKED: "3.4.23 and 3.5.1 do not look at transactions in transactions, at prev_kv and lease"
    " of a transaction's puts, at the open end of a watch, nor at the keys of a lease that is read"
    " or renewed. Asked of trioetcd alone, which must refuse it; who may what is told by 3.5.1.",
    WATCH_REFUSED: "3.5.1 says permission denied, whatever it is; compared with 3.4.23.",
    HASH_PATH: "They have a path for Hash alone.",
    NESTED_PUTS: "3.4.23 and 3.5.1 carry them out, whatever the alarm says.",
    WIDE_TAG: "As protobuf has it, and the decoder that etcd uses since; that of 3.4.23 and 3.5.1"
    " cuts off what is too much. Only noise has such tags.",
    SLOW: "Their events come with the store's revision in the header, as in any catch-up. etcd's"
    " bound is a number of responses, whatever their size.",
    BATCHED: "The hub looks once for all that a batch of the log has done; etcd does so for"
    " watchers that were slow. The revision in the header is that of the last event.",
    LEASE_KEYS: "Ours are sorted; compared as sets.",
}
