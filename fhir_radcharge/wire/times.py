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
_OFFSET_MAX = 14 * 60  # of a clock on land
_DAYS: dict[str, date] = {}
_DAYS_MAX = 20_000
_CLOCK = {f"{hour:02d}{minute:02d}": hour * 60 + minute for hour in range(24) for minute in range(60)}


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
    ordinal = day.toordinal()
    if offset is None:
        if ordinal in zone.edges:
            _refuse_odd(zone.edges[ordinal], minute, place)
        return Moment(day, minute)
    utc = ordinal * MINUTES + minute - offset
    local = utc + zone.offsets[bisect_right(zone.starts, utc) - 1]
    if local // MINUTES == ordinal:
        return Moment(day, local % MINUTES)
    if not 1 <= local // MINUTES <= date.max.toordinal():
        raise MessageError(place, "names a day that does not exist", "send YYYYMMDD", "102")
    return Moment(date.fromordinal(local // MINUTES), local % MINUTES)


def read_order(text: str, zone: Zone, place: str) -> int:
    """Return an HL7 time as a number that grows with time (microseconds, UTC): what revisions are ordered by.

    Of a clock time that occurs twice the first is meant here: no date of service depends on it.
    """
    stamp, offset = _split_offset(text, place)
    local = read_day(stamp[:8], place).toordinal() * MINUTES
    if len(stamp) > 8:
        local += _minute(stamp, place)
    if offset is None:
        # The offset before a change is tried first, so that of two equal clock times the first is meant.
        offset = zone.offsets[bisect_right(zone.starts, local - MINUTES // 2) - 1]
        offset = zone.offsets[bisect_right(zone.starts, local - offset) - 1]
    seconds = stamp[12:]
    if len(seconds) <= 2:
        return ((local - offset) * 60 + int(seconds or 0)) * 1_000_000
    return ((local - offset) * 60 + int(seconds[:2])) * 1_000_000 + int((seconds[3:] + "000000")[:6])


def local_day(text: str, zone: Zone) -> date | None:
    """Return the facility-local date of an HL7 time, None where it names none or two."""
    try:
        return read_moment(text, zone, "").day
    except MessageError:
        return None


def in_order(first: str, last: str) -> bool:
    """Tell by their texts alone that one time is no later than another of its clock; False where that is not plain."""
    if first.isdigit() and last.isdigit():
        return first <= last
    offset = first[-5:]
    return offset == last[-5:] and offset[:1] in ("+", "-") and first[:-5] <= last[:-5]


def check_span(first: str, last: str, zone: Zone, place: str) -> None:
    """Raise MessageError if a range of times ends before it begins; one that cannot be read bounds nothing."""
    if in_order(first, last):
        return
    try:
        begin, end = read_moment(first, zone, place), read_moment(last, zone, place)
    except MessageError:
        return
    backwards = end.day < begin.day
    if begin.day == end.day and begin.minute is not None and end.minute is not None:
        backwards = read_order(last, zone, place) < read_order(first, zone, place)
    if backwards:
        raise MessageError(place, "the range ends before it begins", "send the start first, then the end", "102")


def _split_offset(text: str, place: str) -> tuple[str, int | None]:
    if text.isdigit():
        return text, None
    stamp, offset = text[:-5], text[-5:]
    if offset[:1] not in ("-", "+"):
        return text, None
    digits = offset[1:]
    if len(digits) != 4 or not (digits.isascii() and digits.isdigit()):
        raise MessageError(place, "has an offset that is not four digits", "send +HHMM or -HHMM", "102")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if digits[2:] > "59" or minutes > _OFFSET_MAX:
        raise MessageError(place, "has an offset that no clock has", "send one within 14 hours, +HHMM or -HHMM", "102")
    return stamp, -minutes if offset[0] == "-" else minutes


def _minute(stamp: str, place: str) -> int:
    minute = _CLOCK.get(stamp[8:12])
    seconds = stamp[12:]
    if minute is None or (seconds and not _are_seconds(seconds)):
        raise MessageError(place, "is not a time", "send YYYYMMDDHHMM[SS] or a date alone", "102")
    return minute


def _are_seconds(text: str) -> bool:
    if len(text) == 2:
        return text.isascii() and text.isdigit()
    return (
        text.isascii() and text[:2].isdigit() and text[2] == "." and text[3:].isdigit()
        if len(text) > 3
        else False
    )


def _refuse_odd(edges: tuple[Edge, ...], minute: int, place: str) -> None:
    for edge in edges:
        if edge.first <= minute < edge.end:
            problem = (
                "is an hour that the facility's clock shows twice"
                if edge.kind == "twice"
                else "is an hour that the facility's clock leaves out"
            )
            raise MessageError(place, f"{problem} on this night", "send the offset (+HHMM or -HHMM)", "102")
