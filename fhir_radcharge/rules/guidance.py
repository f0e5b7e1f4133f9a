"""Turns the images of a session into the one guidance line of each claim, behind the physician's approval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from fhir_radcharge.model import Charge, Flag, TreatmentEvent, Why
from fhir_radcharge.rules.course import Course
from fhir_radcharge.rules.delivery import Delivered
from fhir_radcharge.rules.lines import Claim, Claims, Draft, Spot, claims, flags_of, line
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.sessions import END_OF_DAY, Session, When

Approval = Literal["given", "waiting", "missed"]


class Guided(NamedTuple):
    """Guidance lines and work items, and the day on which a waiting image is missed (None: never by itself)."""

    drafts: tuple[Draft, ...]
    flags: tuple[Flag, ...]
    wakes: date | None


def guidance_due(
    course: Course, kinds: Mapping[str, Delivered], rulebook: Rulebook, as_of: date | None, assumed: bool
) -> Guided:
    """Return the guidance of a course: one localisation charge a session, on the session's date.

    `kinds` has what each session is, by its id; `assumed` takes images without a word on approval as approved.
    """
    images: dict[str, list[TreatmentEvent]] = defaultdict(list)
    by_id: dict[str, Session] = {}
    flags: list[Flag] = []
    for image in course.events.get("guidance", ()):
        session = course.session_of(image)
        if session is not None and "modality" not in image.facts:
            # A sender may say that there was an image in a way that no table knows: somebody must look.
            flags += flags_of(("insufficient_facts",), course.id, session.day, (image.id,))
        elif session is not None:
            images[session.id].append(image)
            by_id[session.id] = session
    approvals = _approvals(course)
    drafts: list[Draft] = []
    wakes: list[date] = []
    for name, found in images.items():
        session = by_id[name]
        deadline, ends = _deadline(course, session)
        past = deadline is not None and (ends is None or (as_of is not None and as_of >= ends))
        limit = deadline if ends is not None or deadline is None else (deadline[0], deadline[1] - 1)
        state = {i.id: _approval(i, approvals.get(i.id, ()), limit, past, assumed) for i in found}
        mine, raised = _session(course, session, kinds[name], found, state, rulebook)
        drafts.extend(mine)
        flags.extend(raised)
        if ends is not None and "waiting" in state.values():
            wakes.append(ends)
    return Guided(tuple(drafts), tuple(flags), min(wakes, default=None))


def _approvals(course: Course) -> dict[str, list[When]]:
    found: dict[str, list[When]] = defaultdict(list)
    for event in course.events.get("approval", ()):
        if event.facts.get("approver", "physician") == "physician":
            found[str(event.facts["of"])].append(event.when)
    return found


def _deadline(course: Course, session: Session) -> tuple[When | None, date | None]:
    """Return the instant by which images must be approved, and the day on which that instant is surely past.

    It is the start of the next session; after the last one of a closed course some hours stand for it.
    """
    following = course.next_session(session)
    if following is not None:
        return following.when, None
    if not course.closed_after(session.when):
        return None, None
    minute = END_OF_DAY if session.minute is None else session.minute
    end = datetime(session.day.year, session.day.month, session.day.day) + timedelta(
        minutes=minute, hours=course.knobs["last_image_approval_hours"]
    )
    deadline = (end.date(), end.hour * 60 + end.minute)
    return deadline, end.date() if deadline[1] == 0 else end.date() + timedelta(days=1)


def _approval(
    image: TreatmentEvent, events: Sequence[When], limit: When | None, past: bool, assumed: bool
) -> Approval:
    """Return the state of an image's approval; `limit` is the last minute in time (None: not yet known)."""
    given = list(events)
    said = image.facts.get("approved_at")
    if said is not None and image.facts.get("approver", "physician") == "physician":
        given.append(_when(str(said)))
    if not given:
        if assumed and said is None:
            return "given"
        return "missed" if past else "waiting"
    return "given" if limit is None or min(given) <= limit else "missed"


