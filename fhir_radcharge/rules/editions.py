"""Turns what is due under several sets of tables into one answer: each date of service by the tables of its span.

Every set of tables in play computes the whole patient, since counts and edits need all of it, and of each answer the
lines of its own dates are taken. A counted unit is one unit whatever the tables call it or date it: it is taken once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

from fhir_radcharge.model import Charge, Due, TreatmentEvent
from fhir_radcharge.rules.rulebook import Rulebook

BETWEEN = "course_boundary"
"""The hold of a unit that each of two sets of tables dates into the time of the other: no table decides it."""

_DAY = timedelta(days=1)


def composed(events: Sequence[TreatmentEvent], rulebook: Rulebook, due: Callable[[Rulebook], Due]) -> Due:
    """Return the lines and flags of each span as its own tables have them; `due` asks one set of tables."""
    parts = _in_play(events, rulebook)
    (_, first), *later = parts
    answer = due(first)
    for last, following in later:
        assert last is not None
        answer = _joined(answer, last, due(following), events)
    return answer


def _in_play(events: Sequence[TreatmentEvent], rulebook: Rulebook) -> list[tuple[date | None, Rulebook]]:
    """Return the sets of tables in whose span an event lies, each with the last day of the span before it.

    A line is dated by an event, so that no other set has a line to give.
    """
    spans: list[tuple[date | None, date | None, Rulebook]] = []
    before: date | None = None
    for last, tables in rulebook.earlier:
        spans.append((before, last, tables))
        before = last
    spans.append((before, None, rulebook))
    days = [event.day for event in events if not event.voided]
    if not days:
        return [(before, rulebook)]
    low, high = min(days), max(days)
    return [
        (before, tables)
        for before, last, tables in spans
        if (before is None or high > before) and (last is None or low <= last)
    ]


def _joined(left: Due, last: date, right: Due, events: Sequence[TreatmentEvent]) -> Due:
    """Return the left answer up to a day and the right one after it."""
    mine = [charge for charge in left.charges if charge.day <= last]
    theirs = [charge for charge in right.charges if charge.day > last]
    taken = {_unit(charge) for charge in mine if charge.slot}
    between = _between(left, last, right, taken)
    mine += [_held(charge, last, events) for charge in between]
    own = {(charge.bill, charge.slot) for charge in left.charges if charge.slot and charge.day > last}
    mine += [
        charge
        for charge in theirs
        # Two counts of one family may have units of one number; where both tables date it later it is no renamed one.
        if not charge.slot or _unit(charge) not in taken or (charge.bill, charge.slot) in own
    ]
    flags = [flag for flag in left.flags if flag.day is not None and flag.day <= last]
    flags += [flag for flag in right.flags if flag.day is None or flag.day > last]
    wakes = min((day for day in (left.wakes, right.wakes) if day is not None), default=None)
    return Due(tuple(mine), tuple(dict.fromkeys(flags)), wakes)


def _unit(charge: Charge) -> tuple[str, str, str]:
    """Return which unit of which counter a line is; its code may be another in later tables, so it plays no part."""
    return charge.bill, charge.family, charge.slot.partition("/")[2]


def _between(left: Due, last: date, right: Due, taken: set[tuple[str, str, str]]) -> list[Charge]:
    """Return the lines of units that the left tables date after the day, and the right ones up to it."""
    theirs = _days_of(right)
    return [
        charge
        for charge in left.charges
        if charge.slot and charge.day > last and (unit := _unit(charge)) not in taken
        and (days := theirs.get(unit)) is not None and max(days) <= last
    ]  # fmt: skip


def _days_of(due: Due) -> Mapping[tuple[str, str, str], Sequence[date]]:
    found: dict[tuple[str, str, str], list[date]] = defaultdict(list)
    for charge in due.charges:
        if charge.slot:
            found[_unit(charge)].append(charge.day)
    return found


def _held(charge: Charge, last: date, events: Sequence[TreatmentEvent]) -> Charge:
    """Hold a line that no tables decide, unless a person has released it."""
    if any(_releases(event, charge) for event in events):
        return charge
    ends, starts = last.isoformat(), (last + _DAY).isoformat()
    note = f"the tables to {ends} and those from {starts} each date this unit in the other's time"
    return charge._replace(hold=charge.hold or BETWEEN, note=note)


def _releases(event: TreatmentEvent, charge: Charge) -> bool:
    """Tell whether an event is a person's release of this line for this reason."""
    if event.kind != "release" or event.voided or event.course not in (None, charge.course):
        return False
    of = event.facts.get("code"), str(event.facts.get("date"))
    return of == (charge.code, charge.day.isoformat()) and event.facts.get("reason") in (None, BETWEEN)
