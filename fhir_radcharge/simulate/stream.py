"""A run into its courses, and into the messages of all of them in the order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from fhir_radcharge.errors import ConfigError
from fhir_radcharge.simulate.course import Course, Heard, course
from fhir_radcharge.simulate.days import treatment_days
from fhir_radcharge.simulate.dialects import writer
from fhir_radcharge.simulate.pathways import pathways
from fhir_radcharge.simulate.said import Said, clock, moment


class Run(NamedTuple):
    """What is simulated: the same run is the same bytes, on every platform."""

    seed: int
    courses: int
    courses_a_day: int
    pathway: str
    oddities: str
    start: date


class SaidMessage(NamedTuple):
    """A message as it arrives: when, from which course, and its bytes."""

    at: datetime
    course: int
    raw: bytes


class _Pending(NamedTuple):
    """The next thing that a course will say; sorts by arrival, then by course."""

    arrives: int
    number: int
    said: Said
    rest: Iterator[Heard]
    write: Callable[[Said], bytes]


def run_of(size: str, seed: int, start: date, pathway: str = "all", courses: int | None = None) -> Run:
    """Return the run of a size: `smoke`, `clinic`, `system` or `torture`; `courses` overrides its number."""
    sizes = pathways().sizes
    if size not in sizes:
        raise ConfigError(f"size {size!r} is not known; take {', '.join(sizes)}")
    chosen = sizes[size]
    return Run(
        seed, chosen.courses if courses is None else courses, chosen.courses_a_day, pathway, chosen.oddities,
        start)


def courses(run: Run) -> Iterator[Course]:
    """Yield the courses of a run in the order in which they begin."""
    library = pathways()
    chosen, oddities = library.chosen(run.pathway), library.oddities[run.oddities]
    for number, first in enumerate(_first_days(run), 1):
        yield course(run.seed, number, first, library, chosen, oddities)


def messages(run: Run, dialect: str) -> Iterator[SaidMessage]:
    """Yield the messages of a run in the order of arrival.

    Holds no more than the courses that are under way, however many the run has.
    """
    waiting: list[_Pending] = []
    for one, first in zip(courses(run), _first_days(run), strict=True):
        # Nothing is said of a course before its planning, a week before its first session.
        yield from _said_before(moment(first - timedelta(days=7), 0), waiting)
        rest = iter(one.heard)
        begin = next(rest)
        heapq.heappush(
            waiting, _Pending(begin.arrives, one.chart.number, begin.said, rest, writer(dialect, one.chart)))
    yield from _said_before(None, waiting)


def _first_days(run: Run) -> Iterator[date]:
    """Yield the first treatment day of each course."""
    left = run.courses
    for day in treatment_days(run.start):
        for _ in range(min(run.courses_a_day, left)):
            yield day
        left -= run.courses_a_day
        if left <= 0:
            return


def _said_before(limit: int | None, waiting: list[_Pending]) -> Iterator[SaidMessage]:
    while waiting and (limit is None or waiting[0].arrives < limit):
        now = waiting[0]
        yield SaidMessage(clock(now.arrives), now.number, now.write(now.said))
        following = next(now.rest, None)
        if following is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, now._replace(arrives=following.arrives, said=following.said))
