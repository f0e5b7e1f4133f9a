"""Turns a DFT message into treatment events, as the profile of its sender says.

A line that cannot be read becomes a problem with its place and its way out; the other lines go on.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import PatientClass, TreatmentEvent
from fhir_radcharge.places import Plans, Settings
from fhir_radcharge.wire.er7 import Message
from fhir_radcharge.wire.facts import shown
from fhir_radcharge.wire.ft1 import Shared, event_of, payer_of, revision_time
from fhir_radcharge.wire.grouping import Grouped, grouped, scope_of, shared_scope
from fhir_radcharge.wire.paths import Scope, leaf
from fhir_radcharge.wire.sender import Sender

_NOT_PRODUCTION = frozenset({"T", "D"})


class Reading(NamedTuple):
    """What a message says: events, problems that park it, and notices that only need to be seen."""

    patient: str
    account: str
    events: tuple[TreatmentEvent, ...]
    problems: tuple[MessageError, ...]
    notices: tuple[str, ...]


class SiteTables(Protocol):
    """What reading needs of a site."""

    @property
    def settings(self) -> Settings:
        """Return where sessions are given."""

    @property
    def payers(self) -> Plans:
        """Return who pays."""


def read_dft(message: Message, sender: Sender, site: SiteTables, number: int) -> Reading:
    """Return what a message says; one of a type that is not booked, or not production, says nothing."""
    silence = _silence(message, sender)
    if silence:
        return Reading("", "", (), (), (silence,))
    patient = account = ""
    try:
        everything = grouped(message, sender)
        scope = shared_scope(everything, message.delimiters)
        patient, account = sender.patient(scope), sender.account(scope)
        shared = _shared(message, everything, scope, patient, sender, site, number)
    except MessageError as problem:
        return Reading(patient, account, (), (problem,), ())
    events: list[TreatmentEvent] = []
    problems: list[MessageError] = []
    for position, group in enumerate(everything.groups, 1):
        try:
            line = scope_of(group, everything, sender, message.delimiters, shared.notices)
            event = event_of(line, group, position, shared)
        except MessageError as problem:
            problems.append(_numbered(problem, position))
            continue
        if event is not None:
            events.append(event)
    notices = tuple(dict.fromkeys(shared.notices)) if shared.notices else ()
    return Reading(patient, account, tuple(events), tuple(problems), notices)


def _silence(message: Message, sender: Sender) -> str:
    """Return why a message is not read at all, or nothing."""
    header, d = message.segments[0], message.delimiters
    raw = header[9] if len(header) > 9 else ""
    kind = raw[:3]
    if kind not in sender.books or raw[3:4].isalnum():
        return f"not_booked: {shown(leaf(raw, d))}"
    processing = header[11][:1] if len(header) > 11 else ""
    return f"not_production: {processing}" if processing in _NOT_PRODUCTION else ""


def _shared(
    message: Message,
    everything: Grouped,
    scope: Scope,
    patient: str,
    sender: Sender,
    site: SiteTables,
    number: int,
) -> Shared:
    header = message.segments[0]
    if (len(header) > 14 and header[14]) or message.segments[-1][0] == "DSC":
        raise MessageError("MSH-14", "the message is one part of a longer one", "send it whole", "207")
    if not everything.groups:
        raise MessageError("FT1", "the message has no FT1", "send one FT1 for each activity", "100")
    if not patient:
        raise MessageError("PID-3", "the patient's id is missing", f"send it where {sender.file} says", "101")
    notices: list[str] = []
    return Shared(
        sender,
        site.settings,
        site.payers,
        number,
        _patient_class(scope, sender),
        payer_of(scope, sender, site.payers, notices),
        None if sender.revision_per_line else revision_time(scope, sender),
        header[7] if len(header) > 7 else "",
        len(header) > 12 and header[12] == "2.1",
        notices,
        {},
    )


def _patient_class(scope: Scope, sender: Sender) -> PatientClass:
    mapped = sender.patient_class
    value = mapped.read(scope)
    found = mapped.values.get(value) if value else mapped.absent
    if found is None:
        problem = (
            f"patient class '{shown(value)}' is not in {sender.file}"
            if value
            else "the patient class is missing"
        )
        remedy = "add it under message.patient_class and reread the message"
        raise MessageError("PV1-2", problem, remedy, "103" if value else "101")
    return "inpatient" if found == "inpatient" else "outpatient"


def _numbered(problem: MessageError, position: int) -> MessageError:
    """Return the problem with the number of its FT1 in its place."""
    place = problem.place
    where = f"FT1[{position}]{place[3:]}" if place.startswith("FT1") else f"FT1[{position}] {place}"
    return MessageError(where, problem.problem, problem.remedy, problem.code)
