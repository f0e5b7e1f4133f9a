"""Turns an event of a case into the resource that a record-and-verify system would post, in the layout of rv_fhir.

A fraction is a Procedure; all else is a ChargeItem whose code is the sender's activity, or that of its own charge line.
Facts are extensions of our own, and a place is a location named by its three words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from itertools import product
from typing import Any, Final

from fhir_radcharge.model import Place, TreatmentEvent
from fhir_radcharge.wire.facts import FACTS_OF

# What a person says, and what a case says of its course, comes from no sender.
NOT_SENT: Final = frozenset({"course", "release", "supplied"})
ACTIVITIES: Final[Mapping[str, str]] = {
    "guidance": "ROIGRT", "approval": "ROAPPR", "port_image": "ROPORT", "exam": "ROOTV", "physics_check": "ROPHYS",
    "service": "ROSVC", "course_closed": "ROCLOSE",
}  # fmt: skip
CPT: Final = "http://www.ama-assn.org/go/cpt"
HCPCS: Final = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
PAYERS: Final = "urn:payer"
PATIENT: Final = "P"
PLACES: Final[Mapping[str, Place]] = {
    f"{one}.{two}.{three}": Place(one, two, three)  # type: ignore[arg-type]
    for one, two, three in product(
        ("freestanding", "hospital"), ("on", "off_excepted", "off_nonexcepted"), ("single", "split")
    )
}
_FACTS: Final = "https://fhir-radcharge.example/StructureDefinition/"
_LAKESIDE: Final = "https://lakeside.example/"
_CODED: Final = frozenset({"technique", "complexity", "motion", "route", "modality", "by", "approver", "purpose"})
_MEASURES: Final = frozenset({"energy_mv", "kv", "diameter_cm"})


def sayable(event: TreatmentEvent) -> bool:
    """Return whether the layout has a way to say an event; what no sender says needs none and is not."""
    if event.kind not in ("fraction", "reported") and event.kind not in ACTIVITIES:
        return False
    if (event.reported is None) == (event.kind in ("service", "reported")):
        return False
    return set(event.facts) <= FACTS_OF.get(event.kind, frozenset())


def said(event: TreatmentEvent, zone: tzinfo) -> dict[str, Any]:
    """Return the collection that says one event, and who pays where the event says it."""
    patient = {"identifier": {"system": f"{_LAKESIDE}mrn", "value": PATIENT}}
    entries = [{"resource": {**_resource(event, zone), "subject": patient}}]
    if event.payer is not None:
        payor = {"identifier": {"system": PAYERS, "value": event.payer}}
        cover = {"resourceType": "Coverage", "status": "active", "payor": [payor], "beneficiary": patient}
        entries.append({"resource": cover})
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _resource(event: TreatmentEvent, zone: tzinfo) -> dict[str, Any]:
    code = "IMP" if event.patient_class == "inpatient" else "AMB"
    visit = {"resourceType": "Encounter", "id": "v", "status": "finished", "class": {"code": code}}
    made: dict[str, Any] = {
        "resourceType": "Procedure" if event.kind == "fraction" else "ChargeItem",
        "contained": [visit],
        "extension": [*_extensions(event, zone)],
        "identifier": [{"use": "official", "value": event.id}],
        **(_fraction(event, zone) if event.kind == "fraction" else _activity(event, zone)),
    }
    if event.voided:
        made["status"] = "entered-in-error"
    if event.provider:
        made["performer"] = [{"actor": {"identifier": {"value": event.provider}}}]
    return {key: value for key, value in made.items() if value not in (None, [])}


def _fraction(event: TreatmentEvent, zone: tzinfo) -> dict[str, Any]:
    return {
        "status": "completed",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1297069006"}]},
        "encounter": {"reference": "#v"},
        "location": _place(event),
        "performedPeriod": {"start": _when(event, zone)},
    }


def _activity(event: TreatmentEvent, zone: tzinfo) -> dict[str, Any]:
    codings, units = [], None
    if event.kind in ACTIVITIES:
        codings.append({"system": f"{_LAKESIDE}id/activity", "code": ACTIVITIES[event.kind]})
    if event.reported is not None:
        code, units = event.reported.code, event.reported.units
        codings.append({"system": CPT if code[:1].isdigit() else HCPCS, "code": code})
    return {
        "status": "billable",
        "code": {"coding": codings},
        "context": {"reference": "#v"},
        "occurrenceDateTime": _when(event, zone),
        "performingOrganization": _place(event),
        "quantity": {"value": units} if units is not None else None,
    }


def _place(event: TreatmentEvent) -> dict[str, Any] | None:
    name = next((name for name, place in PLACES.items() if place == event.place), None)
    return {"identifier": {"value": name}} if name is not None else None


def _extensions(event: TreatmentEvent, zone: tzinfo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if event.course is not None:
        found.append({"url": f"{_FACTS}course-id", "valueString": event.course})
    for name, value in event.facts.items():
        found += [_fact(name, one, zone) for one in (value if isinstance(value, list | tuple) else (value,))]
    for modifier in event.reported.modifiers if event.reported is not None else ():
        code = {"url": "code", "valueCodeableConcept": {"coding": [{"code": modifier}]}}
        found.append({"url": f"{_FACTS}charge-modifier", "extension": [code]})
    return found


def _fact(name: str, value: Any, zone: tzinfo) -> dict[str, Any]:
    url = f"{_FACTS}fact-{name.replace('_', '-')}"
    if name == "approved_at":
        local = datetime.fromisoformat(value)
        return {"url": url, "valueDateTime": value if len(value) == 10 else local.replace(tzinfo=zone).isoformat()}
    if isinstance(value, str):
        return {"url": url, "valueCode" if name in _CODED else "valueString": value}
    if isinstance(value, bool):
        return {"url": url, "valueBoolean": value}
    return {"url": url, "valueDecimal" if name in _MEASURES or isinstance(value, float) else "valueInteger": value}


def _when(event: TreatmentEvent, zone: tzinfo) -> str:
    if event.minute is None:
        return event.day.isoformat()
    local = datetime(event.day.year, event.day.month, event.day.day, *divmod(event.minute, 60), tzinfo=zone)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
