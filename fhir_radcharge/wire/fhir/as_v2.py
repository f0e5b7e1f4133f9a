"""Turns the FHIR body of a treatment into the DFT that would have told it, for billers that take HL7 v2.

Only what an outbound profile may copy is written: who, where, which visit, who pays, why and by whom. What was
done is never copied, since a posting says what is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.er7 import Delimiters, Message, build_segment, escape
from fhir_radcharge.wire.fhir.carried import diagnoses_of
from fhir_radcharge.wire.fhir.elements import NPI, Node, identifier
from fhir_radcharge.wire.fhir.heard import Heard
from fhir_radcharge.wire.fhir.surroundings import (
    above,
    account_of,
    encounter_of,
    locations_of,
    patient_class_of,
    patient_of,
    session_of,
)

_D: Final = Delimiters("|", "^", "~", "\\", "&", "")
_SEX: Final = {"male": "M", "female": "F", "other": "O", "unknown": "U"}
_DIAGNOSES_MAX: Final = 12


def dft_of(heard: Heard, event_id: str) -> Message:
    """Return the message that tells an event of this body; raise MessageError where no resource names a patient."""
    resource, place = _resource(heard, event_id)
    patient = patient_of(heard, resource, place)
    account = account_of(heard, resource)
    performer, orderer = _performer(heard, resource), _orderer(heard, resource)
    session = encounter_of(heard, resource)
    where = next(iter(locations_of(heard, resource, session)), "")
    reasons = [_coded(code, "I10") for code in dict.fromkeys(diagnoses_of(heard, resource))][:_DIAGNOSES_MAX]
    segments = [
        build_segment("MSH", {1: "|", 2: "^~\\&"}),
        _pid(heard, resource, patient, account),
        build_segment("PV1", {
            1: "1", 2: "I" if patient_class_of(heard, session, place) == "inpatient" else "O", 3: _text(where),
            7: performer, 8: orderer, 19: _text(account),
        }),
        build_segment("FT1", {
            1: "1", 2: _text(event_id), 16: _text(where), 19: "~".join(reasons), 20: performer, 21: orderer,
            23: _text(session_of(heard, resource) or ""),
        }),
        *(build_segment("DG1", {1: str(n), 3: reason}) for n, reason in enumerate(reasons, 1)),
        *_covers(heard, resource),
    ]  # fmt: skip
    return Message(_D, segments)


def _resource(heard: Heard, event_id: str) -> tuple[Node, str]:
    """Return the resource that told the event; another one of the body where it was told elsewhere."""
    wanted = heard.sender.profile.event_id
    others: list[tuple[Node, str]] = []
    for entry in heard.body.entries:
        own = identifier(entry.resource, wanted) if "subject" in entry.resource else None
        if own is not None and (event_id == own or event_id.startswith(f"{own}/")):
            return entry.resource, entry.place
        if own is not None:
            others.append((entry.resource, entry.place))
    if not others:
        raise MessageError("subject", "no resource tells the patient", "let the sender send one of this patient")
    return others[0]


def _pid(heard: Heard, resource: Node, patient: str, account: str) -> list[str]:
    who = heard.body.find(resource.get("subject"), resource) or {}
    name: Mapping[str, Any] = next(iter(who.get("name", ())), {})
    given = name.get("given", ())
    fields = {
        1: "1", 3: f"{_text(patient)}^^^^MR", 5: "^".join([_text(name.get("family", "")), *map(_text, given[:2])]),
        7: _text(who.get("birthDate", "").replace("-", "")), 8: _SEX.get(who.get("gender", ""), ""),
        18: _text(account),
    }  # fmt: skip
    return build_segment("PID", {key: value for key, value in fields.items() if value})


def _covers(heard: Heard, resource: Node) -> list[list[str]]:
    patient = patient_of(heard, resource, "subject")
    found: list[list[str]] = []
    for cover in heard.around.covers:
        try:
            whose = patient_of(heard, {"subject": cover.get("beneficiary", {})}, "Coverage")
        except MessageError:
            continue
        if whose == patient:
            plan = next((one["value"] for one in _payors(heard, cover) if "value" in one), "")
            member = cover.get("subscriberId", "")
            subscriber = member if isinstance(member, str) else ""
            found.append(build_segment("IN1", {1: str(len(found) + 1), 2: _text(plan), 36: _text(subscriber)}))
    return found


def _payors(heard: Heard, cover: Node) -> list[Node]:
    links = [*cover.get("payor", ()), *([cover["insurer"]] if "insurer" in cover else ())]
    own = [link["identifier"] for link in links if "identifier" in link]
    for link in links:
        own += (heard.body.find(link, cover) or {}).get("identifier", ())
    return own


def _performer(heard: Heard, resource: Node) -> str:
    actors = [one.get("actor", {}) for one in resource.get("performer", ())]
    return next((person for actor in actors if (person := _person(heard, actor, resource))), "")


def _orderer(heard: Heard, resource: Node) -> str:
    orders = [node for node in above(heard, resource) if node["resourceType"] == "ServiceRequest"]
    return next((one for node in orders if (one := _person(heard, node.get("requester", {}), node))), "")


def _person(heard: Heard, actor: Node, resource: Node) -> str:
    own = actor.get("identifier", {})
    if own.get("system") == NPI and "value" in own:
        return _text(str(own["value"]))
    found = heard.body.find(actor, resource) or {}
    npi = identifier(found, (NPI,)) if found else None
    name: Mapping[str, Any] = next(iter(found.get("name", ())), {})
    if npi is None:
        return ""
    return "^".join([_text(npi), _text(name.get("family", "")), *map(_text, name.get("given", ())[:1])])


def _coded(code: str, system: str) -> str:
    return f"{_text(code)}^^{system}"


def _text(value: str) -> str:
    return escape(value, _D)
