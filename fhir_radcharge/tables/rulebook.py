"""Turns the files under `mappings/` that decide charges into one rulebook, and proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from fhir_radcharge.errors import TableError, did_you_mean
from fhir_radcharge.rules.policy import Policy
from fhir_radcharge.rules.rulebook import LAST_DAY, CountRule, Exclusion, Rulebook, SiteWords
from fhir_radcharge.rules.tables import Ask, Band, Row, Table
from fhir_radcharge.tables.forms import (
    AskForm,
    BandForm,
    CountingFile,
    CountingRow,
    ExclusionRow,
    ExclusionsFile,
    HolidaysFile,
    SiteRow,
    SitesFile,
    TableForm,
)
from fhir_radcharge.tables.policy import load_catalogue, load_policy, load_reasons, load_sources
from fhir_radcharge.tables.strict_yaml import Row as Written
from fhir_radcharge.tables.strict_yaml import line_of, load, validated
from fhir_radcharge.tables.words import unknown_sources, wrong_words

T = TypeVar("T")
RowT = TypeVar("RowT", CountingRow, ExclusionRow, SiteRow)

FIRST_DAY = date(2015, 1, 1)
NOT_DECISIONS = frozenset({"counting", "exclusions", "sites", "holidays"})
DECIDING = ("rules", "payers.yaml", "site_payers.yaml", "codes.csv", "reasons.yaml")


def load_rulebook(mappings: Path) -> Rulebook:
    """Return the tables of a mappings folder; raise TableError, one `file:line: ...` line for each mistake."""
    rules = mappings / "rules"
    wrong: list[str] = []

    def read(loaded: Callable[[Path], T], path: Path) -> Any:
        try:
            return loaded(path)
        except TableError as error:
            wrong.extend(str(error).splitlines())
            return None

    tables = [read(_table, path) for path in sorted(rules.glob("*.yaml")) if path.stem not in NOT_DECISIONS]
    parts = {
        "counting": read(_counting, rules / "counting.yaml"),
        "exclusions": read(_exclusions, rules / "exclusions.yaml"),
        "sites": read(_sites, rules / "sites.yaml"),
        "policy": read(_policy, mappings),
        "catalogue": read(load_catalogue, mappings / "codes.csv"),
        "reasons": read(load_reasons, mappings / "reasons.yaml"),
        "holidays": read(_holidays, rules / "holidays.yaml"),
    }
    if wrong:
        raise TableError("\n".join(wrong))
    digest = digest_of(deciding_files(mappings), mappings)
    return Rulebook(tables={table.name: table for table in tables}, digest=digest, **parts)


def _policy(mappings: Path) -> Policy:
    return load_policy([p for p in (mappings / "payers.yaml", mappings / "site_payers.yaml") if p.exists()])


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
    """Return every gap, overlap, dead row, word of nothing and uncited row of the tables; none: they are proved."""
    found: list[str] = []
    for table in rulebook.tables.values():
        found.extend(table.problems())
        found.extend(_names(table, rulebook))
    found.extend(_uncovered(rulebook))
    found.extend(wrong_words(rulebook))
    found.extend(unknown_sources(rulebook, load_sources(mappings / "sources.yaml")))
    return list(dict.fromkeys(found))


def _names(table: Table, rulebook: Rulebook) -> Iterator[str]:
    """Yield each next table, code, hold, flag or knob that a row names and that does not exist when it answers."""
    reasons = {reason.reason for reason in rulebook.reasons}
    for ask in table.asks:
        if ask.name.startswith("knob.") and ask.name[5:] not in rulebook.policy.declared:
            near = did_you_mean(ask.name[5:], rulebook.policy.declared)
            place = table.places.get(ask.name, table.name)
            yield f"{place}: asks the knob {ask.name[5:]}, which payers.yaml does not declare{near}"
    for row in table.rows:
        start, end = max(row.start, table.start), min(row.end, table.end)
        for column, known in (("hold", reasons), ("flag", reasons)):
            word = row.text(column)
            if word is not None and word not in known:
                yield f"{row.place}: {column} {word} is not in reasons.yaml{did_you_mean(word, known)}"
        following = row.text("next")
        if following is not None:
            other = rulebook.tables.get(following)
            if other is None or other.start > start or other.end < end:
                near = "" if other else did_you_mean(following, rulebook.tables)
                yield f"{row.place}: next table {following} does not answer from {start} to {end}{near}"
        code = row.text("code")
        if code is not None and (
            rulebook.catalogue.row(code, start) is None
            or rulebook.catalogue.row(code, min(end, date(2100, 1, 1))) is None
        ):
            yield f"{row.place}: code {code} is not valid from {start} to {end}; see codes.csv"


def _uncovered(rulebook: Rulebook) -> Iterator[str]:
    """Yield each computed code of the catalogue that no row of any table gives while it is valid."""
    given = {row.text("code") for table in rulebook.tables.values() for row in table.rows}
    given |= {rule.code for rule in rulebook.counting}
    for code in rulebook.catalogue:
        if code.computed and code.valid_to >= FIRST_DAY and code.code not in given:
            yield f"{code.place}: {code.code} is computed from facts, and no table gives it"


def _table(path: Path) -> Table:
    data = load(path)
    validated(TableForm, data, path.name)
    name = str(data["table"])
    if name != path.stem:
        raise TableError(f"{path.name}:{line_of(data['table'])}: table is '{name}'; a table has the name of its file")
    start, end = _day(data, "from", path, FIRST_DAY), _day(data, "to", path, LAST_DAY)
    asks = tuple(_ask(ask, words, path) for ask, words in data["asks"].items())
    gives = tuple(map(str, data["gives"]))
    known = {"id", "from", "to", "source", *gives, *(ask.name for ask in asks)}
    rows, seen = [], set()
    for entry in data["rows"]:
        place = f"{path.name}:{line_of(entry)}"
        for key in entry:
            if key not in known:
                told = f"{place}: {key} is neither asked nor given by table {name}"
                raise TableError(told + did_you_mean(key, known))
        if not entry.get("id"):
            raise TableError(f"{place}: a row has no id; give it one that is unique in the table")
        if entry["id"] in seen:
            raise TableError(f"{place}: row id {entry['id']} stands twice")
        seen.add(str(entry["id"]))
        rows.append(_row(entry, asks, gives, start, end, path))
    places = {key: f"{path.name}:{line}" for lines in (data.lines, data["asks"].lines) for key, line in lines.items()}
    return Table(name, asks, gives, tuple(rows), str(data["match"]) == "first", start, end, places)


def _ask(name: str, words: Any, path: Path) -> Ask:
    place = f"{path.name}:{line_of(words)}: {name}"
    if isinstance(words, str) and words == "truth":  # yes or no; not stated is no
        return Ask(name, ("no", "yes"), (), "no")
    if isinstance(words, str) or words is None:
        near = did_you_mean(str(words), ("truth",))
        raise TableError(f"{place} is '{words}'; write a list of words, {{values: ...}}, {{bands: ...}} or truth{near}")
    if isinstance(words, list):
        words = _row_of(words, "values")
    form = validated(AskForm, words, path.name)
    if bool(form.values) == bool(form.bands):
        told = "both values and bands" if form.values else "neither values nor bands"
        raise TableError(f"{place} declares {told}")
    bands = tuple(_band(band, place) for band in form.bands)
    values = form.values or tuple(band.name for band in bands)
    if len(set(values)) < len(values):
        raise TableError(f"{place} has a word twice; keep one")
    if form.absent is None or form.absent in values:
        return Ask(name, values, bands, form.absent)
    return Ask(name, (*values, form.absent), bands, form.absent)


def _row_of(words: Any, key: str) -> Written:
    row = Written(line_of(words))
    row[key], row.lines[key] = words, row.line
    return row


def _band(form: BandForm, place: str) -> Band:
    try:
        upto, below = (None if text is None else Decimal(text) for text in (form.upto, form.below))
    except InvalidOperation as error:
        raise TableError(f"{place}: the bound of band {form.name} is not a number; write as upto: \"5\"") from error
    return Band(form.name, upto, below)


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
            told = f"{place}: {ask.name} takes {', '.join(ask.values)}; found {', '.join(sorted(unknown))}"
            raise TableError(told + did_you_mean(min(unknown), ask.values))
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


def _counting(path: Path) -> tuple[CountRule, ...]:
    data = load(path)
    file = validated(CountingFile, data, path.name)
    apart = {"id", "first", "last", "source", "per_group", "needs"}
    return tuple(
        CountRule(
            id=row.id,
            start=_day(entry, "from", path, FIRST_DAY),
            end=_day(entry, "to", path, LAST_DAY),
            sources=_sources(entry, place),
            needs=row.needs or "",
            per_group=row.per_group == "yes",
            place=place,
            **row.model_dump(exclude=apart),
        )
        for row, entry, place in _placed(file.counting, data["counting"], path)
    )


def _exclusions(path: Path) -> tuple[Exclusion, ...]:
    data = load(path)
    file = validated(ExclusionsFile, data, path.name)
    return tuple(
        Exclusion(
            row.id,
            _day(entry, "from", path, FIRST_DAY),
            _day(entry, "to", path, LAST_DAY),
            frozenset(row.has),
            frozenset(row.excludes),
            row.scope,
            _sources(entry, place),
            place,
        )
        for row, entry, place in _placed(file.exclusions, data["exclusions"], path)
    )


def _sites(path: Path) -> tuple[SiteWords, ...]:
    data = load(path)
    file = validated(SitesFile, data, path.name)
    return tuple(
        SiteWords(
            row.id, frozenset(row.words), frozenset(row.with_any), row.imrt, row.cranial, _sources(entry, place), place
        )
        for row, entry, place in _placed(file.sites, data["sites"], path)
    )


def _holidays(path: Path) -> frozenset[date]:
    if not path.exists():
        return frozenset()
    data = load(path)
    validated(HolidaysFile, data, path.name)
    seen: dict[date, str] = {}
    for entry in data["holidays"]:
        day, place = _day(entry, "day", path, FIRST_DAY), f"{path.name}:{line_of(entry)}"
        if day in seen:
            raise TableError(f"{place}: {day} is already at {seen[day]}; keep one")
        seen[day] = place
    return frozenset(seen)


def _placed(rows: Sequence[RowT], entries: Any, path: Path) -> Iterator[tuple[RowT, Any, str]]:
    """Yield each row with what it was read from and its place; TableError where two have one id."""
    seen: set[str] = set()
    for row, entry in zip(rows, entries, strict=True):
        place = f"{path.name}:{line_of(entry)}"
        if row.id in seen:
            raise TableError(f"{place}: row id {row.id} stands twice")
        seen.add(row.id)
        yield row, entry, place
