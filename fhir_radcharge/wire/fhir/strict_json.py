"""Turns bytes into JSON values without losing a digit, and back; refuses what JSON leaves open.

Duplicate keys, NaN, absurd numbers, endless depth and endless size are refused, because two readers would
understand them differently or because they cost more than they say. Decimals stay as they were written.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Final

from fhir_radcharge.errors import MessageError

BYTES_MAX: Final = 4 * 1024 * 1024
DEPTH_MAX: Final = 64
CONTAINERS_MAX: Final = 100_000
MEMBERS_MAX: Final = 300_000
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_DIGITS_MAX: Final = 32
_EXPONENT_MAX: Final = 30


class _RefusedError(ValueError):
    """What the JSON hooks refuse; becomes a MessageError at the door of this module."""


def loads(raw: bytes, bytes_max: int = BYTES_MAX) -> Any:
    """Return the one JSON value of the bytes; raise MessageError for what two readers could take apart."""
    _refuse_bulk(raw, bytes_max)
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except _RefusedError as error:
        raise _refused(str(error)) from None
    except UnicodeDecodeError:
        raise _refused("the text is not UTF-8") from None
    except RecursionError:
        raise _refused(f"it is nested deeper than {DEPTH_MAX} levels") from None
    except json.JSONDecodeError as error:
        raise _refused(f"it is not JSON from character {error.pos} on") from None
    _refuse_depth(value)
    if _HALF.search(raw):
        _refuse_half_characters(value)
    return value


def dumps(value: Any) -> bytes:
    """Return the value as UTF-8 JSON in the order of its keys; a Decimal keeps its digits."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts).encode("utf-8")


def _refuse_bulk(raw: bytes, bytes_max: int) -> None:
    if len(raw) > bytes_max:
        raise _refused(f"it is larger than {bytes_max} bytes")
    # Counted in one pass of C each, so that millions of empty lists are refused before they are built.
    if raw.count(b"{") + raw.count(b"[") > CONTAINERS_MAX or raw.count(b",") > MEMBERS_MAX:
        raise _refused(f"it has more than {CONTAINERS_MAX} objects and lists, or {MEMBERS_MAX} members")


def _refuse_half_characters(value: Any) -> None:
    """Refuse an escape that is one half of a character: no UTF-8 can say it, so it could not be told again."""
    try:
        dumps(value)
    except UnicodeEncodeError:
        raise _refused("a text holds half of a character") from None


def _refuse_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX + 1):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node if type(node) is list else ())
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise _refused(f"it is nested deeper than {DEPTH_MAX} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("an object says the same key twice")
    return found


def _decimal(text: str) -> Decimal:
    if len(text) > _DIGITS_MAX:
        raise _RefusedError(f"a number has more than {_DIGITS_MAX} characters")
    number = Decimal(text)
    if abs(number.adjusted()) > _EXPONENT_MAX:
        raise _RefusedError(f"a number is beyond ten to the power of {_EXPONENT_MAX}")
    return number


def _integer(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise _RefusedError(f"a number has more than {_DIGITS_MAX} characters")
    return int(text)


def _constant(text: str) -> Any:
    raise _RefusedError(f"{text} is not a JSON number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer, parse_constant=_constant
)


def _refused(problem: str) -> MessageError:
    return MessageError("body", problem, "send one FHIR resource or Bundle as JSON", "207")


def _write(value: Any, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None:
        parts.append("null")
    elif value is True or value is False:
        parts.append("true" if value else "false")
    elif isinstance(value, int | Decimal):
        parts.append(str(value))
    elif isinstance(value, dict):
        _write_object(value, parts)
    elif isinstance(value, list | tuple):
        _write_list(value, parts)
    else:
        # A binary float has no exact digits, so it never reaches a bill.
        raise AssertionError(f"{type(value).__name__} is not written as JSON")


def _write_object(value: dict[str, Any], parts: list[str]) -> None:
    separator = "{"
    for key, member in value.items():
        parts.append(f"{separator}{encode_basestring(key)}:")
        _write(member, parts)
        separator = ","
    parts.append("}" if value else "{}")


def _write_list(value: list[Any] | tuple[Any, ...], parts: list[str]) -> None:
    separator = "["
    for member in value:
        parts.append(separator)
        _write(member, parts)
        separator = ","
    parts.append("]" if value else "[]")
