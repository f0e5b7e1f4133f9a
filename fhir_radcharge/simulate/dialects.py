"""A chart and a thing said into the bytes that a sender of one dialect would send.

The layouts are those of the shipped sender profiles `mosaiq_like`, `aria_like` and `plain`. What is the same
on every message of a course is rendered once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple

from fhir_radcharge.errors import ConfigError
from fhir_radcharge.simulate.fhir_dialect import fhir_writer
from fhir_radcharge.simulate.said import Chart, Said, SaidKind

Write = Callable[[Said], bytes]


class _Words(NamedTuple):
    """How a dialect spells: the names of facts, the spellings of their values, and the activity codes."""

    names: Mapping[str, str]
    values: Mapping[str, Mapping[Any, str]]
    yes_no: tuple[str, str]
    activities: Mapping[SaidKind, str]
    angles: str
    other: Callable[[str], str]


def writer(dialect: str, chart: Chart) -> Write:
    """Return the function that writes what is said about one course in a dialect."""
    if dialect == FHIR:
        return fhir_writer(chart)
    if dialect not in _DIALECTS:
        raise ConfigError(f"dialect {dialect!r} is not known; take {', '.join(_DIALECTS)} or {FHIR}")
    return _DIALECTS[dialect](chart)


def _mosaiq(chart: Chart) -> Write:
    """Return the writer of MOSAIQ-like messages: HL7 2.3, facts in a ZCH after the FT1."""
    head = "MSH|^~\\&|MOSAIQ|LAKESIDE_RO|RADCHARGE|LAKESIDE|"
    person = _person(chart)
    doctor = f"{chart.physician}^CURIE^MARIA^^^^MD"
    place = f"|{chart.room.location}^{chart.room.name}^^LAKESIDE|||{chart.diagnosis}^^I10|{doctor}|{doctor}||"
    course = f"|COURSE={chart.course}"
    end = f"|SITE={chart.site.upper()}|MACHINE={chart.room.name}"

    def write(said: Said) -> bytes:
        sent = _time(said.sent)
        day, facts = _day(said.day.toordinal()), said.facts
        code = facts.get("code", "")
        number = f"FX{facts['fraction_number']}/{chart.prescribed}" if said.kind == "fraction" else ""
        status = "" if said.kind != "fraction" else (
            "|STATUS=COMPLETE" if facts.get("beam", True) else "|STATUS=SETUP")
        spelled = "".join([f"|{key}={value}" for key, value in _spelled(facts, _MOSAIQ)])
        activity = _MOSAIQ.activities[said.kind]
        return (
            f"{head}{sent}||DFT^P03|MQ{said.id}.{said.revision}|P|2.3|||AL|NE\rEVN|P03|{sent}\r"
            f"{person[said.inpatient]}"
            f"FT1|1|{said.id}|B{day}|{day}|{sent[:8]}|{'CD' if said.voided else 'CG'}|{code or activity}|||"
            f"{facts.get('units', 1)}|||||{place}TX-{said.id}||{code}\r"
            f"ZCH|1|{'PRO' if said.kind in _PROFESSIONAL else 'TECH'}|{activity}|{number}{course}"
            f"|START={day}{said.minute // 60:02d}{said.minute % 60:02d}{status}{spelled}{end}\r"
        ).encode("ascii")

    return write


def _aria(chart: Chart) -> Write:
    """Return the writer of ARIA-like messages: HL7 2.5.1, offsets in times, NTE and OBX after the FT1."""
    head = "MSH|^~\\&|ARIA^2.16.840.1.113883.3.9999.1^ISO|LAKESIDE|ENGINE|BILLING|"
    person = _person(chart)
    doctor = f"{chart.physician}^CURIE^MARIA^^^^MD^^NPI^L^^^NPI"
    place = f"|||{chart.room.location}^{chart.room.name}^^LAKESIDE|||{chart.diagnosis}^^I10C|{doctor}|{doctor}||"
    extra = f"\rOBX|1|ST|RxFractions||{chart.prescribed}||||||F\rOBX|2|ST|Site||{chart.site}||||||F\r"

    def write(said: Said) -> bytes:
        offset = _chicago(said.day.toordinal())
        sent = _time(said.sent) + _chicago(said.sent // 1440)
        day, facts = _day(said.day.toordinal()), said.facts
        code = facts.get("code", "")
        plan = facts.get("plan")
        note = f"Course {chart.course}" + (f" Plan {plan}" if plan else "") + (
            f" Fx {facts['fraction_number']}" if said.kind == "fraction" else "")
        shown = _observations(facts, _ARIA, 4)
        return (
            f"{head}{sent}||DFT^P03^DFT_P03|ARIA-{said.id}-{said.revision}|P|2.5.1|||AL|NE||UNICODE UTF-8\r"
            f"EVN||{sent}\r{person[said.inpatient]}"
            f"FT1|1|{said.id}|{day}-RO|{day}{said.minute // 60:02d}{said.minute % 60:02d}00{offset}|{sent}|"
            f"{'CD' if said.voided else 'CG'}|{_ARIA.activities[said.kind]}^^99LAKE^{code}^^C4|||"
            f"{facts.get('units', 1)}|||4410^Radiation Oncology^99DEPT{place}TX-{said.id}^ARIA||{code}\r"
            f"NTE|1|L|{note}{extra if said.kind == 'fraction' else chr(13)}"
            f"OBX|3|NM|Revision||{said.revision}||||||F\r{shown}"
        ).encode("ascii")

    return write


def _plain(chart: Chart) -> Write:
    """Return the writer of plain messages: HL7 2.5.1, facts by their own names in OBX after the FT1."""
    head = "MSH|^~\\&|PLAIN|NORTHSIDE|RADCHARGE|BILLING|"
    person = _person(chart)
    place = f"||||||{chart.room.location}^{chart.room.name}|||{chart.diagnosis}|{chart.physician}|{chart.physician}||"
    course = f"OBX|1|ST|course||{chart.course}||||||F\r"
    extra = (f"OBX|2|NM|prescribed_fractions||{chart.prescribed}||||||F\r"
             f"OBX|3|ST|site||{chart.site}||||||F\r")

    def write(said: Said) -> bytes:
        sent = _time(said.sent)
        day, facts = _day(said.day.toordinal()), said.facts
        shown = _observations(facts, _PLAIN, 5)
        return (
            f"{head}{sent}||DFT^P03^DFT_P03|PL{said.id}.{said.revision}|P|2.5.1|||AL|NE||UNICODE UTF-8\r"
            f"EVN||{sent}\r{person[said.inpatient]}"
            f"FT1|1|{said.id}||{day}{said.minute // 60:02d}{said.minute % 60:02d}|{sent[:8]}|"
            f"{'CD' if said.voided else 'CG'}|{_PLAIN.activities[said.kind]}|||{facts.get('units', 1)}{place}"
            f"TX-{said.id}||{facts.get('code', '')}\r{course}{extra if said.kind == 'fraction' else ''}"
            f"OBX|4|NM|revision||{said.revision}||||||F\r{shown}"
        ).encode("ascii")

    return write


def _person(chart: Chart) -> tuple[str, str]:
    """Return PID and PV1, of an outpatient and of an inpatient."""
    who, doctor = chart.patient, f"{chart.physician}^CURIE^MARIA^^^^MD"
    pid = (f"PID|1||{who.record}^^^LAKESIDE^MR||{who.family}^{who.given}||{_day(who.born.toordinal())}"
           f"|{who.sex}||||||||||{chart.account}^^^LAKESIDE^VN\r")
    place = f"{chart.room.location}^{chart.room.name}^^LAKESIDE"
    tail = f"|{place}||||{doctor}|{doctor}||RAD|||||||||{chart.account}^^^LAKESIDE^VN\r"
    return f"{pid}PV1|1|O{tail}", f"{pid}PV1|1|I{tail}"


def _observations(facts: Mapping[str, Any], words: _Words, first: int) -> str:
    return "".join([
        f"OBX|{place}|ST|{name}||{value}||||||F\r" for place, (name, value) in enumerate(
            _spelled(facts, words), first)])


def _spelled(facts: Mapping[str, Any], words: _Words) -> list[tuple[str, str]]:
    """Return the facts that have a name in the dialect, spelled as it spells them."""
    spelled = []
    for fact, value in facts.items():
        name = words.names.get(fact)
        if name is None:
            continue
        if fact in words.values:
            text = words.values[fact][value]
        elif value is True or value is False:
            text = words.yes_no[0 if value else 1]
        elif fact == "gantry_angles":
            text = words.angles.join([str(angle) for angle in value])
        elif isinstance(value, str):
            text = words.other(value) if fact in ("route", "complexity") else value
        else:
            text = f"{value}MV" if name == "ENERGY" else str(value)
        spelled.append((name, text))
    return spelled


@cache
def _day(ordinal: int) -> str:
    return f"{date.fromordinal(ordinal):%Y%m%d}"


def _time(minutes: int) -> str:
    day, minute = divmod(minutes, 1440)
    return f"{_day(day)}{minute // 60:02d}{minute % 60:02d}00"


@cache
def _chicago(ordinal: int) -> str:
    """Return the offset of a day: summer time from the second Sunday of March to the first of November."""
    day = date.fromordinal(ordinal)
    march, november = date(day.year, 3, 8), date(day.year, 11, 1)
    begins = march + timedelta(days=6 - march.weekday())
    ends = november + timedelta(days=6 - november.weekday())
    return "-0500" if begins <= day < ends else "-0600"


_PROFESSIONAL = frozenset({"guidance", "exam", "approval"})
_TECHNIQUES = {
    "2d": "2D", "3d": "3D", "imrt": "VMAT", "electron": "Electron", "sbrt": "SBRT", "srs_linac": "SRS",
    "hdr": "HDR", "superficial": "Superficial", "proton": "Proton",
}
_MOSAIQ = _Words(
    {"plan": "PLAN", "technique": "TECHNIQUE", "energy_mv": "ENERGY", "kv": "KV", "isocenters": "ISO",
     "ports": "PORTS", "tangents": "TANGENTS", "custom_blocking": "CUSTOM", "field_in_field": "FIF",
     "complexity": "COMPLEXITY", "motion": "MOTION", "motion_documented": "MOTDOC", "route": "ROUTE",
     "channels": "CHANNELS", "lesions": "LESIONS", "distinct_session": "BID", "modality": "MODALITY",
     "gantry_angles": "ANGLES", "by": "BY", "provider": "PROVIDER", "of": "OF", "approver": "APPROVER",
     "reason": "REASON", "documented": "DOCUMENTED", "prescribed_fractions": "RXFX"},
    {"technique": {key: value.upper() for key, value in _TECHNIQUES.items()},
     "motion": {"none": "NONE", "active": "DIBH"},
     "modality": {"ct": "CBCT", "stereoscopic_xray": "KV-STEREO"},
     "by": {"physician": "MD", "np": "NP"}, "approver": {"physician": "MD"},
     "reason": {"completed": "COMPLETED", "stopped": "STOPPED"}},
    ("Y", "N"),
    {"fraction": "RO-TX", "guidance": "RO-IGRT-P", "port_image": "RO-PORT", "approval": "RO-APPR",
     "exam": "RO-OTV", "physics_check": "RO-PHYS", "service": "RO-SVC", "prescription": "RO-RX",
     "course_closed": "RO-CLOSE"},
    ",", str.upper)
_ARIA = _Words(
    {"technique": "Technique", "energy_mv": "EnergyMV", "kv": "KV", "isocenters": "Isocenters",
     "ports": "Ports", "tangents": "Tangents", "custom_blocking": "CustomBlocking",
     "field_in_field": "FieldInField", "complexity": "Complexity", "motion": "Motion",
     "motion_documented": "MotionDocumented", "route": "Route", "channels": "Channels", "lesions": "Lesions",
     "distinct_session": "DistinctSession", "beam": "BeamOn", "modality": "Modality",
     "gantry_angles": "GantryAngles", "by": "ExaminedBy", "provider": "Provider", "of": "ApprovalOf",
     "approver": "Approver", "reason": "CloseReason", "documented": "Documented",
     "prescribed_fractions": "RxFractions"},
    {"technique": _TECHNIQUES, "motion": {"none": "NONE", "active": "GATED"},
     "modality": {"ct": "CBCT", "stereoscopic_xray": "kV-pair"},
     "by": {"physician": "Physician", "np": "NP"}, "approver": {"physician": "Physician"},
     "reason": {"completed": "Completed", "stopped": "Stopped"}},
    ("True", "False"),
    {"fraction": "ROTX", "guidance": "ROIGRT", "port_image": "ROPORT", "approval": "ROAPPR", "exam": "ROOTV",
     "physics_check": "ROPHYS", "service": "ROSVC", "prescription": "RORX", "course_closed": "ROCLOSE"},
    "~", str)
_PLAIN = _Words(
    {name: name for name in (*_MOSAIQ.names, "beam", "fraction_number")}, {}, ("true", "false"),
    {"fraction": "FRACTION", "guidance": "GUIDANCE", "port_image": "PORT", "approval": "APPROVAL",
     "exam": "EXAM", "physics_check": "PHYSICS", "service": "SERVICE", "prescription": "PRESCRIPTION",
     "course_closed": "CLOSED"},
    ",", str)
_DIALECTS: Mapping[str, Callable[[Chart], Write]] = {
    "mosaiq_like": _mosaiq, "aria_like": _aria, "plain": _plain,
}
DIALECTS = tuple(_DIALECTS)
FHIR = "fhir"
