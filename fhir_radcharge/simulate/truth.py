"""What was said of a course into the lines that each bill must carry at the end: an independent reckoning.

Plain arithmetic and if-statements, written from the coding rules and not from the engine: it shares no table,
no noun and no function with it, so the two cannot share a mistake. It knows the pathways that are simulated
and the payer profile `medicare`, and nothing else.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple, TextIO

from fhir_radcharge.simulate.course import Course
from fhir_radcharge.simulate.facts import Facts, start_of
from fhir_radcharge.simulate.said import Chart, Said

_NEW = date(2026, 1, 1)  # on this date the delivery and guidance codes changed
_COUNTED = ("2d", "3d", "imrt", "electron", "proton")  # what weekly management counts
_CHECKED = (*_COUNTED, "sbrt", "srs_linac", "hdr")  # what weekly physics counts


class Line(NamedTuple):
    """One line of one bill; `hold` is the reason for which it is kept back, or empty."""

    course: str
    bill: str
    code: str
    modifiers: str
    units: int
    day: date
    hold: str
    packaged: bool


def truth(course: Course, as_of: date) -> tuple[Line, ...]:
    """Return the lines of a course once everything has been said and `as_of` has come, sorted."""
    facts = Facts(course, as_of)
    units: Counter[Line] = Counter()
    for line in _lines(facts):
        units[line._replace(units=0)] += line.units
    return tuple(sorted(line._replace(units=count) for line, count in units.items()))


def write_truth(courses: Iterable[Course], as_of: date, out: TextIO) -> int:
    """Write `truth.csv` and return the number of its lines."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["course", "bill", "code", "modifiers", "units", "date", "hold", "packaged"])
    count = 0
    for course in courses:
        for line in truth(course, as_of):
            count += 1
            table.writerow([*line[:5], line.day.isoformat(), line.hold, "yes" if line.packaged else ""])
    return count


def _lines(facts: Facts) -> Iterator[Line]:
    for service in facts.of("service"):
        yield from _service(facts.chart, service)
    for place, session in enumerate(facts.sessions):
        following = facts.sessions[place + 1] if place + 1 < len(facts.sessions) else None
        yield from _delivery(facts.chart, session)
        yield from _guidance(facts, session, following)
    for record, reason in facts.held:
        yield from _delivery(facts.chart, record, reason)
    yield from _management(facts)
    yield from _stereotactic_management(facts)
    yield from _physics(facts)
    yield from _ports(facts)


# ---- who gets which part -----------------------------------------------------------------------------------


def _technical(chart: Chart, one: Said, code: str, modifiers: str = "", hold: str = "", units: int = 1,
               packaged: bool = False) -> Iterator[Line]:
    """Yield a technical line: on the centre's claim, or the hospital's; none for a hospital inpatient."""
    if chart.room.setting == "freestanding":
        yield Line(chart.course, "global", code, modifiers, units, one.day, hold, packaged)
    elif not one.inpatient:
        off = "PO" if chart.room.campus == "off_excepted" else ""
        yield Line(chart.course, "facility", code, off, units, one.day, hold, packaged)


def _professional(chart: Chart, one: Said, code: str, modifiers: str = "", hold: str = "") -> Line:
    """Return a professional line: on the centre's own claim where one owner sends both parts."""
    alone = chart.room.setting == "freestanding" and chart.room.ownership == "single"
    bill = "global" if alone else "professional"
    return Line(chart.course, bill, code, modifiers, 1, one.day, hold, False)


def _split(chart: Chart, one: Said, code: str, hold: str = "") -> Iterator[Line]:
    """Yield a code with both parts: whole on a centre's claim, else technical and professional apart."""
    if chart.room.setting == "freestanding" and chart.room.ownership == "single":
        yield from _technical(chart, one, code, hold=hold)
    else:
        yield from _technical(chart, one, code, "TC" if chart.room.setting == "freestanding" else "", hold)
        yield _professional(chart, one, code, "26", hold)


# ---- planning and delivery ---------------------------------------------------------------------------------


def _service(chart: Chart, service: Said) -> Iterator[Line]:
    code = service.facts["code"]
    if code == "77263":
        yield _professional(chart, service, code)
    else:
        yield from _split(chart, service, code)


def _delivery(chart: Chart, session: Said, hold: str = "") -> Iterator[Line]:
    facts = session.facts
    if facts["technique"] == "hdr":
        channels = facts["channels"]
        code = "77770" if channels == 1 else "77771" if channels <= 12 else "77772"
        yield from _split(chart, session, code, hold)
    else:
        yield from _technical(chart, session, _delivery_code(chart, session), hold=hold)


def _delivery_code(chart: Chart, session: Said) -> str:
    facts = session.facts
    technique = facts["technique"]
    if technique == "sbrt":
        return "77373"
    if technique == "srs_linac":
        return "77372"
    if technique == "proton":
        return "77525" if facts["complexity"] == "complex" else "77523"
    if technique == "superficial":
        return "77401" if session.day < _NEW else "77437" if facts["kv"] <= 150 else "77438"
    if session.day >= _NEW:
        return _level(facts)
    if chart.room.setting == "freestanding":
        return _code_freestanding_2025(facts)
    return _code_hospital_2025(facts, chart.site)


