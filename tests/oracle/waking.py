"""Whether the engine says truly when its answer may next change although nothing is heard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from oracle.comparing import event_of, heard, turned
from oracle.random_courses import random_course

_DAYS = 45


def overslept(seed: int, rulebook: Rulebook) -> Iterator[str]:
    """Yield each day on which what is due for the course of a seed changes and nobody was to be woken."""
    course = random_course(seed)
    events = [event_of(one) for one in heard(course, seed)]
    book = turned(rulebook, course.knobs)
    first = max(event.day for event in events) - timedelta(days=_DAYS)
    before = charges_due(events, book, first)
    for k in range(1, 2 * _DAYS):
        day = first + timedelta(days=k)
        now = charges_due(events, book, day)
        sleeping = before.wakes is None or before.wakes > day
        if sleeping and (now.charges != before.charges or now.flags != before.flags):
            yield f"seed {seed}: changed on {day}, was to wake on {before.wakes}"
        before = now
