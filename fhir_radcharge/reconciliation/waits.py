"""Turns the books into what waits beside the fractions: lags, credits on their way, messages put aside."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

PARKED = ("unreadable", "reused", "quarantined", "defect")
STATES = {0: "queued", 1: "sent", 2: "unanswered", 3: "blocked"}
# Upper ends of the bars of a lag plot, in seconds: about three times as long from one to the next.
LAG_ENDS = ((1, "1 s"), (3, "3 s"), (10, "10 s"), (30, "30 s"), (100, "100 s"), (300, "5 min"), (900, "15 min"),
            (3_600, "1 h"), (10_800, "3 h"), (43_200, "12 h"), (86_400, "1 d"), (259_200, "3 d"),
            (864_000, "10 d"))  # fmt: skip
AGE_ENDS = ((0, "today"), (1, "1 d"), (2, "2 d"), (4, "3-4 d"), (7, "5-7 d"), (14, "8-14 d"), (30, "15-30 d"),
            (60, "31-60 d"))  # fmt: skip


class Lag(NamedTuple):
    """From when a charge's message was heard to when its posting was accepted."""

    destination: str
    posting: str
    seconds: float


class LagFigures(NamedTuple):
    """What is said of many lags; 0 where there are none."""

    accepted: int
    median: float
    p95: float
    most: float


class CreditWaiting(NamedTuple):
    """A credit that no billing system has accepted yet."""

    destination: str
    posting: str
    code: str
    day: date
    state: str
    age_days: int


class Parked(NamedTuple):
    """A message that was put aside: its number, when it was heard, and why."""

    message: int
    heard: str
    category: str
    reason: str
    place: str


def lags(connection: sqlite3.Connection, first: date, last: date) -> list[Lag]:
    """Return the lag of every accepted charge with a date of service from first to last."""
    rows = connection.execute(
        "select p.destination, p.id, m.received_at, a.at from posting p join message m on m.number = p.message"
        " join answer a on a.send = p.send and a.kind in ('accepted', 'in_part')"
        " where p.kind = 'CHARGE' and p.mode = 'live' and p.day between ? and ?"
        " and not exists (select 1 from struck s where s.patient = p.patient and s.posting = p.id) order by p.number",
        (first.isoformat(), last.isoformat()),
    )
    return [Lag(where, name, max((_at(end) - _at(start)).total_seconds(), 0.0)) for where, name, start, end in rows]


def figures(found: Sequence[Lag]) -> LagFigures:
    """Return median, 95th percentile and longest; the percentile is a lag that was, the nearest rank."""
    seconds = sorted(lag.seconds for lag in found)
    if not seconds:
        return LagFigures(0, 0.0, 0.0, 0.0)
    count = len(seconds)
    middle = (seconds[(count - 1) // 2] + seconds[count // 2]) / 2
    return LagFigures(count, middle, seconds[math.ceil(0.95 * count) - 1], seconds[-1])


def lag_bars(found: Sequence[Lag]) -> list[tuple[str, int]]:
    """Return how many lags fall into each bar, from the first to the last bar that has any."""
    return _filled(LAG_ENDS, [lag.seconds for lag in found], "longer")


def age_bars(days: Sequence[int]) -> list[tuple[str, int]]:
    """Return how many ages fall into each bar."""
    return _filled(AGE_ENDS, days, "over 60 d")


def _filled(ends: Sequence[tuple[float, str]], values: Sequence[float], beyond: str) -> list[tuple[str, int]]:
    counts = [0] * (len(ends) + 1)
    for value in values:
        counts[next((n for n, (end, _) in enumerate(ends) if value <= end), len(ends))] += 1
    words = [*(word for _, word in ends), beyond]
    last = max((n for n, count in enumerate(counts) if count), default=-1)
    return list(zip(words, counts, strict=True))[: last + 1]


def credits_waiting(connection: sqlite3.Connection, today: date) -> list[CreditWaiting]:
    """Return every credit that waits, the oldest first; age counts from the day on which it was written."""
    rows = connection.execute(
        "select p.destination, p.id, p.code, p.modifiers, p.day, p.posted, o.state from posting p"
        " join outbox o on o.seq = p.send where p.kind = 'CREDIT' order by p.number"
    )
    return [
        CreditWaiting(where, name, "-".join((code, *modifiers.split())), date.fromisoformat(day), STATES[state],
                      max((today - date.fromisoformat(posted)).days, 0))
        for where, name, code, modifiers, day, posted, state in rows
    ]  # fmt: skip


def parked(connection: sqlite3.Connection, zone: ZoneInfo, first: date, last: date) -> list[Parked]:
    """Return the messages that are put aside and were heard on the facility's days from first to last."""
    start = datetime.combine(first, time(), zone).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC)
    rows = connection.execute(
        "select m.number, m.received_at, o.category, o.reason, o.place from open_item o"
        " join message m on m.number = o.message where o.message > 0 order by m.number, o.key"
    )
    return [Parked(*row) for row in rows if row[2] in PARKED and start <= _at(row[1]) < end]


def _at(label: str) -> datetime:
    return datetime.fromisoformat(label)
