"""Stored messages and today's profiles into what would be said otherwise than the books have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from fhir_radcharge.engine.fhir_reading import readings_of
from fhir_radcharge.engine.reading import Told, tell
from fhir_radcharge.errors import MessageError
from fhir_radcharge.explain.words import changes_words
from fhir_radcharge.ledger.codec import read_event, revision_order
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.site import Site

Read = Callable[[str, Sequence[Any]], list[Any]]
_SAYINGS = "select revision, voided, content, source, event_id, kind, message, body from event where key = ?"


class Reread(NamedTuple):
    """One event that a message says otherwise now: what is different in words, and the saying to be appended.

    A changed saying ranks above the one that the message gave before and below any later one of the sender; one
    that the message no longer gives is voided in the same way.
    """

    message: int
    what: Literal["new", "changed", "gone"]
    changes: tuple[str, ...]
    event: TreatmentEvent
    patient: str
    account: str


def rereadings(read: Read, site: Site, after: int, upto: int, edition: int) -> Iterator[Reread]:
    """Yield how messages with numbers over `after` and up to `upto` differ; one that cannot be read says nothing."""
    rows = read(
        "select number, raw from message where number > ? and number <= ? and disposition = 'taken' order by number",
        (after, upto),
    )
    for number, raw in rows:
        try:
            readings = readings_of(raw, site, number)
        except MessageError:
            continue
        every = [tell(event, one.patient, one.account) for one in readings for event in one.events]
        said = {told.key: told for told in every}
        for told in said.values():
            found = _difference(read, told, number, edition)
            if found is not None:
                yield found
        if len(readings) == 1 and not readings[0].problems:
            # Of several patients in one message nobody can say whose an event was that is no longer told.
            yield from _gone(read, set(said), number, edition, readings[0].patient, readings[0].account)


def _difference(read: Read, told: Told, number: int, edition: int) -> Reread | None:
    rows = read(_SAYINGS, (told.key,))
    base = told.event.revision
    # What this message said before, or an earlier one that it only repeated.
    mine = [row for row in rows if row[6] == number] or [row for row in rows if _of(row).revision[: len(base)] == base]
    if not mine:
        return Reread(number, "changed" if rows else "new", (), told.event, told.patient, told.account)
    before = max(mine, key=lambda row: revision_order(row[0], bool(row[1]), row[2]))
    if before[2] == told.content:
        return None
    event = told.event._replace(revision=(*base, edition))
    # The account and the patient stand in the books as hashes, so only that they differ can be told.
    changes = ["patient or account"] if before[7] == told.body else changes_words(before[7], told.body)
    if bool(before[1]) != told.event.voided:
        changes.insert(0, "voided" if told.event.voided else "not voided")
    return Reread(number, "changed", tuple(changes), event, told.patient, told.account)


def _gone(read: Read, said: set[bytes], number: int, edition: int, patient: str, account: str) -> Iterator[Reread]:
    for (key,) in read("select distinct key from event where message = ?", (number,)):
        if key in said:
            continue
        mine = [row for row in read(_SAYINGS, (key,)) if row[6] == number]
        before = max(mine, key=lambda row: revision_order(row[0], bool(row[1]), row[2]))
        if not before[1]:
            event = _of(before)
            yield Reread(
                number, "gone", (), event._replace(voided=True, revision=(*event.revision, edition)), patient, account
            )


def _of(row: Sequence[Any]) -> TreatmentEvent:
    revision, voided, _, source, event_id, kind, message, body = row
    return read_event(source, event_id, kind, revision, voided, message, body)
