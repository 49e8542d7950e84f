"""What can be typed where, as scripts for shells to complete commands by.

The scripts hold the words themselves, so that no key press waits for Python to start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trioetcd.cli.pflag import Flag
from trioetcd.cli.shown import FORMATS
from trioetcd.ctl.catalog import HOMES, commands_of
from trioetcd.ctl.flags import GLOBAL
from trioetcd.ctl.shells import BASH, FISH, POWERSHELL, ZSH

SHELLS = ("bash", "zsh", "fish", "powershell")
PROGRAMS = ("serve", "ctl", "util", "version", "help")
_VALUES: Mapping[str, Sequence[str]] = {
    "write-out": FORMATS,
    "order": ("ASCEND", "DESCEND"),
    "sort-by": ("CREATE", "KEY", "MODIFY", "VALUE", "VERSION"),
    "consistency": ("l", "s"),
    "load": ("small", "medium", "large", "xLarge"),
}
_ARGUMENTS: Mapping[str, Sequence[str]] = {"completion": SHELLS}


@dataclass(frozen=True)
class Place:
    """Where the words of a command lead: `path` is empty at the beginning."""

    path: str
    words: Mapping[str, str]  # what may come next, and what it does
    flags: Mapping[str, Flag]


def places() -> Iterator[Place]:
    groups = {word: commands_of(word) for word in sorted(HOMES)}
    top = {word: found[0].short for word, found in groups.items() if found}
    yield Place("", {**top, "help": "Help about any command"}, GLOBAL)
    yield Place("help", top, {})
    for word, found in groups.items():
        within = {one.path[1]: one.short for one in found if len(one.path) > 1}
        for command in found:
            words = within if len(command.path) == 1 else {}
            words = words or dict.fromkeys(_ARGUMENTS.get(command.name, ()), "")
            yield Place(command.name, words, {**GLOBAL, **command.inherited, **command.flags})
        if within:
            yield Place(f"help {word}", within, {})


def script(shell: str) -> str:
    """For one of SHELLS."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}[shell]()


# The tables that the scripts look into


def _names(flags: Mapping[str, Flag]) -> list[str]:
    return [f"--{name}" for name in sorted({*flags, "help"})]


def _takes_value() -> list[str]:
    """Every way to write a flag whose value is the next word."""
    found = set()
    for place in places():
        for name, flag in place.flags.items():
            if flag.type:
                found |= {f"--{name}", f"-{flag.short}"} if flag.short else {f"--{name}"}
    return sorted(found)


def _values() -> dict[str, Sequence[str]]:
    """By flag, as it is written."""
    found = {f"--{name}": values for name, values in _VALUES.items()}
    return {**found, "-w": FORMATS}


def _bash() -> str:
    def cases(rows: Iterator[tuple[str, Sequence[str]]]) -> str:
        return "\n".join(f"        '{key}') echo '{' '.join(words)}' ;;" for key, words in rows)

    return BASH.format(
        programs=" ".join(PROGRAMS),
        words=cases((place.path, list(place.words)) for place in places()),
        flags=cases((place.path, _names(place.flags)) for place in places()),
        values=cases(iter(_values().items())),
        valued="|".join(_takes_value()),
    )


def _zsh() -> str:
    def described(pairs: Mapping[str, str]) -> str:
        return " ".join(_quoted(f"{word}:{text}") for word, text in pairs.items())

    def cases(rows: Iterator[tuple[str, str]]) -> str:
        return "\n".join(f"        ('{key}') reply=({words}) ;;" for key, words in rows)

    def flags(place: Place) -> dict[str, str]:
        found = {f"--{name}": flag.help for name, flag in sorted(place.flags.items())}
        return {**found, "--help": "show help"}

    return ZSH.format(
        programs=" ".join(PROGRAMS),
        words=cases((place.path, described(place.words)) for place in places()),
        flags=cases((place.path, described(flags(place))) for place in places()),
        values=cases((key, " ".join(words)) for key, words in _values().items()),
        valued="|".join(_takes_value()),
    )


def _fish() -> str:
    lines = []
    for place in places():
        only = f"-n '__trioetcd_ctl_at \"{place.path}\" only'"
        where = f"-n '__trioetcd_ctl_at \"{place.path}\"'"
        for word, text in place.words.items():
            lines.append(f"complete -c trioetcd -f {only} -a {word} -d {_quoted(text)}")
        for name, flag in sorted(place.flags.items()):
            short = f" -s {flag.short}" if flag.short else ""
            values = _VALUES.get(name)
            takes = f" -x -a '{' '.join(values)}'" if values else " -r" if flag.type else ""
            lines.append(
                f"complete -c trioetcd {where} -l {name}{short}{takes} -d {_quoted(flag.help)}"
            )
    known = " ".join(_quoted(place.path) for place in places())
    return FISH.format(
        programs=" ".join(PROGRAMS),
        known=known,
        valued=" ".join(_takes_value()),
        lines="\n".join(lines),
    )


def _powershell() -> str:
    def table(rows: Iterator[tuple[str, Sequence[str]]]) -> str:
        return "\n".join(f"        '{key}' = @({_listed(words)})" for key, words in rows)

    return POWERSHELL.format(
        programs=_listed(PROGRAMS),
        words=table((place.path, list(place.words)) for place in places()),
        flags=table((place.path, _names(place.flags)) for place in places()),
        values=table(iter(_values().items())),
        valued=_listed(_takes_value()),
    )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _quoted(text: str) -> str:
    """For zsh and fish: in single quotes."""
    return "'" + text.replace("\\", "").replace("'", "") + "'"
