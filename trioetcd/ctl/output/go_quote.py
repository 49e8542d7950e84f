"""Strings as Go's %q shows them.

Source: Go's strconv.Quote.
"""

from __future__ import annotations

_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


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
