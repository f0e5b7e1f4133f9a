"""Turns the name of a time zone into the list of its changes, once, when a site is loaded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_radcharge.wire.times import MINUTES, Edge, Zone

_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2060, 1, 1, tzinfo=UTC)
_ONE_MINUTE = timedelta(minutes=1)


@lru_cache(maxsize=32)
def zone_named(name: str) -> Zone:
    """Return a zone's changes from 2000 to 2060; raise ValueError if there is no such zone."""
    try:
        info = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone '{name}'; write one such as America/Chicago") from error
    starts, offsets = [0], [_offset(info, _FIRST)]
    edges: dict[int, tuple[Edge, ...]] = {}
    day = _FIRST
    while day < _LAST:
        after = day + timedelta(days=1)
        if _offset(info, after) != offsets[-1]:
            change = _change(info, day, after)
            old, new = offsets[-1], _offset(info, change)
            start = _minutes(change)
            starts.append(start)
            offsets.append(new)
            _add_edges(edges, start + min(old, new), start + max(old, new), new < old)
        day = after
    return Zone(name, tuple(starts), tuple(offsets), edges)


def _offset(info: tzinfo, moment: datetime) -> int:
    shift = moment.astimezone(info).utcoffset()
    assert shift is not None
    return int(shift.total_seconds()) // 60


def _minutes(moment: datetime) -> int:
    return moment.toordinal() * MINUTES + moment.hour * 60 + moment.minute


def _change(info: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the first minute at which the offset is that of `after`."""
    old = _offset(info, before)
    while after - before > _ONE_MINUTE:
        middle = before + timedelta(minutes=int((after - before) / _ONE_MINUTE) // 2)
        if _offset(info, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _add_edges(edges: dict[int, tuple[Edge, ...]], first: int, end: int, twice: bool) -> None:
    while first < end:
        day = first // MINUTES
        stop = min(end, (day + 1) * MINUTES)
        edge = Edge(first - day * MINUTES, stop - day * MINUTES, "twice" if twice else "never")
        edges[day] = (*edges.get(day, ()), edge)
        first = stop