def _level(facts: Any) -> str:
    """Return the delivery code of 2026: by isocentres and motion, whatever the setting."""
    if facts["technique"] == "electron":
        return "77402"
    if facts["isocenters"] >= 2:
        return "77412"
    if facts["technique"] == "2d":
        return "77402"
    gated = facts.get("motion") == "active" and facts.get("motion_documented")
    return "77412" if gated else "77407"


def _code_freestanding_2025(facts: Any) -> str:
    if facts["technique"] == "imrt":
        return "G6015"
    energy = facts["energy_mv"]
    column = 0 if energy <= 5 else 1 if energy <= 10 else 2 if energy < 20 else 3
    return f"G60{3 + 4 * _complexity(facts) + column:02d}"


def _code_hospital_2025(facts: Any, site: str) -> str:
    if facts["technique"] == "imrt":
        return "77385" if site in ("prostate", "breast") else "77386"
    return ("77402", "77407", "77412")[_complexity(facts)]


def _complexity(facts: Any) -> int:
    """Return 0, 1 or 2: simple, intermediate, complex, as it was to the end of 2025."""
    if facts["technique"] == "electron" or facts.get("tangents") or facts.get("custom_blocking"):
        return 2
    return 1 if facts.get("ports", 1) >= 3 else 0


# ---- guidance and port images ------------------------------------------------------------------------------


def _guidance(facts: Facts, session: Said, following: Said | None) -> Iterator[Line]:
    technique = session.facts["technique"]
    images = [one for one in facts.of("guidance") if one.day == session.day]
    if not images or technique not in _COUNTED:
        return
    chart, image = facts.chart, images[0]
    given = [start_of(one) for one in facts.of("approval") if one.facts["of"] == image.id]
    limit = start_of(following) if following else start_of(session) + 24 * 60
    hold = "" if given and min(given) < limit else "image_not_approved"
    if session.day >= _NEW:
        yield _professional(chart, session, "77387", "26", hold)
        return
    code = "77014" if image.facts["modality"] == "ct" else "G6002"
    if chart.room.setting == "hospital":
        if technique != "imrt":
            yield from _technical(chart, session, "77387", packaged=True)
        yield _professional(chart, session, code, "26", hold)
    elif hold or chart.room.ownership == "split":
        # The technical part was done all the same: it goes, the professional part waits.
        yield from _technical(chart, session, code, "TC")
        yield _professional(chart, session, code, "26", hold)
    else:
        yield from _technical(chart, session, code)


def _ports(facts: Facts) -> Iterator[Line]:
    """Yield port images: in five sessions one per angle in a centre, one in a hospital; none from 2026."""
    sessions = facts.counted(_COUNTED)
    seen: set[tuple[int, int]] = set()
    for image in facts.of("port_image"):
        places = [place for place, one in enumerate(sessions) if one.day >= image.day]
        if not places or image.day in facts.cancelled or image.day >= _NEW:
            continue
        hospital = facts.chart.room.setting == "hospital"
        angles = [0] if hospital else image.facts["gantry_angles"]
        new = {(places[0] // 5, angle % 360) for angle in angles} - seen
        seen |= new
        if new:
            yield from _technical(facts.chart, image, "77417", units=len(new), packaged=hospital)


# ---- counting to five --------------------------------------------------------------------------------------


def _management(facts: Facts) -> Iterator[Line]:
    """Yield weekly management: each five sessions, and three or four left over when the course is closed."""
    sessions = facts.counted(_COUNTED)
    seen = _examined(sessions, facts.of("exam"))
    for group in range(len(sessions) // 5):
        hold = "" if group in seen else "no_physician_exam"
        yield _professional(facts.chart, sessions[5 * group + 4], "77427", "", hold)
    whole = len(sessions) // 5 * 5
    for closing in facts.closings:
        closed = sum(start_of(one) <= closing for one in sessions)
        if closed - whole >= 3:
            hold = "" if whole // 5 in seen else "no_physician_exam"
            yield _professional(facts.chart, sessions[closed - 1], "77427", "", hold)
            return
    if facts.closings and 1 <= len(sessions) <= 2:
        hold = "" if 0 in seen else "no_physician_exam"
        yield _professional(facts.chart, sessions[-1], "77431", "", hold)


def _examined(sessions: list[Said], exams: list[Said]) -> set[int]:
    """Return the groups of five that a physician saw: each examination serves the first that lacks one."""
    served: set[int] = set()
    groups = [sessions[start:start + 5] for start in range(0, len(sessions), 5)]
    for exam in exams:
        if exam.facts["by"] != "physician":
            continue
        for number, group in enumerate(groups):
            if number not in served and group[0].day <= exam.day <= group[-1].day:
                served.add(number)
                break
    return served


def _stereotactic_management(facts: Facts) -> Iterator[Line]:
    body = facts.counted(("sbrt",))
    if body and (facts.closings or len(body) == 5):
        yield _professional(facts.chart, body[-1], "77435")
    for session in facts.counted(("srs_linac",)):
        yield _professional(facts.chart, session, "77432")


def _physics(facts: Facts) -> Iterator[Line]:
    """Yield weekly physics: each five sessions, and once for a whole course of fewer."""
    sessions = facts.counted(_CHECKED)
    groups = [sessions[start:start + 5] for start in range(0, len(sessions) - 4, 5)]
    if facts.closings and 0 < len(sessions) < 5:
        groups = [sessions]
    for group in groups:
        checked = any(group[0].day <= one.day <= group[-1].day for one in facts.of("physics_check"))
        yield from _technical(facts.chart, group[-1], "77336", hold="" if checked else "no_physics_check")
