"""Turns the YAML of mappings/fhir/senders into senders: what one of them means where FHIR leaves it open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from fhir_radcharge.errors import TableError
from fhir_radcharge.strict_yaml import Code, Row, Strict, typed, validated
from fhir_radcharge.wire.fhir.schema import Release
from fhir_radcharge.wire.fhir.tables import Modality
from fhir_radcharge.wire.times import Zone

ProcedureStatus = Literal[
    "preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "entered-in-error", "unknown"
]
ChargeStatus = Literal[
    "planned", "billable", "not-billable", "aborted", "billed", "entered-in-error", "unknown"
]  # fmt: skip


ActivityKind = Literal["fraction", "guidance", "port_image", "exam", "physics_check", "service", "course_closed"]


class Activity(Strict):
    """What one activity code of the sender says happened."""

    kind: ActivityKind
    facts: Any = Field(default_factory=dict)


class Image(Strict):
    """What this sender means by an imaging code, before guidance.yaml is asked."""

    kind: Literal["guidance", "port_image", "none"]
    modality: Modality | None = None


class PatientIdentity(Strict):
    """Which identifier systems name the patient, in order, and whether a bare reference may."""

    systems: tuple[str, ...]
    reference: bool


class ChargeItems(Strict):
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


class FhirSender(Strict):
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


def sender_from(data: Any, name: str, zone_named: Callable[[str], Zone]) -> Sender:
    """Return the sender of one parsed YAML file; raise TableError with file and line."""
    profile = validated(FhirSender, data, name)
    _complete(profile.procedure_status, ProcedureStatus, data, name, "procedure_status")
    _complete(profile.charge_status, ChargeStatus, data, name, "charge_status")
    try:
        zone = zone_named(profile.zone)
    except ValueError as error:
        raise TableError(f"{name}:{_line(data, 'zone')}: {error}") from error
    activities = {
        str(code): (activity.kind, {str(key): value for key, value in typed(activity.facts).items()})
        for code, activity in profile.charge_items.activities.items()
    }
    return Sender(profile, zone, activities)


def _complete(given: Mapping[Any, Any], wanted: Any, data: Any, name: str, key: str) -> None:
    missing = [status for status in wanted.__args__ if status not in given]
    if missing:
        raise TableError(f"{name}:{_line(data, key)}: {key} does not say what '{missing[0]}' means; add it")


def _line(data: Any, key: str) -> int:
    return int(data.lines.get(key, data.line)) if isinstance(data, Row) else 1
