"""What a link makes of a FHIR server's answers: the bytes to keep, and what a read says of a lost answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir.destination import OutcomeKind
from fhir_radcharge.wire.fhir.http_form import Asked, Told, answer_bytes
from fhir_radcharge.wire.fhir.strict_json import dumps, loads
from fhir_radcharge.wire.fhir.write import Request

# Only what is read again is kept of an answer: a host's body may hold the whole patient.
_KEPT: Final = ("Location", "ETag", "Retry-After", "Content-Type")


class Answer(NamedTuple):
    """An answer; `status` None: none came."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes


def told_of(answer: Answer) -> bytes:
    """Return the bytes of an answer that are kept: its status, where the resource is, its id, and what was wrong."""
    if answer.status is None:
        return b""
    found = {name.lower(): value for name, value in answer.headers.items()}
    headers = tuple((name, _line(found[name.lower()])) for name in _KEPT if name.lower() in found)
    return answer_bytes(Told(answer.status, headers, _kept(answer.body)))


def own_place(asked: Asked) -> str:
    """Return where a request puts its charge under our own id, empty where the receiver gives the id."""
    if asked.method == "PUT":
        return asked.path
    body = _object(asked.body)
    for entry in body.get("entry", ()) if body.get("type") == "transaction" else ():
        if entry["resource"]["resourceType"] == "ChargeItem":
            return str(entry["request"]["url"])
    return ""


def asked_item(asked: Asked) -> Request | None:
    """Return the charge of a request as what should be read back; None where the request has none."""
    body = _object(asked.body)
    found: Any = body if body.get("resourceType") == "ChargeItem" else None
    for one in (*body.get("entry", ()), *body.get("parameter", ())):
        resource = one.get("resource", {})
        if resource.get("resourceType") == "ChargeItem":
            found = resource
    if found is None:
        return None
    # Id and status are the receiver's where it gives them.
    if asked.method != "PUT":
        found = {key: value for key, value in found.items() if key not in ("id", "status")}
    return Request("GET", "", (), dumps(found), ())


def read_outcome(asked: Asked, answer: Answer | None, code: str) -> tuple[OutcomeKind, str]:
    """Return what a read says of a request whose answer was lost: it is there as it was said, or not there yet."""
    if answer is None or answer.status is None:
        return "silent", code
    if answer.status in (404, 410):
        return "not_taken", f"{code}, read {answer.status}"
    wanted = asked_item(asked)
    if answer.status != 200 or wanted is None:
        return "silent", code
    seen, status = _object(answer.body), _object(asked.body).get("status")
    if seen.get("resourceType") != "ChargeItem":
        return "silent", code
    if status is not None and seen.get("status") != status:
        return "not_taken", f"{code}, read {(seen.get('status') == 'billable' and 'billable') or 'other'}"
    return "accepted", f"{code}, read 200"


def _kept(body: bytes) -> bytes:
    found = _object(body)
    kind = found.get("resourceType")
    if kind == "ChargeItem":
        meta = found.get("meta")
        version = meta.get("versionId") if isinstance(meta, dict) else None
        return dumps({"resourceType": kind, "id": str(found.get("id", "")), "meta": {"versionId": str(version or "")}})
    if kind == "Bundle" and isinstance(found.get("entry"), list):
        responses = [one.get("response", {}) for one in found["entry"] if isinstance(one, dict)]
        said = [
            {key: one[key] for key in ("status", "location", "etag") if isinstance(one.get(key), str)}
            for one in responses
            if isinstance(one, dict)
        ]
        return dumps({"resourceType": kind, "type": str(found.get("type", "")),
                      "entry": [{"response": one} for one in said]})  # fmt: skip
    if kind == "OperationOutcome" and isinstance(found.get("issue"), list):
        issues = [
            {key: one[key] for key in ("severity", "code") if isinstance(one.get(key), str)}
            for one in found["issue"]
            if isinstance(one, dict)
        ]
        return dumps({"resourceType": kind, "issue": issues})
    return b""


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = loads(body)
    except MessageError:
        return {}
    return found if isinstance(found, dict) else {}


def _line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
