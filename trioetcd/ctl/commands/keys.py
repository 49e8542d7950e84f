"""put, get, del and compaction.

Source: etcd etcdctl/ctlv3/command/{put,get,del,compaction}_command.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from trioetcd.cli.pflag import Flag, Parsed
from trioetcd.client.values import ALL, prefix_range
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.console import Console
from trioetcd.ctl.errors import CommandFailed, Exit, Misused
from trioetcd.ctl.numbers import BadNumber, parse_hex, parse_signed
from trioetcd.ctl.output import simple
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import delete_rows, lines, put_rows, range_rows
from trioetcd.ctl.session import Session
from wire.pb import etcdserverpb

_KV = "/etcdserverpb.KV"
_Range = etcdserverpb.RangeRequest
ORDERS = {"": 0, "ASCEND": 1, "DESCEND": 2}
TARGETS = {"": 0, "KEY": 0, "VERSION": 1, "CREATE": 2, "MODIFY": 3, "VALUE": 4}
_ONE_OF_TWO = "`--prefix` and `--from-key` cannot be set at the same time, choose one"
_TOO_MANY = "too many arguments, only accept one argument when `--prefix` or `--from-key` is set"


def encoded(word: str) -> bytes:
    """A word of the command line, which may be any bytes."""
    return word.encode(errors="surrogateescape")


# put


def put_request(
    parsed: Parsed, arguments: Sequence[str], console: Console
) -> etcdserverpb.PutRequest:
    """Raises CommandFailed."""
    need = "put command needs 1 argument and input from stdin or 2 arguments"
    if not arguments:
        raise Misused(need)
    request = etcdserverpb.PutRequest(
        key=encoded(arguments[0]),
        prev_kv=parsed.is_on("prev-kv"),
        ignore_value=parsed.is_on("ignore-value"),
        ignore_lease=parsed.is_on("ignore-lease"),
    )
    if request.ignore_value and len(arguments) > 1:
        raise Misused("put command needs only 1 argument when 'ignore-value' is set")
    if not request.ignore_value:
        if len(arguments) > 2:
            raise Misused(need)
        request.value = encoded(arguments[1]) if len(arguments) > 1 else console.read()
        if len(arguments) == 1 and not request.value:
            raise Misused(need)
    try:
        request.lease = parse_hex(parsed.text("lease"))
    except BadNumber as error:
        raise Misused(f"bad lease ID ({error}), expecting ID in Hex") from error
    return request


async def put(said: Invocation) -> None:
    session = said.session
    request = put_request(said.parsed, said.arguments, session.console)
    answer = await session.call(f"{_KV}/Put", request, etcdserverpb.PutResponse, is_write=True)
    session.show(
        Answer(
            answer,
            simple.put_lines(answer, as_hex=session.style.hex),
            fields=lambda: lines(put_rows(answer)),
        )
    )


# get


def bounds(parsed: Parsed, arguments: Sequence[str], misuse: str) -> tuple[bytes, bytes]:
    """Key and range end, by --prefix and --from-key.  Raises CommandFailed."""
    if not 0 < len(arguments) <= 2:
        raise Misused(misuse)
    is_prefix, is_from_key = parsed.is_on("prefix"), parsed.is_on("from-key")
    if is_prefix and is_from_key:
        raise Misused(_ONE_OF_TWO)
    key = encoded(arguments[0])
    if len(arguments) > 1:
        if is_prefix or is_from_key:
            raise Misused(_TOO_MANY)
        return key, encoded(arguments[1])
    if is_prefix:
        return prefix_range(key)
    return (key or b"\0", ALL) if is_from_key else (key, b"")


def range_request(parsed: Parsed, arguments: Sequence[str]) -> _Range:
    """Raises CommandFailed."""
    key, end = bounds(
        parsed,
        arguments,
        "get command needs one argument as key and an optional argument as range_end",
    )
    if parsed.is_on("keys-only") and parsed.is_on("count-only"):
        raise Misused("`--keys-only` and `--count-only` cannot be set at the same time, choose one")
    consistency = parsed.text("consistency")
    if consistency not in ("l", "s"):
        raise CommandFailed(f'unknown consistency flag "{consistency}"', Exit.BAD_FEATURE)
    order, target = parsed.text("order").upper(), parsed.text("sort-by").upper()
    if order not in ORDERS:
        raise CommandFailed(f"bad sort order {parsed.text('order')}", Exit.BAD_FEATURE)
    if target not in TARGETS:
        raise CommandFailed(f"bad sort target {parsed.text('sort-by')}", Exit.BAD_FEATURE)
    request = _Range(
        key=key,
        range_end=end,
        limit=parsed.number("limit"),
        revision=parsed.number("rev"),
        serializable=consistency == "s",
        keys_only=parsed.is_on("keys-only"),
        count_only=parsed.is_on("count-only"),
        min_create_revision=parsed.number("min-create-rev"),
        max_create_revision=parsed.number("max-create-rev"),
        min_mod_revision=parsed.number("min-mod-rev"),
        max_mod_revision=parsed.number("max-mod-rev"),
    )
    _sort(request, ORDERS[order], TARGETS[target], is_asked=bool(order or target))
    return request


def _sort(request: _Range, order: int, target: int, *, is_asked: bool) -> None:
    """As Go's client does it: keys in order need no sorting, other things ascend."""
    if not is_asked or (target == TARGETS["KEY"] and order == ORDERS["ASCEND"]):
        return
    request.sort_target = target  # type: ignore[assignment]
    request.sort_order = order or (ORDERS["ASCEND"] if target else 0)  # type: ignore[assignment]


