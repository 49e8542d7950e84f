"""JSON as Go reads it: what is wrong with a text is said in its words.

Python's parser does the work; only what it refuses is looked at again, letter by letter, to find
what Go would have said.
Source: Go encoding/json (scanner.go).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from wire.go_quote import CONTROLS

_SPACE = " \t\r\n"
_ESCAPES = '"\\/bfnrt'
_DIGITS = "0123456789"
_HEX = frozenset("0123456789abcdefABCDEF")
_WORDS = {"t": "true", "f": "false", "n": "null"}
_KEEP = "surrogateescape"  # bytes that are no UTF-8 are kept, for what is said of them
_STRAY = re.compile("[\udc80-\udcff]")  # such a byte
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escape: half a letter
MAX_DEPTH = 200  # of objects in objects; etcd's own messages need a dozen


class BadJSON(ValueError):
    """The message is Go's."""


class Real(float):
    """A number that was not written as an integer, and how it was written."""

    text: str

    def __new__(cls, text: str) -> Real:
        made = super().__new__(cls, text)
        made.text = text
        return made


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


_decoder = json.JSONDecoder(parse_float=Real, parse_constant=_no_constant)


def read_values(body: bytes) -> Iterator[Any]:
    """The JSON values that stand in a body, one after the other.

    Raises:
        BadJSON: when it comes to one that is none.
    """
    text = body.decode("utf-8", _KEEP)
    at = _skip(text, 0)
    while at < len(text):
        value, at = _read(text, at)
        yield value
        at = _skip(text, at)


def read_first(body: bytes) -> Any:
    """The first value; None if there is none.  What comes behind it is not looked at."""
    text = body.decode("utf-8", _KEEP)
    at = _skip(text, 0)
    return _read(text, at)[0] if at < len(text) else None


def read_only(text: str) -> Any:
    """The one value of a text.  Raises BadJSON if there is more, or none."""
    at = _skip(text, 0)
    if at == len(text):
        raise BadJSON("unexpected end of JSON input")
    value, at = _read(text, at)
    at = _skip(text, at)
    if at < len(text):
        raise BadJSON(f"invalid character {_quote(text[at])} after top-level value")
    return value


def _read(text: str, at: int) -> tuple[Any, int]:
    try:
        found, end = _decoder.raw_decode(text if text.isascii() else _STRAY.sub("\ufffd", text), at)
        return _whole(found) if _SURROGATE.search(text, at, end) else found, end
    except RecursionError:
        raise BadJSON("exceeded max depth") from None
    except ValueError:
        # Go goes byte by byte.
        _Scanner(text[at:].encode("utf-8", _KEEP).decode("latin-1"), 0).value(0)
        raise BadJSON("invalid character in number") from None


def _whole(value: Any) -> Any:
    """Halves of letters, which only escapes can make, are no letters."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_whole(name): _whole(one) for name, one in value.items()}
        case list():
            return [_whole(one) for one in value]
        case _:
            return value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


class _Scanner:
    """Goes through a text until it comes to what is wrong with it."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at

    def _peek(self) -> str:
        if self._at >= len(self._text):
            raise BadJSON("unexpected EOF")
        return self._text[self._at]

    def _next(self) -> str:
        """The next letter that is no space, still to be taken."""
        self._at = _skip(self._text, self._at)
        return self._peek()

    def _wrong(self, context: str) -> NoReturn:
        raise BadJSON(f"invalid character {_quote(self._peek())} {context}")

    def value(self, depth: int) -> None:
        """Raises BadJSON unless a value stands here; it is then passed."""
        if depth > MAX_DEPTH:
            raise BadJSON("exceeded max depth")
        letter = self._next()
        if letter == "{":
            self._object(depth)
        elif letter == "[":
            self._array(depth)
        elif letter == '"':
            self._string()
        elif letter == "-" or letter in _DIGITS:
            self._number()
        elif letter in _WORDS:
            self._word(_WORDS[letter])
        else:
            self._wrong("looking for beginning of value")

    def _object(self, depth: int) -> None:
        self._at += 1
        if self._next() == "}":
            self._at += 1
            return
        while True:
            if self._next() != '"':
                self._wrong("looking for beginning of object key string")
            self._string()
            if self._next() != ":":
                self._wrong("after object key")
            self._at += 1
            self.value(depth + 1)
            if self._next() not in ",}":
                self._wrong("after object key:value pair")
            self._at += 1
            if self._text[self._at - 1] == "}":
                return

    def _array(self, depth: int) -> None:
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            self.value(depth + 1)
            if self._next() not in ",]":
                self._wrong("after array element")
            self._at += 1
            if self._text[self._at - 1] == "]":
                return

    def _string(self) -> None:
        self._at += 1
        while (letter := self._peek()) != '"':
            if letter < " ":
                self._wrong("in string literal")
            self._at += 1
            if letter == "\\":
                self._escape()
        self._at += 1

    def _escape(self) -> None:
        kind = self._peek()
        if kind == "u":
            for _ in range(4):
                self._at += 1
                if self._peek() not in _HEX:
                    self._wrong("in \\u hexadecimal character escape")
        elif kind not in _ESCAPES:
            self._wrong("in string escape code")
        self._at += 1

    def _number(self) -> None:
        if self._peek() == "-":
            self._at += 1
        if self._peek() not in _DIGITS:
            self._wrong("in numeric literal")
        self._at += 1
        if self._text[self._at - 1] != "0":
            self._digits()
        if self._has("."):
            self._at += 1
            if self._peek() not in _DIGITS:
                self._wrong("after decimal point in numeric literal")
            self._digits()
        if self._has("eE"):
            self._at += 1
            if self._peek() in "+-":
                self._at += 1
            if self._peek() not in _DIGITS:
                self._wrong("in exponent of numeric literal")
            self._digits()

    def _has(self, letters: str) -> bool:
        return self._at < len(self._text) and self._text[self._at] in letters

    def _digits(self) -> None:
        while self._has(_DIGITS):
            self._at += 1

    def _word(self, word: str) -> None:
        for letter in word:
            if self._peek() != letter:
                self._wrong(f"in literal {word} (expecting {_quote(letter)})")
            self._at += 1


def _quote(letter: str) -> str:
    """A letter as Go shows it."""
    if letter == "'":
        return r"'\''"
    if letter == '"':
        return "'\"'"
    if letter < " " or letter == "\x7f":
        return f"'{CONTROLS.get(letter) or f'{chr(92)}x{ord(letter):02x}'}'"
    return "'" + letter.replace("\\", "\\\\") + "'"
