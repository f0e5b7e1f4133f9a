"""Turns a proven Body into readings: for each patient the events, problems and notices of one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.dft import Reading, SiteTables
from fhir_radcharge.wire.fhir import codex
from fhir_radcharge.wire.fhir.charge_items import charge_events
from fhir_radcharge.wire.fhir.courses import course_events, prescription_events
from fhir_radcharge.wire.fhir.elements import snomed
from fhir_radcharge.wire.fhir.frame import frame_of
from fhir_radcharge.wire.fhir.heard import PHASE, Heard, around
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body, Entry
from fhir_radcharge.wire.fhir.surroundings import account_of, patient_of, payers_of
from fhir_radcharge.wire.fhir.tables import Tables

Said = tuple[list[TreatmentEvent], list[str]]
Reader = Callable[[Heard, Entry], Said]


def readings(body: Body, sender: Sender, tables: Tables, site: SiteTables, message: int) -> tuple[Reading, ...]:
    """Return one reading for each patient that the body speaks of, in the order in which they come.

    What cannot be read of one resource is a problem of its patient and the other resources go on. A resource
    whose patient is unknown, and problems of the body itself, are in a reading without a patient, at the end.
    """
    found: dict[str, _Gathered] = {}
    lost = _Gathered()
    lost.problems += body.problems
    first = Heard(body, sender, tables, site, message, [], around(body))
    named: list[tuple[str, Entry, Reader]] = []
    for entry in body.entries:
        reader = _reader(entry)
        if reader is None:
            continue
        try:
            named.append((patient_of(first, entry.resource, entry.place), entry, reader))
        except MessageError as error:
            lost.problems.append(error)
    payers = payers_of(first, {patient for patient, _, _ in named})
    for patient, entry, reader in named:
        heard = first._replace(notices=[], payer=payers[patient])
        found.setdefault(patient, _Gathered()).read(heard, entry, reader)
    every = [gathered.reading(patient) for patient, gathered in found.items()]
    return (*every, lost.reading("")) if lost.problems or not every else tuple(every)


class _Gathered:
    """What is found of one patient while the entries of a body are read one by one."""

    __slots__ = ("_said", "account", "events", "notices", "problems")

    def __init__(self) -> None:
        self.account = ""
        self.events: list[TreatmentEvent] = []
        self.problems: list[MessageError] = []
        self.notices: list[str] = []
        self._said: dict[tuple[str, tuple[object, ...]], TreatmentEvent] = {}

    def read(self, heard: Heard, entry: Entry, reader: Reader) -> None:
        """Read one entry of this patient; what cannot be read is a problem and stops nothing else."""
        try:
            self.account = self.account or account_of(heard, entry.resource)
            events, notices = _test_data(entry) or reader(heard, entry)
        except MessageError as error:
            self.problems.append(error)
            return
        self.add(events, entry.place)
        if events and not heard.around.covers:
            self.notices.append("payer_unknown")
        self.notices += [*heard.notices, *notices]

    def add(self, events: list[TreatmentEvent], place: str) -> None:
        """Take in events; one that is there already is a repeat, and another under its id is a problem."""
        for event in events:
            earlier = self._said.setdefault((event.id, event.revision), event)
            if earlier is event:
                self.events.append(event)
            elif earlier == event:
                self.notices.append("line_repeated")
            else:
                remedy = "send an identifier that differs, or the version of each saying"
                problem = "another entry says something else of this event"
                self.problems.append(MessageError(f"{place}.identifier", problem, remedy, "207"))

    def reading(self, patient: str) -> Reading:
        """Return all of it."""
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
