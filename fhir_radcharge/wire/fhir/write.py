"""Turns postings into ChargeItems, and these into requests whose bytes never change.

A posting's own id is the resource's id, so a resend is a PUT of the same bytes to the same place. What the bill
needs and ChargeItem has no element for travels in extensions whose URLs the destination chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.model import Posting
from fhir_radcharge.wire.fhir.destination import FhirDestination
from fhir_radcharge.wire.fhir.elements import NPI
from fhir_radcharge.wire.fhir.strict_json import dumps

PLACE_OF_SERVICE: Final = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
_OPERATION: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_HEADERS: Final = (("Content-Type", "application/fhir+json"), ("Accept", "application/fhir+json"))

Resource = dict[str, Any]


class Carried(NamedTuple):
    """The patient, visit and cover that a posting carries: those of the stored message that it names.

    An empty text is left out. `message_id` is the sender's id of that message, `service` a reference of the
    treatment (its DICOM UID).
    """

    patient: str
    visit: str = ""
    account: str = ""
    diagnoses: tuple[str, ...] = ()
    message_id: str = ""
    service: str = ""


class SiteCode(NamedTuple):
    """What the site's charge master says of a line; a price of None is not sent."""

    code: str
    department: str = ""
    revenue: str = ""
    price: Decimal | None = None


class Sent(NamedTuple):
    """What the destination said about a charge that it took: its own id and version of it."""

    id: str
    version: str = ""


