"""Turns one treatment session into the delivery code that its facts give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.model import Why
from fhir_radcharge.rules.course import Course
from fhir_radcharge.rules.lines import Claims, Part, Spot, claims, parts_of
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.sessions import Session
from fhir_radcharge.rules.tables import walked

FIELD_FACTS = (
    "areas",
    "ports",
    "simple_blocks",
    "custom_blocking",
    "tangents",
    "wedge",
    "rotational",
    "field_in_field",
    "compensators",
)
SBRT_MAX = 5


class Delivered(NamedTuple):
    """What a session is: its class and counters, its delivery code (None: not charged, the flags say why) and family,
    and what its spot says: which claims there are, and which parts of the code they carry, and why."""

    technique_class: str
    counts: tuple[str, ...]
    code: str | None
    units: int
    hold: str | None
    flags: tuple[str, ...]
    why: tuple[Why, ...]
    includes_guidance: bool
    on: Claims
    family: str
    parts: tuple[Part, ...]


def delivered(session: Session, course: Course, place_in_course: int, rulebook: Rulebook) -> Delivered:
    """Return what a session is and the code of its delivery, remembered by its facts."""
    first = session.parts[0]
    spot = Spot.of(first)
    facts = [part.facts for part in session.parts]
    # A class that is counted in sessions asks the course; others do not, so that equal sessions share a memory.
    stereotactic = any(str(f.get("technique", "")).startswith(("srs", "sbrt")) for f in facts)
    about = _about_course(course, session, place_in_course, rulebook) if stereotactic else ()
    key = (spot, rulebook.era(session.day), course.site, about, tuple(map(_key, facts)))
    found: Delivered | None = rulebook.memo.get(key)
    if found is None:
        if len(rulebook.memo) > 50_000:
            rulebook.memo.clear()
        found = rulebook.memo[key] = _delivered(facts, spot, session.day, course.site, dict(about), rulebook)
    return found


_UNASKED = frozenset(
    {
        "fraction_number",
        "plan",
        "phase",
        "distinct_session",
        "group",
        "prescribed_fractions",
        "purpose",
        "beam",
        "reported",
    }
)


def _key(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple([item for item in facts.items() if item[0] not in _UNASKED])


def _alike(facts: Mapping[str, Any], family: str, rulebook: Rulebook, day: date) -> bool:
    """Return whether a part counts toward the sessions of a stereotactic course: SBRT is five external sessions at
    most, whatever the others are; radiosurgery counts itself (ASTRO-SRS)."""
    if family != "sbr":
        return str(facts.get("technique", ""))[:3] == family
    counts = rulebook.tables["techniques"].answer(facts, {}, day).row.gives["counts"]
    return "sbrt" in counts or "management" in counts


def _about_course(
    course: Course, session: Session, place_in_course: int, rulebook: Rulebook
) -> tuple[tuple[str, Any], ...]:
    technique = str(session.parts[0].facts.get("technique", ""))
    family = technique[:3]
    # A held session counts for nothing, here too.
    given = sum(1 for s in course.sessions if any(_alike(p.facts, family, rulebook, s.day) for p in s.parts))
    known = max(given, course.prescribed or 0)
    if known > SBRT_MAX:
        count = "over"
    elif course.prescribed is None:
        count = "few" if family == "srs" and given > 1 else "unknown"
    else:
        count = "one" if known == 1 else "few"
    number = session.parts[0].facts.get("fraction_number") or place_in_course
    prescribed = course.prescribed
    said = "none" if prescribed is None else "beyond" if prescribed > SBRT_MAX else "within"
    return ("stereotactic_count", count), ("prescribed", said), ("first_session", number == 1)


def _delivered(
    parts: list[Mapping[str, Any]],
    spot: Spot,
    day: date,
    course_site: str | None,
    about: Mapping[str, Any],
    rulebook: Rulebook,
) -> Delivered:
    on = claims(spot, day, rulebook)
    knobs = on.knobs
    shared = {**_shared(parts), **about, "setting": spot.place.setting, "campus": spot.place.campus}
    kinds = [rulebook.tables["techniques"].answer({**part, **shared}, knobs, day) for part in parts]
    if {"photons", "electrons"} <= {kind.row.gives.get("beams") for kind in kinds}:
        # Photon and electron fields in one session are mixed, whichever record carries which.
        shared["mixed_beams"] = "both"
    codings = [_part(part, shared, knobs, day, course_site, rulebook) for part in parts]
    lead = max(codings, key=lambda c: int(c.gives.get("rank") or 0))
    if len(codings) > 1 and any(c.code is None and c.flags for c in codings):
        # A part whose facts are missing leaves the level of the whole session open.
        lead = next(c for c in codings if c.code is None and c.flags)
    flags = tuple(dict.fromkeys(flag for coding in codings for flag in coding.flags))
    units = int(lead.gives.get("lesions") or 1) if lead.gives.get("units") == "lesions" else 1
    includes = lead.gives.get("includes") == "yes"
    return Delivered(
        str(lead.gives["class"]),
        tuple(lead.gives["counts"]),
        lead.code,
        units,
        lead.hold,
        flags,
        lead.why,
        includes,
        on,
        rulebook.catalogue.family(lead.code or "") or "",
        _parts(lead, spot, day, rulebook),
    )


def _parts(lead: _Coding, spot: Spot, day: date, rulebook: Rulebook) -> tuple[Part, ...]:
    """Return the claims that carry the code, each with the whole way to it."""
    found = parts_of(lead.code, spot, day, rulebook) if lead.code is not None else ()
    return tuple([part._replace(why=(*lead.why, *part.why)) for part in found])


class _Coding(NamedTuple):
    gives: Mapping[str, Any]
    code: str | None
    hold: str | None
    flags: tuple[str, ...]
    why: tuple[Why, ...]


def _shared(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of a session that its parts make together: areas of different sites add up."""
    if len(parts) == 1:
        return {"energies": "one"}
    areas: dict[Any, int] = {}
    lesions: dict[Any, int] = {}
    for part in parts:
        site = part.get("site")
        areas[site] = max(areas.get(site, 0), int(part.get("areas", 1)))
        lesions[site] = max(lesions.get(site, 0), int(part.get("lesions", 1)))
    energies = {part["energy_mv"] for part in parts if part.get("energy_mv") is not None}
    shared: dict[str, Any] = {"energies": "several" if len(energies) > 1 else "one"}
    if len(areas) > 1:
        shared["areas"] = sum(areas.values())
    if energies:
        shared["energy_mv"] = max(energies)
    shared["lesions"] = sum(lesions.values())
    return shared


