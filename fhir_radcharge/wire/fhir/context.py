"""Turns what surrounds a treatment or charge (patient, visit, place, cover) into an event's frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import MISSABLE, Kind, PatientClass, Place, TreatmentEvent
from fhir_radcharge.places import UNMAPPED
from fhir_radcharge.wire.dft import SiteTables
from fhir_radcharge.wire.fhir.elements import NPI, Node, extension_value, identifier, order, snomed
from fhir_radcharge.wire.fhir.own_extensions import AUTHORIZATION, COURSE
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body
from fhir_radcharge.wire.fhir.tables import Tables

_ANCESTORS_MAX = 12
_COVERS_MAX = 16
PHASE = "1222565005"
_MAKES_LINES = frozenset({"fraction", "guidance", "port_image", "service", "reported"})


class Around(NamedTuple):
    """What several resources of a body may need, found once: its covers, and the phases of each planned course."""

    covers: tuple[Node, ...]
    phases: Mapping[int, tuple[Node, ...]]

    def phases_of(self, course: Node) -> tuple[Node, ...]:
        """Return the phase requests that are based on a course request."""
        return self.phases.get(id(course), ())


class Heard(NamedTuple):
    """One body with all that is needed to read it; `notices` gathers what only needs to be seen."""

    body: Body
    sender: Sender
    tables: Tables
    site: SiteTables
    message: int
    notices: list[str]
    around: Around


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


def around(body: Body) -> Around:
    """Return what the resources of a body share."""
    covers: list[Node] = []
    phases: dict[int, tuple[Node, ...]] = {}
    for entry in body.entries:
        kind = entry.resource["resourceType"]
        if kind == "Coverage":
            covers.append(entry.resource)
        elif kind == "ServiceRequest" and snomed(entry.resource.get("code")) == PHASE:
            for link in entry.resource.get("basedOn", ()):
                course = body.find(link, entry.resource)
                if course is not None:
                    phases[id(course)] = (*phases.get(id(course), ())[:2], entry.resource)
    return Around(tuple(covers[:_COVERS_MAX]), phases)


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
        patient_class=patient_class_of(heard, session, place), payer=payer_of(heard),
        provider=provider_of(heard, resource), lacks=lacks_of(heard, resource),
        revision=_revision(heard, resource), message=heard.message,
    )  # fmt: skip
    return Frame(heard, place, resource, base, version_of(resource), tuple(_locations(heard, resource, session)))


def patient_of(heard: Heard, resource: Node, place: str) -> str:
    """Return the key of the patient that a resource is about; raise MessageError where none is named."""
    subject = resource.get("subject") or resource.get("patient") or {}
    wanted = heard.sender.profile.patient
    own = subject.get("identifier", {})
    if own.get("system") in wanted.systems and "value" in own:
        return str(own["value"])
    found = heard.body.find(subject, resource)
    if found is not None:
        value = identifier(found, wanted.systems)
        if value is not None:
            return value
    reference = subject.get("reference", "")
    if wanted.reference and reference and not reference.startswith(("#", "urn:")):
        return "/".join(reference.split("/")[-2:])
    raise MessageError(f"{place}.subject", "it names no patient of a known system", "send the identifier", "204")


def account_of(heard: Heard, resource: Node) -> str:
    """Return the visit or account number of a resource, empty where none is said."""
    wanted = heard.sender.profile.account
    nodes = [resource.get("encounter"), resource.get("context"), *resource.get("account", ())]
    for node in nodes:
        if node is None:
            continue
        own = node.get("identifier", {})
        if own.get("system") in wanted and "value" in own:
            return str(own["value"])
        found = heard.body.find(node, resource)
        value = identifier(found, wanted) if found is not None else None
        if value is not None:
            return value
    return ""


def encounter_of(heard: Heard, resource: Node) -> Node | None:
    """Return the Encounter (the treatment session) of a resource if the body carries it."""
    return heard.body.find(resource.get("encounter") or resource.get("context"), resource)


def session_of(heard: Heard, resource: Node) -> str | None:
    """Return the DICOM treatment session UID of a resource's session, None where none is said."""
    session = encounter_of(heard, resource)
    return identifier(session, ("urn:dicom:uid",)) if session is not None else None


def patient_class_of(heard: Heard, session: Node | None, place: str) -> PatientClass:
    """Return the class of the patient at this session, the profile's where the session is not sent."""
    profile = heard.sender.profile
    said = session.get("class") if session is not None else None
    if isinstance(said, list):  # R5 has a list of concepts where R4 has one coding
        said = next((coding for concept in said for coding in concept.get("coding", ())), None)
    code = said.get("code", "") if said else ""
    if code in profile.patient_classes:
        return profile.patient_classes[code]
    if code or profile.patient_class_absent == "refuse":
        raise MessageError(
            f"{place}.encounter", "the class of the visit is not in the sender's profile",
            "add it under patient_classes", "103",
        )  # fmt: skip
    return profile.patient_class_absent


