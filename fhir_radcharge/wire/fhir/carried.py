"""Turns the stored message that a posting names into the patient, visit and cover which the posting carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fhir_radcharge.wire import er7
from fhir_radcharge.wire.fhir.elements import Node, concept_codes, identifier
from fhir_radcharge.wire.fhir.heard import Heard
from fhir_radcharge.wire.fhir.surroundings import account_of, patient_of, session_of
from fhir_radcharge.wire.fhir.write import Carried

_DIAGNOSES: Final = ("http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm")


def carried_from_message(message: er7.Message) -> Carried:
    """Return what a DFT carries: PID-3, PV1-19, PID-18, FT1-19 or DG1-3, MSH-10."""
    patient, visit = message.first("PID"), message.first("PV1")
    d = message.delimiters
    codes = [er7.unescape(next(iter(er7.components(one, d)), ""), d)
             for segment in message.all("FT1") for one in er7.repetitions(_field(segment, 19), d)]  # fmt: skip
    codes = codes or [er7.text(message, segment, 3) for segment in message.all("DG1")]
    return Carried(
        patient=er7.text(message, patient, 3),
        visit=er7.text(message, visit, 19),
        account=er7.text(message, patient, 18),
        diagnoses=tuple(dict.fromkeys(code for code in codes if code)),
        message_id=er7.text(message, message.first("MSH"), 10),
    )


def carried_from_body(heard: Heard, event_id: str) -> Carried | None:
    """Return what the resource of an event carries in a FHIR body; None where the body has no such resource."""
    wanted = heard.sender.profile.event_id
    for entry in heard.body.entries:
        own = identifier(entry.resource, wanted)
        # An image's event has the id of its fraction, a slash and its slot.
        if own is not None and (event_id == own or event_id.startswith(f"{own}/")):
            return Carried(
                patient=patient_of(heard, entry.resource, entry.place),
                visit=account_of(heard, entry.resource),
                diagnoses=tuple(dict.fromkeys(diagnoses_of(heard, entry.resource))),
                message_id=heard.body.identifier,
                service=session_of(heard, entry.resource) or "",
            )
    return None


def _field(segment: list[str], number: int) -> str:
    return segment[number] if number < len(segment) else ""


def diagnoses_of(heard: Heard, resource: Node) -> Iterator[str]:
    """Yield the diagnosis codes of a resource, of its own reasons and of the conditions that the body carries."""
    for concept in (*resource.get("reasonCode", ()), *resource.get("reason", ())):
        yield from concept_codes(concept.get("concept", concept), _DIAGNOSES)
        found = heard.body.find(concept.get("reference"), resource)
        yield from concept_codes((found or {}).get("code"), _DIAGNOSES)
    for link in resource.get("reasonReference", ()):
        found = heard.body.find(link, resource)
        yield from concept_codes((found or {}).get("code"), _DIAGNOSES)
