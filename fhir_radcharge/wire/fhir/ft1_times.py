"""Turns HL7 times into FHIR times and back, for the map between FT1 and ChargeItem."""

from __future__ import annotations

import re
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.times import MINUTES, Zone, read_moment, read_order

_HL7_TIME: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})([0-9]{2})?(\.[0-9]+)?)?")
_FHIR_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))?"
)


def fhir_time(text: str, zone: Zone, place: str) -> str:
    """Return an HL7 time as a FHIR dateTime; a time without offset is the facility's."""
    stamp, sign, offset = _split(text)
    found = _HL7_TIME.fullmatch(stamp)
    if found is None:
        raise MessageError(place, "it is not a time", "send YYYYMMDD or YYYYMMDDHHMM[SS]", "102")
    moment = read_moment(text, zone, place)
    day = f"{found[1]}-{found[2]}-{found[3]}"
    if found[4] is None:
        return day
    shift = f"{sign}{offset[:2]}:{offset[2:]}" if sign else _offset(text, zone, place, moment)
    return f"{day}T{found[4]}:{found[5]}:{found[6] or '00'}{found[7] or ''}{shift}"


def hl7_time(text: str, place: str) -> str:
    """Return a FHIR dateTime as an HL7 time with its offset; a year or a month alone is refused."""
    found = _FHIR_TIME.fullmatch(text)
    if found is None:
        raise MessageError(place, "the date names no day", "send a day, or a time with its offset", "102")
    day = found[1] + found[2] + found[3]
    if found[4] is None:
        return day
    shift = "+0000" if found[8] == "Z" else found[8].replace(":", "")
    return f"{day}{found[4]}{found[5]}{found[6]}{found[7] or ''}{shift}"


def _split(text: str) -> tuple[str, str, str]:
    for sign in "+-":
        stamp, found, offset = text.partition(sign)
        if found:
            return stamp, sign, offset
    return text, "", ""


def _offset(text: str, zone: Zone, place: str, moment: Any) -> str:
    there = moment.day.toordinal() * MINUTES + moment.minute
    minutes = there - read_order(text, zone, place) // 60_000_000
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
