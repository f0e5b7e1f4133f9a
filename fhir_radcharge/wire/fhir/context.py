"""Turns what surrounds a treatment or charge (patient, visit, place, cover) into an event's frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import MISSABLE, Kind, PatientClass, Place, TreatmentEvent
from fhir_radcharge.wire.fhir.elements import NPI, Node, extension_value, identifier, order
from fhir_radcharge.wire.fhir.own_extensions import AUTHORIZATION, COURSE
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body
from fhir_radcharge.wire.fhir.strict_json import dumps
from fhir_radcharge.wire.fhir.tables import Tables

_ANCESTORS_MAX = 12


class Heard(NamedTuple):
    """One body with all that is needed to read it."""

    body: Body
    sender: Sender
    tables: Tables
    places: Mapping[str, Place]
    message: int


class Frame(NamedTuple):
    """What the events of one resource have in common; `base` is an event that lacks only its own."""

    heard: Heard
    place: str
    resource: Node
    base: TreatmentEvent
    version: int

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
            id=self.base.id + suffix,
            kind=kind,
            day=day,
            minute=minute,
            facts=facts,
            course=course,
            voided=voided,
        )


def frame_of(heard: Heard, place: str, resource: Node, event_id: str | None = None) -> Frame:
    """Return the frame of a resource; raise MessageError where nothing names it."""
    found = event_id or identifier(resource, heard.sender.profile.event_id)
    if found is None:
        raise MessageError(
            f"{place}.identifier", "nothing names this event", "send an identifier that stays the same", "101"
        )
    session = encounter_of(heard, resource)
    revision = _revision(heard, resource)
    base = TreatmentEvent(
        source=heard.sender.name, id=found, kind="service", day=date.min,
        place=place_of(heard, resource, session), patient_class=patient_class_of(heard, session, place),
        payer=payer_of(heard), provider=provider_of(heard, resource), lacks=lacks_of(heard, resource),
        revision=revision, message=heard.message,
    )  # fmt: skip
    return Frame(heard, place, resource, base, version_of(resource))


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


def place_of(heard: Heard, resource: Node, session: Node | None) -> Place:
    """Return the setting of the first location or organisation that the site knows, else the unknown."""
    for name in _locations(heard, resource, session):
        if name in heard.places:
            return heard.places[name]
    return Place()


def payer_of(heard: Heard) -> str | None:
    """Return the payer profile of the body's one Coverage, the profile's default where none is sent."""
    profile = heard.sender.profile
    payers = [entry.resource for entry in heard.body.entries if entry.resource["resourceType"] == "Coverage"]
    for coverage in payers:
        for key in _payer_keys(heard, coverage):
            if key in profile.payers:
                return profile.payers[key]
    return "unknown" if payers else profile.payer_absent


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


def _revision(heard: Heard, resource: Node) -> tuple[int, int, str]:
    """Return when it was said, at which version, and a hash that decides where both are the same.

    Time comes first because a credit is another resource than the charge that it takes back, with versions of
    its own. The Bundle's time counts only where the resource has neither: a resend gets a new one.
    """
    meta = resource.get("meta", {})
    version = meta.get("versionId", "")
    updated = meta.get("lastUpdated") or ("" if version else heard.body.timestamp)
    return order(updated), version_of(resource), hashlib.sha256(dumps(resource)).hexdigest()[:16]


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


def _payer_keys(heard: Heard, coverage: Node) -> Iterator[str]:
    for payor in (*coverage.get("payor", ()), *([coverage["insurer"]] if "insurer" in coverage else ())):
        own = payor.get("identifier")
        found = heard.body.find(payor, coverage)
        for one in ((own,) if own else ()) + tuple((found or {}).get("identifier", ())):
            yield f"{one.get('system', '')}|{one.get('value', '')}"


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
