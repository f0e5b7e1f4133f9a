"""Counting by plain arithmetic: weekly management, weekly physics and port images of one course.

Written from the counting rules alone. It knows nothing of the package: its nouns are its own, its calendar
is Monday to Friday, its course is treated in one freestanding centre. It answers with a counted set of lines,
so that a line too many shows as well as a line too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

KNOBS: Mapping[str, Any] = {
    "mgmt_group_size": 5,
    "mgmt_remainder_min": 3,
    "stopped_short_77431": True,
    "mgmt_date": "last",
    "mgmt_units": "one",
    "close_grace_days": 3,
    "remainder_date": "first_closure",
    "physics_remainder_min": "none",
    "physics_date": "fifth_session",
    "port_image_basis": "per_gantry_angle",
    "port_partial_group": "event",
    "bid_min_gap_hours": 6,
    "tid_min_gap_hours": 4,
    "same_session_max_gap_minutes": 60,
}


HOLIDAYS = frozenset({date(2025, 5, 26), date(2025, 7, 4)})


class Done(NamedTuple):
    """Something that happened, at one revision; `minute` None is a date alone."""

    id: str
    kind: str
    day: date
    minute: int | None
    facts: Mapping[str, Any]
    revision: int = 1
    voided: bool = False

    @property
    def at(self) -> tuple[date, int]:
        """The start; a date alone is its midnight."""
        return self.day, self.minute or 0


class Due(NamedTuple):
    """One line that must be there."""

    code: str
    day: date
    end: date | None
    units: int
    hold: str | None


class Session(NamedTuple):
    """One counted session: its start."""

    day: date
    minute: int


def due_lines(done: Iterable[Done], knobs: Mapping[str, Any], as_of: date) -> Counter[Due]:
    """Return the lines of management, physics and port images that a course has earned."""
    known = {**KNOBS, **knobs}
    events = standing(done)
    sessions, set_up = sessions_of(events, known)
    closings = closings_of(events, sessions, known, as_of)
    found = [
        *management(sessions, closings, events, known),
        *physics(sessions, closings, events, known),
        *ports(sessions, set_up, events, known),
    ]
    return Counter(found)


def standing(done: Iterable[Done]) -> list[Done]:
    """Return the last word about each event, in the order of service, without what never happened."""
    last: dict[str, Done] = {}
    for one in done:
        if one.id not in last or one.revision > last[one.id].revision:
            last[one.id] = one
    return sorted((one for one in last.values() if not one.voided), key=lambda one: (one.at, one.id))


def sessions_of(events: Sequence[Done], knobs: Mapping[str, Any]) -> tuple[list[Session], set[date]]:
    """Return the sessions that count, and the days on which the patient was set up and never treated."""
    fractions = [one for one in events if one.kind == "fraction" and one.facts.get("purpose") != "qa"]
    beams = [one for one in fractions if one.facts.get("beam", True)]
    sessions: list[Session] = []
    for day in sorted({one.day for one in beams}):
        sessions.extend(_of_one_day([one for one in beams if one.day == day], knobs))
    return sessions, {one.day for one in fractions} - {one.day for one in beams}


def _of_one_day(beams: list[Done], knobs: Mapping[str, Any]) -> list[Session]:
    told: set[tuple[Any, ...]] = set()
    parts: list[list[Done]] = []
    for beam in beams:
        name = (beam.at, beam.facts.get("plan"), beam.facts.get("fraction_number"))
        # The same start, plan and number under another id: the greater id waits for a person.
        if name in told and None not in name[1:]:
            continue
        told.add(name)
        if parts and (beam.minute or 0) - (parts[-1][0].minute or 0) < knobs["same_session_max_gap_minutes"]:
            parts[-1].append(beam)
        else:
            parts.append([beam])
    ordered = 1 + sum(bool(first.facts.get("distinct_session")) for first, *_ in parts[1:])
    rest = 60 * knobs["tid_min_gap_hours" if ordered >= 3 else "bid_min_gap_hours"]
    starts: list[int] = []
    for first, *_ in parts:
        minute = first.minute or 0
        if not starts or (first.facts.get("distinct_session") and minute - starts[-1] >= rest):
            starts.append(minute)
    return [Session(beams[0].day, minute) for minute in starts]


def closings_of(
    events: Sequence[Done],
    sessions: Sequence[Session],
    knobs: Mapping[str, Any],
    as_of: date,
) -> list[int]:
    """Return for each closing of the course how many sessions it covers, the earliest closing first."""
    changes = [one for one in events if one.kind == "prescription"]
    undone = changes[-1].at if len(changes) > 1 else (date.min, 0)
    moments = [(one.day, 1440 if one.minute is None else one.minute) for one in events if one.kind == "course_closed"]
    moments = [moment for moment in moments if moment > undone]
    prescribed = changes[-1].facts["prescribed_fractions"] if changes else None
    if prescribed is not None and len(sessions) >= prescribed:
        last = sessions[prescribed - 1]
        day = _business_day(last.day, knobs["close_grace_days"])
        if day <= as_of or knobs["close_grace_days"] == 0:
            moments.append((day, 1440))
    return [sum(session <= moment for session in sessions) for moment in sorted(moments)]


def _business_day(day: date, after: int) -> date:
    while after:
        day += timedelta(days=1)
        after -= day.weekday() < 5 and day not in HOLIDAYS
    return day


# ---- the three counters ------------------------------------------------------------------------------------


def management(
    sessions: Sequence[Session], closings: Sequence[int], events: Sequence[Done], knobs: Mapping[str, Any]
) -> list[Due]:
    """Return weekly management: full groups, a remainder at a closing, or one short course."""
    size, least = knobs["mgmt_group_size"], knobs["mgmt_remainder_min"]
    count = len(sessions)
    groups = [sessions[start : start + size] for start in range(0, count, size)]
    seen = _examined(groups, events)
    found = [_unit(group, number in seen, knobs) for number, group in enumerate(groups) if len(group) == size]
    if closings and count < size and closings[-1] <= 2:
        return _short(sessions, closings, 0 in seen, events, knobs)
    left = count % size
    # At least three sessions must have been given to support a weekly unit, whatever the knob says.
    covers = [covered - (count - left) for covered in closings if covered >= 3]
    covers = [covered for covered in covers if covered >= least]
    if left and covers:
        earned = covers[0] if knobs["remainder_date"] == "first_closure" else covers[-1]
        found.append(_unit(groups[-1][:earned], len(groups) - 1 in seen, knobs))
    return found


def _unit(group: Sequence[Session], seen: bool, knobs: Mapping[str, Any]) -> Due:
    units = len(group) if knobs["mgmt_units"] == "fractions" else 1
    first, last = group[0].day, group[-1].day
    day = first if knobs["mgmt_date"] in ("first", "span") else last
    end = last if knobs["mgmt_date"] == "span" else None
    return Due("77427", day, end, units, None if seen else "no_physician_exam")


def _short(
    sessions: Sequence[Session],
    closings: Sequence[int],
    seen: bool,
    events: Sequence[Done],
    knobs: Mapping[str, Any],
) -> list[Due]:
    """Return the one unit of a course that was closed after one or two sessions and has filled no group."""
    covered = [closing for closing in closings if closing]
    if not covered:
        return []
    prescribed = [one.facts["prescribed_fractions"] for one in events if one.kind == "prescription"]
    if prescribed and prescribed[-1] > 2 and not knobs["stopped_short_77431"]:
        return []
    earned = covered[-1] if knobs["remainder_date"] == "last" else covered[0]
    return [Due("77431", sessions[earned - 1].day, None, 1, None if seen else "no_physician_exam")]


def _examined(groups: Sequence[Sequence[Session]], events: Sequence[Done]) -> set[int]:
    """Return the groups that a physician saw."""
    days = [one.day for one in events if one.kind == "exam" and one.facts["by"] == "physician"]
    return set(_served(groups, days))


def _served(groups: Sequence[Sequence[Session]], days: Sequence[date]) -> dict[int, date]:
    """Return the day that serves each group: each day serves the earliest group around it that has none yet."""
    served: dict[int, date] = {}
    for day in days:
        around = [n for n, group in enumerate(groups) if group[0].day <= day <= group[-1].day]
        free = [number for number in around if number not in served]
        if free:
            served[free[0]] = day
    return served


def physics(
    sessions: Sequence[Session], closings: Sequence[int], events: Sequence[Done], knobs: Mapping[str, Any]
) -> list[Due]:
    """Return weekly physics: full groups of five, and what the knob grants after the last."""
    count = len(sessions)
    units = [(sessions[start : start + 5], 5) for start in range(0, count - count % 5, 5)]
    left = count % 5
    least = knobs["physics_remainder_min"]
    wanted = 1 if count < 5 else None if least == "none" else int(least)
    covers = [covered - (count - left) for covered in closings]
    earned = [covered for covered in covers if wanted and covered >= wanted]
    if left and earned:
        first = knobs["remainder_date"] == "first_closure"
        units.append((sessions[count - left :], earned[0 if first else -1]))
    groups = [sessions[start : start + 5] for start in range(0, count, 5)]
    served = _served(groups, [one.day for one in events if one.kind == "physics_check"])
    found = []
    for number, (group, given) in enumerate(units):
        day = group[given - 1].day
        if knobs["physics_date"] == "check_date":
            day = served.get(number, day)
        found.append(Due("77336", day, None, 1, None if number in served else "no_physics_check"))
    return found


def ports(
    sessions: Sequence[Session],
    set_up: set[date],
    events: Sequence[Done],
    knobs: Mapping[str, Any],
) -> list[Due]:
    """Return port images: of each five sessions the first image of each angle, or the first image."""
    units: Counter[date] = Counter()
    seen: set[tuple[int, Any]] = set()
    for image in events:
        if image.kind != "port_image" or image.day in set_up:
            continue
        place = _session_of(image, sessions)
        if place is None or not _port_group_counts(place // 5, len(sessions), knobs["port_partial_group"]):
            continue
        angles = image.facts.get("gantry_angles")
        # No angles: an angle of its own, which no other image has.
        named = {round(angle) % 360 for angle in angles} if angles else {image.id}
        if knobs["port_image_basis"] == "per_group":
            named = {"any"}
        new = {(place // 5, angle) for angle in named} - seen
        seen |= new
        units[image.day] += len(new)
    return [Due("77417", day, None, count, None) for day, count in units.items() if count]


def _session_of(image: Done, sessions: Sequence[Session]) -> int | None:
    """Return the place of the session that an image belongs to: of its own day the nearest, else the next."""
    today = [place for place, session in enumerate(sessions) if session.day == image.day]
    if today:
        return min(today, key=lambda place: abs(sessions[place].minute - (image.minute or 0)))
    return next((place for place, session in enumerate(sessions) if session.day > image.day), None)


def _port_group_counts(group: int, count: int, partial: str) -> bool:
    held = min(5, count - 5 * group)
    return held == 5 or partial == "event" or (partial == "remainder3" and held >= 3)
