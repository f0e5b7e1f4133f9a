"""Turns an FT1 segment into a ChargeItem, by the table of ft1_map, where what is lost is written.

Direction and quantity say one thing together: CD is a quantity below zero. Payments and adjustments are no
charges and are refused, as is a quantity that does not say how much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import er7
from fhir_radcharge.wire.er7 import Delimiters
from fhir_radcharge.wire.fhir import own_extensions as own
from fhir_radcharge.wire.fhir.elements import NPI
from fhir_radcharge.wire.fhir.ft1_map import DIRECTIONS, V2_CODING_SYSTEMS, V2_SYSTEM_BASE, Names
from fhir_radcharge.wire.fhir.ft1_times import fhir_time

_AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")

Item = dict[str, Any]


def chargeitem_from_ft1(segment: Sequence[str], d: Delimiters, names: Names, subject: Mapping[str, Any]) -> Item:
    """Return the ChargeItem of one FT1; raise MessageError for what is no charge or does not say how much."""
    fields = _Fields(segment, d, names)
    direction = fields.leaf(6)
    if direction not in DIRECTIONS:
        raise MessageError("FT1-6", "the transaction is neither CG nor CD", "map the sender's own code first", "103")
    units = _amount(fields.leaf(10), "FT1-10")
    if units is None or units <= 0:
        raise MessageError(
            "FT1-10", "the quantity is missing or not above zero", "send units; CD says the direction", "101"
        )
    item: Item = {
        "resourceType": "ChargeItem",
        "extension": _extensions(fields, direction),
        "identifier": [{"system": names.charge, "value": fields.leaf(2)}] if fields.leaf(2) else [],
        "status": DIRECTIONS[direction][0],
        "code": {"coding": _codings(fields)},
        "subject": dict(subject),
        **_occurrence(fields),
        "performer": [{"actor": one} for one in fields.people(20)],
        "performingOrganization": fields.organization(32),
        "requestingOrganization": fields.organization(33),
        "costCenter": _identified(names.department, fields.leaf(13)),
        "quantity": {"value": -units if direction == "CD" else units},
        "enterer": next(iter(fields.people(24)), None),
        "enteredDate": fhir_time(fields.leaf(5), names.zone, "FT1-5") if fields.leaf(5) else None,
        "reason": [{"coding": codings} for codings in fields.concepts(19)],
        "productCodeableConcept": next(({"coding": codings} for codings in fields.concepts(29)), None),
        "supportingInformation": [_identified(names.order, fields.leaf(23))] if fields.leaf(23) else [],
    }
    return {key: value for key, value in item.items() if value}


class _Fields:
    """One FT1 with the meaning of its fields."""

    def __init__(self, segment: Sequence[str], d: Delimiters, names: Names) -> None:
        if not segment or segment[0] != "FT1":
            raise MessageError("segment", "it is not an FT1", "give an FT1", "100")
        self.segment, self.d, self.names = segment, d, names

    def raw(self, field: int) -> str:
        """Return a field as it stands, empty for the explicit null."""
        found = self.segment[field] if field < len(self.segment) else ""
        return "" if found == er7.NULL else found

    def leaf(self, field: int, component: int = 1) -> str:
        """Return one decoded component of the first repetition."""
        parts = er7.components(next(iter(er7.repetitions(self.raw(field), self.d)), ""), self.d)
        return self._decoded(parts, component)

    def concepts(self, field: int) -> list[list[Item]]:
        """Return the codings of each repetition that has a code."""
        found = []
        for repetition in er7.repetitions(self.raw(field), self.d):
            parts = er7.components(repetition, self.d)
            codings = [self._coding(parts, at) for at in (1, 4)]
            found.append([coding for coding in codings if coding is not None])
        return [codings for codings in found if codings]

    def people(self, field: int) -> list[Item]:
        """Return a reference for each person that has an id."""
        found = []
        for repetition in er7.repetitions(self.raw(field), self.d):
            parts = er7.components(repetition, self.d)
            authority = self._decoded(parts, 9).split(self.d.subcomponent or "&")[0]
            value = self._decoded(parts, 1)
            if value:
                found.append(_identified(NPI if authority == "NPI" else self.names.person, value))
        return [one for one in found if one]

    def organization(self, field: int) -> Item | None:
        """Return a reference to an organisation by its id, else by its name."""
        parts = er7.components(next(iter(er7.repetitions(self.raw(field), self.d)), ""), self.d)
        return _identified(self.names.organization, self._decoded(parts, 10) or self._decoded(parts, 1))

    def _coding(self, parts: Sequence[str], at: int) -> Item | None:
        code = self._decoded(parts, at)
        if not code:
            return None
        name = self._decoded(parts, at + 2)
        coding = {"code": code}
        if name:
            coding = {"system": V2_CODING_SYSTEMS.get(name, V2_SYSTEM_BASE + name), "code": code}
        display = self._decoded(parts, at + 1)
        return coding | ({"display": display} if display else {})

    def _decoded(self, parts: Sequence[str], component: int) -> str:
        return er7.unescape(parts[component - 1], self.d) if component <= len(parts) else ""


def _extensions(fields: _Fields, direction: str) -> list[Item]:
    found: list[Item] = [{"url": own.DIRECTION, "valueCode": direction}]
    if fields.leaf(3):
        found.append({"url": own.BATCH, "valueString": fields.leaf(3)})
    for number_, codings in enumerate(fields.concepts(26), 1):
        found.append({"url": own.MODIFIER, "extension": [
            {"url": "code", "valueCodeableConcept": {"coding": codings}},
            {"url": "priority", "valueUnsignedInt": number_},
        ]})  # fmt: skip
    for field, url in ((11, own.EXTENDED_PRICE), (12, own.UNIT_PRICE)):
        amount, currency = _money(fields, field)
        if amount is not None:
            found.append({"url": url, "valueMoney": {"value": amount, "currency": currency}})
    if fields.raw(16):
        parts = [er7.unescape(part, fields.d) for part in er7.components(fields.raw(16), fields.d)]
        found.append({"url": own.PERFORMING_LOCATION, "valueString": "^".join(parts)})
    for person in fields.people(21):
        found.append({"url": own.ORDERED_BY, "valueReference": person})
    return found


def _money(fields: _Fields, field: int) -> tuple[Decimal | None, str]:
    first = next(iter(er7.components(fields.raw(field), fields.d)), "")
    parts = [er7.unescape(part, fields.d) for part in er7.subcomponents(first, fields.d)]
    amount = _amount(parts[0], f"FT1-{field}") if parts else None
    return amount, parts[1] if len(parts) > 1 and parts[1] else fields.names.currency


def _codings(fields: _Fields) -> list[Item]:
    """Return the codes of FT1-7 and FT1-25, each once; two that say different charges are refused."""
    codings: list[Item] = []
    for coding in [one for field in (7, 25) for concept in fields.concepts(field)[:1] for one in concept]:
        known = [one for one in codings if one.get("system") == coding.get("system")]
        if any(one["code"] != coding["code"] for one in known):
            raise MessageError("FT1-25", "FT1-7 and FT1-25 say two codes of one system", "send one code", "207")
        if not known:
            codings.append(coding)
    if not codings:
        raise MessageError("FT1-7", "there is no transaction code", "send it", "101")
    return codings


def _occurrence(fields: _Fields) -> Item:
    start, end = fields.leaf(4), fields.leaf(4, 2)
    if not start:
        raise MessageError("FT1-4", "there is no date of service", "send it", "101")
    first = fhir_time(start, fields.names.zone, "FT1-4.1")
    if not end:
        return {"occurrenceDateTime": first}
    return {"occurrencePeriod": {"start": first, "end": fhir_time(end, fields.names.zone, "FT1-4.2")}}


def _identified(system: str, value: str) -> Item | None:
    return {"identifier": {"system": system, "value": value}} if value else None


def _amount(text: str, place: str) -> Decimal | None:
    if not text:
        return None
    if not _AMOUNT.fullmatch(text):
        raise MessageError(place, "it is not a number", "send digits, and a point if needed", "102")
    return Decimal(text)
