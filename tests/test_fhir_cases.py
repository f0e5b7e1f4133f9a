"""Every coding case said as FHIR: each event is read as the fact that it is, and each bill carries the same."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from http_kit import MAPPINGS, whole_site

from fhir_radcharge.model import Place, TreatmentEvent
from fhir_radcharge.places import PlaceRow, Settings
from fhir_radcharge.rulebook_files import load_rulebook
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.verify import case_files, verify
from fhir_radcharge.wire.facts import FACTS_OF
from fhir_radcharge.wire.fhir.events import readings
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import read

CASES = MAPPINGS.parent / "fixtures" / "cases"
CHICAGO = ZoneInfo("America/Chicago")
BASE = "https://fhir-radcharge.example/StructureDefinition/"
LAKESIDE = "https://lakeside.example/"
ACTIVITIES = {
    "guidance": "ROIGRT", "approval": "ROAPPR", "port_image": "ROPORT", "exam": "ROOTV", "physics_check": "ROPHYS",
    "service": "ROSVC", "course_closed": "ROCLOSE",
}  # fmt: skip
CODED = {"technique", "complexity", "motion", "route", "modality", "by", "approver", "purpose"}
MEASURES = {"energy_mv", "kv", "diameter_cm"}
PLACES = {
    f"{one}.{two}.{three}": Place(one, two, three)  # type: ignore[arg-type]
    for one, two, three in product(
        ("freestanding", "hospital"), ("on", "off_excepted", "off_nonexcepted"), ("single", "split")
    )
}


@cache
def site() -> Any:
    rows = {name: (PlaceRow(date(2000, 1, 1), None, place),) for name, place in PLACES.items()}
    return replace(whole_site(), settings=Settings(rows))


@cache
def sender(payer: str | None) -> Sender:
    found = whole_site().fhir.senders["rv_fhir"]
    changes = {"payers": {f"urn:payer|{payer}": payer} if payer else {}, "payer_absent": None, "requires": frozenset()}
    closing = {"ROCLOSE": ("course_closed", {})}
    return found._replace(
        profile=found.profile.model_copy(update=changes),
        activities={**found.activities, **closing},  # type: ignore[arg-type]
    )


def sayable(event: TreatmentEvent) -> bool:
    """Whether the shipped profile has a way to say it; the others stay as the case says them."""
    if event.voided or (event.kind != "fraction" and event.kind not in ACTIVITIES):
        return False
    if event.reported is not None and event.kind != "service":
        return False
    if event.kind == "service" and event.reported is None:
        return False
    return set(event.facts) <= FACTS_OF[event.kind] | {"session"} and "session" not in event.facts


def when(event: TreatmentEvent) -> str:
    if event.minute is None:
        return event.day.isoformat()
    local = datetime(event.day.year, event.day.month, event.day.day, event.minute // 60, event.minute % 60)
    return local.replace(tzinfo=CHICAGO).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def extension(name: str, value: Any) -> dict[str, Any]:
    exact = name in MEASURES or isinstance(value, float)
    kind = "Boolean" if isinstance(value, bool) else "Decimal" if exact else "Integer"
    kind = kind if not isinstance(value, str) else "Code" if name in CODED else "String"
    if name == "approved_at":
        local = datetime.fromisoformat(value)
        kind, value = "DateTime", value if len(value) == 10 else local.replace(tzinfo=CHICAGO).isoformat()
    return {"url": f"{BASE}fact-{name.replace('_', '-')}", f"value{kind}": value}


def resource(event: TreatmentEvent) -> dict[str, Any]:
    extensions = [] if event.course is None else [{"url": f"{BASE}course-id", "valueString": event.course}]
    for name, value in event.facts.items():
        extensions += [extension(name, one) for one in (value if isinstance(value, list | tuple) else (value,))]
    visit = {"resourceType": "Encounter", "id": "v", "status": "finished", "class": {
        "code": "IMP" if event.patient_class == "inpatient" else "AMB"}}  # fmt: skip
    where = next((name for name, place in PLACES.items() if place == event.place), None)
    located = {"identifier": {"value": where}}
    said: dict[str, Any] = {
        "resourceType": "Procedure" if event.kind == "fraction" else "ChargeItem", "contained": [visit],
        "extension": extensions, "identifier": [{"use": "official", "value": event.id}],
        "subject": {"identifier": {"system": f"{LAKESIDE}mrn", "value": "P"}},
        "performer": [{"actor": {"identifier": {"value": event.provider}}}] if event.provider else None,
    }  # fmt: skip
    if event.kind == "fraction":
        code = {"coding": [{"system": "http://snomed.info/sct", "code": "1297069006"}]}
        said |= {"status": "completed", "code": code, "encounter": {"reference": "#v"}, "location": where and located}
        said |= {"performedPeriod": {"start": when(event)}}
    else:
        codings = [{"system": f"{LAKESIDE}id/activity", "code": ACTIVITIES[event.kind]}]
        if event.reported is not None:
            codings.append({"system": "http://www.ama-assn.org/go/cpt", "code": event.reported.code})
            said["quantity"] = {"value": event.reported.units} if event.reported.units is not None else None
            extensions += [
                {"url": f"{BASE}charge-modifier", "extension": [{"url": "code", "valueCodeableConcept": {
                    "coding": [{"code": modifier}]}}]} for modifier in event.reported.modifiers]  # fmt: skip
        said |= {"status": "billable", "code": {"coding": codings}, "context": {"reference": "#v"}}
        said |= {"occurrenceDateTime": when(event), "performingOrganization": where and located}
    return {key: value for key, value in said.items() if value not in (None, [])}


def through_fhir(event: TreatmentEvent) -> TreatmentEvent:
    """Say an event as FHIR and read it; what comes back must be the event."""
    entries = [{"resource": resource(event)}]
    if event.payer is not None:
        cover = {"resourceType": "Coverage", "status": "active", "payor": [
            {"identifier": {"system": "urn:payer", "value": event.payer}}],
            "beneficiary": {"identifier": {"system": f"{LAKESIDE}mrn", "value": "P"}}}  # fmt: skip
        entries.append({"resource": cover})
    raw = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    (reading,) = readings(read(raw), sender(event.payer), site().fhir.tables, site(), 0)
    assert reading.problems == (), (reading.problems, dict(event.facts))
    found = next(one for one in reading.events if not one.voided)
    return found._replace(
        source=event.source, revision=event.revision, message=event.message, lacks=event.lacks,
        facts={name: value if not isinstance(value, tuple) else list(value) for name, value in found.facts.items()},
    )  # fmt: skip


def as_listed(event: TreatmentEvent) -> TreatmentEvent:
    facts = {name: list(value) if isinstance(value, tuple) else value for name, value in event.facts.items()}
    return event._replace(facts=facts)


def test_every_case_gives_the_same_bills_when_it_is_said_as_fhir() -> None:
    counts: Counter[bool] = Counter()
    spelled: dict[str, TreatmentEvent] = {}

    def due(events: Any, *rest: Any, **more: Any) -> Any:
        heard = []
        for event in events:
            # What a person says, and what a case says of its course, no sender says.
            counts[sayable(event)] += event.kind not in ("course", "release", "supplied")
            if sayable(event):
                key = repr(event)
                if key not in spelled:
                    spelled[key] = through_fhir(event)
                    assert spelled[key] == as_listed(event)
                event = spelled[key]
            heard.append(event)
        return charges_due(tuple(heard), *rest, **more)

    results = list(verify(case_files([CASES]), load_rulebook(MAPPINGS), due))

    assert [(one.id, one.run, one.differences) for one in results if not one.ok] == []
    assert counts[True] > 0.98 * counts.total()
    assert len(results) > 100