def payer_of(heard: Heard) -> str | None:
    """Return the payer profile of the body's cover, `unmapped`, or the profile's default where none is sent."""
    profile = heard.sender.profile
    covers = heard.around.covers
    for cover in covers:
        for system, value in _payer_keys(heard, cover):
            payer = profile.payers.get(f"{system}|{value}") or heard.site.payers.payer(value)
            if payer is not None:
                return payer
    if covers:
        return UNMAPPED
    heard.notices.append("payer_unknown")
    return profile.payer_absent


def provider_of(heard: Heard, resource: Node) -> str | None:
    """Return the first performer's NPI, else how the performer is referred to; None where none is named."""
    named: str | None = None
    for performer in resource.get("performer", ()):
        actor = performer.get("actor", {})
        npi = _npi(heard, actor, resource)
        if npi is not None:
            return npi
        named = named or actor.get("reference") or actor.get("identifier", {}).get("value")
    return named


def lacks_of(heard: Heard, resource: Node) -> frozenset[str]:
    """Return the items that the profile requires of a line and that this resource does not carry."""
    wanted = heard.sender.profile.requires
    return frozenset(item for item in MISSABLE if item in wanted and not _carries(heard, resource, item))


def above(heard: Heard, resource: Node) -> Iterator[Node]:
    """Yield what a resource is part of and based on, nearest first, as far as the body carries it."""
    seen = {id(resource)}
    waiting = [resource]
    while waiting and len(seen) < _ANCESTORS_MAX:
        here = waiting.pop(0)
        for link in (*here.get("partOf", ()), *here.get("basedOn", ())):
            found = heard.body.find(link, here)
            if found is not None and id(found) not in seen:
                seen.add(id(found))
                waiting.append(found)
                yield found


def course_of(heard: Heard, resource: Node, chain: Sequence[Node], is_course: Callable[[Node], bool]) -> str | None:
    """Return the course that a resource says or belongs to; None where the body does not tell."""
    wanted = heard.sender.profile.course
    own = extension_value(resource, COURSE)
    if isinstance(own, str):
        return own
    for node in (resource, *chain):
        if is_course(node):
            return identifier(node, wanted)
    for node in (resource, *chain):
        for link in (*node.get("partOf", ()), *node.get("basedOn", ())):
            said = link.get("identifier", {})
            if said.get("system") in wanted and "value" in said:
                return str(said["value"])
    return None


def _revision(heard: Heard, resource: Node) -> tuple[int, int]:
    """Return when it was said and at which version; what ties is decided by its content, never by arrival.

    Time comes first because a credit is another resource than the charge that it takes back, with versions of
    its own. The Bundle's time counts only where the resource has neither: a resend gets a new one.
    """
    meta = resource.get("meta", {})
    updated = meta.get("lastUpdated") or ("" if meta.get("versionId") else heard.body.timestamp)
    return order(updated), version_of(resource)


def version_of(resource: Node) -> int:
    """Return the version number of a resource, 0 where it says none that is a number."""
    said = resource.get("meta", {}).get("versionId", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0


def _locations(heard: Heard, resource: Node, session: Node | None) -> Iterator[str]:
    links = [resource.get("location"), resource.get("performingOrganization"), resource.get("costCenter")]
    if session is not None:
        links += [one.get("location") for one in session.get("location", ())] + [session.get("serviceProvider")]
    for link in links:
        if not link:
            continue
        found = heard.body.find(link, resource)
        value = identifier(found, heard.sender.profile.location) if found is not None else None
        for name in (value, link.get("identifier", {}).get("value"), link.get("reference")):
            if name:
                yield name


def _payer_keys(heard: Heard, coverage: Node) -> Iterator[tuple[str, str]]:
    for payor in (*coverage.get("payor", ()), *([coverage["insurer"]] if "insurer" in coverage else ())):
        own = payor.get("identifier")
        found = heard.body.find(payor, coverage)
        for one in ((own,) if own else ()) + tuple((found or {}).get("identifier", ())):
            if "value" in one:
                yield one.get("system", ""), one["value"]


def _npi(heard: Heard, actor: Node, resource: Node) -> str | None:
    own = actor.get("identifier", {})
    if own.get("system") == NPI and "value" in own:
        return str(own["value"])
    found = heard.body.find(actor, resource)
    return identifier(found, (NPI,)) if found is not None else None


def _carries(heard: Heard, resource: Node, item: str) -> bool:
    if item == "diagnosis":
        return bool(resource.get("reasonCode") or resource.get("reasonReference") or resource.get("reason"))
    if item == "rendering_npi":
        return any(_npi(heard, one.get("actor", {}), resource) for one in resource.get("performer", ()))
    if item == "ordering_npi":
        orders = [node for node in above(heard, resource) if node["resourceType"] == "ServiceRequest"]
        return any(_npi(heard, node.get("requester", {}), node) for node in orders)
    nodes = [resource, *above(heard, resource)]
    return any(extension_value(node, AUTHORIZATION) for node in nodes)
