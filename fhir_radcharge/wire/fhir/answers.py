"""Turns an HTTP answer, or its absence, into what it means for a posting, by the destination's declared policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir.destination import AnswerKey, FhirDestination, OutcomeKind
from fhir_radcharge.wire.fhir.strict_json import loads
from fhir_radcharge.wire.fhir.write import Request, Sent

_ORDER: tuple[OutcomeKind, ...] = ("silent", "not_taken", "refused", "accepted")


def outcome(
    status: int | None, headers: Mapping[str, str], body: bytes, destination: FhirDestination
) -> tuple[OutcomeKind, str]:
    """Return what an answer means and a code for it; `status` None: no answer came.

    A transaction answers for each entry; it is accepted only if every entry is. Codes carry no text of the
    receiver, which may quote the patient.
    """
    if status is None:
        return destination.answers["lost"], "lost"
    if not 200 <= status < 300:
        return _meaning(status, destination), _code(status, body)
    answer = _read(body)
    if answer is None and body:
        # A page that a proxy made says nothing about the charge: it may have arrived.
        return "silent", f"{status} not FHIR"
    kinds = [(_meaning(one, destination), one) for one in _entries(answer)] or [(_meaning(status, destination), status)]
    kind, worst = min(kinds, key=lambda one: _ORDER.index(one[0]))
    if kind == "accepted" and _has_error(answer):
        return "refused", f"{status} OperationOutcome"
    return kind, str(worst)


def retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Return the seconds that the receiver asks to wait; None where it does not say or says a date."""
    said = _header(headers, "retry-after")
    return min(int(said), 86_400) if said.isascii() and said.isdigit() and len(said) < 10 else None


def sent(headers: Mapping[str, str], body: bytes) -> Sent | None:
    """Return the receiver's own id and version of what it took, None where the answer does not say."""
    location = _header(headers, "location")
    parts = [part for part in location.split("?")[0].split("/") if part]
    tag = _header(headers, "etag").removeprefix("W/").strip('"')
    if "ChargeItem" in parts[:-1]:
        at = len(parts) - 1 - parts[::-1].index("ChargeItem")
        version = parts[at + 3] if len(parts) > at + 3 and parts[at + 2] == "_history" else tag
        if parts[at + 1].startswith("$"):
            return None
        return Sent(parts[at + 1], version)
    answer = _read(body) or {}
    if answer.get("resourceType") == "ChargeItem" and isinstance(answer.get("id"), str):
        return Sent(answer["id"], str(answer.get("meta", {}).get("versionId", tag)))
    return None


def differences(request: Request, read_back: bytes) -> tuple[str, ...]:
    """Return the paths of what was sent and is not in what the receiver has; empty if it kept everything.

    Some receivers say yes and leave out what they do not support.
    """
    found: list[str] = []
    _compare(loads(request.body), _read(read_back) or {}, "ChargeItem", found)
    return tuple(found)


def _compare(wanted: Any, given: Any, path: str, found: list[str]) -> None:
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if not isinstance(given, dict) or key not in given:
                found.append(f"{path}.{key}")
            else:
                _compare(value, given[key], f"{path}.{key}", found)
    elif isinstance(wanted, list):
        for index, value in enumerate(wanted):
            others = given if isinstance(given, list) else []
            if not any(_covers(other, value) for other in others):
                found.append(f"{path}[{index}]")
    elif wanted != given:
        found.append(path)


def _covers(given: Any, wanted: Any) -> bool:
    missing: list[str] = []
    _compare(wanted, given, "", missing)
    return not missing


def _meaning(status: int, destination: FhirDestination) -> OutcomeKind:
    keys: tuple[str, ...] = (str(status), f"{status // 100}xx")
    found: AnswerKey
    for found in destination.answers:
        if found == keys[0]:
            return destination.answers[found]
    if 200 <= status < 300:
        return "accepted"
    for found in destination.answers:
        if found == keys[1]:
            return destination.answers[found]
    return "silent"


def _code(status: int, body: bytes) -> str:
    answer = _read(body) or {}
    issues = answer.get("issue", ()) if answer.get("resourceType") == "OperationOutcome" else ()
    codes = [one.get("code") for one in issues if isinstance(one, dict)] if isinstance(issues, list) else []
    known = [code for code in codes if isinstance(code, str) and code.replace("-", "").isalpha() and len(code) < 30]
    return f"{status} {known[0]}" if known else str(status)


def _entries(answer: Mapping[str, Any] | None) -> list[int]:
    if not answer or answer.get("resourceType") != "Bundle" or not isinstance(answer.get("entry"), list):
        return []
    responses = [one.get("response") for one in answer["entry"] if isinstance(one, dict)]
    said = [str(one.get("status", ""))[:3] for one in responses if isinstance(one, dict)]
    return [int(one) for one in said if len(one) == 3 and one.isascii() and one.isdigit()]


def _has_error(answer: Mapping[str, Any] | None) -> bool:
    if not answer or answer.get("resourceType") != "OperationOutcome" or not isinstance(answer.get("issue"), list):
        return False
    return any(isinstance(one, dict) and one.get("severity") in ("error", "fatal") for one in answer["issue"])


def _read(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = loads(body)
    except MessageError:
        return None
    return found if isinstance(found, dict) else None


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value.strip() for key, value in headers.items() if key.lower() == name), "")
