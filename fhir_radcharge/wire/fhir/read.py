"""Turns the bytes of one FHIR request into a Body: resources that are proven, and problems with their places.

A reference is only ever looked up inside the Bundle that carries it. Nothing here, and nothing that reads a
Body, asks a server for what a reference points to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir import schema, strict_json
from fhir_radcharge.wire.fhir.schema import Release

Resource = Mapping[str, Any]

PROBLEMS_MAX: Final = 50
_RELEASES: Final[Mapping[str, Release]] = {
    "4.0": "R4", "4.0.0": "R4", "4.0.1": "R4", "4.3": "R4", "4.3.0": "R4", "5.0": "R5", "5.0.0": "R5",
}  # fmt: skip
_ISSUES: Final = {"101": "required", "102": "value", "103": "code-invalid", "200": "not-supported",
                  "203": "not-supported", "204": "not-found", "207": "processing"}  # fmt: skip


class Entry(NamedTuple):
    """One proven resource: where it stood, the URL by which the others name it, and what it asks for.

    `number` is its place among the entries, `request` the request element of a batch or transaction.
    """

    place: str
    full_url: str
    method: str
    resource: Resource
    number: int = 0
    request: Mapping[str, Any] = {}


class Body(NamedTuple):
    """What one request said. `identifier` is the sender's id of the Bundle, empty where there is none.

    `total` counts the entries, those without a resource too.

    Entries of a batch, a message or a collection stand for themselves: one that is wrong is in `problems` and
    the others go on.
    """

    release: Release
    type: str
    identifier: str
    timestamp: str
    entries: tuple[Entry, ...]
    problems: tuple[MessageError, ...]
    resources: Mapping[str, Resource]
    total: int = 1

    def find(self, reference: Any, base: Resource | None = None) -> Resource | None:
        """Return what a Reference points to inside this body, or None; nothing is fetched."""
        return _find(self.resources, reference, base)


def release_of(fhir_version: str | None, default: Release = "R4") -> Release:
    """Return the release that a `fhirVersion` names, the endpoint's own where none is said."""
    if fhir_version is None:
        return default
    found = _RELEASES.get(fhir_version)
    if found is None:
        raise MessageError("fhirVersion", "the release is not one that is read here", "send 4.0, 4.3 or 5.0", "203")
    return found


def read(raw: bytes, release: Release = "R4", bytes_max: int = strict_json.BYTES_MAX) -> Body:
    """Return the proven Body of a request.

    Raise MessageError where nothing of it can be used: not JSON, not FHIR, or a transaction, a document or a
    single resource with any fault.
    """
    root = strict_json.loads(raw, bytes_max)
    kind = _kind(root, "body")
    place = kind if kind in schema.READ_TYPES else "body"
    if kind == "Bundle":
        return _bundle(root, release)
    found = list(_resource_problems(root, place, release))
    if found:
        raise found[0]
    if kind not in schema.READ_TYPES:
        raise MessageError(
            place, "the resource type is not one that is read here", "send a treatment or a charge", "200"
        )
    entry = Entry(kind, "", "POST", root)
    return Body(release, "single", "", "", (entry,), (), _index((entry,)))


def problems(raw: bytes, release: Release = "R4", bytes_max: int = strict_json.BYTES_MAX) -> tuple[MessageError, ...]:
    """Return all that is wrong with a body, at most PROBLEMS_MAX; empty if it can be used."""
    try:
        root = strict_json.loads(raw, bytes_max)
        kind = _kind(root, "body")
        if kind != "Bundle":
            found = list(_resource_problems(root, kind if kind in schema.READ_TYPES else "body", release))
            return tuple(found[:PROBLEMS_MAX])
        envelope = schema.checker("Bundle", release).problems(root, "Bundle")
        return tuple(envelope or _entries(root, release)[1])[:PROBLEMS_MAX]
    except MessageError as error:
        return (error,)


def outcome_of(found: Sequence[MessageError]) -> dict[str, Any]:
    """Return the OperationOutcome that tells a sender what is wrong: places and rules, no values."""
    if not found:
        return {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "information", "code": "informational", "diagnostics": "stored"}],
        }
    return {"resourceType": "OperationOutcome", "issue": [_issue(error) for error in found]}


def _issue(error: MessageError) -> dict[str, Any]:
    return {
        "severity": "error",
        "code": _ISSUES.get(error.code, "processing"),
        "diagnostics": f"{error.problem}; {error.remedy}",
        "expression": [error.place],
    }


def _kind(node: Any, place: str) -> str:
    if not isinstance(node, dict):
        raise MessageError(place, "it is not a JSON object", "send one FHIR resource", "207")
    kind = node.get("resourceType")
    if not isinstance(kind, str):
        raise MessageError(f"{place}.resourceType", "the resource does not say its type", "send resourceType", "101")
    return kind


