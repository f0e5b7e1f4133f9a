"""Turns the services and codes that a sender reports into lines, or into evidence against what is due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from fhir_radcharge.model import Charge, Flag, Reported, TreatmentEvent, Why
from fhir_radcharge.rules.course import UNKNOWN, Course
from fhir_radcharge.rules.lines import Claim, Draft, Spot, claims, flags_of, form_of, line
from fhir_radcharge.rules.rulebook import Exclusion, Rulebook

PLACEMENT = "77439"
PLANS = ("77295", "77301")
NAMED = ("77370", "77439", "77470")


class Served(NamedTuple):
    """Lines of services, and work items."""

    drafts: tuple[Draft, ...]
    flags: tuple[Flag, ...]


def services_due(course: Course, rulebook: Rulebook) -> Served:
    """Return the lines of the services that a course's sender reports, each on its own date."""
    drafts: list[Draft] = []
    flags: list[Flag] = []
    before: dict[str, list[TreatmentEvent]] = defaultdict(list)
    for event in sorted(_services(course, rulebook), key=lambda e: (e.when, e.id)):
        code = _code(event)
        same = before[code]
        if code in PLANS and event.facts.get("documented") is False:
            # A second plan of either kind needs its reason.
            same = [plan for kind in PLANS for plan in before[kind]]
        if rulebook.catalogue.row(code, event.day) is None and not rulebook.catalogue.known(code):
            mine, raised = _foreign(course, event, rulebook)
        else:
            mine, raised = _service(course, event, same, rulebook)
        drafts.extend(mine)
        flags.extend(raised)
        before[code].append(event)
    return Served(tuple(drafts), tuple(flags))


def _services(course: Course, rulebook: Rulebook) -> Iterable[TreatmentEvent]:
    for kind in ("service", "reported"):
        for event in course.events.get(kind, ()):
            if event.reported is not None and not rulebook.catalogue.computed(event.reported.code):
                yield event


def _service(
    course: Course, event: TreatmentEvent, same: Sequence[TreatmentEvent], rulebook: Rulebook
) -> tuple[list[Draft], list[Flag]]:
    """Return the lines of a service; `same` are the earlier ones of its code in the course."""
    code = _code(event)
    today = course.by_day.get(event.day)
    stay = today is not None and any(s.parts[0].patient_class == "inpatient" for s in today)
    spot = Spot.of(event)._replace(patient_class="inpatient") if stay else Spot.of(event)
    on = claims(spot, event.day, rulebook)
    row = rulebook.catalogue.row(code, event.day)
    plan = event.facts.get("plan")
    repeat = (
        "first"
        if not same
        else ("same_plan" if plan is not None and any(e.facts.get("plan") == plan for e in same) else "again")
    )
    facts = (
        ("service", code if code in NAMED else "other"),
        ("documented", event.facts.get("documented", True)),
        ("once", code in on.knobs["once_per_course"]),
        ("per_plan", row is not None and row.basis == "per plan"),
        ("repeat", repeat),
    )
    key = ("service", event.payer, rulebook.era(event.day), facts)
    found, why = rulebook.memo.get(key) or rulebook.memo.setdefault(
        key, rulebook.tables["services"].answer(dict(facts), on.knobs, event.day)
    )
    flags = flags_of(on.flags, course.id, event.day, (event.id,))
    if found.text("charge") == "no":
        return [], flags
    hold = "course_unknown" if course.id == UNKNOWN else found.text("hold")
    drafts = []
    for claim in on.claims:
        if code == PLACEMENT and row is not None:
            answer = rulebook.tables["placement"].answer({"claim": claim.kind}, on.knobs, event.day)
            form = answer.row.text("form") or "none"
            steps: tuple[Why, ...] = (answer.why,)
        else:
            form, steps = form_of(code, claim, event.day, rulebook)
        if form == "none":
            continue
        drafts.append(_draft(course, event, code, claim, form, hold, (*claim.why, why, *steps), rulebook))
    return drafts, flags


def _foreign(course: Course, event: TreatmentEvent, rulebook: Rulebook) -> tuple[list[Draft], list[Flag]]:
    """Return the lines of a code in no table, as the sender's profile says: held, passed on, or dropped."""
    wish = event.facts.get("foreign", "hold")
    if wish == "drop":
        return [], []
    on = claims(Spot.of(event), event.day, rulebook)
    hold = None if wish == "pass" else "code_not_effective"
    code = _code(event)
    drafts = [
        _draft(course, event, code, claim, "own", hold, claim.why, rulebook)
        for claim in on.claims
        if claim.kind in ("office", "office_inpatient", "hospital")
    ]
    return drafts, flags_of(on.flags, course.id, event.day, (event.id,))


