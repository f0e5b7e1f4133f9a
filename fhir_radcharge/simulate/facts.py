"""What was said of a course into what stands of it: the last words, the sessions that count, the closings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from fhir_radcharge.simulate.course import Course
from fhir_radcharge.simulate.said import Chart, Said, moment

_CLOSED = (
    "2025-05-26", "2025-07-04", "2025-09-01", "2025-11-27", "2025-12-25", "2026-01-01", "2026-05-25",
    "2026-07-03", "2026-09-07", "2026-11-26", "2026-12-25",
)


class Facts:
    """What stands of a course: the last word about each event, without those that never happened."""

    def __init__(self, course: Course, as_of: date) -> None:
        self.chart: Chart = course.chart
        last: dict[str, Said] = {}
        for _, said in course.heard:
            if said.id not in last or said.revision > last[said.id].revision:
                last[said.id] = said
        self.events = sorted((one for one in last.values() if not one.voided), key=start_of)
        fractions = self.of("fraction")
        beams = [one for one in fractions if one.facts.get("beam", True)]
        self.cancelled = {one.day for one in fractions} - {one.day for one in beams}
        self.sessions: list[Said] = []
        self.held: list[tuple[Said, str]] = []
        for beam in beams:
            self._tell_apart(beam)
        self.closings = sorted([*(start_of(one) for one in self.of("course_closed")), *self._grace(as_of)])

    def of(self, kind: str) -> list[Said]:
        """Return the events of a kind in the order of service."""
        return [one for one in self.events if one.kind == kind]

    def counted(self, techniques: Sequence[str]) -> list[Said]:
        """Return the sessions that a counter counts."""
        return [one for one in self.sessions if one.facts["technique"] in techniques]

    def _tell_apart(self, beam: Said) -> None:
        """Take a beam record as a session, as a part of the one before it, or as one that a person must see."""
        before = self.sessions[-1] if self.sessions else None
        if before is None or before.day != beam.day:
            self.sessions.append(beam)
        elif before.minute == beam.minute:
            # The same start, and always the same plan and fraction here: one session under two ids.
            self.held.append((beam, "probable_duplicate"))
        elif beam.minute - before.minute >= 60:
            if beam.facts.get("distinct_session") and beam.minute - before.minute >= 360:
                self.sessions.append(beam)
            else:
                self.held.append((beam, "same_day_gap"))

    def _grace(self, as_of: date) -> list[int]:
        """Return the closing that needs no message: three business days after the last prescribed session."""
        if len(self.sessions) < self.chart.prescribed:
            return []
        day = self.sessions[self.chart.prescribed - 1].day
        for _ in range(3):
            day += timedelta(days=1)
            while day.weekday() > 4 or f"{day:%Y-%m-%d}" in _CLOSED:
                day += timedelta(days=1)
        return [moment(day, 24 * 60)] if day <= as_of else []


def start_of(one: Said) -> int:
    """Return when an event began."""
    return moment(one.day, one.minute)
