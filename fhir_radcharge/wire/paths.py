"""Turns the paths of a sender profile into closures that read one decoded value each, compiled once.

FT1-7       FT1-7.1      field, first component          FT1-7.4.2   sub-component
FT1-2.*                  the whole field, components joined by ^
PID-3[5=MR].1            the repetition whose component 5 is MR
PID-3[2].1               the second repetition
ZCH:SITE                 the KEY=VALUE field of a Z segment
OBX:Technique            OBX-5 of the OBX whose OBX-3.1 is Technique
{course}                 what a text template captured
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fhir_radcharge.wire.er7 import NULL, Delimiters, unescape

_PATH = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})-(?P<field>[1-9][0-9]?)"
    r"(?:\[(?:(?P<key>[1-9][0-9]?)=(?P<equals>[^\]]+)|(?P<number>[1-9][0-9]?))\])?"
    r"(?:\.(?P<component>[1-9][0-9]?|\*)(?:\.(?P<subcomponent>[1-9][0-9]?))?)?"
)
_KEYED = re.compile(r"(?P<segment>[A-Z][A-Z0-9]{2}):(?P<name>.+)")
_CAPTURED = re.compile(r"\{(?P<name>[a-z_]+)\}")
_NONE: Mapping[str, list[str]] = {}
_NO_TEXT: Mapping[str, str] = {}


class Scope:
    """What one FT1 may read: itself, the segments that follow it, and those that the message shares."""

    __slots__ = ("captured", "delimiters", "ft1", "keys", "named", "observed", "own")

    def __init__(self, delimiters: Delimiters, ft1: list[str]) -> None:
        self.delimiters = delimiters
        self.ft1 = ft1
        self.own: Mapping[str, list[str]] = _NONE
        self.named: Mapping[str, list[str]] = _NONE
        self.keys: Mapping[str, str] = _NO_TEXT
        self.observed: Mapping[str, str] = _NO_TEXT
        self.captured: Mapping[str, str] = _NO_TEXT


Read = Callable[[Scope], str]


class Parts(NamedTuple):
    """A field path taken apart; `component` 0 stands for the whole field."""

    segment: str
    field: int
    component: int
    subcomponent: int
    repetition: int
    key: int
    equals: str


def parts_of(path: str) -> Parts | None:
    """Return a field path taken apart, or None if it is not one."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    component = found["component"] or "1"
    return Parts(
        found["segment"],
        int(found["field"]),
        0 if component == "*" else int(component),
        int(found["subcomponent"] or 1),
        int(found["number"] or 1),
        int(found["key"] or 0),
        found["equals"] or "",
    )


def keyed(path: str) -> tuple[str, str] | None:
    """Return segment and name of a `ZCH:SITE` path, or None if it is not one."""
    found = _KEYED.fullmatch(path)
    return (found["segment"], found["name"]) if found else None


def captured(path: str) -> str | None:
    """Return the name in `{name}`, or None if the path is not one."""
    found = _CAPTURED.fullmatch(path)
    return found["name"] if found else None


def leaf(raw: str, d: Delimiters, component: int = 1, subcomponent: int = 1) -> str:
    """Return one decoded value of a single repetition; "" for an absent one and for the explicit null."""
    mark = d.component
    if mark and mark in raw:
        pieces = raw.split(mark, component)
        raw = pieces[component - 1] if len(pieces) >= component else ""
    elif component > 1:
        return ""
    mark = d.subcomponent
    if mark and mark in raw:
        pieces = raw.split(mark, subcomponent)
        raw = pieces[subcomponent - 1] if len(pieces) >= subcomponent else ""
    elif subcomponent > 1:
        return ""
    if raw == NULL:
        return ""
    mark = d.escape
    return (unescape(raw, d) if mark and mark in raw else raw).strip()


def first_leaf(raw: str, d: Delimiters) -> str:
    """Return the first decoded value of a field; most fields hold nothing else, and most values no delimiter."""
    _, component, repetition, escape, subcomponent, _ = d
    if component:
        raw = raw.partition(component)[0]
    if raw.isalnum():
        return raw
    if repetition and repetition in raw:
        raw = raw.partition(repetition)[0]
    if subcomponent and subcomponent in raw:
        raw = raw.partition(subcomponent)[0]
    if raw == NULL:
        return ""
    return (unescape(raw, d) if escape and escape in raw else raw).strip()


def whole(raw: str, d: Delimiters) -> str:
    """Return all components of one repetition, decoded and joined by ^, without empty ones at the end."""
    mark = d.component
    if not mark or mark not in raw:
        return leaf(raw, d)
    if mark == "^" and not (d.escape in raw or d.subcomponent in raw or " " in raw):
        return raw.rstrip("^")
    return "^".join([leaf(piece, d) for piece in raw.split(mark)]).rstrip("^")


def reader(path: str) -> Read:
    """Return a function that reads a path from a scope; raise ValueError if the path is not one."""
    name = captured(path)
    if name is not None:
        return _captured_reader(name)
    parts = parts_of(path)
    if parts is not None:
        return _field_reader(parts)
    key = keyed(path)
    if key is None:
        raise ValueError(
            f"'{path}' is not a path; write one such as FT1-7.1, PID-3[5=MR].1, ZCH:SITE or {{course}}"
        )
    return _observed_reader(key[1]) if key[0] == "OBX" else _key_reader(key[1])


