"""Every word of the site's own files that means nothing: codes, payers, facts, sources, and files that nobody reads."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.profiles.words import check_values
from fhir_radcharge.rules.catalogue import Catalogue
from fhir_radcharge.site import Site, contents
from fhir_radcharge.tables.policy import load_sources
from fhir_radcharge.tables.sender_words import class_problems, type_problems
from fhir_radcharge.tables.strict_yaml import Row, line_of, load, typed
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
_CONCEPTS = {
    "technique.yaml": ("modality", "technique"),
    "guidance.yaml": ("code",),
    "motion.yaml": ("code", "technique"),
    "body_site.yaml": ("code",),
}
_USES = ("official", "usual", "secondary", "temp", "old", "id")


def site_problems(site: Site, mappings: Path) -> list[str]:
    """Return each code, payer, fact and source of the site's own files that is unknown, and each unread file."""
    found = [*_unread(mappings), *_empty(mappings), *_owners(mappings), *_charge_master(mappings, site)]
    for path in sorted((mappings / "senders").glob("*.yaml")):
        data, name = load(path), f"{mappings.name}/senders/{path.name}"
        passes = data["foreign_codes"] == "pass"
        for code, row in data["activities"].items():
            found += _activity(name, row, data["activities"].lines[code], None if passes else site.rulebook.catalogue)
        found += type_problems(name, data)
    return [*found, *_fhir_tables(mappings), *_fhir_senders(site, mappings)]


def _unread(mappings: Path) -> Iterator[str]:
    for name, _ in contents(mappings):
        path = Path(name)
        known = FOLDERS.get(path.parent.as_posix(), ())
        if path.suffix not in (".md", ".txt") and not any(path.match(pattern) for pattern in known):
            near = did_you_mean(path.name, (one for one in known if "*" not in one))
            yield f"{mappings.name}/{name}:1: is read by nobody; correct its name, or take it away{near}"


def _empty(mappings: Path) -> Iterator[str]:
    """Yield each text of a file that is empty; only the header of an HL7 message may say nothing."""
    for name, _ in contents(mappings):
        if name.endswith(".yaml"):
            path = mappings / name
            data = load(path)
            for key, value in data.items() if isinstance(data, Row) else ():
                if key != "header":
                    yield from _empty_below(f"{mappings.name}/{name}", data.lines[key], key, value)


def _empty_below(name: str, line: int, key: str, value: Any) -> Iterator[str]:
    if value == "":
        yield f"{name}:{line}: {key} is empty; write it, or take it out"
    elif isinstance(value, Row):
        for inner, told in value.items():
            yield from _empty_below(name, value.lines[inner], inner, told)
    elif isinstance(value, list):
        for told in value:
            yield from _empty_below(name, line_of(told, line), key, told)


def _owners(mappings: Path) -> Iterator[str]:
    """Yield an owner of one reason alone that is spelled almost as another: nobody would look there."""
    owners = [row["owner"] for row in load(mappings / "reasons.yaml")["reasons"]]
    for owner in owners:
        near = difflib.get_close_matches(owner, {other for other in owners if other != owner}, 1, 0.85)
        if near and owners.count(owner) < owners.count(near[0]):
            yield f"{mappings.name}/reasons.yaml:{owner.line}: owner '{owner}'; did you mean '{near[0]}'?"


def _charge_master(mappings: Path, site: Site) -> Iterator[str]:
    codes = {row.code for row in site.rulebook.catalogue}
    destinations = {*site.destinations, *site.fhir.destinations}
    for path in sorted((mappings / "chargemaster").glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            for row in rows:
                place = f"{mappings.name}/chargemaster/{path.name}:{rows.line_num}"
                if row["code"] not in codes:
                    yield f"{place}: code {row['code']} is not in codes.csv{did_you_mean(row['code'], codes)}"
                if row["destination"] not in destinations:
                    near = did_you_mean(row["destination"], destinations)
                    yield f"{place}: there is no destination '{row['destination']}'{near}"
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
            for column in _CONCEPTS.get(path.name, ()):
                yield from _snomed(place, column, row.get(column))


def _snomed(place: str, column: str, value: Any) -> Iterator[str]:
    """Yield what is neither `any`, `none` nor a concept of SNOMED CT, whose last digit checks the others."""
    if isinstance(value, str) and value not in ("any", "none") and not _checks(value):
        near = did_you_mean(value, ("any", "none")) or "; its check digit is wrong"
        yield f"{place}: {column} {value} is no SNOMED CT concept{near}"


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
        systems = [*data["patient"]["systems"], *data["account"], *(items.get("code_systems") or ())]
        for system in systems:
            if ":" not in system:
                yield f"{name}:{line_of(system)}: '{system}' is no system; write its whole URI"
        for key in ("event_id", "course", "plan", "location"):
            yield from _identifiers(f"{name}:{data.lines.get(key, 1)}: {key}", data.get(key) or ())
        yield from class_problems(name, data)


def _identifiers(place: str, entries: Iterable[str]) -> Iterator[str]:
    for entry in entries:
        if entry not in _USES and ":" not in entry:
            yield f"{place}: '{entry}' is no use, no system and not id{did_you_mean(entry, _USES)}"
