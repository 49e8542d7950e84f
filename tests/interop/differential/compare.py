"""What was compared and what was different, for people to read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from tests.interop.differential.clients import Answer
from tests.interop.differential.traffic import RESPONSES, Call, show

SHOWN_CHARACTERS = 2000  # of one answer
KEPT = 200  # mismatches that are kept; more are only counted


@dataclass
class Report:
    seed: int
    calls: int = 0
    seconds: float = 0.0
    by_method: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    mismatch_count: int = 0
    go_differences: Counter[str] = field(default_factory=Counter)  # between 3.4.23 and 3.5.1
    newer: Counter[str] = field(default_factory=Counter)  # answers that needed one of `rules`
    events: int = 0  # that watchers were sent by each server

    def mismatch(self, what: object, answers: dict[str, object]) -> None:
        self.mismatch_count += 1
        if len(self.mismatches) < KEPT:
            lines = [f"  {kind}: {shorten(answer)}" for kind, answer in answers.items()]
            self.mismatches.append(
                "\n".join([f"seed {self.seed}, call {self.calls}: {shorten(what)}", *lines])
            )

    def go_differs(self, what: str) -> None:
        self.go_differences[what] += 1

    def follows_newer(self, what: str) -> None:
        self.newer[what] += 1

    @property
    def headline(self) -> str:
        return (
            f"seed {self.seed}: {self.calls} calls in {self.seconds:.0f} s, {self.events} events,"
            f" {self.mismatch_count} mismatches"
        )

    def __str__(self) -> str:
        lines = [
            self.headline,
            *_table("calls", self.by_method),
            *_table("answers", self.by_code),
            *_table("trioetcd follows a newer rule", self.newer),
            *_table("3.4.23 differs from 3.5.1", self.go_differences),
            *self.mismatches,
        ]
        return "\n".join(lines)


def _table(title: str, counts: Counter[str]) -> list[str]:
    return [f"{title}:", *(f"  {count:>7}  {what}" for what, count in counts.most_common())]


def describe(call: Call, answer: Answer) -> str:
    """An answer for people."""
    if answer.code != "OK":
        return f"{answer.code} {answer.text!r}"
    kind = RESPONSES.get(call.method)
    if kind is None:
        return f"OK {answer.body!r}"
    try:
        return f"OK {show(kind.FromString(answer.body))}"
    except DecodeError:
        return f"OK, but undecodable: {answer.body!r}"


def shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… {len(text)}"
