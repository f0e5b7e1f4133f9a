"""Turns case files into the verdicts of `verify`, each event said as FHIR and read again before it is charged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from fhir_radcharge.cases.as_fhir import ACTIVITIES, CPT, HCPCS, NOT_SENT, PAYERS, PLACES, said, sayable
from fhir_radcharge.errors import ConfigError, RuleError
from fhir_radcharge.model import Due, TreatmentEvent
from fhir_radcharge.places import PlaceRow, Plans, Settings
from fhir_radcharge.plural import number_of
from fhir_radcharge.profiles.fhir import FhirSite
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.verify import CaseResult, CaseTables, verify
from fhir_radcharge.wire.fhir.events import readings
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import read

SENDER = "rv_fhir"
# Not of the sending: what the books and the case say of an event.
_OF_THE_BOOKS = ("source", "revision", "message", "lacks")


class Verdict(NamedTuple):
    """The verdict on one run of a case, and the events in it that FHIR does not say and the case itself told."""

    result: CaseResult
    unsaid: tuple[str, ...]


def verify_as_fhir(paths: Iterable[Path], rulebook: Rulebook, fhir: FhirSite) -> Iterator[Verdict]:
    """Yield a verdict for each run of each case; raise TableError for a wrong form, ConfigError without rv_fhir."""
    if SENDER not in fhir.senders:
        raise ConfigError(f"mappings/fhir/senders has no {SENDER}, in whose layout cases are said as FHIR")
    through = ThroughFhir(fhir)
    for result in verify(paths, rulebook, through):
        yield Verdict(result, through.unsaid())


class ThroughFhir:
    """Computes what is due of events that were said as FHIR and read again, and remembers those that were not said."""

    def __init__(self, fhir: FhirSite) -> None:
        self._tables = fhir.tables
        self._sender = fhir.senders[SENDER]
        self._zone = ZoneInfo(self._sender.profile.zone)
        self._site = _Places({name: (PlaceRow(date.min, None, place),) for name, place in PLACES.items()})
        self._read: dict[str, TreatmentEvent] = {}
        self._unsaid: dict[str, None] = {}

    def __call__(
        self,
        events: Sequence[TreatmentEvent],
        rulebook: Rulebook,
        as_of: date | None = None,
        assume: frozenset[str] = frozenset(),
        tables: CaseTables | None = None,
    ) -> Due:
        """Return all that the events make due; raise RuleError for one that is read otherwise than it was said."""
        return charges_due(tuple(map(self._heard, events)), rulebook, as_of, assume, tables)

    def unsaid(self) -> tuple[str, ...]:
        """Return the events that could not be said since this was last asked, each as its kind and id."""
        found, self._unsaid = tuple(self._unsaid), {}
        return found

    def _heard(self, event: TreatmentEvent) -> TreatmentEvent:
        if event.kind in NOT_SENT:
            return event
        if not sayable(event):
            self._unsaid[f"{event.kind} {event.id}"] = None
            return event
        key = repr(event)
        if key not in self._read:
            self._read[key] = self._through(event)
        return self._read[key]

    def _through(self, event: TreatmentEvent) -> TreatmentEvent:
        raw = json.dumps(said(event, self._zone)).encode()
        found = readings(read(raw), _of(self._sender, event), self._tables, self._site, 0)
        problems = [str(problem) for one in found for problem in one.problems]
        heard = [one for reading in found for one in reading.events if one.id == event.id]
        if problems or len(heard) != 1:
            raise RuleError(f"event {event.id}, said as FHIR, is not read: {'; '.join(problems) or 'no such event'}")
        kept = {name: getattr(event, name) for name in _OF_THE_BOOKS}
        back = heard[0]._replace(**kept, facts=_listed(heard[0].facts))
        wanted = event._replace(facts=_listed(event.facts))
        other = [name for name in event._fields if getattr(back, name) != getattr(wanted, name)]
        # A void says no more than its id.
        if event.voided and back.voided:
            return event
        if other:
            raise RuleError(f"event {event.id}, said as FHIR, is read with another {', '.join(other)}")
        return back


def report(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Yield one line for each case, what differs and what was not said below it, and a summary at the end."""
    cases = differing = partly = 0
    for name, group in groupby(verdicts, key=lambda one: one.result.id):
        found = list(group)
        told = [f"  run {one.result.run}: {said}" for one in found for said in one.result.differences]
        unsaid = list(dict.fromkeys(said for one in found for said in one.unsaid))
        cases, differing, partly = cases + 1, differing + bool(told), partly + bool(unsaid)
        yield f"{name}  {'DIFFERS' if told else 'partly' if unsaid else 'ok'}"
        yield from told
        if unsaid:
            yield f"  not said as FHIR, taken from the case: {', '.join(unsaid)}"
    whole = cases - partly
    yield f"{number_of(cases, 'case')} as FHIR, {whole} said whole, {partly} in part, {differing or 'none'} differing"


class _Places:
    """The site of a case: places by their words, and no plan."""

    def __init__(self, rows: dict[str, tuple[PlaceRow, ...]]) -> None:
        self.settings = Settings(rows)
        self.payers = Plans({})


def _of(sender: Sender, event: TreatmentEvent) -> Sender:
    """Return the sender with the case's payer, an activity that ends a course, and charge lines of its own."""
    profile = sender.profile
    payers = {f"{PAYERS}|{event.payer}": event.payer} if event.payer else {}
    changes: dict[str, Any] = {"payers": payers, "payer_absent": None, "requires": frozenset()}
    if event.kind == "reported":
        own = {"how": "reported", "code_systems": (CPT, HCPCS)}
        changes["charge_items"] = profile.charge_items.model_copy(update=own)
    closing: dict[str, Any] = {ACTIVITIES["course_closed"]: ("course_closed", {})}
    return sender._replace(profile=profile.model_copy(update=changes), activities={**sender.activities, **closing})


def _listed(facts: Any) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
