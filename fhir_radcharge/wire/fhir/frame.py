"""What the events of one resource have in common: who, where, who pays, and in which order it was said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import Kind, Place, TreatmentEvent
from fhir_radcharge.wire.fhir.elements import Node, identifier, order
from fhir_radcharge.wire.fhir.heard import Heard
from fhir_radcharge.wire.fhir.surroundings import (
    encounter_of,
    lacks_of,
    locations_of,
    patient_class_of,
    provider_of,
)

_MAKES_LINES: Final = frozenset({"fraction", "guidance", "port_image", "service", "reported"})


class Frame(NamedTuple):
    """What the events of one resource have in common; `base` is an event that lacks only its own."""

    heard: Heard
    place: str
    resource: Node
    base: TreatmentEvent
    version: int
    locations: tuple[str, ...]

    @property
    def is_first(self) -> bool:
        """Whether the sender says that nothing was said of this resource before."""
        return self.version == 1

    def event(
        self,
        kind: Kind,
        when: tuple[date, int | None],
        facts: Mapping[str, Any],
        *,
        suffix: str = "",
        course: str | None = None,
        voided: bool = False,
    ) -> TreatmentEvent:
        """Return an event of this resource."""
        day, minute = when
        return self.base._replace(
            id=self.base.id + suffix, kind=kind, day=day, minute=minute, facts=facts, course=course, voided=voided,
            place=self._where(day), lacks=self.base.lacks if kind in _MAKES_LINES else frozenset(),
        )  # fmt: skip

    def _where(self, day: date) -> Place:
        for location in self.locations:
            place = self.heard.site.settings.place(location, day)
            if place is not None:
                return place
        self.heard.notices.append("setting_unknown")
        return Place()


def frame_of(heard: Heard, place: str, resource: Node, event_id: str | None = None) -> Frame:
    """Return the frame of a resource; raise MessageError where nothing names it."""
    found = event_id or identifier(resource, heard.sender.profile.event_id)
    if found is None:
        raise MessageError(
            f"{place}.identifier", "nothing names this event", "send an identifier that stays the same", "101"
        )
    session = encounter_of(heard, resource)
    base = TreatmentEvent(
        source=heard.sender.name, id=found, kind="service", day=date.min,
        patient_class=patient_class_of(heard, session, place), payer=heard.payer,
        provider=provider_of(heard, resource), lacks=lacks_of(heard, resource),
        revision=_revision(heard, resource), message=heard.message,
    )  # fmt: skip
    return Frame(heard, place, resource, base, version_of(resource), tuple(locations_of(heard, resource, session)))


def version_of(resource: Node) -> int:
    """Return the version number of a resource, 0 where it says none that is a number."""
    said = resource.get("meta", {}).get("versionId", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0


def _revision(heard: Heard, resource: Node) -> tuple[int, int]:
    """Return when it was said and at which version; what ties is decided by its content, never by arrival.

    Time comes first because a credit is another resource than the charge that it takes back, with versions of
    its own. The Bundle's time counts only where the resource has neither: a resend gets a new one.
    """
    meta = resource.get("meta", {})
    updated = meta.get("lastUpdated") or ("" if meta.get("versionId") else heard.body.timestamp)
    return order(updated), version_of(resource)
