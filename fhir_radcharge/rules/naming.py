"""Tells events apart that several senders gave one id: an id is unique only within its sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_radcharge.model import TreatmentEvent

# The facts by which an event names another one of its own sender.
REFERRING = ("of", "fraction")


def told_apart(events: Sequence[TreatmentEvent]) -> tuple[Sequence[TreatmentEvent], Mapping[str, str]]:
    """Return events of which no two of different senders have one id, and the id that was told by each new one.

    Of several senders the first in the alphabet keeps its ids. Where nothing collides, as nearly always, the events
    are returned as they are.
    """
    if len({event.id for event in events}) == len(events):
        return events, {}
    owner: dict[str, str] = {}
    for event in events:
        owner[event.id] = min(event.source, owner.get(event.id, event.source))
    bare = {_new(e.source, e.id): e.id for e in events if e.source != owner[e.id]}
    return [_named(event, bare) for event in events] if bare else events, bare


def _new(source: str, name: str) -> str:
    return f"{name} of {source}"


def _named(event: TreatmentEvent, bare: Mapping[str, str]) -> TreatmentEvent:
    facts = {
        key: _new(event.source, str(event.facts[key]))
        for key in REFERRING
        if key in event.facts and _new(event.source, str(event.facts[key])) in bare
    }
    name = _new(event.source, event.id)
    if name not in bare and not facts:
        return event
    return event._replace(id=name if name in bare else event.id, facts={**event.facts, **facts})
