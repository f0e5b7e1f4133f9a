"""Turns what the books did with a request into the answer of a FHIR server, and back into what was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir.elements import Node
from fhir_radcharge.wire.fhir.http_form import Told
from fhir_radcharge.wire.fhir.read import outcome_of
from fhir_radcharge.wire.fhir.schema import Release
from fhir_radcharge.wire.fhir.strict_json import dumps, loads

JSON: Final = "application/fhir+json"
_HEADERS: Final = (("Content-Type", JSON),)
_WORDS: Final = {
    200: "200 OK", 201: "201 Created", 400: "400 Bad Request", 412: "412 Precondition Failed",
    422: "422 Unprocessable Entity",
}  # fmt: skip
_ISSUE_CODES: Final = {404: "not-found", 405: "not-supported", 406: "not-supported", 409: "conflict",
                       410: "deleted", 412: "conflict", 413: "too-long", 415: "not-supported", 429: "throttled",
                       401: "login", 403: "forbidden", 500: "exception", 503: "transient"}  # fmt: skip


def stored(status: int, kind: str, name: str, version: int) -> Told:
    """Return the answer to a resource that is stored: where it is and at which version."""
    where = f"{kind}/{name}/_history/{version}"
    return Told(status, (("Location", where), ("ETag", f'W/"{version}"')), b"")


def refused(status: int, problems: Sequence[MessageError]) -> Told:
    """Return the answer that says what is wrong, by places and rules."""
    return Told(status, _HEADERS, dumps(outcome_of(problems)))


def said(status: int, text: str, *headers: tuple[str, str]) -> Told:
    """Return the answer of a door to a request that the books never saw."""
    issue = {"severity": "error", "code": _ISSUE_CODES.get(status, "processing"), "diagnostics": text}
    return Told(status, (*_HEADERS, *headers), dumps({"resourceType": "OperationOutcome", "issue": [issue]}))


def precondition(place: str, problem: str, remedy: str) -> Told:
    """Return the answer to a condition that does not hold."""
    outcome = outcome_of((MessageError(place, problem, remedy, "207"),))
    outcome["issue"][0]["code"] = "conflict"
    return Told(412, _HEADERS, dumps(outcome))


def bundle(kind: str, total: int, entries: Mapping[int, Told]) -> Told:
    """Return the answer to a transaction, a batch or a collection: one for each of its entries, in their order."""
    said_as = "transaction-response" if kind == "transaction" else "batch-response"
    found = [{"response": _response(entries[number])} for number in range(total) if number in entries]
    answer: dict[str, Any] = {"resourceType": "Bundle", "type": said_as}
    if found:
        answer["entry"] = found
    return Told(200, _HEADERS, dumps(answer))


def message(header: Node, problems: Sequence[Told], own_id: str, at: str, release: Release) -> Told:
    """Return the answer to a message: a message whose header says which one it answers."""
    asked = str(header.get("id", ""))
    response: dict[str, Any] = {"identifier": asked if release != "R5" else {"value": asked}, "code": "ok"}
    entries: list[dict[str, Any]] = []
    if problems:
        response["details"] = {"reference": "urn:uuid:" + _uuid(own_id, "d")}
        entries.append({"fullUrl": "urn:uuid:" + _uuid(own_id, "d"), "resource": _together(problems)})
    own = {
        "resourceType": "MessageHeader",
        "id": own_id,
        **{key: value for key, value in header.items() if key.startswith("event")},
        "source": {"name": "fhir_radcharge", "endpoint" if release != "R5" else "endpointUrl": "urn:fhir_radcharge"},
        "response": response,
    }
    entries.insert(0, {"fullUrl": "urn:uuid:" + _uuid(own_id, "a"), "resource": own})
    return Told(200, _HEADERS, dumps({"resourceType": "Bundle", "type": "message", "timestamp": at, "entry": entries}))


def _response(told: Told) -> dict[str, Any]:
    found: dict[str, Any] = {"status": _WORDS.get(told.status, str(told.status))}
    if told.header("Location"):
        found["location"] = told.header("Location")
        found["etag"] = told.header("ETag")
    if told.body:
        found["outcome"] = loads(told.body)
    return found


def _together(problems: Sequence[Told]) -> dict[str, Any]:
    issues = [issue for one in problems for issue in loads(one.body)["issue"]]
    return {"resourceType": "OperationOutcome", "issue": issues}


def _uuid(own_id: str, kind: str) -> str:
    digits = (own_id.encode().hex() + "0" * 32)[:31] + kind
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
