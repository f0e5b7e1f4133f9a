"""Turns the scalars of a case file into values, and says how one is to be written where it is not."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from fhir_radcharge.tables.strict_yaml import Rows, Text

_INTEGER = re.compile(r"0|[1-9][0-9]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Moment(NamedTuple):
    """A local date, and minutes after midnight where a time is stated; `text` is how it was written."""

    day: date
    minute: int | None
    text: str


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("write a text")
    return str(value)


def _kept(value: Any) -> Any:
    _name(value)
    return value


def _quoted(value: Any, form: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"write {form}")
    if isinstance(value, Text) and not value.quoted:
        raise ValueError(f'write it in quotes: "{value}"')
    return str(value)


def _plain(value: Any, form: re.Pattern[str], said: str) -> str:
    if not isinstance(value, str) or getattr(value, "quoted", False) or not form.fullmatch(value):
        raise ValueError(f"write {said} without quotes")
    return str(value)


def whole(value: Any) -> Any:
    """Return an unquoted whole number; raise ValueError with the way out."""
    return value if isinstance(value, int) else int(_plain(value, _INTEGER, "a whole number"))


def _number(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    text = _plain(value, _NUMBER, "a number")
    return float(text) if "." in text else int(text)


def _truth(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false") or getattr(value, "quoted", False):
        raise ValueError("write true or false")
    return value == "true"


def moment(value: Any) -> Any:
    """Return a quoted date or time as a Moment; raise ValueError with the way out."""
    if isinstance(value, Moment):
        return value
    form = '"2026-01-31" or "2026-01-31T09:00"'
    text = _quoted(value, form)
    try:
        if len(text) == 10:
            return Moment(date.fromisoformat(text), None, text)
        hour, minute = int(text[11:13]), int(text[14:16])
        if len(text) != 16 or text[10] + text[13] != "T:" or hour > 23 or minute > 59 or " " in text:
            raise ValueError
        return Moment(date.fromisoformat(text[:10]), hour * 60 + minute, text)
    except ValueError:
        raise ValueError(f"write {form}") from None


def _day(value: Any) -> Any:
    when = moment(value)
    if when.minute is not None:
        raise ValueError("write a date without a time")
    return when


def _code(value: Any) -> str:
    text = _quoted(value, "a code in quotes")
    if not re.fullmatch(r"[0-9A-Z]\d{3}[0-9A-Z]", text):
        raise ValueError("write a code of five capitals and digits")
    return text


def _modifier(value: Any) -> str:
    text = _quoted(value, "a modifier in quotes")
    if not re.fullmatch(r"[0-9A-Z]{2}", text):
        raise ValueError("write a modifier of two capitals or digits")
    return text


def _times(value: Any) -> Any:
    if not isinstance(value, Rows) or not value:
        raise ValueError("write a list of dates or times")
    return value


Name = Annotated[str, BeforeValidator(_name)]
Kept = Annotated[Any, BeforeValidator(_kept)]
Whole = Annotated[int, BeforeValidator(whole)]
Counted = Annotated[int, BeforeValidator(whole), Field(ge=1)]
Number = Annotated[float | int, BeforeValidator(_number)]
Truth = Annotated[bool, BeforeValidator(_truth)]
When = Annotated[Moment, BeforeValidator(moment)]
Day = Annotated[Moment, BeforeValidator(_day)]
CodeText = Annotated[str, BeforeValidator(_code)]
Modifier = Annotated[str, BeforeValidator(_modifier)]
Times = Annotated[tuple[When, ...], BeforeValidator(_times)]
"""A list of dates or times."""
