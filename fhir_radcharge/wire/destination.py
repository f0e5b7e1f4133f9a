"""What is known of one billing system that takes HL7: its profile, checked and ready to write to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fhir_radcharge.chargemaster import Row
from fhir_radcharge.model import Bill, Posting
from fhir_radcharge.wire.ack import refused_lines
from fhir_radcharge.wire.er7 import Delimiters, Message

CreditStyle = Literal["cd_same_id", "cd_new_id", "cr", "negative_quantity", "credit_and_charge"]
OnAmbiguous = Literal["hold", "resend", "query"]
AnswerKind = Literal["accepted", "refused", "not_taken"]


class Said(NamedTuple):
    """One posting on its way out, with all that its fields may be filled from."""

    posting: Posting
    row: Row | None
    ft1: Sequence[str]
    heard: Message
    destination: Destination
    number: int


Write = Callable[[Said], str]


class Template(NamedTuple):
    """One segment that is written for each posting: its name, its width, and what fills each field.

    A field that only counts (a set id) tells nothing: a segment in which no other field is filled is left out.
    """

    name: str
    width: int
    fields: tuple[tuple[int, Write, bool], ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """One billing system as this site writes to it.

    `bills` are the bills it takes, `connections` how many it accepts at once, `on_ambiguous` what happens to a
    message that was not answered, `needs_charge_code` whether a line without a charge code is held, `refuses` whether
    a refusal that names lines (ERR) leaves the other lines of its message taken.
    """

    name: str
    file: str
    digest: str
    bills: tuple[Bill, ...]
    connections: int
    on_ambiguous: OnAmbiguous
    accepted: frozenset[str]
    refused: frozenset[str]
    not_taken: frozenset[str]
    needs_charge_code: bool
    per_message: Literal["one", "many"]
    refuses: Literal["messages", "lines"]
    credit: CreditStyle
    charge_type: str
    credit_type: str
    delimiters: Delimiters
    version: str
    codec: str
    currency: str
    header_start: str
    header_end: str
    trigger: str
    before: frozenset[str]
    after: frozenset[str]
    templates: tuple[Template, ...]
    dates_in_note: bool

    def answer_kind(self, code: str) -> AnswerKind | None:
        """Return what an MSA-1 code of this receiver means; None for a code that its profile does not name."""
        if code in self.accepted:
            return "accepted"
        if code in self.refused:
            return "refused"
        return "not_taken" if code in self.not_taken else None

    def refused_lines(self, answer: bytes) -> frozenset[int]:
        """Return which lines of a message, counted from 1, a refusal is about; none: about all of it."""
        return refused_lines(answer) if self.refuses == "lines" else frozenset()
