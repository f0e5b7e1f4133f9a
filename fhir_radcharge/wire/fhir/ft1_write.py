"""Turns a ChargeItem into an FT1 segment, by the table of ft1_map, where what is lost is written.

A status, a sign or a time that FT1 would say otherwise is refused; nothing is rounded or left out of a charge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import er7
from fhir_radcharge.wire.er7 import Delimiters
from fhir_radcharge.wire.fhir import own_extensions as own
from fhir_radcharge.wire.fhir.elements import NPI, concept_codes, extension_value, extensions, number
from fhir_radcharge.wire.fhir.ft1_map import V2_CODING_SYSTEMS, V2_SYSTEM_BASE, Names
from fhir_radcharge.wire.fhir.ft1_times import hl7_time

# Where two names of table 0396 mean one system, the first is the one that is written.
_NAMES: Final = {uri: name for name, uri in reversed(list(V2_CODING_SYSTEMS.items()))}
_BILLING: Final = (V2_CODING_SYSTEMS["C4"], V2_CODING_SYSTEMS["HCPCS"])
_STATUSES: Final = ("billable", "billed", "unknown")

Item = dict[str, Any]


def ft1_from_chargeitem(item: Mapping[str, Any], d: Delimiters, names: Names, set_id: int = 1) -> list[str]:
    """Return the FT1 of a ChargeItem; raise MessageError for one that FT1 would say otherwise."""
    if item["status"] not in _STATUSES:
        raise MessageError(
            "ChargeItem.status", "FT1 has no word for the status", "take the charge back by a credit", "103"
        )
    units = number(item.get("quantity", {}).get("value"))
    if units is None or units == 0:
        raise MessageError("ChargeItem.quantity", "the quantity is missing or zero", "send units", "101")
    said = extension_value(item, own.DIRECTION)
    if said is not None and (said == "CD") != (units < 0):
        raise MessageError("ChargeItem.quantity", "the sign and the transaction type differ", "send one meaning", "207")
    local, billing = _sorted_codings(item["code"].get("coding", ()))
    fields: dict[int, str] = {
        1: str(set_id),
        2: _identifier(item.get("identifier", ()), names.charge),
        3: _text(extension_value(item, own.BATCH)),
        6: "CD" if units < 0 else "CG",
        10: format(abs(Decimal(item["quantity"]["value"])), "f"),
        13: _value(item.get("costCenter")),
        16: _text(extension_value(item, own.PERFORMING_LOCATION)),
        23: next((_value(one) for one in item.get("supportingInformation", ()) if _system(one) == names.order), ""),
        32: _value(item.get("performingOrganization")),
        33: _value(item.get("requestingOrganization")),
    }
    encoded = {key: er7.escape(value, d) for key, value in fields.items() if key != 16}
    encoded[16] = d.component.join(er7.escape(part, d) for part in fields[16].split("^"))
    encoded |= _coded(item, d, local, billing) | _timed(item, d) | _priced(item, d) | _staff(item, d)
    return er7.build_segment("FT1", {key: value for key, value in encoded.items() if value})


def _coded(item: Mapping[str, Any], d: Delimiters, local: list[Item], billing: list[Item]) -> dict[int, str]:
    first = local[:1] or billing[:1]
    if not first:
        raise MessageError("ChargeItem.code", "it has no coding with a code", "send a coding", "101")
    second = local[1:2] if local else []
    found = {7: _triplets([*first, *second], d), 25: _triplets(billing[:1], d) if local else ""}
    found[26] = d.repetition.join(_modifiers(item, d))
    found[19] = d.repetition.join(_triplets(one.get("coding", ())[:2], d) for one in item.get("reason", ()))
    product = item.get("productCodeableConcept", {}).get("coding", ())
    found[29] = _triplets(product[:1], d)
    return found


def _modifiers(item: Mapping[str, Any], d: Delimiters) -> list[str]:
    said = []
    for index, one in enumerate(extensions(item, own.MODIFIER)):
        codings = (extension_value(one, "code") or {}).get("coding", ())[:1]
        said.append((extension_value(one, "priority") or index + 1, index, _triplets(codings, d)))
    return [text for _, _, text in sorted(said)]


def _timed(item: Mapping[str, Any], d: Delimiters) -> dict[int, str]:
    found = {5: hl7_time(item["enteredDate"], "ChargeItem.enteredDate") if "enteredDate" in item else ""}
    if "occurrenceDateTime" in item:
        return found | {4: hl7_time(item["occurrenceDateTime"], "ChargeItem.occurrenceDateTime")}
    period = item.get("occurrencePeriod", {})
    if "start" not in period:
        raise MessageError(
            "ChargeItem.occurrence", "it names no time that FT1-4 can say", "send a day or a period", "101"
        )
    ends = [hl7_time(period[key], f"ChargeItem.occurrencePeriod.{key}") for key in ("start", "end") if key in period]
    return found | {4: d.component.join(ends)}


def _priced(item: Mapping[str, Any], d: Delimiters) -> dict[int, str]:
    found = {}
    for field, url in ((11, own.EXTENDED_PRICE), (12, own.UNIT_PRICE)):
        money = extension_value(item, url)
        if isinstance(money, Mapping) and "value" in money:
            parts = [format(Decimal(money["value"]), "f"), er7.escape(str(money.get("currency", "")), d)]
            found[field] = d.subcomponent.join(parts)
    return found


def _staff(item: Mapping[str, Any], d: Delimiters) -> dict[int, str]:
    performers = [one.get("actor") for one in item.get("performer", ())]
    orderers = [extension_value({"extension": [one]}, own.ORDERED_BY) for one in extensions(item, own.ORDERED_BY)]
    enterer = [item["enterer"]] if "enterer" in item else []
    return {
        field: d.repetition.join(filter(None, (_person(one, d) for one in people)))
        for field, people in ((20, performers), (21, orderers), (24, enterer))
    }


def _person(reference: Any, d: Delimiters) -> str:
    value = _value(reference)
    authority = "NPI" if _system(reference) == NPI else ""
    return er7.encode_field([value, *[""] * 7, authority], d) if value else ""


def _sorted_codings(codings: Sequence[Mapping[str, Any]]) -> tuple[list[Item], list[Item]]:
    known = [dict(coding) for coding in codings if "code" in coding]
    billing = [coding for coding in known if coding.get("system") in _BILLING]
    if len(set(concept_codes({"coding": billing}, _BILLING))) > 1:
        raise MessageError("ChargeItem.code", "it has two codes that may be charged", "send one", "207")
    return [coding for coding in known if coding.get("system") not in _BILLING], billing


def _triplets(codings: Sequence[Mapping[str, Any]], d: Delimiters) -> str:
    values: list[str] = []
    for coding in codings:
        system = coding.get("system", "")
        values += [coding["code"], coding.get("display", ""), _NAMES.get(system, system.removeprefix(V2_SYSTEM_BASE))]
    return er7.encode_field(values, d)


def _identifier(identifiers: Sequence[Mapping[str, Any]], system: str) -> str:
    return next((str(one["value"]) for one in identifiers if one.get("system") == system and "value" in one), "")


def _value(reference: Any) -> str:
    return str((reference or {}).get("identifier", {}).get("value", ""))


def _system(reference: Any) -> str:
    return str((reference or {}).get("identifier", {}).get("system", ""))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
