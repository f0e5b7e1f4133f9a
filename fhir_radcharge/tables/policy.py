"""Turns the files of the code catalogue, payer profiles, reasons and sources into proved tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Field

from fhir_radcharge.errors import TableError, did_you_mean
from fhir_radcharge.rules.catalogue import FAMILIES, Basis, Catalogue, CodeRow, Component, Payable
from fhir_radcharge.rules.policy import Knob, KnobRow, Policy, Profile, Reason
from fhir_radcharge.tables.strict_yaml import Rows, Strict, line_of, load, typed, validated

COLUMNS = (
    "code", "system", "family", "label", "valid_from", "valid_to", "component", "freestanding", "hospital",
    "physician", "modifier_26", "mue_per_day", "basis", "computed", "sources", "confidence", "notes",
)
CONFIDENCES = ("high", "medium", "low", "conflict")

_YES_NO = ("yes", "no")
_WORDS: Mapping[str, Sequence[str]] = {
    "system": ("CPT", "HCPCS"),
    "family": FAMILIES,
    "component": get_args(Component),
    "freestanding": get_args(Payable),
    "hospital": get_args(Payable),
    "physician": get_args(Payable),
    "modifier_26": _YES_NO,
    "basis": get_args(Basis),
    "computed": _YES_NO,
    "confidence": CONFIDENCES,
}


class Source(NamedTuple):
    """What a key in the tables cites; without an address where none can be reached."""

    key: str
    title: str
    address: str | None


def load_catalogue(path: Path) -> Catalogue:
    """Return the code catalogue of a CSV file; raise TableError with file and line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return Catalogue(_code_rows(file, path))
    except OSError as error:
        raise TableError(f"{path}:1: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}:1: is not UTF-8; save the file as UTF-8") from error


def load_policy(paths: Sequence[Path]) -> Policy:
    """Return the payer profiles of the product's file and of any site files after it, proved complete.

    The first file declares the knobs and the default profile; a later one adds profiles and nothing else.
    """
    knobs: dict[str, Knob] = {}
    profiles: dict[str, Profile] = {}
    default, line = "", 1
    for number, path in enumerate(paths):
        data = load(path)
        file: _PayersFile = validated(_PayersFile if number == 0 else _SiteFile, data, path)
        line = line if number else data.lines["default"]
        default = file.default or default
        knobs.update(_knobs(file, path))
        for profile in _profiles(file, path):
            if profile.name in profiles:
                raise TableError(
                    f"{profile.place}: profile '{profile.name}' is already at {profiles[profile.name].place};"
                    " choose another name"
                )
            profiles[profile.name] = profile
    return Policy(knobs.values(), profiles.values(), default, f"{paths[0]}:{line}")


def load_reasons(path: Path) -> tuple[Reason, ...]:
    """Return every reason for a hold or a flag, in the order in which one of several shows."""
    file: _ReasonsFile = validated(_ReasonsFile, load(path), path)
    found: dict[str, Reason] = {}
    for row in file.reasons:
        if row.reason in found:
            raise TableError(f"{path}:{line_of(row.reason)}: reason '{row.reason}' stands twice; keep one")
        found[row.reason] = Reason(
            str(row.reason), "hold" in row.use, "flag" in row.use, row.meaning, row.owner, row.way_out
        )
    return tuple(found.values())


def load_sources(path: Path) -> Mapping[str, Source]:
    """Return what every source key stands for."""
    rows: dict[str, _SourceRow] = validated(dict[str, _SourceRow], load(path), path)
    return {key: Source(key, row.title, row.address) for key, row in rows.items()}


def _code_rows(file: Any, path: Path) -> Iterator[CodeRow]:
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise TableError(f"{path}:1: the columns must be {','.join(COLUMNS)}")
        for cells in reader:
            yield _code_row(cells, f"{path}:{reader.line_num}")
    except csv.Error as error:
        raise TableError(f"{path}:{reader.line_num}: is not CSV: {error}; quote the cell") from error


