"""Turns the files under `mappings/` that decide charges into one rulebook, and proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from fhir_radcharge.errors import TableError
from fhir_radcharge.policy_files import load_catalogue, load_policy, load_reasons, load_sources
from fhir_radcharge.rules.rulebook import LAST_DAY, CountRule, Exclusion, Rulebook, SiteWords
from fhir_radcharge.rules.tables import Ask, Band, Row, Table
from fhir_radcharge.strict_yaml import line_of, load

FIRST_DAY = date(2015, 1, 1)
NOT_DECISIONS = frozenset({"counting", "exclusions", "sites", "holidays"})
DECIDING = ("rules", "payers.yaml", "site_payers.yaml", "codes.csv", "reasons.yaml")


def load_rulebook(mappings: Path) -> Rulebook:
    """Return the tables of a mappings folder; raise TableError, one `file:line: ...` line for each mistake."""
    rules = mappings / "rules"
    tables = {}
    for path in sorted(rules.glob("*.yaml")):
        if path.stem not in NOT_DECISIONS:
            table = _table(path)
            tables[table.name] = table
    payers = [p for p in (mappings / "payers.yaml", mappings / "site_payers.yaml") if p.exists()]
    return Rulebook(
        tables=tables,
        counting=tuple(_counting(rules / "counting.yaml")),
        exclusions=tuple(_exclusions(rules / "exclusions.yaml")),
        sites=tuple(_sites(rules / "sites.yaml")),
        policy=load_policy(payers),
        catalogue=load_catalogue(mappings / "codes.csv"),
        reasons=load_reasons(mappings / "reasons.yaml"),
        holidays=_holidays(rules / "holidays.yaml"),
        digest=digest_of(deciding_files(mappings), mappings),
    )


def deciding_files(mappings: Path) -> list[Path]:
    """Return every file whose content decides a charge, in a fixed order."""
    found: list[Path] = []
    for name in DECIDING:
        path = mappings / name
        found.extend(sorted(path.glob("*.yaml")) if path.is_dir() else [path] if path.exists() else [])
    return found


def digest_of(files: list[Path], root: Path) -> str:
    """Return the SHA-256 of the names and bytes of files."""
    whole = hashlib.sha256()
    for path in files:
        body = path.read_bytes()
        whole.update(f"{path.relative_to(root).as_posix()}\0{len(body)}\0".encode())
        whole.update(body)
    return whole.hexdigest()


def problems(rulebook: Rulebook, mappings: Path) -> list[str]:
    """Return every gap, overlap, dead row, dangling name and uncited row of the tables; none: they are proved."""
    known = set(load_sources(mappings / "sources.yaml"))
    found: list[str] = []
    for table in rulebook.tables.values():
        found.extend(table.problems())
        found.extend(_names(table, rulebook))
        for row in table.rows:
            found.extend(
                f"{row.place}: source {key} is not in sources.yaml" for key in row.sources if key not in known
            )
    cited = [(rule.place, rule.sources) for rule in rulebook.counting]
    cited += [(rule.place, rule.sources) for rule in rulebook.exclusions]
    for place, sources in cited:
        found.extend(f"{place}: source {key} is not in sources.yaml" for key in sources if key not in known)
    found.extend(_uncovered(rulebook))
    return found


def _names(table: Table, rulebook: Rulebook) -> Iterator[str]:
    """Yield each next table, code, hold, flag or knob that a row names and that does not exist when it answers."""
    reasons = {reason.reason for reason in rulebook.reasons}
    for ask in table.asks:
        if ask.name.startswith("knob.") and ask.name[5:] not in rulebook.policy.declared:
            yield f"{table.name}: asks the knob {ask.name[5:]}, which payers.yaml does not declare"
    for row in table.rows:
        start, end = max(row.start, table.start), min(row.end, table.end)
        for column, known in (("hold", reasons), ("flag", reasons)):
            word = row.text(column)
            if word is not None and word not in known:
                yield f"{row.place}: {column} {word} is not in reasons.yaml"
        following = row.text("next")
        if following is not None:
            other = rulebook.tables.get(following)
            if other is None or other.start > start or other.end < end:
                yield f"{row.place}: next table {following} does not answer from {start} to {end}"
        code = row.text("code")
        if code is not None and (
            rulebook.catalogue.row(code, start) is None
            or rulebook.catalogue.row(code, min(end, date(2100, 1, 1))) is None
        ):
            yield f"{row.place}: code {code} is not valid from {start} to {end}; see codes.csv"


def _uncovered(rulebook: Rulebook) -> Iterator[str]:
    """Yield each computed code of the catalogue that no row of any table gives while it is valid."""
    given = {
        (str(row.gives["code"]))
        for table in rulebook.tables.values()
        for row in table.rows
        if "code" in row.gives
    }
    given |= {rule.code for rule in rulebook.counting}
    for code in rulebook.catalogue:
        if code.computed and code.valid_to >= FIRST_DAY and code.code not in given:
            yield f"{code.place}: {code.code} is computed from facts, and no table gives it"


def _table(path: Path) -> Table:
    data = load(path)
    name = str(data["table"])
    start, end = _day(data, "from", path, FIRST_DAY), _day(data, "to", path, LAST_DAY)
    asks = tuple(_ask(ask, words, path) for ask, words in data["asks"].items())
    gives = tuple(map(str, data["gives"]))
    known = {"id", "from", "to", "source", *gives, *(ask.name for ask in asks)}
    rows, seen = [], set()
    for entry in data["rows"]:
        place = f"{path.name}:{line_of(entry)}"
        for key in entry:
            if key not in known:
                raise TableError(f"{place}: {key} is neither asked nor given by table {name}")
        if entry["id"] in seen:
            raise TableError(f"{place}: row id {entry['id']} stands twice")
        seen.add(str(entry["id"]))
        rows.append(_row(entry, asks, gives, start, end, path))
    return Table(name, asks, gives, tuple(rows), str(data["match"]) == "first", start, end)


def _ask(name: str, words: Any, path: Path) -> Ask:
    if str(words) == "truth":  # yes or no; not stated is no
        return Ask(str(name), ("no", "yes"), (), "no")
    if isinstance(words, list):
        return Ask(str(name), tuple(map(str, words)))
    bands = tuple(
        Band(str(b["name"]), *(Decimal(str(b[k])) if k in b else None for k in ("upto", "below")))
        for b in words.get("bands", ())
    )
    values = tuple(band.name for band in bands) or tuple(map(str, words.get("values", ())))
    if not values:
        raise TableError(f"{path.name}:{line_of(words)}: {name} declares neither values nor bands")
    absent = str(words["absent"]) if "absent" in words else None
    return Ask(str(name), values if absent is None or absent in values else (*values, absent), bands, absent)


def _row(
    entry: Any, asks: tuple[Ask, ...], gives: tuple[str, ...], start: date, end: date, path: Path
) -> Row:
    place = f"{path.name}:{line_of(entry)}"
    wants: list[frozenset[str] | None] = []
    for ask in asks:
        if ask.name not in entry:
            wants.append(None)
            continue
        cell = entry[ask.name]
        words = frozenset(map(str, cell if isinstance(cell, list) else [cell]))
        unknown = words - set(ask.values)
        if unknown:
            raise TableError(
                f"{place}: {ask.name} takes {', '.join(ask.values)}; found {', '.join(sorted(unknown))}"
            )
        wants.append(words)
    sources = _sources(entry, place)
    cells = {
        key: tuple(map(str, cell)) if isinstance(cell, list) else str(cell)
        for key in gives
        if (cell := entry.get(key)) is not None
    }
    if "code" in cells and not getattr(entry["code"], "quoted", True):
        raise TableError(f"{place}: write the code {cells['code']} in quotes")
    return Row(
        str(entry["id"]),
        tuple(wants),
        cells,
        _day(entry, "from", path, start),
        _day(entry, "to", path, end),
        sources,
        place,
    )


def _sources(entry: Any, place: str) -> tuple[str, ...]:
    sources = entry.get("source")
    if not isinstance(sources, list) or not sources:
        raise TableError(f"{place}: row {entry.get('id')} cites no source; every row cites one")
    return tuple(map(str, sources))


def _day(entry: Any, key: str, path: Path, default: date) -> date:
    if key not in entry:
        return default
    try:
        return date.fromisoformat(str(entry[key]))
    except ValueError as error:
        raise TableError(
            f"{path.name}:{line_of(entry)}: {key}: {entry[key]} is not a date yyyy-mm-dd"
        ) from error


def _counting(path: Path) -> Iterator[CountRule]:
    for entry in load(path)["counting"]:
        place = f"{path.name}:{line_of(entry)}"
        cells = {
            key: str(value)
            for key, value in entry.items()
            if key not in ("id", "code", "from", "to", "source", "per_group")
        }
        unknown = cells.keys() - set(CountRule._fields)
        if unknown:
            raise TableError(f"{place}: unknown column {', '.join(sorted(unknown))}")
        yield CountRule(
            id=str(entry["id"]),
            code=str(entry["code"]),
            start=_day(entry, "from", path, FIRST_DAY),
            end=_day(entry, "to", path, LAST_DAY),
            sources=_sources(entry, place),
            per_group=str(entry["per_group"]) == "yes",
            place=place,
            **cells,
        )


def _exclusions(path: Path) -> Iterator[Exclusion]:
    for entry in load(path)["exclusions"]:
        place = f"{path.name}:{line_of(entry)}"
        if str(entry["scope"]) not in ("plan", "same_plan", "day", "plan_or_day", "course"):
            raise TableError(
                f"{place}: scope {entry['scope']} is none of plan, same_plan, day, plan_or_day, course"
            )
        yield Exclusion(
            str(entry["id"]),
            _day(entry, "from", path, FIRST_DAY),
            _day(entry, "to", path, LAST_DAY),
            frozenset(map(str, entry["has"])),
            frozenset(map(str, entry["excludes"])),
            str(entry["scope"]),
            _sources(entry, place),
            place,
        )


def _sites(path: Path) -> Iterator[SiteWords]:
    for entry in load(path)["sites"]:
        yield SiteWords(
            str(entry["id"]),
            frozenset(map(str, entry["words"])),
            frozenset(map(str, entry.get("with_any", ()))),
            str(entry["imrt"]),
            str(entry["cranial"]),
            _sources(entry, f"{path.name}:{line_of(entry)}"),
        )


def _holidays(path: Path) -> frozenset[date]:
    if not path.exists():
        return frozenset()
    return frozenset(_day(entry, "day", path, FIRST_DAY) for entry in load(path)["holidays"])
