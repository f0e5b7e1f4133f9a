"""Turns course summaries and planned courses into the events that close a course and say its length."""

from __future__ import annotations

from typing import Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.fhir.codex import planned_fractions, started, when_known
from fhir_radcharge.wire.fhir.codex_images import When
from fhir_radcharge.wire.fhir.elements import identifier, local
from fhir_radcharge.wire.fhir.frame import Frame

_REASONS: Final = {"completed": "completed", "stopped": "stopped"}
_WITHDRAWN: Final = frozenset({"revoked", "entered-in-error"})


def course_events(frame: Frame) -> list[TreatmentEvent]:
    """Return the closing that a course summary says or takes back; nothing while a new course goes on."""
    resource = frame.resource
    course = _course_id(frame)
    reason = _REASONS.get(resource["status"])
    if reason is None:
        if frame.is_first and resource["status"] != "entered-in-error":
            return []
        return [frame.event("course_closed", when_known(frame), {}, suffix="/closed", course=course, voided=True)]
    return [frame.event("course_closed", _ended(frame), {"reason": reason}, suffix="/closed", course=course)]


def prescription_events(frame: Frame) -> list[TreatmentEvent]:
    """Return the number of sessions that a planned or prescribed course says; nothing where it says none.

    Where the course does not say it, its one phase may; several phases may overlap, so they are not added up.
    """
    resource, heard = frame.resource, frame.heard
    sessions = planned_fractions(resource)
    if sessions is None:
        phases = [planned_fractions(node) for node in heard.around.phases_of(resource)]
        sessions = phases[0] if len(phases) == 1 else None
    voided = resource["status"] in _WITHDRAWN
    if sessions is None and not voided:
        return []
    facts = {} if voided or sessions is None else {"prescribed_fractions": sessions}
    return [
        frame.event(
            "prescription",
            _ordered(frame),
            facts,
            suffix="/prescription",
            course=_course_id(frame),
            voided=voided,
        )
    ]


def _course_id(frame: Frame) -> str | None:
    return identifier(frame.resource, frame.heard.sender.profile.course)


def _ended(frame: Frame) -> When:
    for name in ("performedPeriod", "occurrencePeriod"):
        end = frame.resource.get(name, {}).get("end")
        if end is not None:
            return local(end, frame.heard.sender.zone, f"{frame.place}.{name}.end")
    raise MessageError(f"{frame.place}.performedPeriod.end", "it does not say when it ended", "send the end", "101")


def _ordered(frame: Frame) -> When:
    resource = frame.resource
    said = resource.get("authoredOn") or resource.get("meta", {}).get("lastUpdated")
    if said is None:
        return started(frame)
    return local(said, frame.heard.sender.zone, f"{frame.place}.authoredOn")
