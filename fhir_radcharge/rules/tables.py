"""Turns a decision table and the facts of a case into the one row that answers, and proves that there is one.

A table declares every fact that it asks and every value that the fact may take, so that the whole space of
questions is finite: `problems` walks it and finds each gap, each overlap and each row that can never answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from fhir_radcharge.errors import RuleError
from fhir_radcharge.model import Why

KNOB = "knob."


class Band(NamedTuple):
    """A named span of numbers, up to and with `upto` or up to but without `below`; neither: all that is left."""

    name: str
    upto: Decimal | None = None
    below: Decimal | None = None


class Ask(NamedTuple):
    """One fact or knob that a table asks, with the words that can answer; `absent` answers for a missing fact."""

    name: str
    values: tuple[str, ...]
    bands: tuple[Band, ...] = ()
    absent: str | None = None

    def word(self, given: Any) -> str:
        """Return the word for a given value; RuleError for a value that the table does not know."""
        if given is None:
            if self.absent is None:
                raise RuleError(f"{self.name}: not stated, and the table names no word for that")
            return self.absent
        if self.bands:
            return self._band(given)
        if given is True or given is False:
            word = ("yes" if given else "no") if "yes" in self.values else str(given).lower()
        else:
            word = str(given)
        if word not in self.values:
            raise RuleError(f"{self.name}: {word!r} is none of {', '.join(self.values)}")
        return word

    def _band(self, given: Any) -> str:
        number = Decimal(str(given))
        for name, upto, below in self.bands:
            if (
                (upto is None and below is None)
                or (upto is not None and number <= upto)
                or (below is not None and number < below)
            ):
                return name
        raise RuleError(f"{self.name}: {given!r} is beyond the last band")


class Row(NamedTuple):
    """One line of a table: the words it asks for (None: any), what it gives, from when to when, and its sources."""

    id: str
    asks: tuple[frozenset[str] | None, ...]
    gives: Mapping[str, str | tuple[str, ...]]
    start: date
    end: date
    sources: tuple[str, ...]
    place: str = ""

    def text(self, column: str) -> str | None:
        """Return a given cell that is one word, None where it is empty."""
        cell = self.gives.get(column)
        return cell if isinstance(cell, str) else None


class Answer(NamedTuple):
    """The row that answered, and the step of the explanation that it makes."""

    row: Row
    why: Why


@dataclass(frozen=True)
class Table:
    """A decision: its questions, its rows, and the days for which it answers.

    `places` has where each key of its head and each of its questions is written.
    """

    name: str
    asks: tuple[Ask, ...]
    gives: tuple[str, ...]
    rows: tuple[Row, ...]
    first_match: bool
    start: date
    end: date
    places: Mapping[str, str] = field(repr=False, compare=False, default_factory=dict)
    _eras: tuple[date, ...] = field(init=False, repr=False, compare=False)
    _memo: dict[Any, Answer] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        starts = {self.start}
        for row in self.rows:
            starts.add(max(row.start, self.start))
            if row.end < self.end:
                starts.add(row.end + timedelta(days=1))
        object.__setattr__(self, "_eras", tuple(sorted(day for day in starts if day <= self.end)))

    @property
    def eras(self) -> tuple[date, ...]:
        """Return the days on which an answer may change, the first day of the table first."""
        return self._eras

    def answer(self, facts: Mapping[str, Any], knobs: Mapping[str, Any], day: date) -> Answer:
        """Return the row for these facts on this date of service; RuleError where none or two would answer."""
        if not self.start <= day <= self.end:
            raise RuleError(f"{self.name}: answers from {self.start} to {self.end}, asked for {day}")
        words = tuple(
            ask.word(knobs[ask.name[5:]] if ask.name.startswith(KNOB) else facts.get(ask.name))
            for ask in self.asks
        )
        key = (bisect_right(self._eras, day), words)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._find(words, day)
        return found

    def _find(self, words: Sequence[str], day: date) -> Answer:
        rows = [
            row
            for row in self.rows
            if row.start <= day <= row.end
            and all(want is None or word in want for want, word in zip(row.asks, words, strict=True))
        ]
        if not rows or (len(rows) > 1 and not self.first_match):
            said = ", ".join(f"{ask.name}={word}" for ask, word in zip(self.asks, words, strict=True))
            raise RuleError(f"{self.name}: {len(rows)} rows answer on {day} for {said}")
        row = rows[0]
        asked = tuple(
            (ask.name, word)
            for ask, word, want in zip(self.asks, words, row.asks, strict=True)
            if want is not None
        )
        return Answer(row, Why(self.name, row.id, asked))

    def problems(self) -> Iterator[str]:
        """Yield each gap, overlap and dead row, with its place and an example; nothing: the table is proved."""
        used: set[str] = set()
        for day in self._eras:
            rows = [row for row in self.rows if row.start <= day <= row.end]
            yield from self._walk(rows, 0, [], day, used)
        for row in self.rows:
            if row.id not in used:
                yield f"{row.place}: row {row.id} can never answer; an earlier row takes all of its cases"

    def _walk(
        self, rows: Sequence[Row], depth: int, path: list[str], day: date, used: set[str]
    ) -> Iterator[str]:
        if not rows:
            yield f"{self.name}: no row on {day} for {', '.join(path) or 'any facts'}"
            return
        first_free = next(
            (n for n, row in enumerate(rows) if all(want is None for want in row.asks[depth:])), None
        )
        if first_free is not None and self.first_match:
            rows = rows[: first_free + 1]
        if all(want is None for row in rows for want in row.asks[depth:]):
            used.add(rows[0].id)
            if len(rows) > 1 and not self.first_match:
                names = " and ".join(row.id for row in rows)
                yield f"{rows[1].place}: rows {names} both answer on {day} for {', '.join(path) or 'any facts'}"
            return
        ask = self.asks[depth]
        if all(row.asks[depth] is None for row in rows):
            yield from self._walk(rows, depth + 1, path, day, used)
            return
        for word in ask.values:
            kept = [row for row in rows if (want := row.asks[depth]) is None or word in want]
            yield from self._walk(kept, depth + 1, [*path, f"{ask.name}={word}"], day, used)


class Walked(NamedTuple):
    """The end of a chain of tables: all cells given on the way, the flags raised, the first hold, the steps."""

    gives: Mapping[str, Any]
    flags: tuple[str, ...]
    hold: str | None
    why: tuple[Why, ...]


def walked(
    tables: Mapping[str, Table], first: str, facts: Mapping[str, Any], knobs: Mapping[str, Any], day: date
) -> Walked:
    """Return the answer of a chain: each row may name the `next` table, which sees what was given before it."""
    known = dict(facts)
    flags: list[str] = []
    steps: list[Why] = []
    hold: str | None = None
    name: str | None = first
    while name is not None:
        row, why = tables[name].answer(known, knobs, day)
        steps.append(why)
        known.update(row.gives)
        flag = row.text("flag")
        if flag is not None:
            flags.append(flag)
        hold = hold or row.text("hold")
        name = row.text("next")
    return Walked(known, tuple(flags), hold, tuple(steps))
