"""Turns what surrounds a treatment or charge (patient, visit, place, cover, orders) into plain values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import MISSABLE, PatientClass
from fhir_radcharge.places import UNMAPPED
from fhir_radcharge.wire.fhir.elements import NPI, Node, extension_value, identifier
from fhir_radcharge.wire.fhir.heard import Heard
from fhir_radcharge.wire.fhir.own_extensions import AUTHORIZATION, COURSE

_ANCESTORS_MAX: Final = 12


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
    """Return the visit or account number of a resource, empty where none is said.

    Where the profile lets a bare reference name the patient, it names the visit too.
    """
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
    for node in (resource.get("encounter"), resource.get("context")):
        reference = (node or {}).get("reference", "")
        if heard.sender.profile.patient.reference and reference and not reference.startswith(("#", "urn:")):
            return "/".join(reference.split("/")[-2:])
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


def payers_of(heard: Heard, patients: Collection[str]) -> dict[str, str | None]:
    """Return the payer profile of each patient: of the own cover, `unmapped`, or the profile's where none is sent.

    A cover whose beneficiary is none of the patients is the one patient's where there is only one. Where there
    are several it may be anybody's, and then nobody's payer is taken for granted.
    """
    own: dict[str, str] = {}
    strays: list[str] = []
    for cover in heard.around.covers:
        payer = _payer(heard, cover) or UNMAPPED
        try:
            patient = patient_of(heard, {"subject": cover.get("beneficiary", {}), **_contained(cover)}, "Coverage")
        except MessageError:
            patient = ""
        if patient in patients:
            own.setdefault(patient, payer)
        else:
            strays.append(payer)
    otherwise: str | None = heard.sender.profile.payer_absent
    if strays:
        otherwise = strays[0] if len(patients) == 1 else UNMAPPED
    return {patient: own.get(patient, otherwise) for patient in patients}


def _contained(cover: Node) -> dict[str, Any]:
    return {"contained": cover["contained"]} if "contained" in cover else {}


def _payer(heard: Heard, cover: Node) -> str | None:
    for system, value in _payer_keys(heard, cover):
        payer = heard.sender.profile.payers.get(f"{system}|{value}") or heard.site.payers.payer(value)
        if payer is not None:
            return payer
    return None


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


def locations_of(heard: Heard, resource: Node, session: Node | None) -> Iterator[str]:
    """Yield the names of where it happened, the most exact first, as the site's settings may know them."""
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
