"""Simulated courses through the real reader and rules, against the independent truth of the simulator."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.simulate import Line, Run, courses, messages, truth
from fhir_radcharge.site import Site
from fhir_radcharge.wire.dft import read_dft
from fhir_radcharge.wire.er7 import read_message


def disagreements(run: Run, dialect: str, site: Site, as_of: date) -> Iterator[str]:
    """Yield one sentence for each course whose lines are not exactly those of the truth."""
    heard = _standing(run, dialect, site)
    for course in courses(run):
        expected = Counter(truth(course, as_of))
        due = charges_due(tuple(heard[course.chart.course].values()), site.rulebook, as_of)
        found = Counter(_line(charge) for charge in due.charges)
        if found != expected:
            yield (
                f"{course.chart.course} {course.chart.site} in {course.chart.room.name}:"
                f" missing {_shown(expected - found)}; too many {_shown(found - expected)}"
            )


def _standing(run: Run, dialect: str, site: Site) -> dict[str, dict[str, TreatmentEvent]]:
    sender = site.senders[dialect]
    heard: dict[str, dict[str, TreatmentEvent]] = defaultdict(dict)
    for number, message in enumerate(messages(run, dialect), 1):
        for event in read_dft(read_message(message.raw), sender, site, number).events:
            known = heard[event.course or ""].get(event.id)
            if known is None or event.revision > known.revision:
                heard[event.course or ""][event.id] = event
    return heard


def _line(charge: Any) -> Line:
    modifiers = "-".join(charge.modifiers)
    return Line(
        charge.course, charge.bill, charge.code, modifiers, charge.units, charge.day, charge.hold or "", charge.packaged
    )


def _shown(lines: Counter[Line]) -> str:
    told = [
        f"{line.bill} {line.hold} {line.code}-{line.modifiers} x{line.units} {line.day}"
        f"{' packaged' if line.packaged else ''}"
        for line in sorted(lines.elements())
    ]
    return ", ".join(told[:6]) or "nothing"
