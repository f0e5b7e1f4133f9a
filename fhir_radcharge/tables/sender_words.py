"""Words of sender profiles that are almost those of a standard, and meanings that no sender can do without.

A sender's own codes are its own, so a strange one is no mistake; one that is spelled almost as a standard's is, unless
the standard's is listed beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.tables.strict_yaml import Row
from fhir_radcharge.wire.hl7_tables import TRANSACTION_TYPES

# ActEncounterCode of HL7 v3, which Encounter.class is bound to; a site may have classes of its own.
_CLASSES = frozenset({"AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"})
_BOTH = "List that too if both are sent"


def type_problems(name: str, data: Any) -> Iterator[str]:
    """Yield what is wrong with the types (FT1-6) of an HL7 profile as it was loaded."""
    line = data["line"]
    types: Row = line["types"]
    place = f"{name}:{line.lines['types']}"
    for code, near in _nearly(types, TRANSACTION_TYPES):
        yield f"{name}:{types.lines[code]}: type {code} is none of HL7 table 0017{near} {_BOTH}"
    if "charge" not in types.values():
        yield f"{place}: no type means charge, so nothing would ever be charged; say which does"
    if "credit" not in types.values() and line["negative_quantity"] != "credit":
        yield f"{place}: no type means credit, so nothing could be taken back; say which does, such as CD"


def class_problems(name: str, data: Any) -> Iterator[str]:
    """Yield what is wrong with the patient classes of a FHIR profile as it was loaded."""
    classes: Row = data["patient_classes"]
    for code, near in _nearly(classes, _CLASSES):
        yield f"{name}:{classes.lines[code]}: class {code} is none of ActEncounterCode{near} {_BOTH}"


def _nearly(codes: Iterable[str], standard: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each code that looks like a standard one that is not listed, with the question that names it."""
    listed = set(codes)
    for code in codes:
        near = did_you_mean(code.upper(), set(standard) - listed) if code not in standard else ""
        if near:
            yield code, near
