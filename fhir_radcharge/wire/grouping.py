"""Turns the segments of a message into what each FT1 may read: its own, and those that the message shares.

Each FT1 owns the OBX, NTE, PR1 and Z segments that follow it up to the next FT1. Patient, visit, insurance and
diagnoses after the last FT1 of a P03 are the message's again; inside a P11 they belong to the FT1 before them.
"""

from __future__ import annotations

from typing import NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.er7 import Delimiters, Message
from fhir_radcharge.wire.facts import shown
from fhir_radcharge.wire.paths import Scope, leaf
from fhir_radcharge.wire.sender import Sender

Segment = list[str]

_ALWAYS_SHARED = frozenset({"PID", "PD1", "PV1", "PV2", "EVN", "ACC"})
_SHARED_IN_P03 = _ALWAYS_SHARED | {"DG1", "DRG", "GT1", "IN1", "IN2", "IN3"}
_DELETED = frozenset({"D", "X", "W"})  # HL7 table 0085: deleted, no result, wrong


class Grouped(NamedTuple):
    """The first of each shared segment, the shared observations, and each FT1 with the segments it owns."""

    named: dict[str, Segment]
    observed: dict[str, str]
    groups: list[list[Segment]]


def grouped(message: Message, sender: Sender) -> Grouped:
    """Return the segments of a message by owner; raise MessageError if it says one fact twice, differently."""
    named: dict[str, Segment] = {}
    observed: dict[str, str] = {}
    groups: list[list[Segment]] = []
    header = message.segments[0]
    shared = _ALWAYS_SHARED if len(header) > 9 and "P11" in header[9] else _SHARED_IN_P03
    current: list[Segment] | None = None
    for segment in message.segments:
        name = segment[0]
        if name == "FT1":
            current = [segment]
            groups.append(current)
        elif current is not None and name not in shared:
            current.append(segment)
        elif name == "OBX":
            _observe(observed, segment, message.delimiters, sender)
        elif name not in named:
            named[name] = segment
    return Grouped(named, observed, groups)


def scope_of(
    group: list[Segment], everything: Grouped, sender: Sender, d: Delimiters, notices: list[str]
) -> Scope:
    """Return what one FT1 may read; raise MessageError if it says one thing twice, differently."""
    scope = Scope(d, group[0])
    own: dict[str, Segment] = {}
    observed: dict[str, str] = {}
    texts = sender.texts
    for segment in group:
        name = segment[0]
        if name == "OBX":
            _observe(observed, segment, d, sender)
        elif name not in own:
            own[name] = segment
            if name == sender.key_segment:
                scope.keys = _keys(segment, sender, notices)
        if name in texts:
            for source in texts[name]:
                scope.captured = source.capture(segment, d, scope.captured)
    # A line's own observation goes before the message's.
    scope.observed = {**everything.observed, **observed} if everything.observed else observed
    scope.own, scope.named = own, everything.named
    return scope


def shared_scope(everything: Grouped, d: Delimiters) -> Scope:
    """Return what the message as a whole may read."""
    scope = Scope(d, [])
    scope.named, scope.observed = everything.named, everything.observed
    return scope


def _observe(observed: dict[str, str], segment: Segment, d: Delimiters, sender: Sender) -> None:
    if len(segment) < 6 or (len(segment) > 11 and segment[11] in _DELETED):
        return
    name, value = segment[3], segment[5]
    if not name.isalnum():
        name = leaf(name, d)
    if name in sender.observations and value and observed.setdefault(name, value) != value:
        raise MessageError(f"OBX:{shown(name)}", "is stated twice, differently", "send it once", "207")


def _keys(segment: Segment, sender: Sender, notices: list[str]) -> dict[str, str]:
    pairs = [field.partition("=") for field in segment[sender.key_first :] if field]
    keys = {key: value for key, _, value in pairs}
    if len(keys) != len(pairs):
        _refuse_contradictions(segment[0], pairs)
    if not sender.keys_known.issuperset(keys):
        for key, found, _ in pairs:
            if not found:
                notices.append(f"field_without_key: {segment[0]}")
            elif key not in sender.keys_known:
                notices.append(f"key_not_read: {segment[0]}:{shown(key)}")
    return keys


def _refuse_contradictions(name: str, pairs: list[tuple[str, str, str]]) -> None:
    told: dict[str, str] = {}
    for key, _, value in pairs:
        if told.setdefault(key, value) != value:
            raise MessageError(f"{name}:{shown(key)}", "is stated twice, differently", "send it once", "207")