async def get(said: Invocation) -> None:
    session, parsed = said.session, said.parsed
    request = range_request(parsed, said.arguments)
    if parsed.text("at"):
        if request.revision:
            raise Misused("`--at` and `--rev` cannot be set at the same time, choose one")
        from trioetcd.ctl.moments import revision_at  # only who asks for a time waits for it

        request.revision = await revision_at(session, parsed.text("at"))
    value_only = parsed.is_on("print-value-only")
    if request.count_only and session.style.format != "fields":
        raise Misused("--count-only is only for `--write-out=fields`")
    if value_only and session.style.format != "simple":
        raise Misused("print-value-only is only for `--write-out=simple`")
    if parsed.is_on("stream"):
        answer = await _streamed(session, request)
    else:
        answer = await session.call(f"{_KV}/Range", request, etcdserverpb.RangeResponse)
    session.show(range_answer(answer, as_hex=session.style.hex, value_only=value_only))


async def _streamed(session: Session, request: _Range) -> etcdserverpb.RangeResponse:
    """One answer of many: the last one has what is said of them all."""
    whole = etcdserverpb.RangeResponse()
    kind = etcdserverpb.RangeStreamResponse
    for answer in await session.answers(f"{_KV}/RangeStream", request, kind):
        whole.MergeFrom(answer.range_response)
    return whole


def range_answer(
    answer: etcdserverpb.RangeResponse, *, as_hex: bool, value_only: bool = False
) -> Answer:
    return Answer(
        answer,
        simple.range_lines(answer.kvs, as_hex=as_hex, value_only=value_only),
        fields=lambda: lines(range_rows(answer)),
    )


# del


def delete_request(parsed: Parsed, arguments: Sequence[str]) -> etcdserverpb.DeleteRangeRequest:
    """Raises CommandFailed."""
    key, end = bounds(
        parsed,
        arguments,
        "del command needs one argument as key and an optional argument as range_end",
    )
    return etcdserverpb.DeleteRangeRequest(key=key, range_end=end, prev_kv=parsed.is_on("prev-kv"))


async def delete(said: Invocation) -> None:
    session = said.session
    request = delete_request(said.parsed, said.arguments)
    answer = await session.call(
        f"{_KV}/DeleteRange", request, etcdserverpb.DeleteRangeResponse, is_write=True
    )
    session.show(
        Answer(
            answer,
            simple.delete_lines(answer, as_hex=session.style.hex),
            fields=lambda: lines(delete_rows(answer)),
        )
    )