def _bundle(root: Mapping[str, Any], release: Release) -> Body:
    for problem in schema.checker("Bundle", release).problems(root, "Bundle", 1):
        raise problem
    entries, found = _entries(root, release)
    kind = root["type"]
    # A transaction is done whole or not at all, so one fault refuses it.
    if found and (kind in ("transaction", "document") or not entries):
        raise found[0]
    identifier = root.get("identifier", {}).get("value", "")
    timestamp = root.get("timestamp", "")
    wrong, total = tuple(found[:PROBLEMS_MAX]), len(root.get("entry", ()))
    return Body(release, kind, identifier, timestamp, tuple(entries), wrong, _index(entries), total)


def _entries(root: Mapping[str, Any], release: Release) -> tuple[list[Entry], list[MessageError]]:
    entries: list[Entry] = []
    found: list[MessageError] = []
    urls = {entry["fullUrl"] for entry in root.get("entry", ()) if "fullUrl" in entry}
    for number, entry in enumerate(root.get("entry", ())):
        place = f"Bundle.entry[{number}]"
        method = entry.get("request", {}).get("method", "POST")
        if method in ("DELETE", "PATCH"):
            # A deletion does not say what it takes back; what it deletes may have been charged.
            found.append(_unread(f"{place}.request.method"))
        resource = entry.get("resource")
        if resource is None or method in ("DELETE", "PATCH"):
            continue
        wrong = list(_resource_problems(resource, f"{place}.resource", release))
        wrong += _dangling(resource, f"{place}.resource", urls)
        found += wrong
        if not wrong:
            asked = entry.get("request", {})
            entries.append(Entry(f"{place}.resource", entry.get("fullUrl", ""), method, resource, number, asked))
    return entries, found


def _unread(place: str) -> MessageError:
    return MessageError(place, "a deletion or patch is not read", "send the resource as entered-in-error", "200")


def _resource_problems(resource: Any, place: str, release: Release) -> Iterator[MessageError]:
    try:
        kind = _kind(resource, place)
    except MessageError as error:
        yield error
        return
    if kind in schema.READ_TYPES:
        yield from schema.checker(kind, release).problems(resource, place)
        contained = resource.get("contained", ())
        for number, one in enumerate(contained if isinstance(contained, list) else ()):
            yield from _resource_problems(one, f"{place}.contained[{number}]", release)
    elif not schema.is_resource_type(kind, release):
        yield MessageError(
            f"{place}.resourceType",
            "the resource type is not one that FHIR knows",
            "send a FHIR resource",
            "103",
        )


def _dangling(resource: Any, place: str, urls: set[str]) -> list[MessageError]:
    """Return a problem for each reference that only the Bundle could resolve and that it does not."""
    found: list[MessageError] = []
    contained = {one.get("id") for one in _contained(resource)}
    for path, reference in _references(resource, place):
        if reference.startswith(("urn:uuid:", "urn:oid:")):
            known = reference in urls
        elif reference.startswith("#"):
            known = reference == "#" or reference[1:] in contained
        else:
            known = True
        if not known:
            found.append(MessageError(path, "the reference finds nothing in the Bundle", "send what it names", "204"))
    return found


def _contained(resource: Any) -> list[Mapping[str, Any]]:
    contained = resource.get("contained") if isinstance(resource, dict) else None
    return [one for one in contained if isinstance(one, dict)] if isinstance(contained, list) else []


def _references(resource: Any, place: str) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[str, Any]] = [(place, resource)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, dict):
            said = node.get("reference")
            if isinstance(said, str):
                yield f"{path}.reference", said
            waiting += [(f"{path}.{key}", child) for key, child in node.items()]
        elif isinstance(node, list):
            waiting += [(f"{path}[{n}]", child) for n, child in enumerate(node)]


def _index(entries: Sequence[Entry]) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for entry in entries:
        if entry.full_url:
            found[entry.full_url] = entry.resource
        if "id" in entry.resource:
            found[f"{entry.resource['resourceType']}/{entry.resource['id']}"] = entry.resource
    return found


def _find(index: Mapping[str, Resource], reference: Any, base: Resource | None) -> Resource | None:
    said = reference.get("reference") if isinstance(reference, Mapping) else None
    if not isinstance(said, str):
        return None
    if said.startswith("#"):
        return next((one for one in _contained(base) if one.get("id") == said[1:]), None)
    found = index.get(said)
    if found is None and "://" in said:
        found = index.get("/".join(said.split("/")[-2:]))
    return found
