"""Turn values into text that cannot end a field, a segment or a frame, and such text back into values."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from fhir_radcharge.errors import MessageError

_FORMATTING = re.compile(r"[HN]|\.[a-z]{2}.*|[CM](?:[0-9A-Fa-f]{2})+|Z.*", re.DOTALL)


class Delimiters(NamedTuple):
    """MSH-1 and the characters of MSH-2; one that a message does not declare is empty."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding(self) -> str:
        """Return the text of MSH-2."""
        return "".join(self[1:])


STANDARD = Delimiters()


def unescape(text: str, d: Delimiters) -> str:
    """Decode the escapes of one leaf value, once; give it leaves only, or a decoded delimiter will split.

    Characters are decoded (F S T R E P and X with hexadecimal bytes). Formatting and character-set escapes
    (H N .br C M Z) stay as they are, and so does what is no escape: unknown, unterminated, odd hexadecimal.
    """
    mark = d.escape
    if not mark or mark not in text:
        return text
    out: list[str] = []
    at = 0
    while (begin := text.find(mark, at)) >= 0 and (end := text.find(mark, begin + 1)) >= 0:
        out.append(text[at:begin])
        character = _meaning(text[begin + 1 : end], d)
        # A lone escape character stands for itself, and the next one may begin a real escape.
        out.append(text[begin:end] if character is None else character)
        at = end if character is None else end + 1
    out.append(text[at:])
    return "".join(out)


def escape(text: str, d: Delimiters) -> str:
    """Encode one leaf value, so that no character of it can end a field, a segment or a frame."""
    if not text or text.isalnum():
        return text
    coded = text.translate(_escapes(d))
    if not d.escape and coded != text:
        raise MessageError(
            "MSH-2",
            "a value needs an escape, and the message declares no escape character",
            "declare ^~\\& in MSH-2",
            "102",
        )
    return coded


Value = str | int | Decimal | date | datetime | None


def encode_component(value: Value, d: Delimiters = STANDARD) -> str:
    """Return a typed value as an escaped leaf; None becomes "", a datetime keeps its offset from UTC."""
    match value:
        case None:
            return ""
        case str():
            return escape(value, d)
        case bool():
            raise TypeError("HL7 has no boolean; say Y or N")
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.strftime("%Y%m%d%H%M%S%z")
        case date():
            return value.strftime("%Y%m%d")


def encode_field(values: Iterable[Value], d: Delimiters = STANDARD) -> str:
    """Return the components of one repetition as escaped text, without empty ones at the end."""
    return d.component.join(encode_component(value, d) for value in values).rstrip(d.component)


def _meaning(body: str, d: Delimiters) -> str | None:
    """Return what stands for the escape with this body; None if it is no escape."""
    character = _characters(d).get(body)
    if character is not None:
        return character
    if body[:1] == "X" and len(body) > 1:
        return _hexadecimal(body[1:])
    return f"{d.escape}{body}{d.escape}" if _FORMATTING.fullmatch(body) else None


def _hexadecimal(digits: str) -> str | None:
    try:
        raw = bytes.fromhex(digits) if digits.isalnum() else b""
    except ValueError:
        return None
    if not raw:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # every byte has a meaning there


@lru_cache(maxsize=64)
def _characters(d: Delimiters) -> dict[str, str]:
    letters = zip("FSRETP", d, strict=True)  # in the order of MSH-1 and MSH-2
    return {letter: character for letter, character in letters if character}


@lru_cache(maxsize=64)
def _escapes(d: Delimiters) -> dict[int, str]:
    """Return the translation of delimiters to letters and of C0 controls and DEL to hexadecimal."""
    mark = d.escape
    table = {code: f"{mark}X{code:02X}{mark}" for code in (*range(0x20), 0x7F)}
    return table | {ord(character): f"{mark}{letter}{mark}" for letter, character in _characters(d).items()}
