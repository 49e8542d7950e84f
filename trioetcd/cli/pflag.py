"""A command's flags by the rules of Go's pflag, which etcdutl's users have in their fingers.

`--name=value`, `--name value`, `-w value`, `-wvalue`; a switch needs no value; flags and
arguments in any order; `--` ends the flags.
Source: github.com/spf13/pflag (flag.go); github.com/spf13/cobra (command.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trioetcd.config.values import BadValue, parse_bool, parse_uint


class BadFlags(Exception):
    """The words are not understood; the message is pflag's."""


class HelpAsked(Exception):
    """-h or --help."""


@dataclass(frozen=True)
class Flag:
    default: str | bool | int
    help: str
    short: str = ""

    @property
    def type(self) -> str:
        if isinstance(self.default, bool):
            return ""
        return "string" if isinstance(self.default, str) else "uint"

    @property
    def go_type(self) -> str:
        return {"": "bool", "string": "string", "uint": "uint64"}[self.type]

    def parse(self, text: str) -> str | bool | int:
        """Raises BadValue."""
        if isinstance(self.default, str):
            return text
        return parse_bool(text) if isinstance(self.default, bool) else parse_uint(text)


Flags = Mapping[str, Flag]


@dataclass(frozen=True)
class Parsed:
    values: Mapping[str, str | bool | int]
    arguments: Sequence[str]

    def text(self, name: str) -> str:
        return str(self.values[name])

    def is_on(self, name: str) -> bool:
        return bool(self.values[name])

    def number(self, name: str) -> int:
        return int(self.values[name])


def parse_flags(flags: Flags, words: Sequence[str]) -> Parsed:
    """Raises BadFlags or HelpAsked."""
    values = {name: flag.default for name, flag in flags.items()}
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if word == "-" or not word.startswith("-"):
            arguments.append(word)
            continue
        name, text = _one(flags, word, rest)
        try:
            values[name] = flags[name].parse(text)
        except BadValue as error:
            raise BadFlags(_invalid(name, flags[name], text, error)) from error
    return Parsed(values, arguments)


def _one(flags: Flags, word: str, rest: list[str]) -> tuple[str, str]:
    """A flag's name and the text of its value, which may be the next word."""
    if word.startswith("--"):
        name, has_value, text = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise BadFlags(f"bad flag syntax: {word}")
        if name == "help" and name not in flags:
            raise HelpAsked
        if name not in flags:
            raise BadFlags(f"unknown flag: --{name}")
        shown = f"--{name}"
    else:
        letter, text = word[1], word[2:]
        if letter == "h":
            raise HelpAsked
        found = [name for name, flag in flags.items() if flag.short == letter]
        if not found:
            raise BadFlags(f"unknown shorthand flag: '{letter}' in {word}")
        name, has_value = found[0], text
        text = text.removeprefix("=")
        shown = f"'{letter}' in {word}"
    if not has_value and isinstance(flags[name].default, bool):
        return name, "true"
    if not has_value:
        if not rest:
            raise BadFlags(f"flag needs an argument: {shown}")
        return name, rest.pop(0)
    return name, text


def _invalid(name: str, flag: Flag, text: str, error: BadValue) -> str:
    shown = f"-{flag.short}, --{name}" if flag.short else f"--{name}"
    why = "invalid syntax" if str(error) == "parse error" else str(error)
    parser = "ParseBool" if isinstance(flag.default, bool) else "ParseUint"
    return (
        f'invalid argument "{text}" for "{shown}" flag: strconv.{parser}: parsing "{text}": {why}'
    )


def usage(flags: Flags) -> str:
    """A line a flag, by name, as cobra prints them."""
    lines = []
    for name, flag in sorted(flags.items()):
        start = f"  -{flag.short}, --{name}" if flag.short else f"      --{name}"
        default = f' (default "{flag.default}")' if flag.default and flag.type == "string" else ""
        lines.append((f"{start} {flag.type}".rstrip(), flag.help + default))
    width = max(len(start) for start, _ in lines) + 3
    return "".join(f"{start.ljust(width)}{text}\n" for start, text in lines)
