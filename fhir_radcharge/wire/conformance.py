"""Turn a read message into findings: where it departs from its HL7 version's structure and field rules."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from fhir_radcharge.wire import er7
from fhir_radcharge.wire.er7 import Delimiters, Message
from fhir_radcharge.wire.hl7_tables import (
    VERSIONS,
    FieldRule,
    Leaf,
    Node,
    SegmentRules,
    segment_rules,
    structure,
)

Severity = Literal["error", "warning", "information"]

# A message that is wrong everywhere is one message that is wrong: enough is enough to mend it by.
FINDINGS_MAX = 100
_NAMES_CACHED_MAX = 200


class Finding(NamedTuple):
    """One departure: place (FT1[2]-4, or FT1-4 of an only FT1), severity, table 0357 code, text."""

    place: str
    severity: Severity
    code: str
    text: str


def findings(message: Message) -> tuple[Finding, ...]:
    """Return the departures from the message's own version, at most FINDINGS_MAX; () if it conforms.

    Order and table values are warnings, because senders differ; Z segments may stand anywhere; lengths are
    not enforced; fields that a version withdrew may still be sent. Of an unknown version only that is said.
    """
    header = message.segments[0]
    version = er7.text(message, header, 12).strip()
    if version not in VERSIONS:
        return (Finding("MSH-12", "error", "203", "the version is missing or is not one of 2.1 to 2.8.2"),)
    found = list(_of_structure(message, version))
    names = [segment[0] for segment in message.segments]
    totals = Counter(names)
    ordinals: Counter[str] = Counter()
    for name, segment in zip(names, message.segments, strict=True):
        ordinals[name] += 1
        rules = segment_rules(version, name)
        if rules is not None:
            place = f"{name}[{ordinals[name]}]" if totals[name] > 1 else name
            found += _of_segment(segment, place, rules, message.delimiters)
        if len(found) >= FINDINGS_MAX:
            break
    return tuple(found[:FINDINGS_MAX])


def _of_structure(message: Message, version: str) -> Iterator[Finding]:
    header = message.segments[0]
    kind, trigger, declared = (er7.text(message, header, 9, n).strip() for n in (1, 2, 3))
    if not trigger and structure(version, kind) is None:
        yield Finding("MSH-9", "warning", "201", "there is no trigger event; EVN-1 or P03 is taken")
        trigger = er7.text(message, message.first("EVN"), 1).strip() or "P03"
    if "_" in kind:
        yield Finding("MSH-9", "warning", "200", "the structure stands where type and trigger belong")
    candidates = (f"{kind}_{trigger}", declared, kind)
    name = next((n for n in candidates if n and structure(version, n) is not None), "")
    if not name:
        yield Finding("MSH-9", "error", "200", f"version {version} has no such message")
        return
    if declared and declared != name:
        yield Finding("MSH-9.3", "warning", "200", "the structure is not that of the trigger event")
    names = tuple(segment[0] for segment in message.segments if segment[0][0] != "Z")
    # A monster is judged once and forgotten, or a few of them would fill the cache.
    yield from (_shape if len(names) <= _NAMES_CACHED_MAX else _shape.__wrapped__)(version, name, names)


# Senders send the same few shapes all day, so a shape is judged once.
@lru_cache(maxsize=4096)
def _shape(version: str, name: str, names: tuple[str, ...]) -> tuple[Finding, ...]:
    parts = structure(version, name) or ()
    known = frozenset(_names(parts))
    strange = (n for n, segment in enumerate(names) if segment not in known)
    found = [
        Finding(_place(names, n), "error", "100", f"the segment is not part of {name} in {version}")
        for n in islice(strange, FINDINGS_MAX)
    ]
    kept = [n for n, segment in enumerate(names) if segment in known]
    # A segment that fits nowhere is reported and left out, and the rest is walked again.
    while len(found) < FINDINGS_MAX:
        walk = _Walk([names[n] for n in kept])
        walk.sequence(parts)
        if walk.at >= len(kept):
            # What stands in the wrong place is out of order, and not missing as well.
            return tuple(found + [lack for lack in walk.missing if lack.place not in names])
        surplus = kept.pop(walk.at)
        found.append(_surplus(names, surplus, parts))
    return tuple(found)


def _surplus(names: Sequence[str], at: int, parts: Sequence[Node]) -> Finding:
    place = _place(names, at)
    if names[at] in names[:at] and not any(node.repeats for node in _path(parts, names[at])):
        return Finding(place, "error", "100", "the segment does not repeat")
    return Finding(place, "warning", "100", "the segment is out of order")


class _Walk:
    """A walk through segment names along a structure: greedy, because HL7's structures are made to be."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.at = 0
        self.missing: list[Finding] = []

    def sequence(self, parts: Sequence[Node]) -> None:
        """Walk a message or one repetition of a group."""
        for part in parts:
            times = 0
            while self._next() in part.starts and (part.repeats or not times):
                times += 1
                before = self.at
                if part.children:
                    self.sequence(part.children)
                else:
                    self.at += 1
                if self.at == before:
                    break
            if part.required and not times:
                self._lacks(part)

    def _next(self) -> str:
        return self.names[self.at] if self.at < len(self.names) else ""

    def _lacks(self, part: Node) -> None:
        if part.children:
            for child in part.children:
                if child.required:
                    self._lacks(child)
        else:
            where = self.names[self.at - 1] if self.at else "the beginning"
            self.missing.append(Finding(part.name, "error", "101", f"the segment is missing after {where}"))


