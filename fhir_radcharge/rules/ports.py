"""Turns port images into charges: one per five fractions, and per gantry angle where the payer reads it so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from fhir_radcharge.model import Charge, TreatmentEvent
from fhir_radcharge.rules.course import UNKNOWN, Course
from fhir_radcharge.rules.delivery import Delivered
from fhir_radcharge.rules.lines import Claim, Draft, Spot, claims, line
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.sessions import Session
from fhir_radcharge.rules.tables import Row

GROUP = 5
"""Fractions to a port image charge, whatever a payer's management group is (SEED-ASTRO, RBC10)."""


def ports_due(
    course: Course, kinds: Mapping[str, Delivered], rulebook: Rulebook, barred: frozenset[date] = frozenset()
) -> list[Draft]:
    """Return the port image lines of a course, each on the date of its image.

    On a `barred` day the images are those of a verification simulation and earn nothing here (AAPC-PORT).
    """
    counted = [s for s in course.sessions if "ports" in kinds[s.id].counts]
    place = {session.id: number for number, session in enumerate(counted)}
    used: dict[tuple[int, str], set[Any]] = defaultdict(set)
    drafts: list[Draft] = []
    for image in sorted(course.events.get("port_image", ()), key=lambda e: (e.when, e.id)):
        session = course.session_of(image)
        if image.day in barred or session is None or course.id == UNKNOWN or session.id not in place:
            continue
        group = place[session.id] // GROUP
        if not _group_pays(counted[group * GROUP : (group + 1) * GROUP], course.knobs["port_partial_group"]):
            continue
        drafts.extend(_image(course, session, image, group, used, rulebook))
    return drafts


def _group_pays(group: Sequence[Session], partial: str) -> bool:
    return len(group) == GROUP or partial == "event" or (partial == "remainder3" and len(group) >= 3)


def _image(
    course: Course,
    session: Session,
    image: TreatmentEvent,
    group: int,
    used: dict[tuple[int, str], set[Any]],
    rulebook: Rulebook,
) -> list[Draft]:
    spot = Spot.of(image)._replace(patient_class=session.parts[0].patient_class)
    on = claims(spot, image.day, rulebook)
    drafts = []
    for claim in on.claims:
        key = ("port", claim.kind, image.payer, rulebook.era(image.day))
        row, why = rulebook.memo.get(key) or rulebook.memo.setdefault(
            key, rulebook.tables["ports"].answer({"claim": claim.kind}, on.knobs, image.day)
        )
        form, code = row.text("form") or "none", row.text("code")
        units = _new_units(row, claim, image, group, used) if form != "none" else 0
        if code is None or not units:
            continue
        charge: Charge = line(
            code,
            claim,
            form,
            image.day,
            course=course.id,
            dated_by=image.id,
            events=(image.id, session.id),
            why=(*claim.why, why),
            family="port",
            units=units,
            provider=None,
        )
        drafts.append(Draft(charge, (*image.when, 2, image.id), spot.payer))
    return drafts


def _new_units(
    row: Row, claim: Claim, image: TreatmentEvent, group: int, used: dict[tuple[int, str], set[Any]]
) -> int:
    """Return how many units the image adds to its group: angles not yet charged there, or one for the group."""
    seen = used[group, claim.bill]
    if row.text("cap") == "group":
        marks: set[Any] = {"group"}
    else:
        # Whole degrees of one turn; an image without angles is one angle of its own.
        marks = {int(float(angle) + 0.5) % 360 for angle in image.facts.get("gantry_angles") or ()} or {
            image.id
        }
    fresh = marks - seen
    seen |= marks
    return len(fresh)
