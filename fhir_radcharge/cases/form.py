"""The form of a case file: strict models, one for each kind of event, that refuse a key they do not know."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Field

from fhir_radcharge.cases.values import (
    CodeText,
    Counted,
    Day,
    Kept,
    Modifier,
    Moment,
    Name,
    Number,
    Times,
    Truth,
    When,
    Whole,
    whole,
)
from fhir_radcharge.rules.catalogue import FAMILIES
from fhir_radcharge.tables.strict_yaml import Rows, Strict

BILLS = {"freestanding": "global", "hospital": "facility", "physician": "professional"}
Assumed = Literal["exams", "physics", "approvals"]
Missing = Literal["diagnosis", "rendering_npi", "ordering_npi", "authorization"]
PatientClass = Literal["outpatient", "inpatient"]
Approver = Literal["physician", "other"]
Family = Literal[
    "delivery", "stereotactic", "superficial", "brachytherapy", "particle", "intraoperative",
    "guidance", "port", "management", "physics", "planning", "device",
]
assert get_args(Family) == FAMILIES

# Stands where a key was not stated; never read, since `facts` gives only what was.
UNSTATED: Any = None


class EventForm(Strict):
    """What every event may state."""

    kind: Name
    id: Name | None = None
    at: When
    course: Name | None = None

    def facts(self) -> dict[str, Any]:
        """Return the further keys that are stated, as a rule asks them: times as text, lists as tuples."""
        own = self.model_fields_set - EventForm.model_fields.keys()
        stated = {name: getattr(self, name) for name in sorted(own)}
        return {name: value.text if isinstance(value, Moment) else value for name, value in stated.items()}


class Fraction(EventForm):
    """One treatment session, or a part of one."""

    technique: Literal[
        "2d", "3d", "imrt", "imrt_compensator", "electron", "mixed", "tset", "srs_cobalt", "srs_linac",
        "sbrt", "sbrt_robotic", "sbrt_pet", "proton", "neutron", "iort_xray", "iort_electron", "hdr", "ldr",
        "superficial", "electronic_brachy",
    ]
    fraction_number: Whole = UNSTATED
    plan: Name = UNSTATED
    phase: Name = UNSTATED
    site: Name = UNSTATED
    energy_mv: Number = UNSTATED
    kv: Number = UNSTATED
    areas: Whole = UNSTATED
    ports: Whole = UNSTATED
    simple_blocks: Whole = UNSTATED
    custom_blocking: Truth = UNSTATED
    tangents: Truth = UNSTATED
    wedge: Truth = UNSTATED
    rotational: Truth = UNSTATED
    field_in_field: Truth = UNSTATED
    compensators: Whole = UNSTATED
    isocenters: Whole = UNSTATED
    motion: Literal["none", "passive", "active"] = UNSTATED
    motion_documented: Truth = UNSTATED
    complexity: Literal["simple", "simple_compensated", "intermediate", "complex"] = UNSTATED
    level: Annotated[int, BeforeValidator(whole), Field(ge=1, le=3)] = UNSTATED
    route: Literal["intracavitary", "interstitial", "intraluminal", "skin", "surface"] = UNSTATED
    channels: Whole = UNSTATED
    lesions: Whole = UNSTATED
    diameter_cm: Number = UNSTATED
    distinct_session: Truth = UNSTATED
    beam: Truth = UNSTATED
    purpose: Literal["treatment", "qa"] = UNSTATED
    setting: Literal["freestanding", "hospital", "unknown"] = UNSTATED
    patient_class: PatientClass = UNSTATED
    group: Name = UNSTATED


class Fractions(Fraction):
    """Shorthand: one session for each date or time of `at`."""

    at: Times  # type: ignore[assignment]
    first: Counted = UNSTATED


class Guidance(EventForm):
    """An image that guided a session."""

    modality: Literal["ct", "stereoscopic_xray", "ultrasound", "surface_tracking", "intrafraction_tracking"]
    fraction: Name = UNSTATED
    approved_at: When = UNSTATED
    approver: Approver = UNSTATED


class PortImage(EventForm):
    """A port image."""

    gantry_angles: Annotated[tuple[Number, ...], Field(min_length=1)] = UNSTATED
    approved_at: When = UNSTATED


class Approval(EventForm):
    """An approval that arrives by itself."""

    of: Name
    approver: Approver = UNSTATED


class DayCome(EventForm):
    """The facility's date has come."""

    at: Day