class Request(NamedTuple):
    """One HTTP request as values: `expects` are the statuses that say it was done."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    expects: tuple[int, ...]


class Line(NamedTuple):
    """A posting with all that its resource is made of."""

    posting: Posting
    carried: Carried
    site_code: SiteCode | None = None
    sent: Sent | None = None


def charge_item(line: Line, destination: FhirDestination) -> Resource:
    """Return the ChargeItem that a posting is at this destination.

    Raise UnsafeError for a credit that entered-in-error could not say: of a part of the units.
    """
    posting, charge = line.posting, line.posting.line
    offsets = posting.kind == "CREDIT" and destination.credit != "entered_in_error"
    in_error = posting.kind == "CREDIT" and destination.credit == "entered_in_error"
    if in_error and posting.units != charge.units:
        raise UnsafeError(f"posting {posting.id}: entered-in-error would take back more units than were asked")
    own_id = posting.credits if in_error and posting.credits else posting.id
    item: Resource = {
        "resourceType": "ChargeItem",
        "id": own_id,
        "extension": _extensions(line, destination, offsets),
        "identifier": [{"system": destination.systems.posting, "value": own_id}],
        "status": "entered-in-error" if in_error else "billable",
        "code": {"coding": _codings(line, destination)},
        "subject": _named(destination.systems.patient, line.carried.patient, "Patient"),
    }
    if line.carried.visit:
        visit = _named(destination.systems.visit, line.carried.visit, "Encounter")
        item["context" if destination.release == "R4" else "encounter"] = visit
    item |= _occurrence(line)
    item |= _people(line, destination)
    item["quantity"] = {"value": -posting.units if offsets else posting.units}
    item["enteredDate"] = posting.posted.isoformat()
    item |= _reasons(line, destination)
    return {key: value for key, value in item.items() if value}


def provenance(lines: Sequence[Line], destination: FhirDestination, at: str) -> Resource:
    """Return the Provenance of some postings: from which message, by whom, when (`at`, an instant)."""
    ids = [charge_item_id(line, destination) for line in lines]
    credited = all(line.posting.kind == "CREDIT" for line in lines)
    messages = sorted({line.carried.message_id for line in lines if line.carried.message_id})
    found: Resource = {
        "resourceType": "Provenance",
        "id": f"provenance-{lines[0].posting.id}",
        "target": [{"reference": f"ChargeItem/{one}"} for one in ids],
        "recorded": at,
        "activity": {"coding": [{"system": _OPERATION, "code": "UPDATE" if credited else "CREATE"}]},
        "agent": [{"who": {"display": destination.agent}}],
        "entity": [
            {"role": "source", "what": {"identifier": {"system": destination.systems.source_message, "value": one}}}
            for one in messages
        ],
    }
    return {key: value for key, value in found.items() if value}


def charge_item_id(line: Line, destination: FhirDestination) -> str:
    """Return the id of the resource that a posting writes: its own, or that of the charge it takes back."""
    posting = line.posting
    if posting.kind == "CREDIT" and destination.credit == "entered_in_error" and posting.credits:
        return posting.credits
    return posting.id


def put(line: Line, destination: FhirDestination) -> Request:
    """Return the request that writes one posting under its own id; a repeat of it changes nothing."""
    headers: tuple[tuple[str, str], ...] = _HEADERS
    if line.sent is not None and line.sent.version:
        headers = (*_HEADERS, ("If-Match", f'W/"{line.sent.version}"'))
    path = f"ChargeItem/{charge_item_id(line, destination)}"
    return Request("PUT", path, headers, dumps(charge_item(line, destination)), (200, 201))


def transaction(lines: Sequence[Line], destination: FhirDestination, at: str) -> Request:
    """Return the request that writes some postings and their Provenance together or not at all."""
    entries = [_entry(charge_item(line, destination), line.sent) for line in lines]
    entries.append(_entry(provenance(lines, destination, at), None))
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    return Request("POST", "", _HEADERS, dumps(bundle), (200,))


def _entry(resource: Resource, sent: Sent | None) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": url}
    if sent is not None and sent.version:
        request["ifMatch"] = f'W/"{sent.version}"'
    return {"fullUrl": f"https://fhir-radcharge.example/fhir/{url}", "resource": resource, "request": request}


def _named(system: str, value: str, kind: str) -> Resource:
    # A sender that names its patients by reference alone hands on the reference; nobody looks it up.
    if value.startswith(f"{kind}/"):
        return {"reference": value}
    return {"identifier": {"system": system, "value": value}}


def _codings(line: Line, destination: FhirDestination) -> list[Resource]:
    code, systems = line.posting.line.code, destination.systems
    # CPT numbers begin with a digit; the letter that begins another code makes it HCPCS.
    codings = [{"system": systems.cpt if code[:1].isdigit() else systems.hcpcs, "code": code}]
    if line.site_code is not None and systems.charge_code is not None:
        codings.append({"system": systems.charge_code, "code": line.site_code.code})
    return codings


def _extensions(line: Line, destination: FhirDestination, offsets: bool) -> list[Resource]:
    urls, charge, site = destination.extensions, line.posting.line, line.site_code
    found = [
        _modifier(modifier, number, destination)
        for number, modifier in enumerate(charge.modifiers, 1)
        if urls.modifier is not None
    ]
    if urls.bill is not None:
        found.append({"url": urls.bill, "valueCode": charge.bill})
    if urls.place_of_service is not None and charge.place_of_service:
        coding = {"system": PLACE_OF_SERVICE, "code": charge.place_of_service}
        found.append({"url": urls.place_of_service, "valueCoding": coding})
    if urls.packaged is not None and charge.packaged:
        found.append({"url": urls.packaged, "valueBoolean": True})
    if site is not None and site.revenue and urls.revenue is not None:
        concept = {"coding": [{"system": destination.systems.revenue, "code": site.revenue}]}
        found.append({"url": urls.revenue, "valueCodeableConcept": concept})
    if site is not None and site.department and urls.department is not None:
        found.append({"url": urls.department, "valueString": site.department})
    if site is not None and site.price is not None and urls.unit_price is not None:
        # Not priceOverride: that would say somebody overrode a price.
        found.append({"url": urls.unit_price, "valueMoney": {"value": site.price, "currency": destination.currency}})
    if offsets and line.posting.credits:
        found.append({"url": urls.offsets, "valueReference": _offset(line, destination)})
    return found


def _offset(line: Line, destination: FhirDestination) -> Resource:
    identifier = {"system": destination.systems.posting, "value": line.posting.credits}
    return {"reference": f"ChargeItem/{line.posting.credits}", "identifier": identifier}


def _modifier(modifier: str, number: int, destination: FhirDestination) -> Resource:
    concept = {"coding": [{"system": destination.systems.modifier, "code": modifier}]}
    return {
        "url": destination.extensions.modifier,
        "extension": [
            {"url": "code", "valueCodeableConcept": concept},
            {"url": destination.extensions.priority, "valueUnsignedInt": number},
        ],
    }


def _occurrence(line: Line) -> Resource:
    charge = line.posting.line
    if charge.end is None or charge.end == charge.day:
        return {"occurrenceDateTime": charge.day.isoformat()}
    return {"occurrencePeriod": {"start": charge.day.isoformat(), "end": charge.end.isoformat()}}


def _people(line: Line, destination: FhirDestination) -> Resource:
    found: Resource = {}
    if line.posting.line.provider:
        found["performer"] = [{"actor": {"identifier": {"system": NPI, "value": line.posting.line.provider}}}]
    name = destination.organizations.get(line.posting.line.bill)
    if name is not None and destination.systems.organization is not None:
        found["performingOrganization"] = {"identifier": {"system": destination.systems.organization, "value": name}}
    return found


def _reasons(line: Line, destination: FhirDestination) -> Resource:
    found: Resource = {}
    if line.carried.diagnoses:
        system = destination.systems.diagnosis
        found["reason"] = [{"coding": [{"system": system, "code": one}]} for one in line.carried.diagnoses]
    if line.carried.service:
        service: Resource = {"identifier": {"system": "urn:dicom:uid", "value": line.carried.service}}
        found["service"] = [service if destination.release == "R4" else {"reference": service}]
    if line.carried.account:
        found["account"] = [_named(destination.systems.account, line.carried.account, "Account")]
    return found
