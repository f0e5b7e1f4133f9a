"""A first day into the days on which a department treats."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

_DAY = timedelta(days=1)


def treatment_days(first: date) -> Iterator[date]:
    """Yield the treatment days from `first` on: Monday to Friday less the holidays."""
    day = first
    while True:
        if is_treatment_day(day):
            yield day
        day += _DAY


@cache
def is_treatment_day(day: date) -> bool:
    """Return True on Monday to Friday, if the department does not close for a holiday."""
    return day.weekday() < 5 and day not in holidays(day.year)


@cache
def holidays(year: int) -> frozenset[date]:
    """Return the six days on which the department is closed (they fall on weekends unobserved)."""
    may, september, november = date(year, 5, 31), date(year, 9, 1), date(year, 11, 1)
    memorial = may - timedelta(days=may.weekday())
    labor = september + timedelta(days=-september.weekday() % 7)
    thanksgiving = november + timedelta(days=(3 - november.weekday()) % 7 + 21)
    return frozenset({
        date(year, 1, 1), memorial, date(year, 7, 4), labor, thanksgiving, date(year, 12, 25),
    })
