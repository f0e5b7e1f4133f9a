"""The nouns: what happened, what is due, what was said, each valid because it exists.

Plain immutable tuples, so that a year of a large site fits through one core. Dates are facility-local dates;
a clock time is minutes after local midnight, or None where the sender gives a date alone. No noun carries a
name, a birth date or a record number: these stay in the message, which is named by its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, NamedTuple

Bill = Literal["global", "facility", "professional"]
Setting = Literal["freestanding", "hospital", "unknown"]
Campus = Literal["on", "off_excepted", "off_nonexcepted"]
Ownership = Literal["single", "split"]
PatientClass = Literal["outpatient", "inpatient"]
Kind = Literal[
    "fraction", "guidance", "port_image", "approval", "exam", "physics_check", "service", "reported",
    "course_closed", "prescription", "supplied", "release", "course",
]
PostingKind = Literal["CHARGE", "CREDIT"]

BILLS: tuple[Bill, ...] = ("global", "facility", "professional")
MISSABLE = ("diagnosis", "rendering_npi", "ordering_npi", "authorization")


class Place(NamedTuple):
    """Where a session was given and how its bills are split: what `settings.yaml` says of a location."""

    setting: Setting = "unknown"
    campus: Campus = "on"
    ownership: Ownership = "single"


class Reported(NamedTuple):
    """The sender's own charge code on a line: evidence, never a charge where the engine computes the code."""

    code: str
    modifiers: tuple[str, ...] = ()
    units: int | None = None


class TreatmentEvent(NamedTuple):
    """One thing that a record-and-verify system says happened, at one revision.

    `id` is the sender's and unique within `source`. `revision` orders the sayings about one id: the greatest
    stands, never the latest to arrive. `facts` are what a rule may ask, by the names of the case format;
    absent means not stated. `lacks` are the items of MISSABLE that the message should have carried and did not.
    """

    source: str
    id: str
    kind: Kind
    day: date
    minute: int | None = None
    course: str | None = None
    facts: Mapping[str, Any] = {}
    place: Place = Place()
    patient_class: PatientClass = "outpatient"
    payer: str | None = None
    reported: Reported | None = None
    provider: str | None = None
    lacks: frozenset[str] = frozenset()
    revision: tuple[Any, ...] = ()
    voided: bool = False
    message: int = 0

    @property
    def when(self) -> tuple[date, int]:
        """The start, as something that sorts: a date alone counts as midnight."""
        return self.day, self.minute or 0


class Why(NamedTuple):
    """One step of a decision: the table row that answered, and the facts and knobs it was asked with."""

    table: str
    row: str
    asked: tuple[tuple[str, str], ...] = ()


class Charge(NamedTuple):
    """One billable line that is due, or held with its reason.

    `slot` names the counted unit (`management/C1/3`) that the line is, where it is one: its date may move while
    it stays the same unit; with `keeps_date` (knob `redate_posted: false`) a sent unit keeps its sent date.
    `dated_by` is the event whose patient, visit and insurance the line carries.
    """

    bill: Bill
    course: str
    code: str
    modifiers: tuple[str, ...]
    day: date
    end: date | None
    units: int
    place_of_service: str
    provider: str | None
    packaged: bool
    hold: str | None
    family: str
    slot: str
    dated_by: str
    events: tuple[str, ...]
    why: tuple[Why, ...]
    note: str = ""
    keeps_date: bool = False


class Flag(NamedTuple):
    """A work item without a charge: lines go on, somebody looks."""

    reason: str
    course: str
    day: date | None
    events: tuple[str, ...]
    note: str = ""


class Due(NamedTuple):
    """All that a patient's events make due: lines in the order of service, work items, and the next date on
    which the answer may change although nothing is heard (None: never)."""

    charges: tuple[Charge, ...]
    flags: tuple[Flag, ...]
    wakes: date | None = None


class Standing(NamedTuple):
    """A charge posting that was said to a destination and not since wholly credited."""

    posting: str
    bill: Bill
    course: str
    code: str
    modifiers: tuple[str, ...]
    day: date
    end: date | None
    units: int
    place_of_service: str
    provider: str | None
    packaged: bool
    slot: str
    account: str = ""
    dated_by: str = ""


class Correction(NamedTuple):
    """One credit or charge that brings what stands nearer to what is due.

    A credit names the posting it takes back and its units; a charge carries its line. `cause` is what a
    person reads: `new`, `gone`, `moved`, `units`, `held`, `account`.
    """

    kind: PostingKind
    units: int
    cause: str
    charge: Charge | None = None
    credits: Standing | None = None


class Corrections(NamedTuple):
    """What to say, in order, and the work items that arise from keeping what was said."""

    corrections: tuple[Correction, ...]
    flags: tuple[Flag, ...]


class Posting(NamedTuple):
    """One charge or credit said to a destination, with the id that it keeps for ever.

    `line` is the billed line (for a credit, the line taken back), `units` this posting's own units, `credits`
    the id of the charge posting that a credit takes back, `message` the number of the stored message whose
    patient, visit and insurance it carries, `posted` the facility date on which it was first written.
    `negative`: the payer wants the quantity of this credit with a minus sign.
    """

    id: str
    kind: PostingKind
    destination: str
    line: Charge
    units: int
    credits: str | None
    message: int
    posted: date
    negative: bool = False