def _code_row(cells: Sequence[str], place: str) -> CodeRow:
    if len(cells) != len(COLUMNS):
        raise TableError(f"{place}: has {len(cells)} cells, not {len(COLUMNS)}; quote a cell with a comma")
    row = dict(zip(COLUMNS, cells, strict=True))
    if len(row["code"]) != 5 or not row["code"].isalnum() or row["code"] != row["code"].upper():
        raise TableError(f"{place}: code '{row['code']}' is not five capitals and digits")
    for column, words in _WORDS.items():
        if row[column] not in words:
            raise TableError(f"{place}: {column} is '{row[column]}'; write one of {', '.join(words)}"
                             + did_you_mean(row[column], words))  # fmt: skip
    if not row["label"] or not row["sources"]:
        raise TableError(f"{place}: {row['code']} has no label or no source; write both")
    limit = row["mue_per_day"]
    if limit and not (limit.isascii() and limit.isdigit()):
        raise TableError(f"{place}: mue_per_day is '{limit}'; write a whole number, or nothing")
    return CodeRow(
        code=row["code"], system=row["system"], family=row["family"], label=row["label"],
        valid_from=_day(row["valid_from"], "valid_from", place) or date.min,
        valid_to=_day(row["valid_to"], "valid_to", place) or date.max,
        component=row["component"],  # type: ignore[arg-type]  # the words were just checked
        freestanding=row["freestanding"],  # type: ignore[arg-type]
        hospital=row["hospital"],  # type: ignore[arg-type]
        physician=row["physician"],  # type: ignore[arg-type]
        modifier_26=row["modifier_26"] == "yes",
        mue_per_day=int(limit) if limit else None,
        basis=row["basis"], computed=row["computed"] == "yes", sources=tuple(row["sources"].split()),
        confidence=row["confidence"], notes=row["notes"], place=place,
    )


def _day(text: str, column: str, place: str) -> date | None:
    if not text:
        return None
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise TableError(f"{place}: {column} is '{text}'; write a date as 2026-01-31, or nothing") from None


def _written_day(value: Any) -> Any:
    if isinstance(value, date) or value is None:
        return value
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError("write a date as 2026-01-31")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("write a date as 2026-01-31") from None


def _placed(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise ValueError("write a text")
    return value


_Day = Annotated[date, BeforeValidator(_written_day)]
# A text that keeps its line, for errors that show only when rows are compared.
_Placed = Annotated[Any, BeforeValidator(_placed)]
_Confidence = Literal["high", "medium", "low", "conflict"]
_Sources = Annotated[tuple[str, ...], Field(min_length=1)]


class _KnobDeclared(Strict):
    meaning: str
    values: Any
    least: int | None = None
    of: tuple[str, ...] | None = None
    confidence: _Confidence
    sources: _Sources
    against: tuple[str, ...] = ()


class _KnobValued(Strict):
    knob: _Placed
    start: _Day = Field(alias="from")
    end: _Day | None = Field(default=None, alias="to")
    value: Any
    sources: _Sources


class _ProfileDeclared(Strict):
    who: _Placed
    based_on: str | None = None
    rows: tuple[_KnobValued, ...]


class _PayersFile(Strict):
    default: str | None
    knobs: dict[str, _KnobDeclared]
    profiles: dict[str, _ProfileDeclared]


class _SiteFile(_PayersFile):
    default: None = Field(default=None, init=False)
    knobs: dict[str, _KnobDeclared] = Field(default={}, max_length=0)


class _ReasonRow(Strict):
    reason: _Placed
    use: Annotated[tuple[Literal["hold", "flag"], ...], Field(min_length=1)]
    meaning: str
    owner: str
    way_out: str


class _ReasonsFile(Strict):
    reasons: tuple[_ReasonRow, ...]


class _SourceRow(Strict):
    title: str
    address: str | None = None


def _knobs(file: _PayersFile, path: Path) -> Iterator[tuple[str, Knob]]:
    for name, knob in file.knobs.items():
        place = f"{path}:{line_of(knob.values)}"
        listed = isinstance(knob.values, Rows)
        if not listed and knob.values not in ("number", "list"):
            raise TableError(f"{place}: values of {name} are a list of words, or number, or list")
        if (knob.values == "number") != (knob.least is not None):
            raise TableError(f"{place}: {name} takes `least` where its values are number, and only there")
        if knob.of is not None and knob.values != "list":
            raise TableError(f"{place}: {name} takes `of` only where its values are list")
        yield name, Knob(
            name=name, meaning=knob.meaning, kind="word" if listed else str(knob.values),
            allowed=tuple(typed(knob.values)) if listed else knob.of or (), least=knob.least or 0,
            confidence=knob.confidence, sources=knob.sources, against=knob.against, place=place,
        )


def _profiles(file: _PayersFile, path: Path) -> Iterator[Profile]:
    for name, profile in file.profiles.items():
        rows = tuple(
            KnobRow(str(row.knob), row.start, row.end, typed(row.value), row.sources, at)
            for row in profile.rows
            for at in (f"{path}:{line_of(row.knob)}",)
        )
        place = f"{path}:{line_of(profile.who)}"
        yield Profile(name, str(profile.who), profile.based_on, rows, place)
