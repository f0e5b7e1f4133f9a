"""A seed, a number and a pathway into one whole course: its chart and all that is said about it, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import islice
from typing import Any, NamedTuple

from fhir_radcharge.simulate.chance import Chance
from fhir_radcharge.simulate.days import treatment_days
from fhir_radcharge.simulate.pathways import Oddities, Pathway, Pathways
from fhir_radcharge.simulate.patients import patient
from fhir_radcharge.simulate.said import Chart, Said, SaidKind, moment

_ROOMS = {"LINAC1": 35.0, "LINAC2": 35.0, "LINAC3": 20.0, "LINAC4": 10.0}
_PHYSICIANS = ("1999999984", "1999999976", "1999999968")  # outside the range in which NPIs are given
_PHOTONS = frozenset({"2d", "3d", "imrt"})
_MANAGED = _PHOTONS | {"electron", "proton"}
_REST_MINUTES = 390  # between two sessions of a day: longer than the six hours that payers want
_REOPENED_AFTER = 10  # treatment days from the closing to the first further session


class Fraction(NamedTuple):
    """One planned session: its number in the course, its plan and facts."""

    number: int
    plan: str
    facts: Mapping[str, Any]


class Heard(NamedTuple):
    """Something said, and when it arrives: late, again or out of order where the seed wills it."""

    arrives: int
    said: Said


class Course(NamedTuple):
    """A whole course: its chart, and what arrives about it in the order of arrival."""

    chart: Chart
    heard: tuple[Heard, ...]


def course(seed: int, number: int, first: date, library: Pathways, chosen: Mapping[str, Pathway],
           oddities: Oddities) -> Course:
    """Return course `number` of a seed: the same for ever, whatever else is simulated beside it."""
    name = f"{seed}/{number}"
    chance = Chance(name)
    pathway = chosen[chance.weighted({name: one.weight for name, one in chosen.items()})]
    who = patient(number, chance)
    chart = Chart(
        number, f"C{number:07d}", who, library.room(chance.weighted(_ROOMS)),
        sum(phase.fractions for phase in pathway.phase), pathway.site, pathway.diagnosis,
        chance.pick(_PHYSICIANS), f"V{number:09d}")
    teller = _Teller(name, chart, pathway, chance, oddities)
    return Course(chart, tuple(sorted(teller.heard(first), key=lambda one: (one.arrives, one.said.sent))))


def fractions(pathway: Pathway) -> Iterator[Fraction]:
    """Yield the fractions of a pathway in the order in which they are given."""
    number = 0
    for phase in pathway.phase:
        for k in range(1, phase.fractions + 1):
            number += 1
            changed = phase.change is not None and k >= phase.change.from_
            facts = {**phase.facts, **(phase.change.facts if changed and phase.change else {})}
            yield Fraction(number, phase.plan, facts)


class _Teller:
    """Tell one course: keeps the list of what was said, and the counters behind the event ids."""

    def __init__(self, name: str, chart: Chart, pathway: Pathway, chance: Chance, oddities: Oddities) -> None:
        self.name, self.chart, self.pathway, self.chance, self.odd = name, chart, pathway, chance, oddities
        self.told: list[Heard] = []
        self.slot = chance.between(450, 560) if pathway.rhythm == "twice_daily" else chance.between(450, 990)
        self.counts: dict[str, int] = {}
        self.since_exam = 0
        self.stay = range(0)

    def heard(self, first: date) -> list[Heard]:
        """Return all that arrives about the course."""
        chance, odd = self.chance, self.odd
        planned = list(fractions(self.pathway))
        stopped = len(planned) > 1 and chance.happens(odd.stopped)
        if stopped:
            planned = planned[:chance.between(1, len(planned) - 1)]
        # The coding rules are silent on whether a port image of a stay uses up its group: none is simulated.
        admits = self.chart.room.setting == "hospital" and not self.pathway.ports
        if admits and chance.happens(odd.inpatient):
            begin = chance.between(1, len(planned))
            self.stay = range(begin, begin + 5)
        self._plan(first)
        days = self._starts(first)
        last = self._sessions(planned, days)
        if stopped or not chance.happens(odd.unclosed):
            self._close(last, "stopped" if stopped else "completed")
            self._reopen(planned, days, stopped)
        return self.told

    def _plan(self, first: date) -> None:
        """Say the planning services, a week before the first session."""
        day = first - timedelta(days=7)
        for k, code in enumerate(self.pathway.planning):
            facts = {"code": code, "units": 1, "plan": self.pathway.phase[0].plan, "documented": True}
            self._say("service", day, 600 + 10 * k, facts)

    def _starts(self, first: date) -> Iterator[tuple[date, int]]:
        """Yield the day and the minute of each possible session."""
        step = {"every_other_day": 2, "weekly": 5}.get(self.pathway.rhythm, 1)
        for day in islice(treatment_days(first), 0, None, step):
            start = self.slot + self.chance.between(-10, 10)
            yield day, start
            if self.pathway.rhythm == "twice_daily":
                yield day, start + _REST_MINUTES

    def _sessions(self, planned: list[Fraction], days: Iterator[tuple[date, int]]) -> tuple[date, int]:
        """Say sessions until each fraction is given; return the start of the last."""
        start = next(days)
        for place, fraction in enumerate(planned, 1):
            while len(planned) > 1 and self.chance.happens(self.odd.cancelled):
                self._session(fraction, start, beam=False)
                start = next(days)
            self._session(fraction, start, last=place == len(planned))
            given = start
            start = next(days)
        return given

    def _session(self, fraction: Fraction, start: tuple[date, int], beam: bool = True,
                 last: bool = False) -> None:
        day, minute = start
        stay = fraction.number in self.stay
        voided = beam and not last and self.chance.happens(self.odd.voided)
        void_first = voided and self.chance.happens(self.odd.void_first / max(self.odd.voided, 1e-9))
        gone = moment(day, minute) + self.chance.between(600, 4000) if voided else 0
        number = self._session_number() if beam else 0
        if self.pathway.guidance:
            self._guidance(day, minute, stay, beam, last, gone)
        self._fraction(fraction, start, stay, beam, gone, void_first)
        if beam and self.pathway.ports and number % 5 == 1:
            self._port(day, minute, stay, gone)
        if beam and not voided:
            self._visit(fraction, day, minute, stay, last)

    def _session_number(self) -> int:
        self.counts["session"] = self.counts.get("session", 0) + 1
        return self.counts["session"]

    def _fraction(self, fraction: Fraction, start: tuple[date, int], stay: bool, beam: bool, gone: int,
                  void_first: bool) -> None:
        day, minute = start
        facts: dict[str, Any] = {"fraction_number": fraction.number, "plan": fraction.plan, **fraction.facts}
        if self.pathway.rhythm == "twice_daily":
            facts["distinct_session"] = True
        if not beam:
            facts["beam"] = False
        sent = moment(day, minute) + 12
        wrong = beam and facts["technique"] in _PHOTONS and self.chance.happens(self.odd.revised)
        first = {**facts, "energy_mv": 21, "isocenters": 3} if wrong else facts
        held_up = gone - sent + 30 if void_first else self._delay()
        event = self._say("fraction", day, minute, first, stay=stay, sent=sent, late=held_up)
        if wrong:
            mended = sent + self.chance.between(30, 3000)
            self._again(event, sent=mended, facts=facts)
            event = event._replace(revision=2, facts=facts)
        if beam and not wrong and not gone:
            self._further_record(event)
        if gone:
            self._again(event, sent=max(gone, sent + 3001) if wrong else gone, voided=True)

    def _further_record(self, event: Said) -> None:
        """Say a second record of the day: a part of the session, the session again, or one nobody ordered."""
        # Whether a held record is the sixth of a stereotactic course is a person's question: none is simulated.
        if self.pathway.rhythm == "twice_daily" or event.facts["technique"] in ("sbrt", "srs_linac"):
            return
        shares = self.odd.in_parts, self.odd.doubled, self.odd.unordered
        if not any(shares):
            return
        # Chance of its own: the rest of the course is the same with and without such records.
        chance = Chance(f"{self.name}/{event.id}")
        for share, after in zip(shares, (chance.between(15, 50), 0, 420), strict=True):
            if chance.happens(share):
                self._say("fraction", event.day, event.minute + after, event.facts, stay=event.inpatient)
                return

    def _guidance(self, day: date, minute: int, stay: bool, beam: bool, last: bool, gone: int) -> None:
        image = self._say(
            "guidance", day, minute - 5, {"modality": self.pathway.guidance}, stay=stay, late=self._delay())
        if gone:
            self._again(image, sent=gone, voided=True)
        if not beam:
            return
        late = not last and self.chance.happens(self.odd.approval_late)
        # A late approval comes when even the slowest rhythm has had its next session.
        given = moment(day, minute) + (
            self.chance.between(9, 12) * 1440 if late else self.chance.between(40, 300))
        self._say("approval", date.fromordinal(given // 1440), given % 1440,
                  {"of": image.id, "approver": "physician"}, stay=stay, sent=given)

    def _port(self, day: date, minute: int, stay: bool, gone: int) -> None:
        image = self._say("port_image", day, minute - 3, {"gantry_angles": self.pathway.ports}, stay=stay)
        if gone:
            self._again(image, sent=gone, voided=True)

    def _visit(self, fraction: Fraction, day: date, minute: int, stay: bool, last: bool) -> None:
        """Say the weekly examination and physics check, on the third session of five or the last."""
        self.since_exam += 1
        due = self.since_exam == 3 or (last and self.since_exam < 3)
        if due and fraction.facts["technique"] in _MANAGED:
            self._exam(day, minute, stay)
        if due and fraction.facts["technique"] != "superficial":
            self._check(day, minute, stay)
        self.since_exam %= 5

    def _exam(self, day: date, minute: int, stay: bool) -> None:
        if self.chance.happens(self.odd.exam_missing):
            return
        by = "np" if self.chance.happens(self.odd.exam_by_nurse) else "physician"
        self._say("exam", day, minute + 25, {"by": by, "provider": self.chart.physician}, stay=stay)

    def _check(self, day: date, minute: int, stay: bool) -> None:
        if not self.chance.happens(self.odd.check_missing):
            self._say("physics_check", day, minute + 40, {}, stay=stay)

    def _close(self, last: tuple[date, int], reason: str) -> None:
        self._say("course_closed", last[0], last[1] + 60, {"reason": reason})

    def _reopen(self, planned: list[Fraction], days: Iterator[tuple[date, int]], stopped: bool) -> None:
        """Say a few further sessions and a second closing, some weeks after the first."""
        managed = len(planned) >= 10 and planned[-1].facts["technique"] in _MANAGED
        if stopped or not managed or not self.chance.happens(self.odd.reopened):
            return
        further = range(1, self.chance.between(1, 7) + 1)
        more = [planned[-1]._replace(number=len(planned) + k) for k in further]
        last = self._sessions(more, islice(days, _REOPENED_AFTER, None))
        self._close(last, "completed")

    def _delay(self) -> int:
        return self.chance.between(1440, 9 * 1440) if self.chance.happens(self.odd.late) else 0

    def _say(self, kind: SaidKind, day: date, minute: int, facts: Mapping[str, Any], *, stay: bool = False,
             sent: int | None = None, late: int = 0) -> Said:
        """Say an event for the first time, under the next id of its kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        event_id = f"{self.chart.number:07d}{_LETTERS[kind]}{self.counts[kind]}"
        sent = moment(day, minute) + 5 if sent is None else sent
        said = Said(sent, kind, event_id, 1, day, minute, facts, False, stay)
        self._hear(said, late)
        return said

    def _again(self, said: Said, sent: int, facts: Mapping[str, Any] | None = None,
               voided: bool = False) -> None:
        """Say an event anew at its next revision: with other facts, or as one that never happened."""
        facts = said.facts if facts is None else facts
        self._hear(said._replace(sent=sent, revision=said.revision + 1, facts=facts, voided=voided), 0)

    def _hear(self, said: Said, late: int) -> None:
        self.told.append(Heard(said.sent + late, said))
        if self.chance.happens(self.odd.repeated):
            self.told.append(Heard(said.sent + late + self.chance.between(1, 3000), said))


_LETTERS: Mapping[SaidKind, str] = {
    "fraction": "F", "guidance": "G", "approval": "A", "port_image": "P", "exam": "E", "physics_check": "Q",
    "service": "S", "prescription": "R", "course_closed": "X",
}