def _when(text: str) -> When:
    """Return the instant of a local date or time in ISO form."""
    day = date.fromisoformat(text[:10])
    return day, int(text[11:13]) * 60 + int(text[14:16]) if len(text) > 10 else 0


def _session(
    course: Course,
    session: Session,
    kind: Delivered,
    images: Sequence[TreatmentEvent],
    state: Mapping[str, Approval],
    rulebook: Rulebook,
) -> tuple[list[Draft], list[Flag]]:
    lead = session.parts[0]
    spot = Spot.of(lead)
    on: Claims = claims(spot, session.day, rulebook)
    # Most sessions have one image, and nothing is to be ranked.
    ranked = list(images) if len(images) == 1 else _ranked(images, state, on)
    ids = tuple([image.id for image in ranked])
    if len(ranked) > 1:
        # A modality that this claim day knows nothing of (a camera for set-up only) does not hide one that it does.
        ranked.sort(
            key=lambda i: _parts(spot, session.day, kind, i.facts["modality"], "given", on, rulebook) == ((), ())
        )
    flags: list[str] = []
    if len({image.facts["modality"] for image in images}) > 1:
        flags.append("multiple_guidance")
    chosen = ranked[0]
    parts, raised = _parts(spot, session.day, kind, chosen.facts["modality"], state[chosen.id], on, rulebook)
    flags.extend(raised)
    drafts = []
    for part in parts:
        charge: Charge = line(
            part.code,
            part.claim,
            part.form,
            session.day,
            course=course.id,
            dated_by=lead.id,
            events=(chosen.id, session.id),
            why=part.why,
            family="guidance",
            provider=lead.provider,
            hold=session.hold or part.hold,
        )
        drafts.append(Draft(charge, (*session.when, 1, chosen.id), spot.payer))
    return drafts, flags_of(tuple(dict.fromkeys(flags)), course.id, session.day, ids)


def _ranked(images: Sequence[TreatmentEvent], state: Mapping[str, Approval], on: Claims) -> list[TreatmentEvent]:
    """Return the images of a session in the order of the knob, the approved ones of a modality first."""
    order = on.knobs["guidance_priority"]
    return sorted(
        images,
        key=lambda i: (
            order.index(i.facts["modality"]) if i.facts["modality"] in order else len(order),
            state[i.id] != "given",
            i.when,
            i.id,
        ),
    )


class _Part(NamedTuple):
    """One guidance line of a claim: its code, its form, and whether it waits for the approval."""

    claim: Claim
    code: str
    form: str
    hold: str | None
    why: tuple[Why, ...]


def _parts(
    spot: Spot, day: date, kind: Delivered, modality: str, approval: Approval, on: Claims, rulebook: Rulebook
) -> tuple[tuple[_Part, ...], tuple[str, ...]]:
    """Return the guidance lines of every claim and the flags raised, remembered as long as no table changes."""
    key = (
        "guidance",
        spot,
        rulebook.era(day),
        kind.technique_class,
        kind.includes_guidance,
        modality,
        approval,
    )
    found: tuple[tuple[_Part, ...], tuple[str, ...]] | None = rulebook.memo.get(key)
    if found is not None:
        return found
    flags: list[str] = []
    parts: list[_Part] = []
    for claim in on.claims:
        facts = {
            "claim": claim.kind,
            "class": kind.technique_class,
            "includes": kind.includes_guidance,
            "modality": modality,
        }
        row, why = rulebook.tables["guidance"].answer(facts, on.knobs, day)
        flags.extend(flag for flag in (row.text("flag"),) if flag)
        form, code = row.text("form") or "none", row.text("code")
        if form == "none" or code is None:
            continue
        gate, gate_why = rulebook.tables["approval"].answer(
            {"form": form, "approval": approval}, on.knobs, day
        )
        flags.extend(flag for flag in (gate.text("flag"),) if flag)
        for column, hold in (("sends", None), ("holds", "image_not_approved")):
            said = gate.text(column)
            if said is not None:
                parts.append(_Part(claim, code, form if said == "form" else said, hold, (*claim.why, why, gate_why)))
    found = rulebook.memo[key] = (tuple(parts), tuple(flags))
    return found
