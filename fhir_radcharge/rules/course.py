"""Turns a patient's standing events into courses: sessions, prescription, closings, and what belongs to what."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.sessions import END_OF_DAY, Session, When, sessions

UNKNOWN = "?"
"""The course of an event whose course cannot be told."""


class Closing(NamedTuple):
    """The end of a course as known: it holds for the sessions up to `when`."""

    when: When
    stopped: bool


class Course(NamedTuple):
    """One course: `sessions` are the counted ones in order, `held` the others; `events` are by kind."""

    id: str
    sessions: tuple[Session, ...]
    held: tuple[Session, ...]
    events: Mapping[str, tuple[TreatmentEvent, ...]]
    prescribed: int | None
    changed: tuple[When, ...]
    closings: tuple[Closing, ...]
    site: str | None
    lacks: frozenset[str]
    knobs: Mapping[str, Any]
    grace_from: date | None
    starts: tuple[When, ...]
    by_day: Mapping[date, tuple[Session, ...]]
    by_part: Mapping[str, Session]
    untreated: frozenset[date]

    def session_of(self, event: TreatmentEvent) -> Session | None:
        """Return the session that an image belongs to: the one it names; the nearest of its own day; on a day
        without one the next of the course; none on a day of set-up without treatment."""
        named = event.facts.get("fraction")
        if named is not None:
            found = self.by_part.get(str(named))
            if found is not None or any(f.id == named for f in self.events.get("fraction", ())):
                return found
        today = self.by_day.get(event.day)
        if today is not None:
            at = event.minute or 0
            if len(today) == 1:
                return today[0]
            # A port image is charged for having been taken; guidance waits with the session that it guided.
            counted = event.kind == "port_image"
            return min(
                today,
                key=lambda s: (counted and s.hold is not None, abs((s.minute or 0) - at), s.hold is not None, s.when),
            )
        if event.day in self.untreated:
            return None
        later = bisect_left(self.starts, (event.day, 0))
        return self.sessions[later] if later < len(self.sessions) else None

    def next_session(self, session: Session) -> Session | None:
        """Return the counted session that follows another, None after the last."""
        later = bisect_right(self.starts, session.when)
        return self.sessions[later] if later < len(self.sessions) else None

    def closed_after(self, when: When) -> bool:
        """Return whether the course is closed and nothing was given after this instant."""
        return any(closing.when >= when for closing in self.closings)


def courses(
    events: Sequence[TreatmentEvent], rulebook: Rulebook, as_of: date | None, released: Collection[str] = ()
) -> list[Course]:
    """Return a patient's courses, the unknown one last; sessions whose id is in `released` count after all."""
    by_course: dict[str, dict[str, list[TreatmentEvent]]] = defaultdict(lambda: defaultdict(list))
    for event in _placed(events):
        by_course[event.course or UNKNOWN][event.kind].append(event)
    found = [_course(name, kinds, rulebook, as_of, released) for name, kinds in by_course.items()]
    return sorted(
        found, key=lambda c: (c.id == UNKNOWN, c.sessions[0].when if c.sessions else _first(c), c.id)
    )


def _first(course: Course) -> When:
    return min((e.when for kind in course.events.values() for e in kind), default=(date.max, 0))


def _placed(events: Sequence[TreatmentEvent]) -> Iterable[TreatmentEvent]:
    """Yield every event with its course: as told, else the only open one; a first event opens one."""
    if all(event.course is not None for event in events):
        return events
    begun: dict[str, When] = {}
    ended: dict[str, When] = {}
    for event in events:
        if event.course in (None, UNKNOWN):
            continue
        name = str(event.course)
        if event.kind == "course_closed":
            ended[name] = max(ended.get(name, event.when), _end(event))
        else:
            begun[name] = min(begun.get(name, event.when), event.when)
    return _assigned(sorted(events, key=lambda e: (e.when, e.id)), begun, ended)


def _assigned(
    events: Sequence[TreatmentEvent], begun: dict[str, When], ended: dict[str, When]
) -> Iterable[TreatmentEvent]:
    for event in events:
        if event.course is not None:
            yield event
            continue
        # A closing that lies in the future of the event has not ended the course for it.
        here = [
            name
            for name, start in begun.items()
            if start <= event.when and not (name in ended and ended[name] < event.when)
        ]
        if not here:
            here = [name for name, start in begun.items() if start > event.when]
        if not here and not begun:
            name = f"opened-{event.day:%Y%m%d}"
            begun[name] = event.when
            here = [name]
        course = here[0] if len(here) == 1 else UNKNOWN
        if event.kind == "course_closed" and course != UNKNOWN:
            ended[course] = _end(event)
        yield event._replace(course=course)


