"""A chart and a thing said into the FHIR resource that a record-and-verify system would post: the dialect `fhir`.

The layout is that of the shipped sender profile `rv_fhir`: treated fractions and course summaries are Procedures,
all else is a ChargeItem whose code is the sender's activity. Each is one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cache
from typing import Any

from fhir_radcharge.simulate.said import Chart, Said

SYSTEM = "https://lakeside.example/"
FACT = "https://fhir-radcharge.example/StructureDefinition/fact-"
COURSE = "https://fhir-radcharge.example/StructureDefinition/course-id"
_DOSE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-dose-delivered-to-volume"
_SNOMED = "http://snomed.info/sct"
_NPI = "http://hl7.org/fhir/sid/us-npi"
_CPT = "http://www.ama-assn.org/go/cpt"
_ACTIVITIES = {
    "guidance": "ROIGRT", "approval": "ROAPPR", "port_image": "ROPORT", "exam": "ROOTV", "physics_check": "ROPHYS",
    "service": "ROSVC",
}  # fmt: skip
_CODES = frozenset({"technique", "complexity", "motion", "route", "modality", "by", "approver"})
# Said by an element of FHIR, not by a fact.
_ELSEWHERE = frozenset({"code", "units", "beam", "reason"})


def fhir_writer(chart: Chart) -> Callable[[Said], bytes]:
    """Return the function that writes what is said about one course as FHIR resources."""
    shared = {
        "subject": {"identifier": {"system": f"{SYSTEM}mrn", "value": chart.patient.record}},
        "performer": [{"actor": {"identifier": {"system": _NPI, "value": chart.physician}}}],
    }

    def write(said: Said) -> bytes:
        head = _head(chart, said)
        if said.kind in ("fraction", "course_closed"):
            made = {**head, **shared, **_procedure(chart, said)}
        else:
            made = {**head, **shared, **_charge_item(chart, said)}
        return json.dumps(made, separators=(",", ":")).encode()

    return write


def path_of(raw: bytes) -> str:
    """Return the type to which a resource of this dialect is posted."""
    return "Procedure" if raw.startswith(b'{"resourceType":"Procedure"') else "ChargeItem"


def _head(chart: Chart, said: Said) -> dict[str, Any]:
    visit = {
        "resourceType": "Encounter", "id": "visit", "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                  "code": "IMP" if said.inpatient else "AMB"},
    }  # fmt: skip
    procedure = said.kind in ("fraction", "course_closed")
    names = [{"use": "official", "system": f"{SYSTEM}id/event", "value": said.id}]
    if said.kind == "course_closed":
        names.append({"use": "usual", "system": f"{SYSTEM}id/course", "value": chart.course})
    return {
        "resourceType": "Procedure" if procedure else "ChargeItem",
        "meta": {"versionId": str(said.revision), "lastUpdated": _time(said.sent)},
        "contained": [visit],
        "extension": [{"url": COURSE, "valueString": chart.course}, *_facts(chart, said)],
        "identifier": names,
        "encounter" if procedure else "context": {
            "reference": "#visit", "identifier": {"system": f"{SYSTEM}visit", "value": chart.account}
        },
    }  # fmt: skip


def _procedure(chart: Chart, said: Said) -> dict[str, Any]:
    begun = _time(said.day.toordinal() * 1440 + said.minute)
    if said.kind == "course_closed":
        code, period = "1217123003", {"end": begun}
        status = "stopped" if said.facts.get("reason") == "stopped" else "completed"
    else:
        code, period = "1297069006", {"start": begun}
        status = "completed" if said.facts.get("beam", True) else "stopped"
    return {
        "status": "entered-in-error" if said.voided else status,
        "category": {"coding": [{"system": _SNOMED, "code": "1287742003"}]},
        "code": {"coding": [{"system": _SNOMED, "code": code}]},
        "performedPeriod": period,
        "location": {"identifier": {"system": f"{SYSTEM}id/location", "value": chart.room.location}},
        "reasonCode": [{"coding": [_diagnosis(chart)]}],
    }


def _charge_item(chart: Chart, said: Said) -> dict[str, Any]:
    codings = [{"system": f"{SYSTEM}id/activity", "code": _ACTIVITIES[said.kind]}]
    if "code" in said.facts:
        codings.append({"system": _CPT, "code": said.facts["code"]})
    return {
        "status": "entered-in-error" if said.voided else "billable",
        "code": {"coding": codings},
        "occurrenceDateTime": _time(said.day.toordinal() * 1440 + said.minute),
        "performingOrganization": {
            "identifier": {"system": f"{SYSTEM}id/location", "value": chart.room.location}
        },
        "quantity": {"value": said.facts.get("units", 1)},
        "reason": [{"coding": [_diagnosis(chart)]}],
    }


def _diagnosis(chart: Chart) -> Mapping[str, str]:
    return {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": chart.diagnosis}


def _facts(chart: Chart, said: Said) -> list[dict[str, Any]]:
    facts = dict(said.facts)
    if said.kind == "fraction":
        facts |= {"prescribed_fractions": chart.prescribed, "site": chart.site}
    found = [] if facts.get("beam", True) else [_no_dose(chart)]
    for name, value in facts.items():
        if name not in _ELSEWHERE:
            found += [_fact(name, one) for one in (value if isinstance(value, list | tuple) else (value,))]
    return found


def _no_dose(chart: Chart) -> dict[str, Any]:
    quantity = {"value": 0, "unit": "cGy", "system": "http://unitsofmeasure.org", "code": "cGy"}
    # mCODE wants the volume named that got it.
    volume = {"identifier": {"system": f"{SYSTEM}id/volume", "value": chart.course}}
    return {"url": _DOSE, "extension": [
        {"url": "volume", "valueReference": volume}, {"url": "totalDoseDelivered", "valueQuantity": quantity},
    ]}  # fmt: skip


def _fact(name: str, value: Any) -> dict[str, Any]:
    url = FACT + name.replace("_", "-")
    if isinstance(value, bool):
        return {"url": url, "valueBoolean": value}
    if name in ("energy_mv", "kv", "diameter_cm"):
        return {"url": url, "valueDecimal": value}
    if isinstance(value, int):
        return {"url": url, "valueInteger": value}
    return {"url": url, "valueCode" if name in _CODES else "valueString": value}


def _time(minutes: int) -> str:
    day, minute = divmod(minutes, 1440)
    return f"{_day(day)}T{minute // 60:02d}:{minute % 60:02d}:00{_chicago(day)}"


@cache
def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


@cache
def _chicago(ordinal: int) -> str:
    """Return the offset of a day: summer time from the second Sunday of March to the first of November."""
    day = date.fromordinal(ordinal)
    march, november = date(day.year, 3, 8), date(day.year, 11, 1)
    begins = march + timedelta(days=6 - march.weekday())
    ends = november + timedelta(days=6 - november.weekday())
    return "-05:00" if begins <= day < ends else "-06:00"
