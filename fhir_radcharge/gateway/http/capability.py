"""What the FHIR door can do, said once and told twice: as a CapabilityStatement and as OpenAPI."""

from __future__ import annotations

from typing import Any, Final

from fhir_radcharge import __version__
from fhir_radcharge.gateway.http.stored import READ_BACK
from fhir_radcharge.wire.fhir.asking import POSTED, ROOT_TYPES
from fhir_radcharge.wire.fhir.schema import Release

_VERSIONS: Final = {"R4": "4.0.1", "R5": "5.0.0"}
# The day on which the door last learnt something; a statement needs one, and it is no clock.
_DATE: Final = "2026-11-25"
_PROCESS: Final = "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message"
_JSON: Final = "application/fhir+json"


def capability_statement(release: Release) -> dict[str, Any]:
    """Return what this door takes and shows, in the release that its sender speaks."""
    resources = [_resource(kind) for kind in sorted(READ_BACK)]
    rest = {
        "mode": "server",
        "documentation": "Every request is durable before it is answered. Nothing is searched by a person, and no"
        " reference is fetched. A Bundle is repeated by its identifier, a resource by its own.",
        "security": {"description": "TLS, with client certificates or a bearer token as the site configures"},
        "resource": resources,
        "interaction": [{"code": "transaction"}, {"code": "batch"}],
        "operation": [{"name": "process-message", "definition": _PROCESS}],
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _DATE,
        "publisher": "fhir_radcharge",
        "kind": "instance",
        "software": {"name": "fhir_radcharge", "version": __version__},
        "implementation": {"description": "Hears what was done in radiation oncology, and what senders charge for it"},
        "fhirVersion": _VERSIONS[release],
        "format": [_JSON],
        "rest": [rest],
    }


def _resource(kind: str) -> dict[str, Any]:
    interactions = ["read", "vread"]
    found: dict[str, Any] = {"type": kind, "versioning": "versioned", "readHistory": True}
    if kind in POSTED:
        interactions += ["create", "update"]
        found |= {"versioning": "versioned-update", "updateCreate": True, "conditionalCreate": True}
    found["interaction"] = [{"code": code} for code in interactions]
    return found


def open_api() -> dict[str, Any]:
    """Return the same as OpenAPI 3.1."""
    types = {"name": "type", "in": "path", "required": True, "schema": {"enum": list(POSTED)}}
    shown = {"name": "type", "in": "path", "required": True, "schema": {"enum": sorted(READ_BACK)}}
    name = {"name": "id", "in": "path", "required": True, "schema": _ID}
    version = {"name": "version", "in": "path", "required": True, "schema": _text("^[0-9]{1,18}$")}
    match = {"name": "If-Match", "in": "header", "schema": _text(r'^W/"[0-9]{1,18}"$')}
    once = {"name": "If-None-Exist", "in": "header", "schema": _text(r"^identifier=[!-{]*\|[!-{]+$")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "fhir_radcharge FHIR door", "version": __version__},
        "paths": {
            "/fhir/metadata": {"get": _operation("capabilities", {"200": "CapabilityStatement"})},
            "/fhir": {"post": _operation("bundle", _WRITTEN, body="Bundle")},
            "/fhir/$process-message": {"post": _operation("process_message", _WRITTEN, body="Bundle")},
            "/fhir/{type}": {"post": _operation("create", _WRITTEN, [types, once], "Resource")},
            "/fhir/{type}/{id}": {
                "get": _operation("read", _READ, [shown, name]),
                "put": _operation("update", _WRITTEN, [types, name, match], "Resource"),
            },
            "/fhir/{type}/{id}/_history/{version}": {"get": _operation("vread", _READ, [shown, name, version])},
        },
        "components": {"schemas": _SCHEMAS},
    }


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


_ID: Final = _text("^[A-Za-z0-9.-]{1,64}$")
_WRITTEN: Final = {
    "200": "stored: known, a further version, or the answers of a Bundle", "201": "stored", "400": "not FHIR",
    "401": "no token", "404": "not taken", "406": "JSON only", "408": "too slow", "412": "a condition does not hold",
    "413": "too long", "415": "JSON only", "422": "not usable", "503": "not kept; send again",
}  # fmt: skip
_READ: Final = {"200": "the resource", "401": "no token", "404": "none", "406": "JSON only", "503": "ask again"}
_CODE: Final = {
    "type": "object", "required": ["coding"],
    "properties": {"coding": {"type": "array", "minItems": 1, "items": {
        "type": "object", "required": ["system", "code"],
        "properties": {"system": {"type": "string", "format": "uri"}, "code": {"type": "string", "minLength": 1}}}}},
}  # fmt: skip
_NAMED: Final = {
    "type": "object", "required": ["identifier"],
    "properties": {"identifier": {"type": "object", "required": ["system", "value"], "properties": {
        "system": {"type": "string", "format": "uri"}, "value": {"type": "string", "minLength": 1}}}},
}  # fmt: skip
_SCHEMAS: Final[dict[str, Any]] = {
    "Resource": {
        "type": "object", "required": ["resourceType", "status", "code", "subject", "identifier"],
        "properties": {
            "resourceType": {"enum": list(POSTED)}, "id": _ID,
            "identifier": {"type": "array", "minItems": 1, "items": _NAMED["properties"]["identifier"]},  # type: ignore[index]
            "status": {"enum": ["billable", "completed", "entered-in-error", "planned", "stopped", "not-done"]},
            "code": _CODE, "subject": _NAMED,
            "quantity": {"type": "object", "properties": {"value": {"type": "number"}}},
            "occurrenceDateTime": {"type": "string", "format": "date-time"},
        },
    },
    "Bundle": {
        "type": "object", "required": ["resourceType", "type"],
        "properties": {
            "resourceType": {"const": "Bundle"}, "type": {"enum": list(ROOT_TYPES)},
            "entry": {"type": "array", "items": {"type": "object", "properties": {
                "resource": {"$ref": "#/components/schemas/Resource"},
                "request": {"type": "object", "required": ["method", "url"], "properties": {
                    "method": {"enum": ["POST", "PUT"]}, "url": {"type": "string"}}}}}},
        },
    },
}  # fmt: skip


def _operation(
    name: str, answers: dict[str, str], parameters: list[dict[str, Any]] | None = None, body: str = ""
) -> dict[str, Any]:
    content = {_JSON: {"schema": {"type": "object"}}}
    # One resource is answered by where it is; its body comes back only where the sender prefers it.
    bare = ("200", "201") if body == "Resource" else ()
    found: dict[str, Any] = {
        "operationId": name,
        "responses": {
            status: {"description": text} | ({} if status in bare else {"content": content})
            for status, text in answers.items()
        },
    }
    if parameters:
        found["parameters"] = parameters
    if body:
        schema = {"$ref": f"#/components/schemas/{body}"}
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
    return found