def _end(event: TreatmentEvent) -> When:
    return event.day, END_OF_DAY if event.minute is None else event.minute


def _course(
    name: str,
    kinds: Mapping[str, list[TreatmentEvent]],
    rulebook: Rulebook,
    as_of: date | None,
    released: Collection[str],
) -> Course:
    fractions = kinds.get("fraction", [])
    knobs = _knobs(kinds, rulebook)
    every = sessions(name, fractions, knobs)
    if name == UNKNOWN:
        counted, held = [], [s._replace(hold=s.hold or "course_unknown") for s in every]
    else:
        counted = sorted(
            (
                s._replace(hold=None) if s.id in released else s
                for s in every
                if s.hold is None or s.id in released
            ),
            key=lambda s: s.when,
        )
        held = [s for s in every if s.hold is not None and s.id not in released]
    prescribed, changed = _prescription(kinds)
    grace = _grace(counted, prescribed, knobs, rulebook)
    closings = _closings(kinds.get("course_closed", ()), changed, grace, knobs, as_of)
    by_day: dict[date, tuple[Session, ...]] = {}
    for session in (*counted, *held):
        by_day[session.day] = (*by_day.get(session.day, ()), session)
    return Course(
        name,
        tuple(counted),
        tuple(held),
        {kind: tuple(found) for kind, found in kinds.items()},
        prescribed,
        changed,
        closings,
        _site(kinds),
        _lacks(kinds),
        knobs,
        grace,
        tuple(s.when for s in counted),
        by_day,
        {part.id: session for session in (*counted, *held) for part in session.parts},
        frozenset(f.day for f in fractions if f.facts.get("beam") is False),
    )


def _knobs(kinds: Mapping[str, list[TreatmentEvent]], rulebook: Rulebook) -> Mapping[str, Any]:
    """Return the knobs of a course: those of its first fraction, or of what came first where nothing is treated."""
    begun = kinds.get("fraction") or [event for found in kinds.values() for event in found]
    first = min(begun, key=lambda event: (event.when, event.id))
    return rulebook.policy.knobs(first.payer, first.day)


def _site(kinds: Mapping[str, list[TreatmentEvent]]) -> str | None:
    """Return the body site as the course says it, else the first fraction that does."""
    told = (event.facts.get("site") for kind in ("course", "fraction") for event in kinds.get(kind, ()))
    return next((str(site) for site in told if site), None)


def _prescription(kinds: Mapping[str, list[TreatmentEvent]]) -> tuple[int | None, tuple[When, ...]]:
    """Return the prescribed sessions as last said, and when that number changed."""
    said = [
        (
            e.when if e.kind != "course" else (date.min, 0),
            tuple((isinstance(part, str), part) for part in e.revision),
            int(e.facts["prescribed_fractions"]),
        )
        for kind in ("course", "prescription", "fraction")
        for e in kinds.get(kind, ())
        if e.facts.get("prescribed_fractions") is not None
    ]
    current: int | None = None
    changed: list[When] = []
    for when, _, number in sorted(said):  # of one instant the later saying counts
        if current is not None and number != current:
            changed.append(when)
        current = number
    return current, tuple(changed)


def _grace(
    counted: Sequence[Session], prescribed: int | None, knobs: Mapping[str, Any], rulebook: Rulebook
) -> date | None:
    """Return the date on which a course closes without a message, None while sessions are outstanding."""
    if not prescribed or len(counted) < prescribed:
        return None
    return rulebook.business_day(counted[prescribed - 1].day, knobs["close_grace_days"])


def _closings(
    closed: Iterable[TreatmentEvent],
    changed: Sequence[When],
    grace: date | None,
    knobs: Mapping[str, Any],
    as_of: date | None,
) -> tuple[Closing, ...]:
    """Return the closings that hold: a prescription that changes afterwards undoes one."""
    found = [Closing(_end(e), e.facts.get("reason") == "stopped") for e in closed]
    found = [c for c in found if not any(when > c.when for when in changed)]
    if grace is not None and (knobs["close_grace_days"] == 0 or (as_of is not None and as_of >= grace)):
        found.append(Closing((grace, END_OF_DAY), False))
    return tuple(sorted(found))


_BILLED = ("course", "fraction", "guidance", "port_image", "service", "reported")
"""Kinds of events whose messages carry what a line needs; an examination has no diagnosis and misses none."""


def _lacks(kinds: Mapping[str, list[TreatmentEvent]]) -> frozenset[str]:
    """Return what every message of the course lacked and nobody has supplied since."""
    told = [event.lacks for kind in _BILLED for event in kinds.get(kind, ())]
    if not told or not all(told):
        return frozenset()
    supplied = {str(e.facts.get("what")) for e in kinds.get("supplied", ())}
    return frozenset.intersection(*told) - supplied