def _part(
    part: Mapping[str, Any],
    shared: Mapping[str, Any],
    knobs: Mapping[str, Any],
    day: date,
    course_site: str | None,
    rulebook: Rulebook,
    recoded: str | None = None,
) -> _Coding:
    site = rulebook.site(part.get("site") or course_site)
    facts = {
        **part,
        **shared,
        "fields": any(part.get(name) is not None for name in FIELD_FACTS),
        "site_class": site.imrt if site else "unknown",
        "cranial": site.cranial if site else "no",
    }
    if recoded:
        facts["technique"] = recoded
    kind = rulebook.tables["techniques"].answer(facts, knobs, day)
    facts.update(kind.row.gives)
    if facts["beams"] in ("photons", "electrons") and facts.get("mixed_beams"):
        facts["beams"] = facts["mixed_beams"]
    if facts["setting"] == "unknown":
        return _Coding(facts, None, None, (), (kind.why,))
    chain = walked(rulebook.tables, "code_set", facts, knobs, day)
    end = walked(rulebook.tables, "delivery", chain.gives, knobs, day)
    if end.gives.get("recode_as"):
        return _part(part, shared, knobs, day, course_site, rulebook, str(end.gives["recode_as"]))
    code = end.gives.get("code")
    hold = end.hold or chain.hold
    return _Coding(
        end.gives,
        code if "insufficient_facts" not in end.flags or end.hold else None,
        hold,
        end.flags,
        (kind.why, *chain.why, *end.why),
    )
