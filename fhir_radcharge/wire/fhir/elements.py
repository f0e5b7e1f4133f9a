"""Turns the small parts of FHIR resources (identifiers, codings, extensions, times) into plain values."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.times import MINUTES, Zone

SNOMED: Final = "http://snomed.info/sct"
# CodeX published some codes in a waiting room of its own before SNOMED issued them under the same numbers.
SNOMED_REQUESTED: Final = "http://hl7.org/fhir/us/codex-radiation-therapy/CodeSystem/snomed-requested-cs"
NPI: Final = "http://hl7.org/fhir/sid/us-npi"

Node = Mapping[str, Any]


def concept_codes(concept: Node | None, systems: Sequence[str]) -> Iterator[str]:
    """Yield the codes of a CodeableConcept that are of one of the systems, in the order of the systems."""
    codings = (concept or {}).get("coding", ())
    for system in systems:
        for coding in codings:
            if coding.get("system") == system and "code" in coding:
                yield coding["code"]


def snomed(concept: Node | None) -> str | None:
    """Return the first SNOMED CT code of a CodeableConcept, None where it has none."""
    return next(concept_codes(concept, (SNOMED, SNOMED_REQUESTED)), None)


def extensions(node: Node, *urls: str) -> Iterator[Node]:
    """Yield the extensions of a node with one of the URLs, in their order."""
    for one in node.get("extension", ()):
        if one.get("url") in urls:
            yield one


def extension_value(node: Node, *urls: str) -> Any:
    """Return the value[x] of the first extension with one of the URLs, None where none is said."""
    for one in extensions(node, *urls):
        for key, value in one.items():
            if key.startswith("value"):
                return value
    return None


def identifier(resource: Node, wanted: Sequence[str]) -> str | None:
    """Return the identifier that comes first in the wanted list: a `use`, a system URL, or `id` (Type/id)."""
    said = [one for one in resource.get("identifier", ()) if "value" in one]
    for want in wanted:
        if want == "id":
            if "id" in resource:
                return f"{resource['resourceType']}/{resource['id']}"
            continue
        for one in said:
            if want in (one.get("use"), one.get("system")):
                return str(one["value"])
    return None


def whole(value: Any) -> int | None:
    """Return a JSON number as an int if it is whole, else None."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return int(value) if value == int(value) else None


def number(value: Any) -> int | float | None:
    """Return a JSON number as a fact holds it: an int where it is whole; None for what is not a number.

    Facts are energies and sizes, which rules compare with bands. Money and units never come this way.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return int(value) if value == int(value) else float(value)


def local(text: str, zone: Zone, place: str) -> tuple[date, int | None]:
    """Return the facility's day and minute of a FHIR dateTime; a date alone has no minute.

    Raise MessageError for a year or a month: no charge is dated by them.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise MessageError(place, "the date names no day", "send a day, or a time with its offset", "102")
    day = date.fromisoformat(found[1])
    if found[2] is None:
        return day, None
    utc = day.toordinal() * MINUTES + int(found[2]) * 60 + int(found[3]) - _offset(found[6])
    there = utc + zone.offsets[bisect_right(zone.starts, utc) - 1]
    return date.fromordinal(there // MINUTES), there % MINUTES


def local_text(text: str, zone: Zone, place: str) -> str:
    """Return a FHIR dateTime as the facility's clock says it: `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM`."""
    day, minute = local(text, zone, place)
    return day.isoformat() if minute is None else f"{day}T{minute // 60:02d}:{minute % 60:02d}"


def order(text: str) -> int:
    """Return an instant as microseconds that grow with time, 0 where none is said; it orders revisions."""
    found = _MOMENT.fullmatch(text)
    if found is None or found[2] is None:
        return 0
    minutes = date.fromisoformat(found[1]).toordinal() * MINUTES + int(found[2]) * 60 + int(found[3])
    seconds = (minutes - _offset(found[6])) * 60 + int(found[4])
    return seconds * 1_000_000 + int(((found[5] or ".") + "000000")[1:7])


def _offset(said: str) -> int:
    if said == "Z":
        return 0
    minutes = int(said[1:3]) * 60 + int(said[4:6])
    return -minutes if said[0] == "-" else minutes


_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))?"
)
