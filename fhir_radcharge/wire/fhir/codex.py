"""Turns CodeX RT and mCODE resources (treated fractions and courses) into treatment events.

A treated fraction becomes a fraction event and one event for each way in which it was imaged. Dose is read
only to tell radiosurgery and SBRT apart and to see whether a stopped fraction was treated; it is never
charged. A revision that no longer states an image, or a fraction that did not happen, takes its events back.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.fhir.codex_images import When, images, no_images
from fhir_radcharge.wire.fhir.elements import (
    Node,
    extension_value,
    extensions,
    identifier,
    local,
    number,
    snomed,
    whole,
)
from fhir_radcharge.wire.fhir.frame import Frame
from fhir_radcharge.wire.fhir.heard import PHASE, Heard
from fhir_radcharge.wire.fhir.own_extensions import said_facts
from fhir_radcharge.wire.fhir.surroundings import above, course_of, session_of

_CODEX: Final = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/codexrt-"
_MCODE: Final = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-"
_MODALITY_AND_TECHNIQUE: Final = f"{_MCODE}radiotherapy-modality-and-technique"
_MODALITY: Final = (f"{_MCODE}radiotherapy-modality", "modality")
_TECHNIQUE: Final = (f"{_MCODE}radiotherapy-technique", "technique")
_ENERGY: Final = (f"{_CODEX}radiotherapy-energy-or-isotope", "radiotherapyEnergyOrIsotope")
_DOSE: Final = f"{_MCODE}radiotherapy-dose-delivered-to-volume"
_MOTION: Final = f"{_CODEX}radiotherapy-respiratory-motion-management"
_FREE_BREATHING: Final = f"{_CODEX}radiotherapy-free-breathing-motion-mgmt-technique"
_NUMBER_IN_PLAN: Final = f"{_CODEX}radiotherapy-fraction-number-in-plan"
_NUMBER_IN_PHASE: Final = f"{_CODEX}radiotherapy-fraction-number-in-phase"
_PLANNED: Final = (f"{_CODEX}radiotherapy-fractions-planned", f"{_CODEX}radiotherapy-fractions-prescribed")

FRACTION: Final = "1297069006"
PLAN: Final = "1255724003"
COURSE: Final = "1217123003"
_UNITS: Final = {"cGy": Decimal(1), "Gy": Decimal(100)}
_UNDECIDED: Final = "undecided"


class Beam(NamedTuple):
    """What the modality and technique of a fraction come to, and the row that said so (empty: none fits)."""

    facts: dict[str, Any]
    row: str


def is_course(node: Node) -> bool:
    """Say whether a Procedure or ServiceRequest is about a whole course."""
    return snomed(node.get("code")) == COURSE


def fraction_events(frame: Frame) -> tuple[list[TreatmentEvent], list[str]]:
    """Return the events of a treated fraction, and notices; raise MessageError where it is unusable."""
    heard, resource = frame.heard, frame.resource
    standing = heard.sender.profile.procedure_status[resource["status"]]
    if standing == "refuse":
        raise MessageError(f"{frame.place}.status", "the status says nothing", "send what became of it", "103")
    chain = list(above(heard, resource))
    when = started(frame) if standing != "void" else when_known(frame)
    course = course_of(heard, resource, chain, is_course)
    if standing == "void":
        return [
            frame.event("fraction", when, {}, course=course, voided=True),
            *no_images(frame, when, course, ()),
        ], []
    facts, notices = _facts(frame, chain)
    if standing == "by_dose":
        facts["beam"] = _was_treated(frame)
        notices.append(f"{frame.place}: stopped early, {'treated in part' if facts['beam'] else 'no beam'}")
    imaged = list(images(frame, when, course))
    slots = {event.id for event in imaged}
    fraction = frame.event("fraction", when, facts, course=course)
    return [fraction, *imaged, *no_images(frame, when, course, slots)], notices


def planned_fractions(node: Node) -> int | None:
    """Return the number of fractions that a plan, phase or course is planned or prescribed for."""
    return whole(extension_value(node, *_PLANNED))


def started(frame: Frame) -> When:
    """Return the facility's day and minute at which what the resource tells began."""
    resource = frame.resource
    for name in ("performedPeriod", "occurrencePeriod"):
        if "start" in resource.get(name, {}):
            return local(resource[name]["start"], frame.heard.sender.zone, f"{frame.place}.{name}.start")
    for name in ("performedDateTime", "occurrenceDateTime"):
        if name in resource:
            return local(resource[name], frame.heard.sender.zone, f"{frame.place}.{name}")
    raise MessageError(f"{frame.place}.performedPeriod.start", "it does not say when", "send the start", "101")


def when_known(frame: Frame) -> When:
    """Return when what did not happen would have begun, else when it was said: a void needs no more."""
    try:
        return started(frame)
    except MessageError:
        said = frame.resource.get("meta", {}).get("lastUpdated") or frame.heard.body.timestamp
        if not said:
            raise
        return local(said, frame.heard.sender.zone, f"{frame.place}.meta.lastUpdated")


