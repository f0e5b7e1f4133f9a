"""Turns all that was heard of a patient into all that is due: the whole answer, every time, from the beginning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from fhir_radcharge.model import Charge, Due, Flag, TreatmentEvent
from fhir_radcharge.rules.counting import counted_due
from fhir_radcharge.rules.course import UNKNOWN, Course, courses
from fhir_radcharge.rules.delivery import Delivered, delivered
from fhir_radcharge.rules.editions import composed
from fhir_radcharge.rules.edits import Release, edited, summed
from fhir_radcharge.rules.guidance import guidance_due
from fhir_radcharge.rules.lines import FORM_MODIFIER, Draft
from fhir_radcharge.rules.naming import told_apart
from fhir_radcharge.rules.ports import ports_due
from fhir_radcharge.rules.rulebook import Edits, Rulebook
from fhir_radcharge.rules.services import differences, excluded, services_due, verification_days
from fhir_radcharge.rules.sessions import Session

NOTHING: frozenset[str] = frozenset()


def charges_due(
    events: Sequence[TreatmentEvent],
    rulebook: Rulebook,
    as_of: date | None = None,
    assume: frozenset[str] = NOTHING,
    tables: Edits | None = None,
) -> Due:
    """Return everything that a patient's standing events make due.

    `events` are the greatest revision of each, voided ones left out or marked; `as_of` the last facility date
    known to have come; `assume` what is taken for granted of `exams`, `physics`, `approvals`; `tables` the
    imported official tables. Neither the order of the events nor a clock plays a part. Where earlier tables still
    decide earlier dates of service, each date is computed by its own.
    """
    if rulebook.earlier:
        return composed(events, rulebook, lambda one: _by_one(events, one, as_of, assume, tables))
    return _by_one(events, rulebook, as_of, assume, tables)


def _by_one(
    events: Sequence[TreatmentEvent], rulebook: Rulebook, as_of: date | None, assume: frozenset[str],
    tables: Edits | None,
) -> Due:  # fmt: skip
    """Return what is due by one set of tables alone."""
    live, bare = told_apart([event for event in events if not event.voided])
    if bare:
        return _named_as_told(_by_one(live, rulebook, as_of, assume, tables), bare)
    releases = _releases(live)
    told = [event for event in live if event.kind != "release"]
    found = courses(told, rulebook, as_of)
    freed = _freed(found, releases, rulebook)
    if freed:
        found = courses(told, rulebook, as_of, {name for name, _ in freed})
    return _due(found, releases, freed, rulebook, as_of, assume, tables)


def _named_as_told(due: Due, bare: Mapping[str, str]) -> Due:
    """Return an answer with the ids that the senders gave."""

    def named(events: tuple[str, ...]) -> tuple[str, ...]:
        return tuple([bare.get(name, name) for name in events])

    return due._replace(
        charges=tuple([
            charge._replace(dated_by=bare.get(charge.dated_by, charge.dated_by), events=named(charge.events))
            for charge in due.charges]),
        flags=tuple([flag._replace(events=named(flag.events)) for flag in due.flags]),
    )  # fmt: skip


def _releases(
    events: Sequence[TreatmentEvent],
) -> dict[tuple[str, date], list[Release]]:
    found: dict[tuple[str, date], list[Release]] = defaultdict(list)
    for event in sorted((e for e in events if e.kind == "release"), key=lambda e: (e.when, e.id)):
        key = (str(event.facts["code"]), date.fromisoformat(str(event.facts["date"])))
        found[key].append((tuple(event.facts.get("modifiers", ())), event.facts.get("reason"), event.course))
    return found


def _freed(
    found: Sequence[Course], releases: Mapping[tuple[str, date], Any], rulebook: Rulebook
) -> dict[tuple[str, str], str]:
    """Return why a session was held whose line a person has released, by its id and the line's code: it counts."""
    freed: dict[tuple[str, str], str] = {}
    days = {day for _, day in releases}
    for course in found:
        for session in course.held if course.id != UNKNOWN else ():
            code = delivered(session, course, 0, rulebook).code if session.day in days else None
            said = releases.get((str(code), session.day), ())
            if code is not None and any(
                reason in (None, session.hold) and named in (None, course.id) for _, reason, named in said
            ):
                freed[session.id, code] = str(session.hold)
    return freed


