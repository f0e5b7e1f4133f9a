"""Turns the YAML files of mappings/fhir into code tables, senders and destinations, once, when a site is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.errors import TableError
from fhir_radcharge.tables.strict_yaml import Row, Strict, line_of, load, typed, validated
from fhir_radcharge.wire.fhir.destination import ANSWERS, FhirDestination
from fhir_radcharge.wire.fhir.profile import ChargeStatus, FhirSender, ProcedureStatus, Sender
from fhir_radcharge.wire.fhir.tables import (
    GuidanceRow,
    MotionRow,
    SiteRow,
    StereotacticRow,
    Tables,
    TechniqueRow,
)
from fhir_radcharge.wire.times import Zone
from fhir_radcharge.zones import zone_named


class FhirSite(NamedTuple):
    """All that a site declares about FHIR; `digest` identifies the bytes of every file."""

    senders: Mapping[str, Sender]
    destinations: Mapping[str, FhirDestination]
    tables: Tables
    digest: str


class _Rules(Strict):
    rules: Any


NO_FHIR = FhirSite({}, {}, Tables((), (), (), {}, ()), "")


def load_fhir(mappings: Path) -> FhirSite:
    """Return what the folder `fhir` of a site's mappings declares, nothing where there is none.

    Raise TableError with file and line.
    """
    folder = mappings / "fhir"
    if not folder.is_dir():
        return NO_FHIR
    paths = sorted(folder.rglob("*.yaml"))
    content = b"\0".join(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() for path in paths)
    senders = [sender_from(load(path), str(path), zone_named) for path in paths if path.parent.name == "senders"]
    places = [path for path in paths if path.parent.name == "destinations"]
    destinations = [destination_from(load(path), str(path)) for path in places]
    return FhirSite(
        {sender.name: sender for sender in senders},
        {one.destination: one for one in destinations},
        tables_from({path.name: load(path) for path in paths if path.parent == folder}),
        hashlib.sha256(content).hexdigest(),
    )


def sender_from(data: Any, name: str, zone_named: Callable[[str], Zone]) -> Sender:
    """Return the sender of one parsed YAML file; raise TableError with file and line."""
    profile = validated(FhirSender, data, name)
    _complete(profile.procedure_status, ProcedureStatus, data, name, "procedure_status")
    _complete(profile.charge_status, ChargeStatus, data, name, "charge_status")
    try:
        zone = zone_named(profile.zone)
    except ValueError as error:
        raise TableError(f"{name}:{_line(data, 'zone')}: {error}") from error
    activities = {
        str(code): (activity.kind, {str(key): value for key, value in typed(activity.facts).items()})
        for code, activity in profile.charge_items.activities.items()
    }
    return Sender(profile, zone, activities)


def destination_from(data: Any, name: str) -> FhirDestination:
    """Return the destination of one parsed YAML file; raise TableError with file and line."""
    found = validated(FhirDestination, data, name)
    problem = _problem(found)
    if problem is not None:
        key, text = problem
        line = data.lines.get(key, data.line) if isinstance(data, Row) else line_of(data)
        raise TableError(f"{name}:{line}: {text}")
    return found


def tables_from(files: Mapping[str, Any]) -> Tables:
    """Return the tables of parsed YAML files by name; raise TableError with file and line."""
    sites = _rows(files, "body_site.yaml", list[SiteRow])
    return Tables(
        techniques=tuple(_rows(files, "technique.yaml", list[TechniqueRow])),
        guidance=tuple(_rows(files, "guidance.yaml", list[GuidanceRow])),
        motion=tuple(_rows(files, "motion.yaml", list[MotionRow])),
        sites={row.code: row for row in sites},
        stereotactic=tuple(_rows(files, "stereotactic.yaml", list[StereotacticRow])),
    )


def _rows(files: Mapping[str, Any], name: str, model: Any) -> Any:
    place = f"mappings/fhir/{name}"
    if name not in files:
        raise TableError(f"{place}:1: is missing; copy the shipped one")
    return validated(_Rules, files[name], place) and validated(model, files[name]["rules"], place)


def _complete(given: Mapping[Any, Any], wanted: Any, data: Any, name: str, key: str) -> None:
    missing = [status for status in wanted.__args__ if status not in given]
    if missing:
        raise TableError(f"{name}:{_line(data, key)}: {key} does not say what '{missing[0]}' means; add it")


def _line(data: Any, key: str) -> int:
    return int(data.lines.get(key, data.line)) if isinstance(data, Row) else 1


def _problem(found: FhirDestination) -> tuple[str, str] | None:
    missing = next((key for key in ANSWERS if key not in found.answers), None)
    if missing is not None:
        return "answers", f"answers does not say what '{missing}' means; add it"
    if found.style == "oracle" and found.oracle is None:
        return "style", "style oracle needs the section oracle; add it"
    if found.style == "redox" and found.redox is None:
        return "style", "style redox needs the section redox; add it"
    if (found.credit == "operation") != (found.style == "oracle"):
        return "credit", "credit operation belongs to style oracle and to no other; choose another pair"
    if found.answers["lost"] in ("accepted", "refused"):
        return "answers", "a lost answer is neither yes nor no; write silent or not_taken"
    return None
