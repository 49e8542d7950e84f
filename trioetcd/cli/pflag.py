"""A command's flags by the rules of Go's pflag, which etcdutl's users have in their fingers.

`--name=value`, `--name value`, `-w value`, `-wvalue`; a switch needs no value; flags and
arguments in any order; `--` ends the flags.
Source: github.com/spf13/pflag (flag.go); github.com/spf13/cobra (command.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trioetcd.config.values import (
    BadValue,
    parse_bool,
    parse_duration,
    parse_int,
    parse_uint,
    show_duration,
)


class BadFlags(Exception):
    """The words are not understood; the message is pflag's."""


class HelpAsked(Exception):
    """-h or --help."""


Value = str | bool | int | float | tuple[str, ...]


@dataclass(frozen=True)
class Flag:
    """The default says what it takes: a tuple is a list of words, a float is seconds."""

    default: Value
    help: str
    short: str = ""
    kind: str = "uint"  # of whole numbers: "uint" or "int"

    @property
    def type(self) -> str:
        match self.default:
            case bool():
                return ""
            case str():
                return "string"
            case int():
                return self.kind
            case float():
                return "duration"
        return "strings"

    @property
    def shown_default(self) -> str:
        """As cobra's help shows it."""
        match self.default:
            case bool():
                return "true" if self.default else "false"
            case str():
                return f'"{self.default}"'
            case tuple():
                return f"[{','.join(self.default)}]"
            case float():
                return show_duration(self.default)
        return str(self.default)

    def parse(self, text: str) -> Value:
        """Raises BadValue."""
        match self.default:
            case bool():
                return parse_bool(text)
            case str():
                return text
            case int():
                return parse_int(text) if self.kind == "int" else parse_uint(text)
            case float():
                return parse_duration(text)
        return tuple(text.split(","))

    def refusal(self, text: str, error: BadValue) -> str:
        """Why a text is no value of it, in the words of Go's parsers."""
        why = "invalid syntax" if str(error) == "parse error" else str(error)
        parsers = {"": "ParseBool", "uint": "ParseUint", "int": "ParseInt"}
        if self.type in parsers:
            return f'strconv.{parsers[self.type]}: parsing "{text}": {why}'
        return f'time: invalid duration "{text}"'


Flags = Mapping[str, Flag]


@dataclass(frozen=True)
class Parsed:
    values: Mapping[str, Value]
    arguments: Sequence[str]
    given: frozenset[str] = frozenset()  # flags that were there, not their defaults
    after_dashes: Sequence[str] | None = None  # of the arguments; None: there was no `--`

    @property
    def all_arguments(self) -> list[str]:
        return [*self.arguments, *(self.after_dashes or ())]

    def text(self, name: str) -> str:
        return str(self.values[name])

    def is_on(self, name: str) -> bool:
        return bool(self.values[name])

    def number(self, name: str) -> int:
        found = self.values[name]
        assert isinstance(found, int)
        return found

    def seconds(self, name: str) -> float:
        found = self.values[name]
        assert isinstance(found, float)
        return found

    def words(self, name: str) -> tuple[str, ...]:
        found = self.values[name]
        assert isinstance(found, tuple)
        return found


def parse_flags(flags: Flags, words: Sequence[str]) -> Parsed:
    """Raises BadFlags or HelpAsked."""
    values = {name: flag.default for name, flag in flags.items()}
    given: set[str] = set()
    arguments: list[str] = []
    rest = list(words)
    after_dashes: list[str] | None = None
    while rest:
        word = rest.pop(0)
        if word == "--":
            after_dashes = rest
            break
        if word == "-" or not word.startswith("-"):
            arguments.append(word)
            continue
        name, text = _one(flags, word, rest)
        try:
            found = flags[name].parse(text)
        except BadValue as error:
            shown = label(name, flags[name]).strip()
            why = flags[name].refusal(text, error)
            raise BadFlags(f'invalid argument "{text}" for "{shown}" flag: {why}') from error
        before = values[name]
        if isinstance(found, tuple) and isinstance(before, tuple) and name in given:
            found = before + found
        values[name] = found
        given.add(name)
    return Parsed(values, arguments, frozenset(given), after_dashes)


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


def label(name: str, flag: Flag) -> str:
    """A flag at the beginning of its line."""
    return f"  -{flag.short}, --{name}" if flag.short else f"      --{name}"


def usage(flags: Flags) -> str:
    """A line a flag, by name, as cobra prints them."""
    lines = []
    for name, flag in sorted(flags.items()):
        is_text = flag.default and flag.type == "string"
        default = f" (default {flag.shown_default})" if is_text else ""
        lines.append((f"{label(name, flag)} {flag.type}".rstrip(), flag.help + default))
    width = max(len(start) for start, _ in lines) + 3
    return "".join(f"{start.ljust(width)}{text}\n" for start, text in lines)