def _names(parts: Sequence[Node]) -> Iterator[str]:
    for part in parts:
        if part.children:
            yield from _names(part.children)
        else:
            yield part.name


def _path(parts: Sequence[Node], name: str) -> list[Node]:
    """Return the groups around a segment and itself, outermost first, for every place where it may stand."""
    found: list[Node] = []
    for part in parts:
        if part.children and (inner := _path(part.children, name)):
            found += [part, *inner]
        elif part.name == name and not part.children:
            found.append(part)
    return found


def _place(names: Sequence[str], at: int) -> str:
    name = names[at]
    return f"{name}[{names[: at + 1].count(name)}]" if names.count(name) > 1 else name


def _of_segment(segment: list[str], place: str, rules: SegmentRules, d: Delimiters) -> list[Finding]:
    size = len(segment)
    found = [
        Finding(f"{place}-{number}", "error", "101", "the required field is empty")
        for number in rules.required
        if number >= size or not segment[number]
    ]
    marked = _marks(d).search
    again = d.repetition or "\r"  # which no value can hold
    for value, rule in zip(segment, rules.by_number, strict=False):
        # Almost every field is plain or has nothing to be judged by, so the close look is rare.
        if not value or rule is None:
            continue
        if not rule.leaves:
            suspect = not rule.repeats and again in value
        elif value.isalnum() or marked(value) is None:
            suspect = _fails(value, rule)
        else:
            suspect = True
        if suspect:
            found += _of_field(value, f"{place}-{rule.number}", rule, d)
    unknown = [number for number in range(rules.highest + 1, size) if segment[number]]
    if unknown:
        text = f"the version has no fields from here on; {len(unknown)} filled"
        found.append(Finding(f"{place}-{unknown[0]}", "information", "0", text))
    return found


@lru_cache(maxsize=64)
def _marks(d: Delimiters) -> re.Pattern[str]:
    return re.compile("[" + re.escape("".join(d[1:5])) + "]")


def _fails(value: str, rule: FieldRule) -> bool:
    for check in rule.plain:
        if check(value):
            return value != er7.NULL
    return False


def _of_field(value: str, place: str, rule: FieldRule, d: Delimiters) -> list[Finding]:
    found: list[Finding] = []
    parts = er7.repetitions(value, d)
    if len(parts) > 1 and not rule.repeats:
        found.append(Finding(place, "error", "102", "the field does not repeat"))
    for n, repetition in enumerate(parts, 1):
        components = er7.components(repetition, d)
        for number, (component, leaves) in enumerate(zip(components, rule.leaves, strict=False), 1):
            if not component or not leaves:
                continue
            for leaf in leaves:
                if problem := _problem(component, leaf, d):
                    where = place + (f"[{n}]" if len(parts) > 1 else "")
                    where += f".{number}" if len(components) > 1 else ""
                    severity: Severity = "warning" if leaf.table else "error"
                    found.append(Finding(where, severity, "103" if leaf.table else "102", problem))
    return found


def _problem(component: str, leaf: Leaf, d: Delimiters) -> str:
    said = component
    if d.subcomponent and d.subcomponent in component:
        said = (component.split(d.subcomponent) + [""] * leaf.subcomponent)[leaf.subcomponent - 1]
    elif leaf.subcomponent > 1:
        return ""
    said = er7.unescape(said, d)
    return leaf.check(said) if said and said != er7.NULL else ""
