"""Random courses through an engine of charges and through the oracle: what one says and the other does not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from fhir_radcharge.model import Place, TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from oracle.counting import Done, Due, due_lines
from oracle.random_courses import RandomCourse, random_course

DueLines = Callable[[Sequence[Done], Mapping[str, Any], date], Counter[Due]]
_COUNTED = ("77427", "77431", "77336", "77417")


def differences(seed: int, lines: DueLines) -> str | None:
    """Return what differs for the course of a seed, None if nothing does."""
    course = random_course(seed)
    expected = due_lines(course.done, course.knobs, course.as_of)
    found = lines(heard(course, seed), course.knobs, course.as_of)
    if found == expected:
        return None
    return f"seed {seed} {course.knobs}: missing {_shown(expected - found)}, too many {_shown(found - expected)}"


def heard(course: RandomCourse, seed: int) -> list[Done]:
    """Return the greatest revision of each event, in an order of its own: whoever computes is given no more."""
    last: dict[str, Done] = {}
    for one in course.done:
        if one.id not in last or one.revision > last[one.id].revision:
            last[one.id] = one
    events = list(last.values())
    random.Random(seed).shuffle(events)
    return events


def engine_lines(rulebook: Rulebook) -> DueLines:
    """Return the engine's answer in the oracle's words."""
    books: dict[str, Rulebook] = {}

    def lines(done: Sequence[Done], knobs: Mapping[str, Any], as_of: date) -> Counter[Due]:
        name = repr(sorted(knobs.items()))
        if name not in books:
            books[name] = turned(rulebook, knobs)
        due = charges_due([event_of(one) for one in done], books[name], as_of)
        found: Counter[Due] = Counter()
        for charge in due.charges:
            if charge.code in _COUNTED:
                key = Due(charge.code, charge.day, charge.end, charge.units, charge.hold)
                found[key] += 1
        return found

    return lines


def event_of(one: Done) -> TreatmentEvent:
    """Return what happened as the engine's noun: a freestanding centre, one course."""
    return TreatmentEvent(
        "oracle", one.id, one.kind, one.day, one.minute, "C1", dict(one.facts), Place("freestanding"),  # type: ignore[arg-type]
        payer="medicare", revision=(one.revision,), voided=one.voided,
    )  # fmt: skip


def turned(rulebook: Rulebook, knobs: Mapping[str, Any]) -> Rulebook:
    """Return the rulebook with these knobs turned."""
    return replace(rulebook, policy=rulebook.policy.overridden(knobs)) if knobs else rulebook


def _shown(lines: Counter[Due]) -> str:
    told = [
        f"{line.hold or ''} {line.code} x{line.units} {line.day}{f'..{line.end}' if line.end else ''}".strip()
        for line in sorted(lines.elements(), key=str)
    ]
    return ", ".join(told) or "nothing"
