"""Turn hl7apy's version tables into structures and field rules, once for each version and segment.

Field numbers come from the names (`FT1_10`), never from positions: the tables leave out withdrawn fields
(FT1-8 and 9 in 2.6, 2.8, 2.8.1 and 2.8.2; PR1-11 and 12, DG1-7 to 14, PV1-52, EVN-1, PID-28, IN1-38, 40 and
41, OBR-14, 15 and 27 in some). A field that any version up to the message's knows is no error, and one that
the tables left out, or fill with its neighbour's definition (PR1-11 and 12 in 2.8), is not judged.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_radcharge.wire.datatypes import CHECKS, Check

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")
TRANSACTION_TYPES = frozenset({"CG", "CD", "PY", "AJ", "CO"})  # HL7 table 0017


class Node(NamedTuple):
    """A segment or a group in a message structure; a segment has no children."""

    name: str
    required: bool
    repeats: bool
    children: tuple["Node", ...]
    starts: frozenset[str]  # the segments with which it can begin


class Leaf(NamedTuple):
    """What the value at one sub-component must look like."""

    subcomponent: int
    check: Check
    table: str  # the HL7 table whose values `check` knows; "" for a data type


class FieldRule(NamedTuple):
    """What one field of a segment must look like."""

    number: int
    required: bool
    repeats: bool
    plain: tuple[Check, ...]  # the checks of a value without components
    leaves: tuple[tuple[Leaf, ...], ...]  # by component, from the first


class SegmentRules(NamedTuple):
    """A segment's required fields, its rules by field number, and the highest number that is known so far."""

    required: tuple[int, ...]
    by_number: tuple[FieldRule | None, ...]
    highest: int


@lru_cache(maxsize=256)
def structure(version: str, name: str) -> tuple[Node, ...] | None:
    """Return the parts of a message structure such as DFT_P03; None if the version has no such message."""
    reference = _reference(name, "Message", version)
    return None if reference is None else tuple(_node(child) for child in reference[1])


@lru_cache(maxsize=1024)
def segment_rules(version: str, name: str) -> SegmentRules | None:
    """Return the field rules of a segment; None if the version has no such segment."""
    reference = _reference(name, "Segment", version)
    if reference is None:
        return None
    rules = tuple(_field_rules(reference[1], version))
    earlier = VERSIONS[: VERSIONS.index(version) + 1]
    highest = max(
        (_number(child[0]) for past in earlier for child in (_reference(name, "Segment", past) or ("", ()))[1]),
        default=0,
    )
    # MSH-1 and MSH-2 are the delimiters, which were judged when the message was read.
    judged = {rule.number: rule for rule in rules if not (name == "MSH" and rule.number <= 2)}
    required = tuple(rule.number for rule in judged.values() if rule.required)
    return SegmentRules(required, tuple(judged.get(n) for n in range(highest + 1)), highest)


def _reference(name: str, kind: str, version: str) -> Any:
    """Return hl7apy's nested tuples, None if it has none; imported late, because a reader needs none."""
    from hl7apy import load_reference  # type: ignore[import-untyped]
    from hl7apy.exceptions import ChildNotFound  # type: ignore[import-untyped]

    try:
        return load_reference(name, kind, version)
    except ChildNotFound:
        return None


def _number(field: str) -> int:
    return int(field.rpartition("_")[2])


def _node(child: Sequence[Any]) -> Node:
    name, reference, (least, most), kind = child
    repeats, required = most != 1, least > 0
    if kind != "GRP":
        return Node(name, required, repeats, (), frozenset({name}))
    children = tuple(_node(part) for part in reference[1])
    if reference[0] == "choice":  # one of them, and none is missing if another is there
        children = tuple(part._replace(required=False) for part in children)
    return Node(name, required, repeats, children, _starts(children))


def _starts(children: Sequence[Node]) -> frozenset[str]:
    """Return what can come first: each child's beginnings, up to the first that cannot be left out."""
    found: set[str] = set()
    for child in children:
        found |= child.starts
        if child.required:
            break
    return frozenset(found)


def _field_rules(children: Sequence[Any], version: str) -> Iterator[FieldRule]:
    seen: set[str] = set()
    for name, reference, (least, most), _ in children:
        if reference is None:
            continue
        title = reference[3]
        # From 2.6 on a second field of the same title is a withdrawn one that took over its neighbour's line.
        withdrawn = title in seen and VERSIONS.index(version) >= VERSIONS.index("2.6")
        seen.add(title)
        if not withdrawn:
            leaves = _leaves(name, reference, version)
            plain = tuple(leaf.check for leaf in leaves[0] if leaf.subcomponent == 1) if leaves else ()
            yield FieldRule(_number(name), least > 0, most != 1, plain, leaves)


def _leaves(name: str, reference: Sequence[Any], version: str) -> tuple[tuple[Leaf, ...], ...]:
    """Return the checks of a field by component; () if there are none."""
    kind, children, datatype, _, table, *_ = reference
    if name == "FT1_6":
        return ((Leaf(1, _member(TRANSACTION_TYPES, "0017"), "0017"),),)
    if datatype in CHECKS or kind == "leaf":
        found = [tuple(_leaf(1, datatype, table, version))]
    else:
        found = [tuple(_component(part[1], version)) for part in children or ()]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _component(reference: Sequence[Any], version: str) -> Iterator[Leaf]:
    kind, children, datatype, _, table, *_ = reference
    if datatype in CHECKS or kind == "leaf":
        yield from _leaf(1, datatype, table, version)
        return
    for subcomponent, part in enumerate(children or (), 1):
        yield from _leaf(subcomponent, part[1][2], part[1][4], version)


def _leaf(subcomponent: int, datatype: str, table: str | None, version: str) -> Iterator[Leaf]:
    check = CHECKS.get(datatype)
    if check is not None:
        yield Leaf(subcomponent, check, "")
    elif datatype == "ID" and table and (values := _values(table, version)):
        yield Leaf(subcomponent, _member(values, table[-4:]), table[-4:])


@lru_cache(maxsize=2048)
def _values(table: str, version: str) -> frozenset[str]:
    """Return the values of a table; empty if the version's tables lack it or leave it to the site."""
    reference = _reference(table, "Table", version) if version >= "2.5" else None
    values = frozenset(reference[1]) if reference else frozenset()
    return values if all(value.isalnum() for value in values) else frozenset()


def _member(values: frozenset[str], table: str) -> Check:
    problem = f"is not in HL7 table {table}"
    return lambda value: "" if value in values else problem