def _facts(frame: Frame, chain: Sequence[Node]) -> tuple[dict[str, Any], list[str]]:
    heard, resource, notices = frame.heard, frame.resource, []
    stated = said_facts(resource, "fraction", heard.sender.zone, frame.place)
    facts: dict[str, Any] = _numbers(resource)
    facts |= _names(heard, resource, chain)
    site, region = _site(heard, resource, chain)
    if site is not None:
        facts["site"] = site
    beam = _beam(heard, (resource, *chain))
    facts |= beam.facts
    motion = heard.tables.motion_of(_concepts(resource, _MOTION), _concepts(resource, _FREE_BREATHING))
    if motion is not None:
        facts["motion"] = motion
    planned = next((n for n in (planned_fractions(node) for node in (resource, *chain)) if n is not None), None)
    if "technique" not in stated:
        decided = _stereotaxy(frame, facts, region, stated.get("prescribed_fractions", planned))
        if decided is not None:
            notices.append(decided)
    if "technique" not in facts and "technique" not in stated and not notices:
        notices.append(f"{frame.place}: technique unknown (technique.yaml, row {beam.row or 'none'})")
    return facts | stated, notices


def _numbers(resource: Node) -> dict[str, Any]:
    for url in (_NUMBER_IN_PLAN, _NUMBER_IN_PHASE):
        found = whole(extension_value(resource, url))
        if found is not None:
            return {"fraction_number": found}
    return {}


def _names(heard: Heard, resource: Node, chain: Sequence[Node]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    session = session_of(heard, resource)
    if session is not None:
        found["session"] = session
    for node in chain:
        key = {PLAN: "plan", PHASE: "phase"}.get(snomed(node.get("code")) or "")
        name = identifier(node, heard.sender.profile.plan) if key else None
        if key and name and key not in found:
            found[key] = name
    return found


def _site(heard: Heard, resource: Node, chain: Sequence[Node]) -> tuple[str | None, Any]:
    nodes = (resource, *chain, *_volumes(heard, resource))
    for node in nodes:
        said = node.get("bodySite", ())
        concepts = [
            *(said if isinstance(said, list) else [said]),
            *([node["location"]] if _is_volume(node) else ()),
        ]
        rows = {row.site: row for row in map(heard.tables.sites.get, filter(None, map(snomed, concepts))) if row}
        if len(rows) == 1:
            row = next(iter(rows.values()))
            return row.site, row.region
        if concepts:
            return None, "unknown"
    return None, "unknown"


def _is_volume(node: Node) -> bool:
    return node["resourceType"] == "BodyStructure" and "coding" in node.get("location", {})


def _volumes(heard: Heard, resource: Node) -> list[Node]:
    links = [extension_value(one, "volume") for one in extensions(resource, _DOSE)]
    return [found for found in (heard.body.find(link, resource) for link in links) if found is not None]


def _beam(heard: Heard, nodes: Sequence[Node]) -> Beam:
    """Return what the nearest node that states a modality says; two of them on one node say nothing."""
    for node in nodes:
        said = list(extensions(node, _MODALITY_AND_TECHNIQUE))
        if len(said) > 1:
            return Beam({}, "several")
        if said:
            return _one_beam(heard, said[0])
    return Beam({}, "")


def _one_beam(heard: Heard, said: Node) -> Beam:
    energies = [one["valueQuantity"] for one in extensions(said, *_ENERGY) if "valueQuantity" in one]
    units = {energy.get("code", energy.get("unit", "")) for energy in energies}
    unit = units.pop() if len(units) == 1 else "none"
    modality = snomed(extension_value(said, *_MODALITY))
    techniques = [snomed(one.get("valueCodeableConcept")) for one in extensions(said, *_TECHNIQUE)]
    rows = [heard.tables.technique(modality, technique, unit) for technique in techniques or [None]]
    given = {(row.gives, row.route) for row in rows if row is not None}
    facts: dict[str, Any] = {}
    values = [number(energy.get("value")) for energy in energies]
    known = [value for value in values if value is not None]
    if known and unit in ("MV", "MeV", "kV"):
        # Of several energies the highest is customary; the rule tables flag mixed energies of a session.
        facts["kv" if unit == "kV" else "energy_mv"] = max(known)
    row = next((row for row in rows if row is not None), None)
    if len(given) == 1 and row is not None and row.gives is not None:
        facts["technique"] = row.gives
        if row.route is not None:
            facts["route"] = row.route
    return Beam(facts, row.id if row is not None else "")


def _stereotaxy(frame: Frame, facts: dict[str, Any], region: Any, planned: int | None) -> str | None:
    """Put what the site rule decides into the facts; return a notice where it leaves the technique open."""
    technique = facts.get("technique")
    if technique not in ("2d", "3d", "imrt"):
        return None
    row = frame.heard.tables.stereotaxy(technique, region, planned, _dose_cgy(frame.resource))
    if row.gives == _UNDECIDED:
        del facts["technique"]
        return f"{frame.place}: stereotactic or not is undecided (stereotactic.yaml, row {row.id})"
    if row.gives != "as_stated":
        facts["technique"] = row.gives
    return None


def _dose_cgy(resource: Node) -> Decimal | None:
    """Return the most that one volume got, None where a dose or its unit is not said."""
    most: Decimal | None = None
    for said in extensions(resource, _DOSE):
        quantity = extension_value(said, "totalDoseDelivered") or {}
        unit = _UNITS.get(quantity.get("code", quantity.get("unit", "")))
        if unit is None or "value" not in quantity:
            continue
        dose = Decimal(quantity["value"]) * unit
        most = dose if most is None else max(most, dose)
    return most


def _was_treated(frame: Frame) -> bool:
    dose = _dose_cgy(frame.resource)
    if dose is None:
        raise MessageError(
            f"{frame.place}.extension",
            "a stopped fraction states no dose",
            "send the dose delivered, 0 for none",
            "101",
        )
    return dose > 0


def _concepts(resource: Node, url: str) -> list[str]:
    codes = (snomed(one.get("valueCodeableConcept")) for one in extensions(resource, url))
    return [code for code in codes if code is not None]
