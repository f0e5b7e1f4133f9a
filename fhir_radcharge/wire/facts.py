"""Turns the text of a sender's field into a fact, by the names, types and vocabularies of the case format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.er7 import Delimiters, unescape
from fhir_radcharge.wire.paths import leaf, whole
from fhir_radcharge.wire.times import Zone, read_moment

Convert = Callable[[str, Delimiters, Zone, str], Any]

_MEMO_MAX = 5_000
_CODE = re.compile(r"[A-Za-z0-9._+/-]{0,20}")
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,4})?")
_PAIR = ("physician", "other")

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "technique": (
        "2d", "3d", "imrt", "imrt_compensator", "electron", "mixed", "tset", "srs_cobalt", "srs_linac", "sbrt",
        "sbrt_robotic", "sbrt_pet", "proton", "neutron", "iort_xray", "iort_electron", "hdr", "ldr", "superficial",
        "electronic_brachy",
    ),
    "motion": ("none", "passive", "active"),
    "complexity": ("simple", "simple_compensated", "intermediate", "complex"),
    "route": ("intracavitary", "interstitial", "intraluminal", "skin", "surface"),
    "purpose": ("treatment", "qa"),
    "modality": ("ct", "stereoscopic_xray", "ultrasound", "surface_tracking", "intrafraction_tracking"),
    "approver": _PAIR,
    "by": ("physician", "np", "pa"),
    "reason": ("completed", "stopped"),
    "what": ("diagnosis", "rendering_npi", "ordering_npi", "authorization"),
}  # fmt: skip
TEXTS = frozenset({"plan", "phase", "site", "group", "fraction", "of", "provider"})
REFERENCES = frozenset({"fraction", "of"})  # ids of other events, with all their components
COUNTS = frozenset(
    {
        "fraction_number", "prescribed_fractions", "areas", "ports", "simple_blocks", "compensators", "level",
        "isocenters", "channels", "lesions",
    }
)  # fmt: skip
NUMBERS = frozenset({"energy_mv", "kv", "diameter_cm"})
FLAGS = frozenset(
    {
        "custom_blocking", "tangents", "wedge", "rotational", "field_in_field", "motion_documented",
        "distinct_session", "beam", "documented",
    }
)  # fmt: skip
TIMES = frozenset({"approved_at"})
ANGLES = frozenset({"gantry_angles"})
NAMES = TEXTS | COUNTS | NUMBERS | FLAGS | TIMES | ANGLES | frozenset(VOCABULARY)

_IMAGE = frozenset({"approved_at", "approver", "fraction"})
FACTS_OF: Mapping[str, frozenset[str]] = {
    "fraction": NAMES
    - _IMAGE
    - frozenset({"modality", "gantry_angles", "by", "provider", "of", "reason", "documented", "what"}),
    "guidance": _IMAGE | {"modality"},
    "port_image": _IMAGE | {"gantry_angles"},
    "approval": frozenset({"of", "approver"}),
    "exam": frozenset({"by", "provider"}),
    "physics_check": frozenset(),
    "service": frozenset({"documented", "plan"}),
    "reported": frozenset(),
    "course_closed": frozenset({"reason"}),
    "prescription": frozenset({"prescribed_fractions"}),
    "supplied": frozenset({"what"}),
}
# Without these the event says nothing that could be used, so its line is refused and not passed on half empty.
MUST_OF: Mapping[str, tuple[str, ...]] = {
    "guidance": ("modality",),
    "approval": ("of",),
    "exam": ("by",),
    "course_closed": ("reason",),
    "prescription": ("prescribed_fractions",),
    "supplied": ("what",),
}


def shown(value: str) -> str:
    """Return a code as an error may show it; what does not look like a code may name a person and is not shown."""
    return value if _CODE.fullmatch(value) else "..."


class Meaning(NamedTuple):
    """What a fact's text means: the function, and what short texts are known to mean already."""

    known: dict[str, Any]
    convert: Convert


