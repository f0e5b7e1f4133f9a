"""What one FHIR sender means where FHIR leaves it open, as its profile in mappings/fhir/senders declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from fhir_radcharge.wire.fhir.declared import Code, Declared
from fhir_radcharge.wire.fhir.schema import Release
from fhir_radcharge.wire.fhir.tables import Modality
from fhir_radcharge.wire.times import Zone

ProcedureStatus = Literal[
    "preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "entered-in-error", "unknown"
]
ChargeStatus = Literal[
    "planned", "billable", "not-billable", "aborted", "billed", "entered-in-error", "unknown"
]  # fmt: skip


ActivityKind = Literal[
    "fraction", "guidance", "port_image", "approval", "exam", "physics_check", "service", "course_closed"
]


class Activity(Declared):
    """What one activity code of the sender says happened."""

    kind: ActivityKind
    facts: Any = Field(default_factory=dict)


class Image(Declared):
    """What this sender means by an imaging code, before guidance.yaml is asked."""

    kind: Literal["guidance", "port_image", "none"]
    modality: Modality | None = None


class PatientIdentity(Declared):
    """Which identifier systems name the patient, in order, and whether a bare reference may."""

    systems: tuple[str, ...]
    reference: bool


class ChargeItems(Declared):
    """How the sender's ChargeItems are read.

    `as`: `reported` (the sender's own charge code is evidence), `activity` (the code says what was done), or
    `refuse`. `negative`: whether a negative quantity takes back the item that one of `original` extensions or
    `partOf` names.
    """

    how: Literal["reported", "activity", "refuse"] = Field(alias="as")
    code_systems: tuple[str, ...] = ()
    modifier_url: str | None = None
    negative: Literal["credit", "refuse"]
    original: tuple[str, ...] = ()
    activities: Mapping[Code, Activity] = Field(default_factory=dict)
    foreign_codes: Literal["hold", "pass", "drop"] = "hold"


class FhirSender(Declared):
    """One FHIR sender, as its profile says; nothing in it has a default where money is concerned."""

    sender: str
    release: Release
    zone: str
    patient: PatientIdentity
    account: tuple[str, ...]
    event_id: tuple[str, ...]
    course: tuple[str, ...]
    plan: tuple[str, ...]
    location: tuple[str, ...]
    payers: Mapping[str, str]
    payer_absent: str | None
    patient_classes: Mapping[str, Literal["outpatient", "inpatient"]]
    patient_class_absent: Literal["outpatient", "inpatient", "refuse"]
    requires: frozenset[Literal["diagnosis", "rendering_npi", "ordering_npi", "authorization"]]
    procedure_status: Mapping[ProcedureStatus, Literal["done", "by_dose", "void", "refuse"]]
    charge_status: Mapping[ChargeStatus, Literal["done", "void", "refuse"]]
    charge_items: ChargeItems
    guidance: Mapping[Code, Image] = Field(default_factory=dict)


class Sender(NamedTuple):
    """A FhirSender with what is computed once: its zone, and the facts of its activities as plain values."""

    profile: FhirSender
    zone: Zone
    activities: Mapping[str, tuple[ActivityKind, Mapping[str, Any]]]

    @property
    def name(self) -> str:
        """The name that its events carry as their source."""
        return self.profile.sender
