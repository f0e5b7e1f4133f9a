"""Turns ADT messages into what they say of identity: merged records, visits that became others, and who pays."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

from fhir_radcharge.errors import MessageError
from fhir_radcharge.places import Plans
from fhir_radcharge.wire.er7 import Message
from fhir_radcharge.wire.ft1 import payer_of, revision_time
from fhir_radcharge.wire.paths import Scope, leaf
from fhir_radcharge.wire.sender import Sender
from fhir_radcharge.wire.values import recoded

INSURANCE = frozenset({"IN1", "IN2", "IN3"})


class Statement(NamedTuple):
    """One thing that a message says of identity.

    `merge`: `patient` was another record of `other`, which survives. `coverage`: `payer` pays for the visit
    `account` of `patient`, as the insurance segments whose hash is `insurance` say. `visit`: what was reported for the
    visit `prior` belongs to `account`. The greatest `revision` stands.
    """

    kind: Literal["merge", "coverage", "visit"]
    patient: str
    other: str
    account: str
    payer: str
    insurance: str
    revision: int
    prior: str = ""


class SiteTables(Protocol):
    """What reading needs of a site."""

    @property
    def payers(self) -> Plans:
        """Return who pays."""


def read_adt(message: Message, sender: Sender, site: SiteTables) -> tuple[Statement, ...]:
    """Return what a message says of identity, as far as the sender's profile takes it."""
    identity = sender.identity
    header = message.segments[0]
    trigger = leaf(header[9], message.delimiters, 2) if len(header) > 9 else ""
    if identity is None or trigger not in identity.triggers:
        return ()
    named = {segment[0]: segment for segment in reversed(message.segments)}
    revision = revision_time(_scope(message, named), sender)
    if trigger in identity.merges:
        return _merges(message, sender, named, revision)
    if trigger in identity.visits:
        return _visits(message, sender, revision)
    insurance = insurance_of(message)
    if not insurance:
        return ()
    scope = _scope(message, named)
    payer = payer_of(scope, sender, site.payers, [])
    return (Statement("coverage", _patient(scope, sender), "", sender.account(scope), payer, insurance, revision),)


def insurance_of(message: Message) -> str:
    """Return the name of the insurance segments of a message, "" if it has none; set ids play no part."""
    found = [segment[:1] + segment[2:] for segment in message.segments if segment[0] in INSURANCE]
    if not found:
        return ""
    text = "\r".join("|".join(segment).rstrip("|") for segment in found)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def with_segments(message: Message, other: Message, names: frozenset[str]) -> Message:
    """Return a message whose segments of these names are those of another one."""
    source, d = other.delimiters, message.delimiters
    same = source[:5] == d[:5]
    given = [
        segment if same else [recoded(field, source, d) for field in segment]
        for segment in other.segments
        if segment[0] in names
    ]
    at = next((i for i, segment in enumerate(message.segments) if segment[0] in names), None)
    if at is None:
        at = next((i for i, segment in enumerate(message.segments) if segment[0] == "FT1"), len(message.segments))
    kept = [segment for segment in message.segments[at:] if segment[0] not in names]
    return Message(d, [*message.segments[:at], *given, *kept], message.charset)


def _merges(
    message: Message, sender: Sender, named: dict[str, list[str]], revision: int
) -> tuple[Statement, ...]:
    """Return each pair of PID and the MRG that follows it."""
    found, pid = [], None
    for segment in message.segments:
        if segment[0] == "PID":
            pid = segment
        elif segment[0] == "MRG" and pid is not None:
            scope = _scope(message, {**named, "PID": pid, "MRG": segment})
            assert sender.identity is not None
            prior, patient = sender.identity.prior(scope), _patient(scope, sender)
            if not prior:
                raise MessageError("MRG-1", "the prior id is missing", f"send it where {sender.file} says", "101")
            found.append(Statement("merge", prior, patient, "", "", "", revision))
    if not found:
        raise MessageError("MRG", "no MRG follows a PID", "send the patient who survives, then the prior id", "100")
    return tuple(found)


def _visits(message: Message, sender: Sender, revision: int) -> tuple[Statement, ...]:
    """Return for each PID what the MRG behind it says of its visit; PV1 may follow the MRG."""
    groups: list[dict[str, list[str]]] = []
    for segment in message.segments:
        if segment[0] == "PID":
            groups.append({"MSH": message.segments[0]})
        if groups:
            groups[-1].setdefault(segment[0], segment)
    found = []
    for group in groups:
        scope = _scope(message, group)
        assert sender.identity is not None
        assert sender.identity.prior_visit is not None
        prior, visit = sender.identity.prior_visit(scope) if "MRG" in group else "", sender.account(scope)
        if not prior or not visit:
            place, what = ("PV1-19", "visit") if prior else ("MRG", "prior visit")
            raise MessageError(place, f"the {what} is missing", f"send it where {sender.file} says", "101")
        if prior != visit:
            found.append(Statement("visit", _patient(scope, sender), "", visit, "", "", revision, prior))
    return tuple(found)


def _patient(scope: Scope, sender: Sender) -> str:
    patient = sender.patient(scope)
    if not patient:
        raise MessageError("PID-3", "the patient's id is missing", f"send it where {sender.file} says", "101")
    return patient


def _scope(message: Message, named: dict[str, list[str]]) -> Scope:
    scope = Scope(message.delimiters, [])
    scope.named = named
    return scope
