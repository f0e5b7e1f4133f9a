"""What the simulator writes, the shipped sender profiles read: every event, every fact, nothing else."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of
from fhir_radcharge.simulate.said import Said
from fhir_radcharge.site import load_site
from fhir_radcharge.wire.dft import read_dft
from fhir_radcharge.wire.er7 import read_message

MAPPINGS = Path(__file__).parents[1] / "mappings"
RUN = run_of("torture", 3, date(2025, 11, 17), courses=60)
# Read into the event itself, not its facts.
_ELSEWHERE = ("code", "units", "provider")


def read(dialect: str) -> list[TreatmentEvent]:
    site = load_site(MAPPINGS)
    sender = site.senders[dialect]
    events = []
    for number, message in enumerate(messages(RUN, dialect), 1):
        reading = read_dft(read_message(message.raw), sender, site, number)
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
    rooms = {one.chart.course: one.chart.room for one in courses(RUN)}
    assert {(event.course, *event.place) for event in standing.values()} == {
        (course, room.setting, room.campus, room.ownership) for course, room in rooms.items()}
