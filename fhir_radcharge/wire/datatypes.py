"""Turn HL7 data types into checks of one raw leaf value: a check says what is wrong, or "" if nothing is."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

Check = Callable[[str], str]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_ZONE = r"(?:[+-](?:0[0-9]|1[0-4])[0-5][0-9])?"
_CLOCK = r"(?:[01][0-9]|2[0-3])(?:[0-5][0-9](?:[0-5][0-9](?:\.[0-9]{1,4})?)?)?"
_TIME = re.compile(_CLOCK + _ZONE)
_DAY = r"([0-9]{4})(?:(0[1-9]|1[0-2])(?:(0[1-9]|[12][0-9]|3[01])"
_INSTANT = re.compile(rf"{_DAY}(?:{_CLOCK})?)?)?{_ZONE}")


def number(value: str) -> str:
    """Judge NM: an optional sign, digits, and a decimal point."""
    return "" if value.isdecimal() or _NUMBER.fullmatch(value) else "is not a number (NM)"


def sequence(value: str) -> str:
    """Judge SI: digits only."""
    return "" if value.isdecimal() else "is not a sequence number (SI)"


def day(value: str) -> str:
    """Judge DT: YYYY, YYYYMM or YYYYMMDD, and a day that exists."""
    return "" if len(value) in (4, 6, 8) and _exists(value) else "is not a date (DT)"


def instant(value: str) -> str:
    """Judge TS and DTM: a date, then hours, minutes, seconds and fractions as far as known, then the zone."""
    return "" if _exists(value) else "is not a date and time (DTM)"


def clock(value: str) -> str:
    """Judge TM: HH, then minutes, seconds and fractions as far as known, then the zone."""
    return "" if _TIME.fullmatch(value) else "is not a time (TM)"


def _exists(value: str) -> bool:
    match = _INSTANT.fullmatch(value)
    if match is None:
        return False
    year, month, of_month = match.groups()
    if year != "0000" and (of_month is None or of_month <= "28"):
        return True
    try:
        date(int(year), int(month or 1), int(of_month or 1))
    except ValueError:
        return False
    return True


# IS, ST and the like may hold anything; ID is judged by its table, where the version's tables have it.
CHECKS: Mapping[str, Check] = MappingProxyType(
    {"NM": number, "SI": sequence, "DT": day, "DTM": instant, "TS": instant, "TM": clock}
)