def meaning(
    name: str,
    file: str,
    values: Mapping[str, Any] | None = None,
    suffixes: tuple[str, ...] = (),
    separator: str = ",",
    lower: bool = False,
) -> Meaning:
    """Return what turns a raw field into the fact's value; it raises MessageError for what it cannot read."""
    if name in TIMES:
        return Meaning({}, _time)
    if name in ANGLES:
        return Meaning({}, _angles(separator))
    if values is not None:
        return _memo(_looked_up(name, file, values))
    if name in VOCABULARY:
        return _memo(_looked_up(name, file, {value: value for value in VOCABULARY[name]}))
    if name in FLAGS:
        raise ValueError(f"fact '{name}' is true or false: declare its `values`, such as {{\"Y\": true, \"N\": false}}")
    if name in COUNTS:
        return _memo(_count(name, suffixes))
    if name in NUMBERS:
        return _memo(_number(name, suffixes))
    if name in REFERENCES:
        return Meaning({}, _reference)
    return Meaning({}, _lowered if lower else _text)


def _memo(read: Callable[[str, str], Any]) -> Meaning:
    """Keep what short raw values mean: a department says the same few hundred all year."""
    known: dict[str, Any] = {}

    def convert(raw: str, d: Delimiters, zone: Zone, place: str) -> Any:
        found = read(leaf(raw, d), place)
        # A raw value may hold delimiters, which are the message's own: only plain ones are remembered.
        if raw.isalnum() and len(known) < _MEMO_MAX:
            known[raw] = found
        return found

    return Meaning(known, convert)


def _looked_up(name: str, file: str, values: Mapping[str, Any]) -> Callable[[str, str], Any]:
    table = dict(values)

    def read(value: str, place: str) -> Any:
        if value not in table:
            raise MessageError(
                place,
                f"{name} '{shown(value)}' is not in {file}",
                f"add it under facts.{name}.values and reread the message",
                "103",
            )
        return table[value]

    return read


def _count(name: str, suffixes: tuple[str, ...]) -> Callable[[str, str], int]:
    def read(value: str, place: str) -> int:
        digits = _without(value, suffixes)
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 6:
            raise MessageError(place, f"{name} is not a whole number", "send digits", "102")
        return int(digits)

    return read


def _number(name: str, suffixes: tuple[str, ...]) -> Callable[[str, str], int | float]:
    def read(value: str, place: str) -> int | float:
        digits = _without(value, suffixes)
        if not _NUMBER.fullmatch(digits):
            raise MessageError(place, f"{name} is not a number", "send digits, and a point if needed", "102")
        number = float(digits)
        return int(number) if number.is_integer() else number

    return read


def _without(value: str, suffixes: tuple[str, ...]) -> str:
    for suffix in suffixes:
        if value[-len(suffix) :].upper() == suffix:
            return value[: -len(suffix)].strip()
    return value


def _time(raw: str, d: Delimiters, zone: Zone, place: str) -> str:
    moment = read_moment(leaf(raw, d), zone, place)
    if moment.minute is None:
        return moment.day.isoformat()
    return f"{moment.day.isoformat()}T{moment.minute // 60:02d}:{moment.minute % 60:02d}"


def _angles(separator: str) -> Convert:
    def convert(raw: str, d: Delimiters, zone: Zone, place: str) -> list[int]:
        mark = d.repetition if separator == "~" else separator
        angles = []
        for piece in raw.split(mark) if mark else [raw]:
            digits = unescape(piece, d).strip()
            if not (digits.isascii() and digits.isdigit()) or int(digits) > 360:
                raise MessageError(place, "a gantry angle is not whole degrees", "send 0 to 360", "102")
            angles.append(int(digits))
        return angles

    return convert


def _text(raw: str, d: Delimiters, zone: Zone, place: str) -> str:
    return leaf(raw, d)


def _reference(raw: str, d: Delimiters, zone: Zone, place: str) -> str:
    return whole(raw, d)


def _lowered(raw: str, d: Delimiters, zone: Zone, place: str) -> str:
    return leaf(raw, d).lower()
