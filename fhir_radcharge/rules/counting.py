"""Turns counted sessions into the charges that a count earns: weekly, short-course, and once-a-course units.

Five sessions are five sessions whatever the calendar. A remainder counts only when the course is known to be
over: a closing holds for the sessions up to it, and the unit that it earned stands until its group fills or
falls below the minimum (CMS-MANUAL13).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.model import Flag, TreatmentEvent, Why
from fhir_radcharge.rules.course import UNKNOWN, Closing, Course
from fhir_radcharge.rules.delivery import SBRT_MAX, Delivered
from fhir_radcharge.rules.lines import Draft, Spot, line, parts_of
from fhir_radcharge.rules.rulebook import CountRule, Rulebook
from fhir_radcharge.rules.sessions import Session, When

PLANS = ("77295", "77301")


class Counter(NamedTuple):
    """One thing that is counted: sessions of one billing group in one course, or in courses that overlap."""

    name: str
    courses: tuple[Course, ...]
    sessions: tuple[Session, ...]
    closings: tuple[Closing, ...]

    def upto(self, when: When) -> int:
        """Return how many sessions had begun by an instant."""
        return sum(1 for session in self.sessions if session.when <= when)


class Unit(NamedTuple):
    """One earned unit: which group, its sessions, and whether it is a whole group."""

    number: int
    sessions: tuple[Session, ...]
    whole: bool


class Counted(NamedTuple):
    """Lines that counts earn, and work items."""

    drafts: tuple[Draft, ...]
    flags: tuple[Flag, ...]


def counted_due(
    courses: Sequence[Course], kinds: Mapping[str, Delivered], rulebook: Rulebook, assume: frozenset[str]
) -> Counted:
    """Return what the counts of a patient earn; `kinds` has what each session is, by its id."""
    drafts: list[Draft] = []
    flags: list[Flag] = []
    known = [course for course in courses if course.id != UNKNOWN and course.sessions]
    present = {name for course in known for session in course.sessions for name in kinds[session.id].counts}
    counters: dict[tuple[Any, ...], list[Counter]] = {}
    for rule in rulebook.counting:
        if rule.counts not in present:
            continue
        key = rule.counts, rule.way == "once", rule.per_group
        if key not in counters:
            counters[key] = _counters(rule, known, kinds)
        for counter in counters[key]:
            if rule.start <= counter.sessions[-1].day <= rule.end:
                mine, raised = _due(rule, counter, known, kinds, counter.courses[0].knobs, rulebook, assume)
                drafts.extend(mine)
                flags.extend(raised)
    flags.extend(_group_changes(known))
    return Counted(tuple(drafts), tuple(flags))


def _group_changes(courses: Iterable[Course]) -> Iterable[Flag]:
    for course in courses:
        groups = {session.parts[0].facts.get("group") for session in course.sessions}
        if len(groups) > 1:
            yield Flag("course_boundary", course.id, course.sessions[-1].day, ())


def _counters(rule: CountRule, courses: Sequence[Course], kinds: Mapping[str, Delivered]) -> list[Counter]:
    found: list[Counter] = []
    for together in _merged(courses, kinds, rule.way == "once"):
        mine = [s for course in together for s in course.sessions if rule.counts in kinds[s.id].counts]
        if len(together) > 1:
            mine = _union(sorted(mine, key=lambda s: (s.when, s.id)), together)
        if not mine:
            continue
        name = "+".join([course.id for course in together])
        groups: dict[Any, list[Session]] = defaultdict(list)
        for session in mine:
            groups[session.parts[0].facts.get("group") if rule.per_group else None].append(session)
        for group, sessions in groups.items():
            label = f"{name}/{group}" if group is not None else name
            found.append(Counter(label, tuple(together), tuple(sessions), _common_closings(together)))
    return found


def _merged(courses: Sequence[Course], kinds: Mapping[str, Delivered], apart: bool) -> list[list[Course]]:
    """Return the courses that are counted together: conventional ones that overlap, by knob `counter_scope`."""
    if len(courses) == 1:
        return [list(courses)]
    runs: list[list[Course]] = []
    for course in sorted(courses, key=lambda c: (c.sessions[0].when, c.id)):
        alone = apart or course.knobs["counter_scope"] != "merged" or _is_stereotactic(course, kinds)
        host = (
            None
            if alone
            else next(
                (
                    run
                    for run in runs
                    if not _is_stereotactic(run[0], kinds)
                    and run[0].knobs["counter_scope"] == "merged"
                    and any(_overlap(course, other) for other in run)
                ),
                None,
            )
        )
        if host is None:
            runs.append([course])
        else:
            host.append(course)
    return runs


def _is_stereotactic(course: Course, kinds: Mapping[str, Delivered]) -> bool:
    return any(kinds[session.id].technique_class in ("sbrt", "srs") for session in course.sessions)


def _overlap(one: Course, other: Course) -> bool:
    return one.sessions[0].day <= other.sessions[-1].day and other.sessions[0].day <= one.sessions[-1].day


def _union(sessions: Sequence[Session], courses: Sequence[Course]) -> list[Session]:
    """Return the sessions of overlapping courses with visits that serve two of them counted once."""
    knobs = courses[0].knobs
    kept: list[Session] = []
    for session in sessions:
        last = kept[-1] if kept else None
        if (
            last is not None
            and last.course != session.course
            and last.day == session.day
            and (
                (session.minute or 0) - (last.minute or 0) < knobs["same_session_max_gap_minutes"]
                or not session.parts[0].facts.get("distinct_session")
            )
        ):
            continue
        kept.append(session)
    return kept


def _common_closings(courses: Sequence[Course]) -> tuple[Closing, ...]:
    """Return the closings at which every one of these courses that has begun is closed."""
    if len(courses) == 1:
        return courses[0].closings
    found = []
    for closing in sorted(c for course in courses for c in course.closings):
        begun = [course for course in courses if course.sessions[0].when <= closing.when]
        if all(
            any(c.when <= closing.when and c.when >= _last(course, closing.when) for c in course.closings)
            for course in begun
        ):
            found.append(closing)
    return tuple(found)


def _last(course: Course, by: When) -> When:
    return max(session.when for session in course.sessions if session.when <= by)


def _due(
    rule: CountRule,
    counter: Counter,
    courses: Sequence[Course],
    kinds: Mapping[str, Delivered],
    knobs: Mapping[str, Any],
    rulebook: Rulebook,
    assume: frozenset[str],
) -> tuple[list[Draft], list[Flag]]:
    if rule.way == "every":
        units = units_earned(rule, counter, knobs)
    elif rule.way == "short_course":
        units = _short_course(rule, counter, knobs)
    else:
        units = _once(rule, counter)
    if not units:
        return [], []
    boundary = _boundary(rule, counter, courses, kinds)
    served = _served(rule, counter, knobs)
    drafts: list[Draft] = []
    flags: list[Flag] = []
    for unit in units:
        evidence = served.get(unit.number)
        hold = boundary
        if hold is None and rule.needs and evidence is None and _assumed(rule) not in assume:
            hold = "no_physician_exam" if rule.needs == "exam" else "no_physics_check"
        mine, raised = _lines(rule, counter, unit, evidence, hold, knobs, rulebook)
        drafts.extend(mine)
        flags.extend(raised)
    return drafts, flags


def _assumed(rule: CountRule) -> str:
    return "exams" if rule.needs == "exam" else "physics"


def units_earned(rule: CountRule, counter: Counter, knobs: Mapping[str, Any]) -> list[Unit]:
    """Return the whole groups, and the remainder units that closings have earned and that still stand."""
    size = int(rule.value("size", knobs))
    total = len(counter.sessions)
    units = [Unit(n, counter.sessions[n * size : (n + 1) * size], True) for n in range(total // size)]
    least = rule.value("remainder_min", knobs)
    found: dict[int, Unit] = {}
    for closing in counter.closings:
        given = counter.upto(closing.when)
        number, left = divmod(given, size)
        if rule.whole_under and given < int(rule.whole_under):
            needed: int | None = 1
        else:
            needed = None if least == "none" else int(least)
        if needed is None or left < needed or given < int(rule.total_min or 0) or number < total // size:
            continue
        if number not in found or knobs["remainder_date"] == "last":
            found[number] = Unit(number, counter.sessions[number * size : given], False)
    return units + [found[number] for number in sorted(found)]


def _short_course(rule: CountRule, counter: Counter, knobs: Mapping[str, Any]) -> list[Unit]:
    """Return the one unit of a course that was closed after one or two sessions and has not grown since."""
    most = int(rule.total_max)
    sizes = [(counter.upto(closing.when), closing) for closing in counter.closings]
    sizes = [(given, closing) for given, closing in sizes if given]
    if not sizes or sizes[-1][0] > most or len(counter.sessions) >= int(knobs["mgmt_group_size"]):
        return []
    billed = {session.parts[0].facts.get("group") for course in counter.courses for session in course.sessions}
    if len(billed) > 1 and sum(len(course.sessions) for course in counter.courses) > most:
        return []
    shorts = [(given, closing) for given, closing in sizes if given <= most]
    given, closing = shorts[-1] if knobs["remainder_date"] == "last" else shorts[0]
    prescribed = max((course.prescribed or 0 for course in counter.courses), default=0)
    stopped = prescribed > most or (not prescribed and closing.stopped)
    if stopped and rule.value("stopped", knobs) == "false":
        return []
    return [Unit(0, counter.sessions[:given], False)]


def _once(rule: CountRule, counter: Counter) -> list[Unit]:
    """Return the one unit of a course that is closed, or that has had all sessions that the code allows."""
    most = int(rule.total_max)
    upto = max((counter.upto(closing.when) for closing in counter.closings), default=0)
    prescribed = counter.courses[0].prescribed
    full = len(counter.sessions) >= most and (prescribed == most or most == 1)
    if not upto and not full:
        return []
    return [Unit(0, counter.sessions[: max(upto, most if full else 0)], True)]


def _boundary(
    rule: CountRule, counter: Counter, courses: Sequence[Course], kinds: Mapping[str, Delivered]
) -> str | None:
    """Return the hold of a course whose edges are unclear: too many stereotactic sessions, a mixture of
    stereotactic and conventional work, or an overlap with another course."""
    own = counter.courses[0]
    classes = {kinds[session.id].technique_class for course in counter.courses for session in course.sessions}
    mixed = bool(classes & {"sbrt", "srs"}) and bool(classes & {"conventional", "imrt", "particle"})
    if rule.way == "once":
        # Radiosurgery is one session; a stereotactic course is five at most (SROA, ASTRO-SRS).
        beyond = max(len(counter.sessions), own.prescribed or 0) > (1 if rule.counts == "srs" else SBRT_MAX)
        overlaps = any(_overlap(own, other) for other in courses if other.id != own.id)
        return "course_boundary" if beyond or mixed or overlaps else None
    return "course_boundary" if mixed and rule.needs == "exam" else None


def _served(rule: CountRule, counter: Counter, knobs: Mapping[str, Any]) -> dict[int, TreatmentEvent]:
    """Return the examination or check that serves each group: one serves one group, the earlier that has none."""
    if not rule.needs:
        return {}
    size = int(rule.value("size", knobs)) if rule.size else max(len(counter.sessions), 1)
    groups = [counter.sessions[n : n + size] for n in range(0, len(counter.sessions), size)]
    events = sorted(
        (e for course in counter.courses for e in course.events.get(rule.needs, ())),
        key=lambda e: (e.when, e.id),
    )
    served: dict[int, TreatmentEvent] = {}
    for event in events:
        if rule.needs == "exam" and event.facts.get("by", "physician") != "physician":
            continue
        for number, group in enumerate(groups):
            if number not in served and group[0].day <= event.day <= group[-1].day:
                served[number] = event
                break
    return served


def _lines(
    rule: CountRule,
    counter: Counter,
    unit: Unit,
    evidence: TreatmentEvent | None,
    hold: str | None,
    knobs: Mapping[str, Any],
    rulebook: Rulebook,
) -> tuple[list[Draft], list[Flag]]:
    dated = rule.value("dated", knobs)
    day, end = _dates(dated, unit, evidence, counter)
    lead = unit.sessions[0] if dated == "first" else unit.sessions[-1]
    if day is None:
        return [], [
            Flag(
                "insufficient_facts", lead.course, lead.day, (lead.id,), f"{rule.code}: no plan to date it on"
            )
        ]
    spot = Spot.of(lead.parts[0])
    count = len(unit.sessions)
    why = Why("counting", rule.id, (("unit", str(unit.number + 1)), ("sessions", str(count))))
    provider = evidence.provider if evidence is not None else None
    if provider is None and rule.needs != "physics_check":
        provider = lead.parts[0].provider
    events = [session.id for session in unit.sessions]
    drafts = []
    for claim, form, form_why in parts_of(rule.code, spot, day, rulebook):
        charge = line(
            rule.code, claim, form, day, end=end, course=counter.courses[0].id, dated_by=lead.parts[0].id,
            events=(*events, evidence.id) if evidence else tuple(events), why=(why, *form_why), hold=hold,
            family=rulebook.catalogue.family(rule.code) or "", provider=provider,
            units=count if rule.value("units", knobs) == "fractions" else 1,
            slot=f"{rule.code}/{counter.name}/{unit.number + 1}",
            note=f"{count} fractions" if rule.way == "every" else "", keeps_date=knobs["redate_posted"] is False,
        )
        drafts.append(Draft(charge, (*lead.when, 5, rule.code), spot.payer))
    return drafts, []  # fmt: skip


def _dates(
    dated: str, unit: Unit, evidence: TreatmentEvent | None, counter: Counter
) -> tuple[date | None, date | None]:
    """Return the date of service of a unit and, for a span, its last date; no date where a plan is asked and absent."""
    first, last = unit.sessions[0].day, unit.sessions[-1].day
    if dated == "first":
        return first, None
    if dated == "span":
        return first, last
    if dated == "check_date" and evidence is not None:
        return evidence.day, None
    if dated == "plan":
        plans = [
            e
            for e in counter.courses[0].events.get("service", ())
            if e.reported is not None and e.reported.code in PLANS
        ]
        return min((e.day for e in plans), default=None), None
    return last, None
