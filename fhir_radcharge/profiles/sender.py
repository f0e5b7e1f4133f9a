"""The form of a sender profile as it is written: checked when it is read, before anything is compiled from it."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field

from fhir_radcharge.model import Kind
from fhir_radcharge.tables.strict_yaml import Code, Strict
from fhir_radcharge.wire.sender import BookedType, Direction, ForeignCodes


class MatchRow(Strict):
    """Which messages this sender's are: MSH-3 and MSH-4, `*` for any."""

    application: str
    facility: str


class MappedRow(Strict):
    """A value that is looked up, and what none sent means."""

    from_: tuple[str, ...] = Field(alias="from")
    values: dict[str, Literal["outpatient", "inpatient"]]
    absent: Literal["refuse", "outpatient", "inpatient"]


class PayerRow(Strict):
    """Where the plan stands, and the profile that none sent means."""

    from_: tuple[str, ...] = Field(alias="from")
    absent: str


class MessageRow(Strict):
    """What the message says once for all its lines."""

    patient: tuple[str, ...] = Field(min_length=1)
    account: tuple[str, ...]
    patient_class: MappedRow
    payer: PayerRow


class RevisionRow(Strict):
    """What orders the sayings about one event."""

    number: tuple[str, ...]
    time: tuple[str, ...] = Field(min_length=1)


class QuantityRow(Strict):
    """Where the units stand, and whether none sent means one."""

    from_: str = Field(alias="from")
    absent: Literal["refuse", "one"]


class LineRow(Strict):
    """Where an FT1 and the segments that it owns say what."""

    id: tuple[str, ...] = Field(min_length=1)
    revision: RevisionRow
    type: str
    types: dict[str, Direction]
    negative_quantity: Literal["credit", "refuse"]
    quantity: QuantityRow
    activity: tuple[str, ...] = Field(min_length=1)
    start: tuple[str, ...] = Field(min_length=1)
    course: tuple[str, ...]
    order: tuple[str, ...]
    code: tuple[str, ...]
    modifiers: str
    rendering: tuple[str, ...]
    ordering: tuple[str, ...]
    diagnosis: tuple[str, ...]
    authorization: tuple[str, ...]
    location: tuple[str, ...]


class KeysRow(Strict):
    """The Z segment whose fields are KEY=VALUE."""

    segment: str = Field(pattern=r"Z[A-Z0-9]{2}")
    first: int = Field(ge=1, le=99)
    ignored: tuple[str, ...]


class TextRow(Strict):
    """A text and the shape in which it holds values."""

    from_: str = Field(alias="from")
    like: str


class FactRow(Strict):
    """Where a fact stands and what the sender's words for it mean."""

    from_: tuple[str, ...] = Field(alias="from", min_length=1)
    values: Any = None
    suffixes: tuple[str, ...] = ()
    separator: str = Field(default=",", min_length=1, max_length=1)
    lower: bool = False


class StatesRow(Strict):
    """A complexity or level that an activity states, dated."""

    from_: date = Field(alias="from")
    to: date | None = None
    complexity: Literal["simple", "simple_compensated", "intermediate", "complex"] | None = None
    level: int | None = Field(default=None, ge=1, le=3)


class ActivityRow(Strict):
    """What an activity code says happened."""

    kind: Kind | Literal["ignored"]
    facts: Any = None
    states: tuple[StatesRow, ...] = ()
    code: Code | None = None


class IdentityRow(Strict):
    """Which ADT messages are taken: two records are one patient (`merges`), a visit is insured (`updates`), or a visit
    has become another (`visits`)."""

    merges: tuple[Literal["A34", "A36", "A40"], ...] = ()
    updates: tuple[Literal["A01", "A04", "A05", "A08", "A31"], ...] = ()
    visits: tuple[Literal["A35", "A41", "A42", "A49", "A50"], ...] = ()
    prior: tuple[str, ...] = Field(min_length=1)
    prior_visit: tuple[str, ...] = ()


class SenderFile(Strict):
    """A whole sender profile."""

    sender: str = Field(pattern=r"[a-z][a-z0-9_]*")
    match: MatchRow
    charset: str | None
    control_ids: Literal["unique", "reused"]
    answers: Literal["as_asked", "original"]
    zone: str
    foreign_codes: ForeignCodes
    books: tuple[BookedType, ...]
    requires: tuple[Literal["diagnosis", "rendering_npi", "ordering_npi", "authorization"], ...]
    message: MessageRow
    line: LineRow
    identity: IdentityRow | None = None
    keys: KeysRow | None = None
    texts: tuple[TextRow, ...] = ()
    vocabularies: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, FactRow]
    activities: dict[str, ActivityRow]
