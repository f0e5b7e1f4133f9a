"""The nouns of a simulation: a course's chart, and the things said about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple

from fhir_radcharge.simulate.patients import Patient

SaidKind = Literal[
    "fraction", "guidance", "approval", "port_image", "exam", "physics_check", "service", "prescription",
    "course_closed",
]


class Room(NamedTuple):
    """A treatment room, where it stands, and how a session in it is billed."""

    name: str
    location: str
    setting: str
    campus: str
    ownership: str


class Chart(NamedTuple):
    """What is written on the front of a course's chart, and goes onto each of its messages."""

    number: int
    course: str
    patient: Patient
    room: Room
    prescribed: int
    site: str
    diagnosis: str
    physician: str
    account: str


class Said(NamedTuple):
    """One thing said by a record-and-verify system about one event, at one revision.

    `sent` is when it was said first, in minutes of the facility's clock: a repeat has the same, a later
    revision a later one. `day` and `minute` are the event's own.
    """

    sent: int
    kind: SaidKind
    id: str
    revision: int
    day: date
    minute: int
    facts: Mapping[str, Any]
    voided: bool = False
    inpatient: bool = False


def moment(day: date, minute: int) -> int:
    """Return a moment of the facility's clock as whole minutes, which sort and add."""
    return day.toordinal() * 1440 + minute


def clock(minutes: int) -> datetime:
    """Return the local date and time of a moment."""
    day, minute = divmod(minutes, 1440)
    return datetime.combine(date.fromordinal(day), time.min) + timedelta(minutes=minute)
