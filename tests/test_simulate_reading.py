"""What the simulator writes, the shipped sender profiles read: every event, every fact, nothing else."""

from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fhir_radcharge.model import Place, TreatmentEvent
from fhir_radcharge.places import PlaceRow, Plans, Settings
from fhir_radcharge.profiles import read_sender
from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of
from fhir_radcharge.simulate.said import Said
from fhir_radcharge.wire.dft import read_dft
from fhir_radcharge.wire.er7 import read_message

SENDERS = Path(__file__).parents[1] / "mappings" / "senders"
RUN = run_of("torture", 3, date(2025, 11, 17), courses=60)
ROOM = (PlaceRow(date(2015, 1, 1), None, Place("hospital")),)


class Site(NamedTuple):
    settings: Settings
    payers: Plans


# Read into the event itself, not its facts.
_ELSEWHERE = ("code", "units", "provider")
NAMES = [name.format(room) for room in "1234" for name in ("LINAC{}", "RADONC^LINAC{}^^LAKESIDE")]
SITE = Site(Settings(dict.fromkeys(NAMES, ROOM)), Plans({}))


def read(dialect: str) -> list[TreatmentEvent]:
    sender = read_sender(SENDERS / f"{dialect}.yaml", dialect)
    events = []
    for number, message in enumerate(messages(RUN, dialect), 1):
        reading = read_dft(read_message(message.raw), sender, SITE, number)
        assert reading.problems == ()
        assert reading.notices == ("payer_unknown",)
        events.extend(reading.events)
    return events


def plainly(said: Said) -> dict[str, Any]:
    """Return the facts of what was said, as the reader names them."""
    return {name: value for name, value in said.facts.items() if name not in _ELSEWHERE}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_event_of_a_torture_run_is_read_as_it_was_said(dialect: str) -> None:
    said = sorted(
        (heard for one in courses(RUN) for heard in one.heard),
        key=lambda heard: (heard.arrives, heard.said.id, heard.said.revision))

    events = read(dialect)

    by_id = {(event.id, event.voided, event.day, event.minute) for event in events}
    assert by_id == {(one.id, one.voided, one.day, one.minute) for _, one in said}
    assert len(events) == len(said)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_facts_of_each_event_are_read_in_full(dialect: str) -> None:
    wanted: dict[str, list[dict[str, Any]]] = {}
    for _, one in (heard for course in courses(RUN) for heard in course.heard):
        wanted.setdefault(one.id, []).append(plainly(one))

    for event in read(dialect):
        facts = dict(event.facts)
        found = any(all(facts.get(name) == value for name, value in one.items()) for one in wanted[event.id])
        assert found or event.voided, (event.kind, facts, wanted[event.id])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_greatest_revision_read_is_the_last_one_said(dialect: str) -> None:
    last = {one.id: one for course in courses(RUN) for _, one in sorted(
        course.heard, key=lambda heard: heard.said.revision)}
    standing: dict[str, TreatmentEvent] = {}
    for event in read(dialect):
        if event.id not in standing or event.revision > standing[event.id].revision:
            standing[event.id] = event

    assert {name: one.voided for name, one in last.items()} == {
        name: event.voided for name, event in standing.items()}
    assert {event.course for event in standing.values()} == {one.chart.course for one in courses(RUN)}
