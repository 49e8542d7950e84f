"""Strings as Go's %q shows them.

Source: Go's strconv.Quote.
"""

from __future__ import annotations

import re

CONTROLS = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_SHORT = {**CONTROLS, "\\": "\\\\", '"': '\\"'}


def go_quote(data: bytes | str) -> str:
    if isinstance(data, str):
        data = data.encode(errors="surrogateescape")
    # Bytes that are no UTF-8 become surrogates U+DC80 to U+DCFF.
    return '"' + "".join(map(_shown, data.decode(errors="surrogateescape"))) + '"'


def _shown(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_ESCAPES = {shown[1]: character for character, shown in _SHORT.items()}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_HEX = {count: re.compile(f"[0-9a-fA-F]{{{count}}}") for count in _DIGITS.values()}
_OCTAL = re.compile("[0-3][0-7]{2}")


def go_unquote(text: str) -> bytes:
    """The other way; `text` has its quotes.  Raises ValueError."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ValueError("invalid syntax")
    found, rest = bytearray(), text[1:-1]
    while rest:
        if rest[0] != "\\":
            found += rest[0].encode(errors="surrogateescape")
            rest = rest[1:]
            continue
        kind = rest[1:2]
        if kind in _ESCAPES:
            found += _ESCAPES[kind].encode()
            rest = rest[2:]
        elif kind in _DIGITS:
            stop = 2 + _DIGITS[kind]
            if not _HEX[_DIGITS[kind]].fullmatch(rest[2:stop]):
                raise ValueError("invalid syntax")
            code = int(rest[2:stop], 16)
            found += bytes((code,)) if kind == "x" else chr(code).encode()
            rest = rest[stop:]
        elif _OCTAL.fullmatch(rest[1:4]):
            found.append(int(rest[1:4], 8))
            rest = rest[4:]
        else:
            raise ValueError("invalid syntax")
    return bytes(found)