class Exam(EventForm):
    """A weekly examination."""

    by: Literal["physician", "np", "pa"]
    provider: Name = UNSTATED


class PhysicsCheck(EventForm):
    """A weekly physics check."""


class Service(EventForm):
    """Any other service, by its code."""

    code: CodeText
    units: Counted = UNSTATED
    modifiers: tuple[Modifier, ...] = UNSTATED
    documented: Truth = UNSTATED
    plan: Name = UNSTATED


class CourseClosed(EventForm):
    """The course is known to be over."""

    reason: Literal["completed", "stopped"]


class Prescription(EventForm):
    """The number of prescribed sessions changed."""

    prescribed_fractions: Whole


class Void(EventForm):
    """An event never happened."""

    of: Name


class Amend(EventForm):
    """Keys of an event were wrong."""

    of: Name
    set: Annotated[dict[str, Any], Field(min_length=1)]


class Resend(EventForm):
    """An event arrives once more, unchanged."""

    of: Name


class Supplied(EventForm):
    """An item that the course missed arrives."""

    what: Missing


class Release(EventForm):
    """A person releases held lines."""

    code: CodeText
    date: Day
    modifiers: tuple[Modifier, ...] = UNSTATED


class ReportedCode(EventForm):
    """The sender's own charge line, without further facts."""

    code: CodeText
    units: Counted = UNSTATED
    modifiers: tuple[Modifier, ...] = UNSTATED


EVENTS: dict[str, type[EventForm]] = {
    "fraction": Fraction, "fractions": Fractions, "guidance": Guidance, "port_image": PortImage,
    "approval": Approval, "day": DayCome, "exam": Exam, "physics_check": PhysicsCheck, "service": Service,
    "course_closed": CourseClosed, "prescription": Prescription, "void": Void, "amend": Amend,
    "resend": Resend, "supplied": Supplied, "release": Release, "reported": ReportedCode,
}


class CourseForm(Strict):
    """One course of treatment."""

    id: Name
    prescribed_fractions: Whole = UNSTATED
    site: Name = UNSTATED
    missing: tuple[Missing, ...] = ()


def _pairs(value: Any) -> Any:
    if not isinstance(value, Rows):
        raise ValueError('write a list of ["first code", "second code", 0 or 1 or 9]')
    return value


class _Pair(NamedTuple):
    """A pair of codes and whether a modifier releases it."""

    first: CodeText
    second: CodeText
    indicator: Annotated[Literal[0, 1, 9], BeforeValidator(whole)]


class TablesForm(Strict):
    """Rows of official tables that a case supposes imported."""

    mue: dict[CodeText, Whole] = Field(default_factory=dict)
    ptp: Annotated[tuple[_Pair, ...], BeforeValidator(_pairs)] = ()
    absent: tuple[CodeText, ...] = ()
    no_charge_code: tuple[CodeText, ...] = ()


Bills = dict[Literal["freestanding", "hospital", "physician"], tuple[Kept, ...]]


class StepForm(Strict):
    """What becomes known at one time, and what stands after it."""

    events: Any
    expect: Annotated[Bills, Field(min_length=1)]
    emits: Bills | None = None
    tables: TablesForm | None = None


class CaseForm(Strict):
    """One case; its events and bills are read apart, each with its own place."""

    id: Name
    title: Name
    sources: Annotated[tuple[Name, ...], Field(min_length=1)]
    confidence: Literal["high", "medium", "low", "conflict"]
    compare: tuple[Family, ...] | None = None
    payer: Kept = "medicare"
    policy: Any = None
    tables: TablesForm | None = None
    campus: Literal["on", "off_excepted", "off_nonexcepted"] = "on"
    ownership: Literal["single", "split"] = "single"
    patient_class: PatientClass = "outpatient"
    course: Any = None
    assume: tuple[Assumed, ...] = get_args(Assumed)
    events: Any = None
    expect: Any = None
    steps: Any = None
