"""The map between FT1 fields and ChargeItem elements as a table, and as ConceptMap resources.

HL7 has published no such map; this one is ours. Each row says what either direction loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from fhir_radcharge.wire.times import Zone

BASE: Final = "https://fhir-radcharge.example/ConceptMap/"
V2_CODING_SYSTEMS: Final[Mapping[str, str]] = {
    "C4": "http://www.ama-assn.org/go/cpt",
    "HCPCS": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "HCPT": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "I10": "http://hl7.org/fhir/sid/icd-10-cm",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "NDC": "http://hl7.org/fhir/sid/ndc",
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
}
# A system that HL7 table 0396 does not know by a FHIR URI keeps its name at the end of ours.
V2_SYSTEM_BASE: Final = "https://fhir-radcharge.example/id/v2-coding-system/"


class Names(NamedTuple):
    """The systems that FT1 leaves to agreement, and the zone of times that say no offset."""

    charge: str
    department: str
    order: str
    organization: str
    person: str
    zone: Zone
    currency: str = "USD"


Equivalence = Literal["equivalent", "wider", "narrower", "inexact", "unmatched"]


class Row(NamedTuple):
    """One field: where it goes, how well the two fit, and what is lost each way (empty: nothing)."""

    field: str
    element: str
    equivalence: Equivalence
    lost_to_fhir: str
    lost_to_v2: str


ROWS: Final[tuple[Row, ...]] = (
    Row("FT1-1", "", "unmatched", "the set id, which counts lines of one message", ""),
    Row("FT1-2", "ChargeItem.identifier", "equivalent", "", "all identifiers but that of the charge system"),
    Row("FT1-3", "ChargeItem.extension(transaction-batch)", "equivalent", "", ""),
    Row("FT1-4", "ChargeItem.occurrence[x]", "inexact", "that no seconds or no offset were said",
        "a Timing is refused"),
    Row("FT1-5", "ChargeItem.enteredDate", "inexact", "that no seconds or no offset were said", ""),
    Row("FT1-6", "ChargeItem.extension(transaction-type)", "inexact",
        "payments, co-payments and adjustments are refused", "statuses but billable, billed and unknown are refused"),
    Row("FT1-7", "ChargeItem.code", "wider", "", "the third coding and those after it"),
    Row("FT1-8", "", "unmatched", "the description (withdrawn field)", ""),
    Row("FT1-9", "", "unmatched", "the second description (withdrawn field)", ""),
    Row("FT1-10", "ChargeItem.quantity", "equivalent", "", "the unit of the quantity"),
    Row("FT1-11", "ChargeItem.extension(extended-price)", "equivalent", "the price type", ""),
    Row("FT1-12", "ChargeItem.extension(unit-price)", "equivalent", "the price type", ""),
    Row("FT1-13", "ChargeItem.costCenter", "inexact", "the department's name and coding system", "the display"),
    Row("FT1-14", "", "unmatched", "the health plan: it belongs to Coverage", ""),
    Row("FT1-15", "", "unmatched", "the insurance amount", ""),
    Row("FT1-16", "ChargeItem.extension(performing-location)", "equivalent", "", ""),
    Row("FT1-17", "", "unmatched", "the fee schedule", ""),
    Row("FT1-18", "", "unmatched", "the patient type: it belongs to Encounter.class", ""),
    Row("FT1-19", "ChargeItem.reason", "equivalent", "", ""),
    Row("FT1-20", "ChargeItem.performer", "inexact", "the name of the performer", "the function of a performer"),
    Row("FT1-21", "ChargeItem.extension(ordered-by)", "inexact", "the name of the orderer", ""),
    Row("FT1-22", "", "unmatched", "the unit cost, which is not a price", ""),
    Row("FT1-23", "ChargeItem.supportingInformation", "inexact", "the name space of the order number",
        "what else it supports"),
    Row("FT1-24", "ChargeItem.enterer", "inexact", "the name of the person", ""),
    Row("FT1-25", "ChargeItem.code", "inexact", "whether a billing code stood in FT1-25 or in FT1-7", ""),
    Row("FT1-26", "ChargeItem.extension(charge-modifier)", "equivalent", "the modifier's text", ""),
    Row("FT1-29", "ChargeItem.productCodeableConcept", "equivalent", "", "a product by reference"),
    Row("FT1-32", "ChargeItem.performingOrganization", "inexact", "the organisation's name", "the display"),
    Row("FT1-33", "ChargeItem.requestingOrganization", "inexact", "the organisation's name", "the display"),
    Row("(none)", "ChargeItem.subject", "unmatched", "", "travels in PID-3"),
    Row("(none)", "ChargeItem.context", "unmatched", "", "travels in PV1-19"),
    Row("(none)", "ChargeItem.account", "unmatched", "", "travels in PID-18"),
    Row("(none)", "ChargeItem.service", "unmatched", "", "the treatment that was charged"),
    Row("(none)", "ChargeItem.partOf", "unmatched", "", "what a credit takes back"),
    Row("(none)", "ChargeItem.note", "unmatched", "", "travels in an NTE after FT1 where the receiver takes it"),
    Row("(none)", "ChargeItem.priceOverride", "unmatched", "", "an overridden price and its reason"),
)  # fmt: skip

DIRECTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "CG": ("billable", "a charge: quantity above zero"),
    "CD": ("billable", "a credit: quantity below zero"),
}


def concept_maps() -> dict[str, dict[str, Any]]:
    """Return the ConceptMap resources by file name: fields, transaction types and coding systems."""
    return {
        "ft1-to-chargeitem.json": _fields(),
        "transaction-type-to-status.json": _directions(),
        "coding-system-names.json": _systems(),
    }


def _fields() -> dict[str, Any]:
    elements = [
        _element(row.field, row.element, row.equivalence, row.lost_to_fhir) for row in ROWS if row.field[0] != "("
    ]
    return _map(
        "ft1-to-chargeitem", "FT1 fields as ChargeItem elements", "http://hl7.org/v2/segment/FT1",
        "http://hl7.org/fhir/StructureDefinition/ChargeItem", elements,
    )  # fmt: skip


def _directions() -> dict[str, Any]:
    elements = [_element(code, status, "inexact", note) for code, (status, note) in DIRECTIONS.items()]
    elements += [_element(code, "", "unmatched", "is no charge and is refused") for code in ("AJ", "CO", "PY")]
    return _map(
        "transaction-type-to-status", "Table 0017 as ChargeItem.status",
        "http://terminology.hl7.org/CodeSystem/v2-0017", "http://hl7.org/fhir/chargeitem-status", elements,
    )  # fmt: skip


def _systems() -> dict[str, Any]:
    elements = [_element(name, uri, "equivalent", "") for name, uri in V2_CODING_SYSTEMS.items()]
    return _map(
        "coding-system-names", "Table 0396 as the URIs of code systems",
        "http://terminology.hl7.org/CodeSystem/v2-0396", "https://fhir-radcharge.example/id/code-system-uris", elements,
    )  # fmt: skip


def _element(code: str, target: str, equivalence: Equivalence, comment: str) -> dict[str, Any]:
    found: dict[str, Any] = {"equivalence": equivalence}
    if target:
        found = {"code": target, "equivalence": equivalence}
    if comment:
        found["comment"] = comment
    return {"code": code, "target": [found]}


def _map(name: str, title: str, source: str, target: str, elements: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resourceType": "ConceptMap",
        "id": name,
        "url": f"{BASE}{name}",
        "version": "1.0.0",
        "name": "".join(part.capitalize() for part in name.split("-")),
        "title": title,
        "status": "active",
        "experimental": False,
        "group": [{"source": source, "target": target, "element": elements}],
    }
