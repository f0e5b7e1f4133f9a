"""What the books hold of a resource, back into the resource: read by its id, never searched by a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fhir_radcharge.wire.fhir.answering import JSON
from fhir_radcharge.wire.fhir.asking import resource_key
from fhir_radcharge.wire.fhir.http_form import Told, read_request
from fhir_radcharge.wire.fhir.schema import READ_TYPES
from fhir_radcharge.wire.fhir.strict_json import dumps, loads

READ_BACK: Final = READ_TYPES - {"Bundle", "Parameters", "MessageHeader"}


class Stored(NamedTuple):
    """One version of a resource as it lies in the books."""

    version: int
    entry: int
    at: str
    raw: bytes


def stored_resource(engine: Any, args: Mapping[str, Any]) -> Stored | None:
    """Return a version of a resource, the newest where none is named; None where there is none. Runs on the books."""
    key = resource_key(args["sender"], args["type"], args["id"])
    which = "and r.version = ?" if args["version"] else "order by r.version desc limit 1"
    values = (key, args["version"]) if args["version"] else (key,)
    rows = engine.ledger.read(
        "select r.version, r.entry, m.received_at, m.raw from resource r join message m on m.number = r.message"  # noqa: S608
        f" where r.key = ? {which}",
        values,
    )
    return Stored(*rows[0]) if rows else None


def read_back(found: Stored, kind: str, name: str) -> Told:
    """Return the answer that shows a stored resource, with the id and version that the books gave it."""
    body = loads(read_request(found.raw).body)
    resource = body["entry"][found.entry]["resource"] if body["resourceType"] == "Bundle" else body
    return _shown(resource, kind, name, found.version, found.at)


def represented(told: Told, body: bytes) -> Told:
    """Return an answer to one resource with the resource in it, as the sender asked."""
    kind, name, _, version = told.header("Location").split("/")
    shown = _shown(loads(body), kind, name, int(version), "")
    return Told(told.status, (*told.headers, ("Content-Type", JSON)), shown.body)


def _shown(resource: dict[str, Any], kind: str, name: str, version: int, at: str) -> Told:
    meta = {**resource.get("meta", {}), "versionId": str(version)}
    if at:
        meta.setdefault("lastUpdated", at)
    shown = {"resourceType": kind, "id": name, "meta": meta}
    shown |= {key: value for key, value in resource.items() if key not in shown}
    headers = (("Content-Type", JSON), ("ETag", f'W/"{version}"'))
    return Told(200, headers, dumps(shown))