def _due(
    found: Sequence[Course],
    releases: Mapping[tuple[str, date], Any],
    freed: Mapping[tuple[str, str], str],
    rulebook: Rulebook,
    as_of: date | None,
    assume: frozenset[str],
    tables: Edits | None,
) -> Due:
    kinds = {
        session.id: delivered(session, course, number, rulebook)
        for course in found
        for number, session in _numbered(course)
    }
    drafts: list[Draft] = []
    flags: list[Flag] = []
    wakes: list[date] = []
    for course in found:
        mine, raised = _deliveries(course, kinds, rulebook)
        drafts.extend(mine)
        flags.extend(raised)
        if course.events.get("guidance"):
            guided = guidance_due(course, kinds, rulebook, as_of, "approvals" in assume)
            drafts.extend(guided.drafts)
            flags.extend(guided.flags)
            wakes.extend([guided.wakes] if guided.wakes else [])
        served = services_due(course, rulebook)
        drafts.extend(served.drafts)
        flags.extend(served.flags)
        _look_ahead(course, as_of, flags, wakes)
    counted = counted_due(found, kinds, rulebook, assume)
    drafts.extend(counted.drafts)
    flags.extend(counted.flags)
    drafts = excluded(drafts, found, rulebook)
    imaged = [course for course in found if course.events.get("port_image")]
    barred = verification_days(drafts, rulebook) if imaged else {}
    for course in imaged:
        drafts.extend(ports_due(course, kinds, rulebook, barred.get(course.id, frozenset())))
    charges = summed(edited(drafts, {c.id: c.lacks for c in found if c.lacks}, releases, tables, rulebook, freed))
    flags.extend(differences(found, charges, rulebook))
    return Due(tuple(charges), tuple(dict.fromkeys(flags)), min(wakes, default=None))


def _numbered(course: Course) -> Sequence[tuple[int, Session]]:
    return [*enumerate(course.sessions, 1), *((0, session) for session in course.held)]


def _deliveries(
    course: Course, kinds: Mapping[str, Delivered], rulebook: Rulebook
) -> tuple[list[Draft], list[Flag]]:
    """Return the delivery lines of a course: one a session, a second of a day in the payer's form."""
    drafts: list[Draft] = []
    flags: list[Flag] = []
    said: set[tuple[date, str]] = set()
    for session in _in_order(course):
        kind = kinds[session.id]
        if kind.on.flags or kind.flags:
            events = tuple([part.id for part in session.parts])
            flags.extend(Flag(reason, course.id, session.day, events) for reason in (*kind.on.flags, *kind.flags))
        if kind.code is None:
            continue
        modifiers: tuple[str, ...] = ()
        if session.hold is None:
            mark = (session.day, kind.code)
            if mark in said:
                if _per_day(kind.code, session.day, rulebook):
                    continue
                form = str(kind.on.knobs["bid_second_session"])
                modifiers = () if form == "units" else (form,)
            said.add(mark)
        drafts.extend(_delivery(course, session, kind, modifiers))
    return drafts, flags


def _in_order(course: Course) -> Sequence[Session]:
    if not course.held:
        return course.sessions
    return sorted((*course.sessions, *course.held), key=lambda s: (s.when, s.hold is not None, s.id))


def _per_day(code: str, day: date, rulebook: Rulebook) -> bool:
    row = rulebook.catalogue.row(code, day)
    return row is not None and row.basis == "per day"


def _delivery(course: Course, session: Session, kind: Delivered, modifiers: tuple[str, ...]) -> list[Draft]:
    lead = session.parts[0]
    code = str(kind.code)
    events = (lead.id,) if len(session.parts) == 1 else tuple([part.id for part in session.parts])
    hold = session.hold or kind.hold
    order = (*session.when, 0, lead.id)
    day, provider, payer = session.day, lead.provider, lead.payer
    return [
        Draft(
            Charge(
                claim.bill, course.id, code, (*FORM_MODIFIER[form], *modifiers, *claim.modifiers), day, None,
                kind.units, claim.place_of_service, provider, form == "packaged", hold, kind.family, "", lead.id,
                events, why,
            ),
            order, payer,
        )
        for claim, form, why in kind.parts
    ]  # fmt: skip


def _look_ahead(course: Course, as_of: date | None, flags: list[Flag], wakes: list[date]) -> None:
    """Note the dates on which a course changes by itself, and its long gaps."""
    if not course.sessions or course.id == UNKNOWN:
        return
    review = timedelta(days=course.knobs["course_gap_review_days"])
    days = [session.day for session in course.sessions]
    gap = next(
        (after for before, after in pairwise(days) if after - before >= review), None
    )
    last = course.sessions[-1]
    open_still = not course.closed_after(last.when)
    if open_still and as_of is not None and as_of - days[-1] >= review:
        gap = as_of
    if gap is not None:
        flags.append(Flag("course_gap", course.id, None, ()))
    # A course that a message has closed may still reach its grace day, and its remainder then counts later sessions.
    coming = [course.grace_from, days[-1] + review if open_still else None]
    wakes.extend(day for day in coming if day is not None and (as_of is None or day > as_of))
