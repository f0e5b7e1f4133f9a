"""Every word of the site's own files that means nothing: codes, payers, facts, sources, and files that nobody reads."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.policy_files import load_sources
from fhir_radcharge.profile_words import check_values
from fhir_radcharge.rules.catalogue import Catalogue
from fhir_radcharge.site import Site, contents
from fhir_radcharge.strict_yaml import Row, load, typed
from fhir_radcharge.wire.facts import FACTS_OF

FOLDERS = {
    ".": (
        "settings.yaml", "payers_by_plan.yaml", "payers.yaml", "site_payers.yaml", "codes.csv", "reasons.yaml",
        "sources.yaml",
    ),
    "rules": ("*.yaml",),
    "senders": ("*.yaml",),
    "destinations": ("*.yaml",),
    "chargemaster": ("*.csv",),
    "fhir": (
        "technique.yaml", "guidance.yaml", "motion.yaml", "body_site.yaml", "stereotactic.yaml", "sources.yaml",
    ),
    "fhir/senders": ("*.yaml",),
    "fhir/destinations": ("*.yaml",),
}  # fmt: skip
"""The files of a mappings folder that are read; a page of text may lie beside them."""

_MODIFIERS = re.compile(r"\*|(?:[0-9A-Z]{2}(?:-[0-9A-Z]{2})*)?")
_REVENUE = re.compile(r"(?:[0-9]{4})?")
_USES = ("official", "usual", "secondary", "temp", "old", "id")


def site_problems(site: Site, mappings: Path) -> list[str]:
    """Return each code, payer, fact and source of the site's own files that is unknown, and each unread file."""
    found = [*_unread(mappings), *_charge_master(mappings, site.rulebook.catalogue)]
    for path in sorted((mappings / "senders").glob("*.yaml")):
        data, name = load(path), f"{mappings.name}/senders/{path.name}"
        passes = data["foreign_codes"] == "pass"
        for code, row in data["activities"].items():
            found += _activity(name, row, data["activities"].lines[code], None if passes else site.rulebook.catalogue)
    return [*found, *_fhir_tables(mappings), *_fhir_senders(site, mappings)]


def _unread(mappings: Path) -> Iterator[str]:
    for name, _ in contents(mappings):
        path = Path(name)
        known = FOLDERS.get(path.parent.as_posix(), ())
        if path.suffix not in (".md", ".txt") and not any(path.match(pattern) for pattern in known):
            near = did_you_mean(path.name, (one for one in known if "*" not in one))
            yield f"{mappings.name}/{name}:1: is read by nobody; correct its name, or take it away{near}"


def _charge_master(mappings: Path, catalogue: Catalogue) -> Iterator[str]:
    codes = {row.code for row in catalogue}
    for path in sorted((mappings / "chargemaster").glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            for row in rows:
                place = f"{mappings.name}/chargemaster/{path.name}:{rows.line_num}"
                if row["code"] not in codes:
                    yield f"{place}: code {row['code']} is not in codes.csv{did_you_mean(row['code'], codes)}"
                if not _MODIFIERS.fullmatch(row["modifiers"]):
                    yield f"{place}: modifiers '{row['modifiers']}' are none; write * for any, or such as 26-PO"
                if not _REVENUE.fullmatch(row["revenue_code"]):
                    yield f"{place}: revenue_code '{row['revenue_code']}' is not four digits"


def _activity(name: str, row: Any, line: int, catalogue: Catalogue | None) -> Iterator[str]:
    """Yield what is wrong with the facts and the code that a sender's activity stands for."""
    facts: Mapping[str, Any] = typed(row.get("facts")) or {}
    kind = str(row["kind"])
    code = row.get("code", facts.get("code"))
    if code is not None and catalogue is not None and not catalogue.known(str(code)):
        near = did_you_mean(str(code), {one.code for one in catalogue})
        yield f"{name}:{line}: code {code} is not in codes.csv{near}"
    for fact, value in facts.items():
        known = FACTS_OF.get(kind, frozenset()) | ({"code"} if "code" not in row else set())
        if fact not in known:
            near = did_you_mean(fact, known)
            yield f"{name}:{line}: {fact} is no fact of {kind}; it may have {', '.join(sorted(known))}{near}"
            continue
        try:
            check_values(fact, [value])
        except ValueError as error:
            yield f"{name}:{line}: {error}"


def _fhir_tables(mappings: Path) -> Iterator[str]:
    folder = mappings / "fhir"
    if not folder.is_dir():
        return
    known = load_sources(folder / "sources.yaml")
    for path in sorted(folder.glob("*.yaml")):
        seen: dict[str, int] = {}
        for row in load(path)["rules"] if path.name != "sources.yaml" and path.name in FOLDERS["fhir"] else ():
            place = f"{mappings.name}/fhir/{path.name}:{row.line}"
            if row["source"] not in known:
                yield f"{place}: source {row['source']} is not in fhir/sources.yaml{did_you_mean(row['source'], known)}"
            key = str(row.get("id", row.get("code")))
            if key in seen:
                yield f"{place}: {key} stands twice (first on line {seen[key]}); keep one"
            seen[key] = row.line
            for column in ("code", "modality", "technique"):
                yield from _snomed(place, column, row.get(column))


def _snomed(place: str, column: str, value: Any) -> Iterator[str]:
    """Yield a concept of SNOMED CT whose check digit is wrong; a word is judged by the form of the table."""
    if isinstance(value, str) and value[:1].isdigit() and len(value) > 3 and not _checks(value):
        yield f"{place}: {column} {value} is no SNOMED CT concept; its check digit is wrong"


def _checks(digits: str) -> bool:
    """Return whether a number ends with its Verhoeff check digit, as every SNOMED CT id does."""
    if not digits.isascii() or not digits.isdigit():
        return False
    left = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        for _ in range(place % 8):
            digit = _TURNED[digit]
        left = _times(left, digit)
    return left == 0


_TURNED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _times(one: int, other: int) -> int:
    """Return the product of two elements of the dihedral group of ten."""
    turn = other % 5
    if one < 5:
        return (one + turn) % 5 + (5 if other >= 5 else 0)
    return (one - turn) % 5 + (0 if other >= 5 else 5)


def _fhir_senders(site: Site, mappings: Path) -> Iterator[str]:
    payers = [profile.name for profile in site.rulebook.policy.profiles]
    for path in sorted((mappings / "fhir" / "senders").glob("*.yaml")):
        data, name = load(path), f"{mappings.name}/fhir/senders/{path.name}"
        items: Row = data["charge_items"]
        for key, row in (items.get("activities") or {}).items():
            yield from _activity(name, row, items["activities"].lines[key], site.rulebook.catalogue)
        named = [(data["payers"].lines[plan], payer) for plan, payer in (data.get("payers") or {}).items()]
        for line, payer in (*named, (data.lines["payer_absent"], data["payer_absent"])):
            if payer is not None and payer not in payers:
                yield f"{name}:{line}: there is no payer profile '{payer}'{did_you_mean(payer, payers)}"
        for key in ("event_id", "course", "plan", "location"):
            yield from _identifiers(f"{name}:{data.lines.get(key, 1)}: {key}", data.get(key) or ())


def _identifiers(place: str, entries: Iterable[str]) -> Iterator[str]:
    for entry in entries:
        if entry not in _USES and ":" not in entry:
            yield f"{place}: '{entry}' is no use, no system and not id{did_you_mean(entry, _USES)}"
