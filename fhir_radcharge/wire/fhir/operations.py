"""Turns postings into the operations of two hosts that take no plain ChargeItem: Oracle Health and Redox.

Pure values like all of this room. A transaction id is derived from the posting id, so that a resend is the same
transaction to the host that can tell.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.wire.fhir.destination import FhirDestination
from fhir_radcharge.wire.fhir.strict_json import dumps
from fhir_radcharge.wire.fhir.write import Line, Request, Resource, charge_item, put, transaction

_POSTINGS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://fhir-radcharge.example/id/posting")
_HEADERS: Final = (("Content-Type", "application/fhir+json"), ("Accept", "application/fhir+json"))


def transaction_id(posting_id: str) -> str:
    """Return the UUID of a posting: the same for the same posting, on every machine."""
    return str(uuid.uuid5(_POSTINGS, posting_id))


def request_for(line: Line, destination: FhirDestination, at: str) -> Request:
    """Return the request that says one posting in the style of its destination.

    Raise UnsafeError where the destination's own id of the charge must be known and is not.
    """
    if destination.style == "put":
        return put(line, destination)
    if destination.style == "transaction":
        return transaction([line], destination, at)
    if destination.style == "redox":
        return redox_create(line, destination, at)
    return oracle_create(line, destination) if line.posting.kind == "CHARGE" else oracle_credit(line, destination)


def oracle_create(line: Line, destination: FhirDestination) -> Request:
    """Return the `$create` of a charge; the host may make several charge items of it."""
    body = _parameters(line, [{"name": "chargeItem", "resource": _oracle_item(line, destination)}])
    return Request("POST", "ChargeItem/$create", _HEADERS, body, (200, 201))


def oracle_credit(line: Line, destination: FhirDestination) -> Request:
    """Return the `$credit` that offsets a charge, whole, at the version of it that we know."""
    posting, sent = line.posting, line.sent
    if sent is None or not sent.version:
        raise UnsafeError(f"posting {posting.id}: the host's id and version of the charge are not known; read it first")
    if posting.units != posting.line.units:
        raise UnsafeError(f"posting {posting.id}: $credit takes back all units, not a part; credit and charge anew")
    item = _own_references(line, charge_item(line, destination))
    parameters: list[Resource] = [
        {"name": "versionId", "valueId": sent.version},
        {"name": "subject", "valueReference": item["subject"]},
        {"name": "context", "valueReference": item["context"]},
    ]
    return Request("POST", f"ChargeItem/{sent.id}/$credit", _HEADERS, _parameters(line, parameters), (201,))


def oracle_modify(line: Line, destination: FhirDestination) -> Request:
    """Return the `$modify` that puts a charge in the place of one that the host already has."""
    sent, oracle = line.sent, destination.oracle
    if sent is None or not sent.version or oracle is None:
        raise UnsafeError(f"posting {line.posting.id}: the host's id and version of the charge are not known")
    item = _oracle_item(line, destination)
    replaced = {"reference": f"ChargeItem/{sent.id}/_history/{sent.version}"}
    item.setdefault("extension", []).append({"url": oracle.replacing_url, "valueReference": replaced})
    body = _parameters(line, [{"name": "chargeItem", "resource": item}])
    return Request("POST", "ChargeItem/$modify", _HEADERS, body, (201,))


def redox_create(line: Line, destination: FhirDestination, at: str) -> Request:
    """Return the message Bundle of Redox; a credit travels as an item with a negative quantity."""
    redox, carried = destination.redox, line.carried
    assert redox is not None, "a redox destination has its section"
    item = charge_item(line, destination)
    patient = {
        "resourceType": "Patient",
        "id": "patient",
        "identifier": [{"system": destination.systems.patient, "value": carried.patient}],
    }
    item["subject"] = {"reference": "Patient/patient"}
    header: Resource = {
        "resourceType": "MessageHeader",
        "id": transaction_id(line.posting.id),
        "eventUri": redox.event_uri,
        "source": {"name": redox.source_name, "endpoint": redox.source_endpoint},
        "focus": [{"reference": f"ChargeItem/{item['id']}"}],
    }
    base = "https://fhir-radcharge.example/fhir"
    bundle: Resource = {
        "resourceType": "Bundle",
        "id": line.posting.id,
        "identifier": {"system": destination.systems.posting, "value": line.posting.id},
        "type": "message",
        "timestamp": at,
        "entry": [
            {"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one} for one in (header, item, patient)
        ],
    }
    return Request("POST", "ChargeItem/$charge-item-create", _HEADERS, dumps(bundle), (200, 201, 202))


def _oracle_item(line: Line, destination: FhirDestination) -> Resource:
    """Return the item as `$create` takes it: status unknown, one coding with its schedule, a time of service."""
    oracle = destination.oracle
    assert oracle is not None, "an oracle destination has its section"
    item = _own_references(line, charge_item(line, destination))
    item.pop("id")
    item["status"] = "unknown"
    coding: Any = dict(item["code"]["coding"][0])
    schedule = {"system": oracle.schedule_system, "code": oracle.schedule}
    coding["extension"] = [{"url": oracle.bill_code_schedule_url, "valueCoding": schedule}]
    item["code"] = {"coding": [coding]}
    period = item.pop("occurrencePeriod", None)
    if period is not None:
        item["occurrenceDateTime"] = period["start"]
    return item


def _own_references(line: Line, item: Resource) -> Resource:
    """Return the item if it names patient and visit by the host's own references, which its operations insist on."""
    for element in ("subject", "context"):
        if "reference" not in item.get(element, {}):
            raise UnsafeError(f"posting {line.posting.id}: the host's own {element} is not known; look it up first")
    return item


def _parameters(line: Line, parameters: list[Resource]) -> bytes:
    own = {"name": "transactionId", "valueUuid": f"urn:uuid:{transaction_id(line.posting.id)}"}
    return dumps({"resourceType": "Parameters", "parameter": [own, *parameters]})
