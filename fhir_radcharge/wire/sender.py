"""What is known of one sender: its profile, checked and turned into functions, ready to read its messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, NamedTuple

from fhir_radcharge.model import Kind
from fhir_radcharge.wire.er7 import Delimiters
from fhir_radcharge.wire.facts import Convert
from fhir_radcharge.wire.paths import Read, Scope, leaf
from fhir_radcharge.wire.times import Zone

# The types that may have FT1. A listener takes DFT alone; the others are read from archives.
BookedType = Literal["DFT", "ORM", "OMD", "OMG", "OMI", "OML", "OMN", "OMP", "OMS", "ORU", "RDE", "RDS"]
Direction = Literal["charge", "credit", "held", "ignored"]
ForeignCodes = Literal["hold", "pass", "drop"]
Like = Callable[[str], dict[str, str] | None]

_KNOWN_MAX = 5_000


class States(NamedTuple):
    """The complexity or level that an activity code states, on the dates of service for which it states it."""

    first: date
    last: date | None
    fact: Literal["complexity", "level"]
    value: str | int


class Activity(NamedTuple):
    """What one of the sender's activity codes says happened; no kind: another line already says it."""

    kind: Kind | None
    facts: Mapping[str, Any]
    states: tuple[States, ...]
    code: str | None


class Fact(NamedTuple):
    """One fact: what its text means, `known` what was looked up before; `first` reads it where paths compete."""

    name: str
    known: Mapping[str, Any]
    convert: Convert
    first: Read | None


class FactSources(NamedTuple):
    """The facts that an event of one kind may have, by where they stand."""

    any: bool
    by_key: Mapping[str, Fact]
    by_observation: Mapping[str, Fact]
    by_capture: Mapping[str, Fact]
    elsewhere: tuple[Fact, ...]


class TextSource(NamedTuple):
    """A text that a person could read, and the shapes in which it may hold values, tried in order."""

    field: int
    component: int
    likes: tuple[Like, ...]
    known: dict[str, dict[str, str]]

    def capture(self, segment: list[str], d: Delimiters, captured: Mapping[str, str]) -> Mapping[str, str]:
        """Return what was captured before, with what this segment's text holds."""
        if self.field >= len(segment):
            return captured
        text = leaf(segment[self.field], d, self.component)
        found = self.known.get(text)
        if found is None:
            found = next((values for like in self.likes if (values := like(text)) is not None), {})
            if len(self.known) < _KNOWN_MAX:
                self.known[text] = found
        return {**found, **captured} if captured else found


class Mapped(NamedTuple):
    """A value read from the message and looked up; `absent` is what none sent means, None that it is refused."""

    read: Read
    values: Mapping[str, str]
    absent: str | None


class Lacking(NamedTuple):
    """An item that a chargeable line must carry, and where it stands."""

    item: str
    told: Callable[[Scope], bool]


class Identity(NamedTuple):
    """Which ADT messages say that two records are one patient, who pays for a visit, or that a visit is another.

    `prior` is where the prior id of the patient stands, `prior_visit` that of the visit.
    """

    merges: frozenset[str]
    updates: frozenset[str]
    visits: frozenset[str]
    prior: Read
    prior_visit: Read | None

    @property
    def triggers(self) -> frozenset[str]:
        """Return every trigger that is taken."""
        return self.merges | self.updates | self.visits


@dataclass(frozen=True, slots=True)
class Sender:
    """One record-and-verify system as this site hears it.

    `name` is the `source` of its events, `file` the profile named in every remedy. `digest` identifies the
    profile's bytes, which events keep beside them.
    """

    name: str
    file: str
    digest: str
    application: str
    facility: str
    charset: str | None
    control_ids: Literal["unique", "reused"]
    answers: Literal["as_asked", "original"]
    foreign_codes: ForeignCodes
    books: frozenset[str]
    zone: Zone
    patient: Read
    account: Read
    patient_class: Mapped
    payer: tuple[Read, ...]
    payer_absent: str
    payer_per_line: bool
    id: Read
    id_place: str
    revision_number: Read | None
    revision_time: Read
    revision_per_line: bool
    type: Read
    type_place: str
    types: Mapping[str, Direction]
    negative_is_credit: bool
    quantity: Read
    quantity_place: str
    quantity_2_1: Read
    quantity_absent_is_one: bool
    activity: Read
    activity_place: str
    activities: Mapping[str, Activity]
    start: Read
    start_place: str
    course: Read
    code: Read
    modifiers: Callable[[Scope], tuple[str, ...]]
    rendering: Read
    location: tuple[Read, ...]
    lacking: tuple[Lacking, ...]
    key_segment: str
    key_first: int
    keys_known: frozenset[str]
    observations: frozenset[str]
    texts: Mapping[str, tuple[TextSource, ...]]
    facts: Mapping[str, FactSources]
    identity: Identity | None = None
