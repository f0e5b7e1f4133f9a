"""The form of the files under `mappings/rules`: strict models that refuse a key or a word that they do not know."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.rules.tables import KNOB
from fhir_radcharge.rules.words import Dated, Needs, Scope, Units, Way
from fhir_radcharge.tables.strict_yaml import Strict


def _whole(text: str) -> str:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("write a whole number from 1")
    return text


def _of_profile(words: Any, whole: bool = False) -> Any:
    """Return the check of a word that may also be a number, or a knob of the payer's profile."""
    known = get_args(words)

    def check(text: str) -> str:
        if text in known or text.startswith(KNOB):
            return text
        if whole and text.isascii() and text.isdigit() and int(text) > 0:
            return text
        form = "".join((f"{', '.join(known)}, " if known else "", "a whole number, " if whole else "", "or knob.NAME"))
        raise ValueError(f"write {form} (found '{text}'){did_you_mean(text, known)}")

    return Annotated[str, AfterValidator(check)]


_Whole = Annotated[str, AfterValidator(_whole)]
_Name = Annotated[str, Field(min_length=1)]
_Names = Annotated[tuple[_Name, ...], Field(min_length=1)]
_Day = Any  # read by the loader, which says how a date is written
_Sources = Any  # likewise


class _Form(Strict):
    model_config = ConfigDict(populate_by_name=False)


class BandForm(_Form):
    """A named span of numbers."""

    name: _Name
    upto: str | None = None
    below: str | None = None


class AskForm(_Form):
    """A question with its words or bands, and the word for what is not stated."""

    values: tuple[_Name, ...] = ()
    bands: tuple[BandForm, ...] = ()
    absent: _Name | None = None


class TableForm(_Form):
    """A decision table; its rows have columns of its own, so that the loader checks them."""

    table: _Name
    first: _Day = Field(default=None, alias="from")
    last: _Day = Field(default=None, alias="to")
    match: Literal["one", "first"]
    asks: dict[str, Any]
    gives: _Names
    rows: Annotated[list[dict[str, Any]], Field(min_length=1)]


class _Row(_Form):
    id: _Name
    first: _Day = Field(default=None, alias="from")
    last: _Day = Field(default=None, alias="to")
    source: _Sources = None


class CountingRow(_Row):
    """What a count of sessions earns."""

    code: _Name
    counts: _Name
    way: Way
    size: _of_profile(None, whole=True) = ""  # type: ignore[valid-type]
    remainder_min: _of_profile(Literal["none"], whole=True) = ""  # type: ignore[valid-type]
    total_min: _Whole = ""
    total_max: _Whole = ""
    whole_under: _Whole = ""
    dated: _of_profile(Dated) = "last"  # type: ignore[valid-type]
    units: _of_profile(Units) = "one"  # type: ignore[valid-type]
    stopped: _of_profile(Literal["true", "false"]) = ""  # type: ignore[valid-type]
    needs: Needs | None = None
    per_group: Literal["yes", "no"]


class CountingFile(_Form):
    """`counting.yaml`."""

    counting: tuple[CountingRow, ...]


class ExclusionRow(_Row):
    """What is inside what."""

    has: _Names
    excludes: _Names
    scope: Scope


class ExclusionsFile(_Form):
    """`exclusions.yaml`."""

    exclusions: tuple[ExclusionRow, ...]


class SiteRow(_Form):
    """What the words of a body site mean."""

    id: _Name
    words: tuple[_Name, ...]
    with_any: tuple[_Name, ...] = ()
    imrt: _Name
    cranial: Literal["yes", "no"]
    source: _Sources = None


class SitesFile(_Form):
    """`sites.yaml`."""

    sites: Annotated[tuple[SiteRow, ...], Field(min_length=1)]


class HolidayRow(_Form):
    """A day on which the department is closed."""

    day: _Day
    name: _Name


class HolidaysFile(_Form):
    """`holidays.yaml`."""

    holidays: tuple[HolidayRow, ...]