def _draft(
    course: Course,
    event: TreatmentEvent,
    code: str,
    claim: Claim,
    form: str,
    hold: str | None,
    why: tuple[Why, ...],
    rulebook: Rulebook,
) -> Draft:
    said = event.reported
    given = tuple(m for m in said.modifiers if m not in ("26", "TC", "PO", "PN")) if said else ()
    charge: Charge = line(
        code,
        claim,
        form,
        event.day,
        course=course.id,
        dated_by=event.id,
        events=(event.id,),
        why=why,
        family=rulebook.catalogue.family(code) or "",
        hold=hold,
        units=(said.units if said and said.units else 1),
        provider=event.provider,
        modifiers=given,
    )
    return Draft(charge, (*event.when, 3, event.id), event.payer)


def excluded(drafts: Sequence[Draft], courses: Sequence[Course], rulebook: Rulebook) -> list[Draft]:
    """Return the lines that are not inside another line's code."""
    plans = {
        event.id: event.facts.get("plan")
        for course in courses
        for kind in ("service", "reported")
        for event in course.events.get(kind, ())
    }
    kept = list(drafts)
    codes = {draft.charge.code for draft in drafts}
    for rule in rulebook.exclusions:
        if codes.isdisjoint(rule.has) or codes.isdisjoint(rule.excludes):
            continue
        hosts = [d for d in kept if d.charge.code in rule.has and rule.start <= d.charge.day <= rule.end]
        if hosts:
            kept = [
                d
                for d in kept
                if not (
                    d.charge.code in rule.excludes
                    and any(_inside(d.charge, host.charge, rule, plans) for host in hosts)
                )
            ]
    return kept


def _inside(charge: Charge, host: Charge, rule: Exclusion, plans: dict[str, object]) -> bool:
    if charge.course != host.course:
        return False
    mine, its = plans.get(charge.dated_by), plans.get(host.dated_by)
    if rule.scope == "course":
        return True
    if rule.scope == "day":
        return charge.day == host.day
    if rule.scope == "same_plan":
        return mine is not None and mine == its
    if rule.scope == "plan_or_day":
        return (mine == its and mine is not None) or ((mine is None or its is None) and charge.day == host.day)
    return mine is None or its is None or mine == its


def verification_days(drafts: Sequence[Draft], rulebook: Rulebook) -> dict[str, frozenset[date]]:
    """Return by course the days whose images belong to a service that takes them (see exclusions, `77417`)."""
    found: dict[str, set[date]] = {}
    for rule in rulebook.exclusions:
        if "77417" in rule.excludes and rule.scope == "day":
            for draft in drafts:
                if draft.charge.code in rule.has:
                    found.setdefault(draft.charge.course, set()).add(draft.charge.day)
    return {course: frozenset(days) for course, days in found.items()}


def differences(courses: Sequence[Course], charges: Sequence[Charge], rulebook: Rulebook) -> list[Flag]:
    """Return a work item for each reported code that what is due does not bear out."""
    reports = [(course, event, said) for course in courses for event, said in _reports(course)
               if rulebook.catalogue.computed(said.code)]  # fmt: skip
    if not reports:
        return []
    due = {(c.code, c.day, u) for c in charges for u in (None, c.units)}
    flags = []
    for course, event, said in reports:
        if rulebook.catalogue.ended(said.code, event.day):
            reason = "retired_code"
        elif not any(course.events.get(kind) for kind in ("fraction", "guidance", "port_image")):
            reason = "insufficient_facts"
        elif (said.code, event.day, said.units) in due:
            continue
        else:
            reason = "code_differs"
        flags.append(Flag(reason, course.id, event.day, (event.id,), said.code))
    return flags


def _reports(course: Course) -> Iterable[tuple[TreatmentEvent, Reported]]:
    for events in course.events.values():
        for event in events:
            if event.reported is not None:
                yield event, event.reported


def _code(event: TreatmentEvent) -> str:
    """Return the code of a service; the door lets none through without one."""
    assert event.reported is not None, event.kind
    return event.reported.code
