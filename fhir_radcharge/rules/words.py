"""The words of the tables that the rules themselves know: what they ask, what they read, and what they raise.

Every other word is the tables' own. The proof of the tables compares each word with one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from fhir_radcharge.model import BILLS, Campus, Ownership, PatientClass, Setting
from fhir_radcharge.rules.catalogue import Component
from fhir_radcharge.rules.guidance import Approval
from fhir_radcharge.rules.lines import FORM_MODIFIER
from fhir_radcharge.rules.services import NAMED

Way = Literal["every", "short_course", "once"]
Dated = Literal["last", "first", "span", "fifth_session", "check_date", "plan"]
Units = Literal["one", "fractions"]
Needs = Literal["exam", "physics_check"]
Scope = Literal["plan", "same_plan", "day", "plan_or_day", "course"]

TRUTH = ("no", "yes")
FORMS = (*FORM_MODIFIER, "none")
PORTS = "ports"
"""The counter that the rules of port images read; the others are read by `counting.yaml`."""

CHAIN = ("code", "next", "flag", "hold", "rank", "units", "includes", "recode_as")
READ: Mapping[str, tuple[str, ...]] = {
    "techniques": ("class", "beams", "counts"),
    "code_set": CHAIN,
    "delivery": CHAIN,
    "claims": (*BILLS, "flag"),
    "places": ("pos", "modifier"),
    "components": ("form",),
    "guidance": ("code", "form", "flag"),
    "approval": ("sends", "holds", "flag"),
    "ports": ("code", "form", "cap"),
    "placement": ("form",),
    "services": ("charge", "hold"),
}
"""Each table that the rules ask by its name, and the columns that they read of its rows."""

MUST: Mapping[str, tuple[str, ...]] = {
    "techniques": ("class", "beams", "counts"),
    "code_set": ("code_set",),
    "claims": BILLS,
    "components": ("form",),
    "guidance": ("form",),
    "ports": ("form",),
    "placement": ("form",),
    "services": ("charge",),
}
"""The columns of these tables that no row leaves empty."""

ENDS = ("code", "next", "flag", "hold", "recode_as")
"""What a row of a chain gives, so that a session is charged, goes on, or is seen by a person."""

GIVEN: Mapping[str, tuple[str, ...]] = {
    "form": FORMS,
    "sends": (*FORM_MODIFIER, "form"),
    "holds": (*FORM_MODIFIER, "form"),
    "units": ("lesions",),
    "cap": ("group", "angle"),
    "charge": TRUTH,
    "includes": TRUTH,
    "beams": ("photons", "electrons", "both", "other"),
}
"""The words that a row may give in a column that the rules read."""

GIVEN_AS: Mapping[str, str] = {"recode_as": "technique", **dict.fromkeys(BILLS, "claim")}
"""Columns whose words are those of a question of another name."""

MADE: Mapping[str, tuple[str, ...]] = {
    "setting": tuple(word for word in get_args(Setting) if word != "unknown"),
    "campus": get_args(Campus),
    "ownership": get_args(Ownership),
    "patient_class": get_args(PatientClass),
    "component": get_args(Component),
    "approval": get_args(Approval),
    "form": tuple(FORM_MODIFIER),
    "energies": ("one", "several"),
    "stereotactic_count": ("one", "few", "over", "unknown"),
    "prescribed": ("none", "within", "beyond"),
    "service": (*NAMED, "other"),
    "repeat": ("first", "again", "same_plan"),
    **dict.fromkeys(("fields", "first_session", "includes", "cranial", "once", "per_plan", "documented"), TRUTH),
}
"""What the rules make of a session before they ask a table, and how each may be answered."""

BY_WAY: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "every": (("size", "remainder_min"), ("total_min", "whole_under")),
    "short_course": (("total_max",), ("stopped",)),
    "once": (("total_max",), ()),
}
"""Which columns a way of counting needs, and which it reads beside them."""

STATED = ("technique", "modality")
"""Facts that every event has of which they are asked; a table that asks another one says what is meant without it."""

KNOBS: Mapping[str, tuple[str, ...]] = {
    "bid_min_gap_hours": (),
    "bid_second_session": ("units", "76", "59"),
    "close_grace_days": (),
    "credit_quantity": ("positive", "negative"),
    "counter_scope": ("merged", "per_course"),
    "course_gap_review_days": (),
    "guidance_priority": (),
    "last_image_approval_hours": (),
    "mgmt_group_size": (),
    "once_per_course": (),
    "port_partial_group": ("event", "remainder3", "none"),
    "redate_posted": ("true", "false"),
    "remainder_date": ("first_closure", "last"),
    "same_session_max_gap_minutes": (),
    "tid_min_gap_hours": (),
}
"""The knobs that the rules read, and the words that they know of each; none: numbers, or words of the file."""

RAISED = (
    "no_physician_exam", "no_physics_check", "image_not_approved", "missing_diagnosis", "missing_rendering_npi",
    "missing_ordering_npi", "missing_authorization", "course_boundary", "course_unknown", "course_gap",
    "probable_duplicate", "same_day_gap", "ptp_edit", "mue_edit", "frequency", "code_not_effective",
    "setting_unknown", "insufficient_facts", "retired_code", "code_differs", "payer_unknown", "no_charge_code",
    "multiple_guidance", "date_variance",
)  # fmt: skip
"""The reasons that no row gives because the rules raise them; a site words them and says who is asked."""