# compaction


async def compaction(said: Invocation) -> None:
    try:
        revision = parse_signed(said.only_argument("compaction command needs 1 argument"))
    except BadNumber as error:
        raise CommandFailed(str(error)) from error
    request = etcdserverpb.CompactionRequest(
        revision=revision, physical=said.parsed.is_on("physical")
    )
    client = await said.session.client()
    if request.physical and "command-timeout" not in said.parsed.given:
        await client.call(  # it takes as long as it takes
            f"{_KV}/Compact", request, etcdserverpb.CompactionResponse, is_write=True
        )
    else:
        await said.session.call(
            f"{_KV}/Compact", request, etcdserverpb.CompactionResponse, is_write=True
        )
    said.session.console.print(f"compacted revision {revision}\n")


PUT_FLAGS = {
    "lease": Flag("0", "lease ID (in hexadecimal) to attach to the key"),
    "prev-kv": Flag(False, "return the previous key-value pair before modification"),
    "ignore-value": Flag(False, "updates the key using its current value"),
    "ignore-lease": Flag(False, "updates the key using its current lease"),
}
GET_FLAGS = {
    "consistency": Flag("l", "Linearizable(l) or Serializable(s)"),
    "order": Flag("", "Order of results; ASCEND or DESCEND (ASCEND by default)"),
    "sort-by": Flag("", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION"),
    "limit": Flag(0, "Maximum number of results", kind="int"),
    "prefix": Flag(False, "Get keys with matching prefix"),
    "from-key": Flag(
        False, "Get keys that are greater than or equal to the given key using byte compare"
    ),
    "at": Flag("", "revision or time of the read, such as 1234, 5m-ago, 2026-01-02T03:04:05Z"),
    "rev": Flag(0, "Specify the kv revision", kind="int"),
    "keys-only": Flag(False, "Get only the keys"),
    "count-only": Flag(False, "Get only the count"),
    "stream": Flag(False, "Use the RangeStream RPC"),
    "print-value-only": Flag(False, 'Only write values when using the "simple" output format'),
    "min-create-rev": Flag(0, "Minimum create revision", kind="int"),
    "max-create-rev": Flag(0, "Maximum create revision", kind="int"),
    "min-mod-rev": Flag(0, "Minimum modification revision", kind="int"),
    "max-mod-rev": Flag(0, "Maximum modification revision", kind="int"),
}
DEL_FLAGS = {
    "prefix": Flag(False, "delete keys with matching prefix"),
    "prev-kv": Flag(False, "return deleted key-value pairs"),
    "from-key": Flag(
        False, "delete keys that are greater than or equal to the given key using byte compare"
    ),
    "range": Flag(False, "delete range of keys [key, range_end) without delay"),
}
PUT_LONG = """
Puts the given key into the store.

A <value> that begins with '-' would be taken for a flag.  '--' ends the flags:

$ put <key> -- <value>
$ put -- <key> <value>

Without <value>, and without '--ignore-value', the value is read from standard input:

$ cat file | put <key>
"""
COMMANDS = [
    Command(
        ("put",),
        "Puts the given key into the store",
        put,
        "[options] <key> <value> (<value> can also be given from stdin)",
        PUT_LONG,
        PUT_FLAGS,
    ),
    Command(
        ("get",),
        "Gets the key or a range of keys",
        get,
        "[options] <key> [range_end]",
        "",
        GET_FLAGS,
    ),
    Command(
        ("del",),
        "Removes the specified key or range of keys [key, range_end)",
        delete,
        "[options] <key> [range_end]",
        "",
        DEL_FLAGS,
    ),
    Command(
        ("compaction",),
        "Compacts the event history in etcd",
        compaction,
        "[options] <revision>",
        "",
        {
            "physical": Flag(
                False, "'true' to wait for compaction to physically remove all old revisions"
            )
        },
    ),
]
