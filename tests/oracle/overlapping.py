"""Two courses of one patient, by plain arithmetic: overlapping ones share a counter, others do not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

from fhir_radcharge.model import Place, TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook

_START = date(2025, 2, 3)


class Pair(NamedTuple):
    """The days of two courses, whether a visit serves both at once, and how they are counted."""

    first: tuple[date, ...]
    second: tuple[date, ...]
    together: bool
    merged: bool


def random_pair(seed: int) -> Pair:
    """Return the pair of a seed: overlapping, touching or apart."""
    draw = random.Random(f"pair {seed}")
    first = _days(draw, _START, draw.randint(3, 17))
    begin = draw.choice((first[0], draw.choice(first), first[-1], first[-1] + timedelta(days=30)))
    return Pair(first, _days(draw, begin, draw.randint(3, 17)), draw.random() < 0.7, draw.random() < 0.8)


def expected_days(pair: Pair) -> Counter[date]:
    """Return the days on which a weekly unit is due while both courses are open: every fifth session."""
    overlap = pair.first[0] <= pair.second[-1] and pair.second[0] <= pair.first[-1]
    if not (overlap and pair.merged):
        return Counter([*_fifths(pair.first), *_fifths(pair.second)])
    # A visit that serves two courses is one session: the union of the days.
    return Counter(_fifths(sorted({*pair.first, *pair.second})))


def found_days(pair: Pair, rulebook: Rulebook) -> Counter[date]:
    """Return the days on which the engine has a weekly unit."""
    knobs = {"counter_scope": "merged" if pair.merged else "per_course"}
    book = replace(rulebook, policy=rulebook.policy.overridden(knobs))
    late = 9 * 60 + (12 if pair.together else 0)
    events = [_fraction("C1", day, 9 * 60, k) for k, day in enumerate(pair.first)]
    events += [_fraction("C2", day, late, k) for k, day in enumerate(pair.second)]
    due = charges_due(events, book)
    return Counter(charge.day for charge in due.charges if charge.code == "77427")


def _days(draw: random.Random, day: date, count: int) -> tuple[date, ...]:
    days: list[date] = []
    while len(days) < count:
        if day.weekday() < 5 and (not days or draw.random() < 0.8):
            days.append(day)
        day += timedelta(days=1)
    return tuple(days)


def _fifths(days: Sequence[date]) -> list[date]:
    return [days[k] for k in range(4, len(days), 5)]


def _fraction(course: str, day: date, minute: int, number: int) -> TreatmentEvent:
    facts = {"technique": "2d", "energy_mv": 6, "isocenters": 1, "ports": 2, "fraction_number": number, "plan": course}
    return TreatmentEvent(
        "oracle", f"{course}F{number}", "fraction", day, minute, course, facts, Place("freestanding"), payer="medicare"
    )
