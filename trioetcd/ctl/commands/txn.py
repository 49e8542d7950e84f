"""txn: compares and operations, one a line, read from standard input.

Source: etcd etcdctl/ctlv3/command/txn_command.go, util.go (Argify).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TypeVar

from trioetcd.cli.pflag import BadFlags, Flag, HelpAsked, parse_flags
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import (
    DEL_FLAGS,
    GET_FLAGS,
    PUT_FLAGS,
    delete_request,
    put_request,
    range_request,
)
from trioetcd.ctl.console import Console
from trioetcd.ctl.errors import CommandFailed, Exit
from trioetcd.ctl.numbers import BadNumber, parse_hex, parse_signed
from trioetcd.ctl.output import simple
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import lines, txn_rows
from wire.go_quote import go_unquote
from wire.pb import etcdserverpb

_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[^\'"\s]\S*[^\'"\s]?')
_QUOTED = r'("(?:[^"\\]|\\.)*")'
_COMPARE = re.compile(rf"\s*{_QUOTED}(?:\s*\)(?:\s*(\S+)(?:\s+{_QUOTED})?)?)?")
_Compare = etcdserverpb.Compare
RESULTS = {"=": 0, ">": 1, "<": 2, "!=": 3}
T = TypeVar("T")


def split_words(line: str) -> list[str]:
    """As a shell would, but for its variables.  Raises CommandFailed."""
    found = []
    for word in _WORDS.findall(line):
        if word.startswith("'"):
            found.append(word[1:-1])
        elif word.startswith('"'):
            found.append(_unquoted(word).decode(errors="surrogateescape"))
        else:
            found.append(word)
    return found


def _unquoted(word: str) -> bytes:
    try:
        return go_unquote(word)
    except ValueError as error:
        raise CommandFailed(str(error), Exit.INVALID_INPUT) from error


def parse_compare(line: str) -> etcdserverpb.Compare:
    """Raises CommandFailed."""
    target, parenthesis, rest = line.partition("(")
    if not parenthesis:
        raise _malformed(line)
    found = _COMPARE.match(rest)
    if found is None or found[3] is None:
        raise _malformed(line, _as_far_as(target, found))
    key, result, value = _unquoted(found[1]), found[2], _unquoted(found[3])
    if result not in RESULTS:
        raise CommandFailed(f"malformed comparison: {line}", Exit.INVALID_INPUT)
    compare = _Compare(key=key, result=RESULTS[result])  # type: ignore[arg-type]
    try:
        _set_target(compare, target.strip(), value, line)
    except BadNumber as error:
        text = f"invalid txn compare request: {line}"
        raise CommandFailed(text, Exit.INVALID_INPUT) from error
    return compare


def _set_target(compare: etcdserverpb.Compare, target: str, value: bytes, line: str) -> None:
    text = value.decode(errors="surrogateescape")
    match target:
        case "ver" | "version":
            compare.target, compare.version = _Compare.VERSION, parse_signed(text)
        case "c" | "create":
            compare.target, compare.create_revision = _Compare.CREATE, parse_signed(text)
        case "m" | "mod":
            compare.target, compare.mod_revision = _Compare.MOD, parse_signed(text)
        case "val" | "value":
            compare.target, compare.value = _Compare.VALUE, value
        case "lease":
            compare.target, compare.lease = _Compare.LEASE, parse_hex(text)
        case _:
            text = f"malformed comparison: {line} (unknown target {target})"
            raise CommandFailed(text, Exit.INVALID_INPUT)


def _as_far_as(target: str, found: re.Match[str] | None) -> str:
    """What of a comparison was understood."""
    key, result = (found[1], found[2] or "") if found else ('""', "")
    return f'; got {target}({key}) {result} ""'


def _malformed(line: str, got: str = "") -> CommandFailed:
    return CommandFailed(f"malformed comparison: {line}{got}", Exit.INVALID_INPUT)


def parse_operation(line: str) -> etcdserverpb.RequestOp:
    """Raises CommandFailed."""
    words = split_words(line)
    if len(words) < 2:
        raise CommandFailed(f"invalid txn compare request: {line}", Exit.INVALID_INPUT)
    nothing = Console(BytesIO(), BytesIO(), BytesIO(), {})
    try:
        match words:
            case ["put", *rest]:
                parsed = parse_flags(PUT_FLAGS, rest)
                put = put_request(parsed, parsed.all_arguments, nothing)
                return etcdserverpb.RequestOp(request_put=put)
            case ["get", *rest]:
                parsed = parse_flags(GET_FLAGS, rest)
                found = range_request(parsed, parsed.all_arguments)
                return etcdserverpb.RequestOp(request_range=found)
            case ["del", *rest]:
                parsed = parse_flags(DEL_FLAGS, rest)
                gone = delete_request(parsed, parsed.all_arguments)
                return etcdserverpb.RequestOp(request_delete_range=gone)
    except (BadFlags, HelpAsked):
        pass
    raise CommandFailed(f"invalid txn request: {line}", Exit.INVALID_INPUT)


def _section(console: Console, parse: Callable[[str], T]) -> list[T]:
    """Up to an empty line.  Raises CommandFailed: also at the input's end, before one."""
    found: list[T] = []
    while True:
        line = console.stdin.readline().decode(errors="surrogateescape")
        if not line.endswith("\n"):
            raise CommandFailed("EOF", Exit.INVALID_INPUT)
        if not line.strip():
            return found
        found.append(parse(line.strip()))


async def txn(said: Invocation) -> None:
    said.no_arguments("txn command does not accept argument")
    session, console = said.session, said.session.console

    def section(title: str, parse: Callable[[str], T]) -> Sequence[T]:
        if said.parsed.is_on("interactive"):
            console.print(f"{title}\n")
        return _section(console, parse)

    request = etcdserverpb.TxnRequest(
        compare=section("compares:", parse_compare),
        success=section("success requests (get, put, del):", parse_operation),
        failure=section("failure requests (get, put, del):", parse_operation),
    )
    answer = await session.call(
        "/etcdserverpb.KV/Txn", request, etcdserverpb.TxnResponse, is_write=True
    )
    session.show(
        Answer(
            answer,
            simple.txn_lines(answer, as_hex=session.style.hex),
            fields=lambda: lines(txn_rows(answer)),
        )
    )


LONG = """
Standard input holds comparisons, requests for when they all hold, and requests for when not;
one a line, an empty line after each of the three.

mod("key1") > "0"

put key1 "overwrote-key1"

put key1 "created-key1"
put key2 "some extra key"

Comparisons: version|ver, create|c, mod|m, value|val or lease of a key; =, !=, < or >; a value.
"""
COMMANDS = [
    Command(
        ("txn",),
        "Txn processes all the requests in one transaction",
        txn,
        "[options]",
        LONG,
        {"interactive": Flag(False, "Input transaction in interactive mode", "i")},
    )
]
