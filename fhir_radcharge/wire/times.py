"""Turns HL7 times into facility-local dates and minutes, with the zone's changes worked out beforehand.

A time with an offset is carried to the facility's zone. A time without one is the facility's own clock; on the
nights when that clock is put forward or back it may name no moment or two, and then it is refused, never guessed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date
from typing import Literal, NamedTuple

from fhir_radcharge.errors import MessageError

MINUTES = 1440
_DAYS: dict[str, date] = {}
_DAYS_MAX = 20_000


class Edge(NamedTuple):
    """Minutes of one local day that the clock shows twice, or never."""

    first: int
    end: int
    kind: Literal["twice", "never"]


class Zone(NamedTuple):
    """A time zone as the minutes (since day 0, UTC) from which each offset holds, and its odd local minutes."""

    name: str
    starts: tuple[int, ...]
    offsets: tuple[int, ...]
    edges: Mapping[int, tuple[Edge, ...]]


class Moment(NamedTuple):
    """A facility-local day and minute; no minute where a date alone is given."""

    day: date
    minute: int | None


def read_day(text: str, place: str) -> date:
    """Return the date that eight digits name."""
    found = _DAYS.get(text)
    if found is None:
        if len(text) != 8 or not (text.isascii() and text.isdigit()):
            raise MessageError(place, "is not a date", "send YYYYMMDD", "102")
        try:
            found = date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError as error:
            raise MessageError(place, "names a day that does not exist", "send YYYYMMDD", "102") from error
        if len(_DAYS) > _DAYS_MAX:
            _DAYS.clear()
        _DAYS[text] = found
    return found


def read_moment(text: str, zone: Zone, place: str) -> Moment:
    """Return the facility-local moment that an HL7 time names."""
    if len(text) == 8:
        return Moment(read_day(text, place), None)
    stamp, offset = _split_offset(text, place)
    day, minute = read_day(stamp[:8], place), _minute(stamp, place)
    if offset is None:
        _refuse_odd(day, minute, zone, place)
        return Moment(day, minute)
    utc = day.toordinal() * MINUTES + minute - offset
    local = utc + zone.offsets[bisect_right(zone.starts, utc) - 1]
    if local // MINUTES == day.toordinal():
        return Moment(day, local % MINUTES)
    return Moment(date.fromordinal(local // MINUTES), local % MINUTES)


def read_order(text: str, zone: Zone, place: str) -> int:
    """Return an HL7 time as a number that grows with time (microseconds, UTC): what revisions are ordered by.

    Of a clock time that occurs twice the first is meant here: no date of service depends on it.
    """
    stamp, offset = _split_offset(text, place)
    day = read_day(stamp[:8], place)
    minute = _minute(stamp, place) if len(stamp) > 8 else 0
    utc = day.toordinal() * MINUTES + minute
    if offset is None:
        index = bisect_right(zone.starts, utc - zone.offsets[bisect_right(zone.starts, utc) - 1]) - 1
        offset = zone.offsets[index]
    whole, _, fraction = stamp[12:].partition(".")
    if (whole and not whole.isdigit()) or (fraction and not fraction.isdigit()):
        raise MessageError(place, "is not a time", "send YYYYMMDDHHMMSS", "102")
    micros = int((fraction + "000000")[:6])
    return ((utc - offset) * 60 + int(whole or 0)) * 1_000_000 + micros


def _split_offset(text: str, place: str) -> tuple[str, int | None]:
    for sign, factor in (("-", 1), ("+", -1)):
        stamp, found, shift = text.partition(sign)
        if found:
            if len(shift) != 4 or not (shift.isascii() and shift.isdigit()):
                raise MessageError(place, "has an offset that is not four digits", "send +HHMM or -HHMM", "102")
            return stamp, -factor * (int(shift[:2]) * 60 + int(shift[2:]))
    return text, None


def _minute(stamp: str, place: str) -> int:
    clock = stamp[8:12]
    if len(clock) != 4 or not (stamp[8:].replace(".", "", 1).isdigit() and stamp.isascii()):
        raise MessageError(place, "is not a time", "send YYYYMMDDHHMM[SS] or a date alone", "102")
    hour, minute = int(clock[:2]), int(clock[2:])
    if hour > 23 or minute > 59:
        raise MessageError(place, "is not a time of day", "send hours 00 to 23 and minutes 00 to 59", "102")
    return hour * 60 + minute


def _refuse_odd(day: date, minute: int, zone: Zone, place: str) -> None:
    edges = zone.edges.get(day.toordinal())
    if edges is None:
        return
    for edge in edges:
        if edge.first <= minute < edge.end:
            problem = (
                "is an hour that the facility's clock shows twice"
                if edge.kind == "twice"
                else "is an hour that the facility's clock leaves out"
            )
            raise MessageError(place, f"{problem} on this night", "send the offset (+HHMM or -HHMM)", "102")
