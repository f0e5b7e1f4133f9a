"""The values that a destination may ask for in a field, each written safely for its delimiters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache

from fhir_radcharge.errors import RuleError
from fhir_radcharge.wire.destination import Said, Write
from fhir_radcharge.wire.er7 import Delimiters, escape, unescape
from fhir_radcharge.wire.paths import leaf


def recoded(raw: str, source: Delimiters, target: Delimiters) -> str:
    """Return a field in other delimiters: each leaf is decoded once and escaped anew, so that it stays one leaf."""
    if not raw or source == target or source[:5] == target[:5]:
        return raw
    levels = (
        (source.repetition, target.repetition),
        (source.component, target.component),
        (source.subcomponent, target.subcomponent),
    )
    return _recoded(raw, levels, source, target)


def _recoded(raw: str, levels: tuple[tuple[str, str], ...], source: Delimiters, target: Delimiters) -> str:
    if not levels:
        return escape(unescape(raw, source), target)
    (mark, new), deeper = levels[0], levels[1:]
    if not mark or mark not in raw:
        return _recoded(raw, deeper, source, target)
    return new.join([_recoded(piece, deeper, source, target) for piece in raw.split(mark)])


@lru_cache(maxsize=1024)
def _day(day: date) -> str:
    return day.isoformat().replace("-", "")


def _transaction_id(said: Said) -> str:
    posting = said.posting
    if posting.credits is not None and said.destination.credit in ("cd_same_id", "cr", "credit_and_charge"):
        return posting.credits
    return posting.id


def _type(said: Said) -> str:
    destination = said.destination
    return destination.charge_type if said.posting.kind == "CHARGE" else destination.credit_type


def _signed(said: Said) -> int:
    posting = said.posting
    negative = posting.kind == "CREDIT" and (posting.negative or said.destination.credit == "negative_quantity")
    return -posting.units if negative else posting.units


def _money(amount: Decimal, said: Said) -> str:
    currency = said.destination.currency
    return f"{amount}{said.destination.delimiters.subcomponent}{currency}" if currency else str(amount)


def _price(said: Said) -> str:
    return _money(said.row.price, said) if said.row is not None and said.row.price is not None else ""


def _amount(said: Said) -> str:
    if said.row is None or said.row.price is None:
        return ""
    return _money(said.row.price * _signed(said), said)


def _coded(code: str, d: Delimiters) -> str:
    system = "C4" if code[:1].isdigit() else "HCPCS"
    return f"{escape(code, d)}{d.component}{d.component}{system}"


def _code(said: Said) -> str:
    return _coded(said.posting.line.code, said.destination.delimiters)


def _charge_code(said: Said) -> str:
    if said.row is None:
        line = said.posting.line
        raise RuleError(
            f"{said.destination.name}: the charge master has no charge code for {line.code}; add a row"
        )
    return escape(said.row.charge_code, said.destination.delimiters)


def _charge_code_or_code(said: Said) -> str:
    return _code(said) if said.row is None else _charge_code(said)


def _modifiers(said: Said) -> str:
    modifiers = said.posting.line.modifiers
    if not modifiers:
        return ""
    d = said.destination.delimiters
    return d.repetition.join([escape(modifier, d) for modifier in modifiers])


def _service_dates(said: Said) -> str:
    line = said.posting.line
    first = _day(line.day)
    if line.end is None or line.end == line.day or said.destination.dates_in_note:
        return first
    return f"{first}{said.destination.delimiters.component}{_day(line.end)}"


def _note(said: Said) -> str:
    line = said.posting.line
    parts = [line.note] if line.note else []
    if said.destination.dates_in_note and line.end is not None and line.end != line.day:
        # A date of service before 2.5 is one moment, so that the span is told in words.
        parts.append(f"service dates {_day(line.day)} to {_day(line.end)}")
    return escape("; ".join(parts), said.destination.delimiters)


def _reference(said: Said) -> str:
    return said.posting.credits or ""


def _heard(said: Said, field: int) -> str:
    ft1 = said.ft1
    raw = ft1[field] if field < len(ft1) else ""
    return recoded(raw, said.heard.delimiters, said.destination.delimiters)


def _shared(said: Said, segment: str, field: int) -> str:
    found = said.heard.first(segment)
    raw = found[field] if field < len(found) else ""
    return recoded(raw, said.heard.delimiters, said.destination.delimiters)


def _location(said: Said) -> str:
    return _heard(said, 16) or _shared(said, "PV1", 3)


def _diagnoses(said: Said) -> str:
    own = _heard(said, 19)
    if own:
        return own
    d, source = said.destination.delimiters, said.heard.delimiters
    codes = [
        recoded(segment[3], source, d) for segment in said.heard.all("DG1") if len(segment) > 3 and segment[3]
    ]
    return d.repetition.join(codes)


def _rendering(said: Said) -> str:
    provider = said.posting.line.provider
    if not provider:
        return ""
    source, d = said.heard.delimiters, said.destination.delimiters
    for segment, field in ((said.ft1, 20), (said.heard.first("PV1"), 7)):
        raw = segment[field] if field < len(segment) else ""
        for piece in raw.split(source.repetition) if source.repetition else [raw]:
            if leaf(piece, source) == provider:
                return recoded(piece, source, d)
    return escape(provider, d)


def _ordering(said: Said) -> str:
    return _heard(said, 21) or _shared(said, "PV1", 8)


def _text(read: Write) -> Write:
    return lambda said: escape(read(said), said.destination.delimiters)


WRITERS: Mapping[str, Write] = {
    "set_id": lambda said: str(said.number),
    "posting_id": lambda said: said.posting.id,
    "transaction_id": _transaction_id,
    "reference": _reference,
    "type": _type,
    "code": _code,
    "charge_code": _charge_code,
    "charge_code_or_code": _charge_code_or_code,
    "modifiers": _modifiers,
    "units": lambda said: str(_signed(said)),
    "price": _price,
    "amount": _amount,
    "department": _text(lambda said: said.row.department if said.row else ""),
    "revenue_code": _text(lambda said: said.row.revenue_code if said.row else ""),
    "service_dates": _service_dates,
    "service_first": lambda said: _day(said.posting.line.day),
    "service_last": lambda said: _day(said.posting.line.end or said.posting.line.day),
    "posting_day": lambda said: _day(said.posting.posted),
    "place_of_service": _text(lambda said: said.posting.line.place_of_service),
    "course": _text(lambda said: said.posting.line.course),
    "bill": lambda said: said.posting.line.bill,
    "note": _note,
    "location": _location,
    "diagnoses": _diagnoses,
    "rendering": _rendering,
    "ordering": _ordering,
    "session": lambda said: _heard(said, 23),
    "plan": lambda said: _shared(said, "IN1", 2),
    "authorization": lambda said: _shared(said, "IN1", 14),
}
