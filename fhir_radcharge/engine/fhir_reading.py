"""Stored requests of FHIR senders into what they say, for the engine and for whoever reads the books again."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, cast

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import ack, dft, er7
from fhir_radcharge.wire.dft import Reading
from fhir_radcharge.wire.fhir.asking import ENTRIES, RELEASE, SENDER
from fhir_radcharge.wire.fhir.events import readings
from fhir_radcharge.wire.fhir.heard import Heard, around
from fhir_radcharge.wire.fhir.http_form import Asked, is_request, read_request, request_bytes
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body, read
from fhir_radcharge.wire.fhir.schema import Release

TURN: Final = "Radcharge-Turn"


class FhirHeard(NamedTuple):
    """A stored request as the engine keeps it while its postings are rendered; `raw` says how large it is."""

    raw: bytes
    heard: Heard


def is_fhir(raw: bytes) -> bool:
    """Tell whether stored bytes came from a FHIR sender."""
    return is_request(raw)


def fhir_sender(site: Any, name: str) -> Sender:
    """Return the profile of a FHIR sender; raise MessageError where the site has none of that name."""
    found = site.fhir.senders.get(name)
    if found is None:
        raise MessageError(
            "sender", "no FHIR sender profile has this name", "add one to mappings/fhir/senders and reread it", "103"
        )
    return cast(Sender, found)


def opened(raw: bytes, site: Any, number: int) -> FhirHeard:
    """Return a stored request with all that is needed to read it; raise MessageError where it cannot be read."""
    asked = read_request(raw)
    sender = fhir_sender(site, asked.header(SENDER))
    body = _as_kept(read(asked.body, cast(Release, asked.header(RELEASE) or sender.profile.release)), asked)
    return FhirHeard(raw, Heard(body, sender, site.fhir.tables, site, number, [], around(body)))


def said(raw: bytes, site: Any, number: int) -> tuple[FhirHeard, tuple[Reading, ...]]:
    """Return a stored request and, for each patient of it, what it says."""
    found = opened(raw, site, number)
    heard = found.heard
    return found, readings(heard.body, heard.sender, heard.tables, site, number)


def readings_of(raw: bytes, site: Any, number: int) -> tuple[Reading, ...]:
    """Return what stored bytes of either kind say; raise MessageError where they cannot be read."""
    if is_fhir(raw):
        return said(raw, site, number)[1]
    sender = site.sender_for(ack.header(raw))
    return (dft.read_dft(er7.read_message(raw, sender.charset), sender, site, number),)


def as_stored(body: bytes, sender: Sender, number: int) -> bytes:
    """Return a body that came in a file as the door would have stored it: as a request, at its turn in the file.

    Every entry is kept; where a resource says neither version nor time, the later in the file is the newer.
    """
    headers = ((SENDER, sender.name), (RELEASE, sender.profile.release), (TURN, str(number)))
    return request_bytes(Asked("POST", "", headers, body))


def _as_kept(body: Body, asked: Asked) -> Body:
    """Return the entries that were kept, each at the version that it became.

    Who speaks by PUT and POST leaves the numbering to the server: a resource that says neither version nor time is
    as new as the version that it was given at the door.
    """
    text, turn = asked.header(ENTRIES), asked.header(TURN)
    if turn:
        versions = {entry.number: turn for entry in body.entries}
    elif text:
        versions = {int(number): version for number, _, version in (one.partition("=") for one in text.split(","))}
    else:
        return body
    for entry in body.entries:
        version = versions.get(entry.number)
        if version is None or body.timestamp:
            continue
        meta = entry.resource.get("meta", {})
        if "versionId" not in meta and "lastUpdated" not in meta:
            cast(dict[str, Any], entry.resource)["meta"] = {**meta, "versionId": version}
    return body._replace(entries=tuple(one for one in body.entries if one.number in versions))