def first_of(paths: Sequence[str]) -> Read:
    """Return a function that reads the first path which holds anything; "" if none does."""
    reads = tuple(reader(path) for path in paths)
    if not reads:
        return lambda scope: ""
    if len(reads) == 1:
        return reads[0]

    def read(scope: Scope) -> str:
        for one in reads:
            value = one(scope)
            if value:
                return value
        return ""

    return read


def present(paths: Sequence[str]) -> Callable[[Scope], bool]:
    """Return a function that says whether any of the paths holds anything."""
    read = first_of(paths)
    fields = [parts.field for path in paths if (parts := parts_of(path)) and parts.segment == "FT1"]
    likely = fields[0] if fields and paths[0].endswith(f"-{fields[0]}.1") else 0

    def told(scope: Scope) -> bool:
        # A first character that is a letter or digit is neither a delimiter, a blank nor the explicit null.
        ft1 = scope.ft1
        if likely and likely < len(ft1) and ft1[likely][:1].isalnum():
            return True
        return bool(read(scope))

    return told


def all_of(path: str) -> Callable[[Scope], tuple[str, ...]]:
    """Return a function that reads the first component of every repetition of a field, empty ones left out."""
    parts = parts_of(path)
    if parts is None or parts.component == 0:
        raise ValueError(f"'{path}' is not a field; write one such as FT1-26")
    segment, field = parts.segment, parts.field

    def read(scope: Scope) -> tuple[str, ...]:
        fields = _segment(scope, segment)
        raw = fields[field] if fields is not None and field < len(fields) else ""
        if not raw:
            return ()
        if raw.isalnum():
            return (raw,)
        d = scope.delimiters
        pieces = raw.split(d.repetition) if d.repetition else [raw]
        return tuple([value for piece in pieces if (value := first_leaf(piece, d))])

    return read


def _segment(scope: Scope, name: str) -> list[str] | None:
    if name == "FT1":
        return scope.ft1
    found = scope.own.get(name)
    return scope.named.get(name) if found is None else found


def _captured_reader(name: str) -> Read:
    return lambda scope: scope.captured.get(name, "")


def _key_reader(name: str) -> Read:
    def read(scope: Scope) -> str:
        raw = scope.keys.get(name, "")
        return raw if raw.isalnum() or not raw else first_leaf(raw, scope.delimiters)

    return read


def _observed_reader(name: str) -> Read:
    def read(scope: Scope) -> str:
        raw = scope.observed.get(name, "")
        return raw if raw.isalnum() or not raw else first_leaf(raw, scope.delimiters)

    return read


def _field_reader(parts: Parts) -> Read:
    if not parts.key and parts[2:5] == (1, 1, 1):
        return _first_reader_of_ft1(parts.field) if parts.segment == "FT1" else _first_reader(parts)
    if parts.key and parts.component and parts.subcomponent == 1:
        return _chosen_reader(parts)
    return _any_reader(parts)


def _first_reader_of_ft1(field: int) -> Read:
    def read(scope: Scope) -> str:
        try:
            raw = scope.ft1[field]
        except IndexError:
            return ""
        return raw if raw.isalnum() or not raw else first_leaf(raw, scope.delimiters)

    return read


def _first_reader(parts: Parts) -> Read:
    segment, field = parts.segment, parts.field

    def read(scope: Scope) -> str:
        fields = scope.own.get(segment) or scope.named.get(segment)
        if fields is None or field >= len(fields):
            return ""
        raw = fields[field]
        return raw if raw.isalnum() or not raw else first_leaf(raw, scope.delimiters)

    return read


def _chosen_reader(parts: Parts) -> Read:
    """Return a reader of the repetition that another of its components names, such as the id of type MR."""
    segment, field, component, _, _, key, equals = parts
    needed = max(component, key)

    def read(scope: Scope) -> str:
        fields = _segment(scope, segment)
        raw = fields[field] if fields is not None and field < len(fields) else ""
        d = scope.delimiters
        if not (raw and d.component):
            return ""
        for repetition in raw.split(d.repetition) if d.repetition else [raw]:
            pieces = repetition.split(d.component)
            if len(pieces) >= needed and (pieces[key - 1] == equals or first_leaf(pieces[key - 1], d) == equals):
                value = pieces[component - 1]
                return value if value.isalnum() else leaf(value, d)
        return ""

    return read


def _any_reader(parts: Parts) -> Read:
    segment, field, component, subcomponent, repetition, key, equals = parts

    def read(scope: Scope) -> str:
        fields = scope.ft1 if segment == "FT1" else _segment(scope, segment)
        if fields is None or field >= len(fields):
            return ""
        raw = fields[field]
        if not raw:
            return ""
        d = scope.delimiters
        if key or repetition > 1 or (d.repetition and d.repetition in raw):
            raw = _repetition(raw, d, repetition, key, equals)
        if component == 0:
            return whole(raw, d)
        return leaf(raw, d, component, subcomponent)

    return read


def _repetition(raw: str, d: Delimiters, number: int, key: int, equals: str) -> str:
    pieces = raw.split(d.repetition) if d.repetition else [raw]
    if not key:
        return pieces[number - 1] if len(pieces) >= number else ""
    for piece in pieces:
        if leaf(piece, d, key) == equals:
            return piece
    return ""
