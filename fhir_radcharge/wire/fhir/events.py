"""Turns a proven Body into readings: for each patient the events, problems and notices of one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.dft import Reading, SiteTables
from fhir_radcharge.wire.fhir import codex
from fhir_radcharge.wire.fhir.charge_items import charge_events
from fhir_radcharge.wire.fhir.context import PHASE, Heard, account_of, around, frame_of, patient_of
from fhir_radcharge.wire.fhir.courses import course_events, prescription_events
from fhir_radcharge.wire.fhir.elements import snomed
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body, Entry
from fhir_radcharge.wire.fhir.tables import Tables

Said = tuple[list[TreatmentEvent], list[str]]
Reader = Callable[[Heard, Entry], Said]


def readings(body: Body, sender: Sender, tables: Tables, site: SiteTables, message: int) -> tuple[Reading, ...]:
    """Return one reading for each patient that the body speaks of, in the order in which they come.

    What cannot be read of one resource is a problem of its patient and the other resources go on. A resource
    whose patient is unknown, and problems of the body itself, are in a reading without a patient, at the end.
    """
    found: dict[str, _Gathered] = {}
    lost, shared = _Gathered(), around(body)
    lost.problems += body.problems
    for entry in body.entries:
        reader = _reader(entry)
        if reader is None:
            continue
        heard = Heard(body, sender, tables, site, message, [], shared)
        gathered = lost
        try:
            patient = patient_of(heard, entry.resource, entry.place)
            gathered = found.setdefault(patient, _Gathered())
            gathered.account = gathered.account or account_of(heard, entry.resource)
            events, notices = _test_data(entry) or reader(heard, entry)
        except MessageError as error:
            gathered.problems.append(error)
        else:
            gathered.events += events
            gathered.notices += [*heard.notices, *notices]
    every = [gathered.reading(patient) for patient, gathered in found.items()]
    return (*every, lost.reading("")) if lost.problems or not every else tuple(every)


class _Gathered:
    __slots__ = ("account", "events", "notices", "problems")

    def __init__(self) -> None:
        self.account = ""
        self.events: list[TreatmentEvent] = []
        self.problems: list[MessageError] = []
        self.notices: list[str] = []

    def reading(self, patient: str) -> Reading:
        return Reading(
            patient, self.account, tuple(self.events), tuple(self.problems), tuple(dict.fromkeys(self.notices))
        )


def _reader(entry: Entry) -> Reader | None:
    """Return what reads a resource of this type and code; None where it only stands beside others."""
    resource = entry.resource
    kind: str = resource["resourceType"]
    if kind == "ChargeItem":
        return _charge_item
    if kind == "Procedure":
        code: str = snomed(resource.get("code")) or ""
        reader: Reader = _PROCEDURES.get(code, _other)
        return reader
    if kind == "ServiceRequest" and codex.is_course(resource):
        return _planned_course
    return None


def _test_data(entry: Entry) -> Said | None:
    """Return a notice for a resource that says of itself that it is for testing: it is stored, never charged."""
    labels = entry.resource.get("meta", {}).get("security", ())
    return ([], ["not_production: HTEST"]) if any(one.get("code") == "HTEST" for one in labels) else None


def _charge_item(heard: Heard, entry: Entry) -> Said:
    return charge_events(heard, entry.place, entry.resource), []


def _fraction(heard: Heard, entry: Entry) -> Said:
    return codex.fraction_events(frame_of(heard, entry.place, entry.resource))


def _course(heard: Heard, entry: Entry) -> Said:
    return course_events(frame_of(heard, entry.place, entry.resource)), []


def _planned_course(heard: Heard, entry: Entry) -> Said:
    return prescription_events(frame_of(heard, entry.place, entry.resource)), []


def _plan(heard: Heard, entry: Entry) -> Said:
    return [], []


def _other(heard: Heard, entry: Entry) -> Said:
    return [], [f"{entry.place}: the procedure is not one of radiotherapy delivery; nothing is read from it"]


_PROCEDURES: Mapping[str, Reader] = {
    codex.FRACTION: _fraction,
    codex.COURSE: _course,
    codex.PLAN: _plan,
    PHASE: _plan,
}
