"""Turns a code that was not charged into the reasons: which rows would give it, and what kept each from answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.course import courses
from fhir_radcharge.rules.rulebook import Edits, Rulebook
from fhir_radcharge.rules.tables import KNOB, Answer, Table


class Asked(NamedTuple):
    """One question that was put to a table, in the words in which it was answered."""

    day: date
    words: tuple[str, ...]
    row: str


@dataclass(frozen=True)
class _Listening(Table):
    """A table that remembers what it was asked, in order."""

    asked: list[Asked] = field(default_factory=list, compare=False, repr=False)

    def answer(self, facts: Mapping[str, Any], knobs: Mapping[str, Any], day: date) -> Answer:
        """Return the row for these facts, and remember the question."""
        found = super().answer(facts, knobs, day)
        words = tuple(
            ask.word(knobs[ask.name[5:]] if ask.name.startswith(KNOB) else facts.get(ask.name)) for ask in self.asks
        )
        self.asked.append(Asked(day, words, found.row.id))
        return found


def why_not(
    code: str,
    events: Sequence[TreatmentEvent],
    rulebook: Rulebook,
    as_of: date | None = None,
    day: date | None = None,
    tables: Edits | None = None,
) -> list[str]:
    """Return sentences that say why a code is not due, on one day or at all; empty: it is due, and not held."""
    listening: dict[str, Table] = {name: _Listening(t.name, t.asks, t.gives, t.rows, t.first_match, t.start, t.end)
                 for name, t in rulebook.tables.items()}  # fmt: skip
    due = charges_due(events, replace(rulebook, tables=listening), as_of, tables=tables)
    mine = [c for c in due.charges if c.code == code and (day is None or c.day == day)]
    if mine:
        return [f"it is due on {c.day} on the {c.bill} bill, and held: {c.hold}" for c in mine if c.hold]
    said = _catalogue(code, day, rulebook)
    said += [
        sentence
        for table in listening.values()
        if isinstance(table, _Listening)
        for sentence in _table(code, table, day)
    ]
    said += _counts(code, events, rulebook, as_of)
    said += [f"rule {rule.id}: where {', '.join(sorted(rule.has))} is due, {code} is inside it ({rule.scope})"
             for rule in rulebook.exclusions if code in rule.excludes
             and any(c.code in rule.has for c in due.charges)]  # fmt: skip
    return said or [f"no table, count or service of this course leads to {code}"]


def _catalogue(code: str, day: date | None, rulebook: Rulebook) -> list[str]:
    if not rulebook.catalogue.known(code):
        return [f"{code} stands in no table and not in the code list"]
    if day is not None and rulebook.catalogue.row(code, day) is None:
        return [f"{code} is not a valid code on {day}"]
    return []


def _table(code: str, table: _Listening, day: date | None) -> list[str]:
    """Return for each row that would give the code the first question in which it failed."""
    rows = [row for row in table.rows if row.gives.get("code") == code]
    if not rows:
        return []
    asked = list(dict.fromkeys(a for a in table.asked if day is None or a.day == day))
    if not asked:
        return [f"table {table.name}, which gives it, was not asked{f' on {day}' if day else ''}"]
    found: list[str] = []
    for row in rows:
        for question in asked:
            if not row.start <= question.day <= row.end:
                found.append(f"row {row.id} of {table.name} holds from {row.start} to {row.end}, not on {question.day}")
                continue
            misses = [f"{ask.name} is {word}, and not {' or '.join(sorted(want))}" for ask, word, want
                      in zip(table.asks, question.words, row.asks, strict=True)
                      if want is not None and word not in want]  # fmt: skip
            reason = "; ".join(misses) or f"row {question.row} answers first"
            found.append(f"row {row.id} of {table.name}: {reason}")
    return list(dict.fromkeys(found))


def _counts(code: str, events: Sequence[TreatmentEvent], rulebook: Rulebook, as_of: date | None) -> list[str]:
    found = []
    live = [event for event in events if not event.voided and event.kind != "release"]
    for rule in rulebook.counting:
        if rule.code != code:
            continue
        for course in courses(live, rulebook, as_of):
            size = rule.value("size", course.knobs) if rule.size else rule.total_max
            closed = f"closed on {course.closings[-1].when[0]}" if course.closings else "not closed"
            counted, held = len(course.sessions), len(course.held)
            found.append(
                f"count {rule.id}: {counted} sessions counted, {held} held, course {closed}; "
                f"a unit takes {size} sessions ({rule.way.replace('_', ' ')})"
            )
    return found
