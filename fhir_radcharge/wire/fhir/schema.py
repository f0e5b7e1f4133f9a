"""Turns the metadata of fhir.resources into JSON Schemas, and resources into the problems that these find.

One schema per resource type and release, made on first use and compiled once. It says all that the models
say, and what they leave out: code enumerations, types of references, empty lists, texts where numbers belong.
What it finds names the place and the rule, never the value, because values are patients.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from importlib import import_module
from itertools import islice
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin

import jsonschema_rs

from fhir_radcharge.errors import MessageError

Release = Literal["R4", "R5"]

# FHIR R4 and R4B have the same elements in every type that is read here, so one package serves both.
_PACKAGES: Final[Mapping[Release, str]] = {"R4": "fhir.resources.R4B", "R5": "fhir.resources"}

# Types whose elements are proven. Others may travel in a Bundle; nothing is read from them.
READ_TYPES: Final = frozenset(
    (
        "Account", "BodyStructure", "Bundle", "ChargeItem", "Condition", "Coverage", "Device", "Encounter",
        "Location", "MessageHeader", "Organization", "Parameters", "Patient", "Practitioner",
        "PractitionerRole", "Procedure", "Provenance", "ServiceRequest",
    )
)  # fmt: skip

_DATE: Final = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_DAY: Final = r"-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?"
_ZONE: Final = r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
# No honest list is longer; a resource that many others refer to is read once for each of them.
_ITEMS_MAX: Final = 256
_ENTRIES_MAX: Final = 5_000
_TEXT: Final = {"type": "string", "minLength": 1}
_PRIMITIVES: Final[Mapping[str, Mapping[str, Any]]] = {
    "String": _TEXT,
    "Markdown": _TEXT,
    "Xhtml": _TEXT,
    "Boolean": {"type": "boolean"},
    "Code": {"type": "string", "pattern": r"^[^\s]+(\s[^\s]+)*$"},
    "Id": {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"},
    "Uri": {"type": "string", "pattern": r"^\S+$"},
    "Url": {"type": "string", "pattern": r"^\S+$"},
    "Canonical": {"type": "string", "pattern": r"^\S+$"},
    "Oid": {"type": "string", "pattern": r"^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$"},
    "Uuid": {"type": "string", "pattern": r"^urn:uuid:[0-9a-fA-F-]{36}$"},
    "Base64Binary": {"type": "string", "pattern": r"^(\s*([0-9a-zA-Z+/=]){4}\s*)+$"},
    "Decimal": {"type": "number"},
    "Integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "Integer64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "UnsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "PositiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    "Date": {"type": "string", "pattern": f"^{_DATE}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$",
             "format": "fhir-day"},
    "DateTime": {"type": "string", "pattern": f"^{_DATE}(-(0[1-9]|1[0-2])|{_DAY}(T{_CLOCK}{_ZONE})?)?$",
                 "format": "fhir-day"},
    "Instant": {"type": "string", "pattern": f"^{_DATE}{_DAY}T{_CLOCK}{_ZONE}$", "format": "fhir-day"},
    "Time": {"type": "string", "pattern": f"^{_CLOCK}$"},
}  # fmt: skip


# The metadata ends a long value set with a plus sign; what it leaves out is here (FHIR R4 and R5 value sets).
_CUT_SHORT: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "+"): (
        "entered-in-error",
        "unknown",
    ),
    ("barcode", "rfid", "manual", "+"): ("card", "self-reported", "unknown", "electronic-transmission"),
    ("proposal", "plan", "directive", "order", "+"): (
        "original-order",
        "reflex-order",
        "filler-order",
        "instance-order",
        "option",
    ),
}


class Checker(typing.NamedTuple):
    """The compiled schema of one resource type."""

    type: str
    validator: Any

    def problems(self, resource: Mapping[str, Any], place: str, most: int = 20) -> list[MessageError]:
        """Return what is wrong with the resource, at most so many problems, each with its FHIR path."""
        if self.validator.is_valid(resource):
            return []
        found = [_problem(place, error) for error in islice(self.validator.iter_errors(resource), most)]
        return sorted(found, key=lambda problem: (problem.place, problem.problem))


def model_class(name: str, release: Release) -> Any:
    """Return the fhir.resources class of a type that FHIR has."""
    return import_module(_PACKAGES[release]).get_fhir_model_class(name)


def is_resource_type(name: str, release: Release) -> bool:
    """Say whether FHIR has a resource of that name."""
    return name in _type_names(release) and _is_resource(name, release)


@cache
def _type_names(release: Release) -> frozenset[str]:
    types = vars(import_module(f"{_PACKAGES[release]}.fhirtypes"))
    return frozenset(name.removesuffix("Type") for name in types if name.endswith("Type"))


@cache
def _is_resource(name: str, release: Release) -> bool:
    try:
        return bool(model_class(name, release).has_resource_base())
    except ValueError:  # a primitive has a type and no class
        return False


@cache
def checker(name: str, release: Release) -> Checker:
    """Return the compiled checker of one of READ_TYPES."""
    schema = schema_of(name, release)
    formats: dict[str, Callable[[str], bool]] = {"fhir-day": _is_day}
    validator = jsonschema_rs.Draft202012Validator(schema, formats=formats, validate_formats=True)
    return Checker(name, validator)


def schema_of(name: str, release: Release) -> dict[str, Any]:
    """Return the JSON Schema of a resource type with every element type that it reaches."""
    definitions: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        wanted = waiting.pop()
        if wanted not in definitions:
            definitions[wanted] = _definition(wanted, release, waiting)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/$defs/{name}",
        "$defs": definitions,
    }


def _definition(name: str, release: Release, waiting: list[str]) -> dict[str, Any]:
    model = model_class(name, release)
    properties: dict[str, Any] = {"fhir_comments": False}
    required: list[str] = []
    choices: dict[str, list[str]] = {}
    if model.has_resource_base():
        properties["resourceType"] = {"const": name}
        required.append("resourceType")
    for field_name, field in model.model_fields.items():
        said = field.json_schema_extra or {}
        element = field.alias or field_name
        if element == "fhir_comments" or element == "resourceType":
            continue
        properties[element] = _element(field.annotation, field.metadata, said, waiting)
        if (name, element) == ("Bundle", "entry"):
            properties[element]["maxItems"] = _ENTRIES_MAX
        if field.is_required() or said.get("element_required"):
            required.append(element)
        if "one_of_many" in said:
            choices.setdefault(said["one_of_many"], []).append(element)
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False,
                             "minProperties": 1, "required": required}  # fmt: skip
    rules = [rule for members in choices.values() for rule in _at_most_one(members)]
    if rules:
        found["allOf"] = rules
    return found


def _at_most_one(members: list[str]) -> list[dict[str, Any]]:
    # `dependentSchemas` costs one lookup for each member that is there; `oneOf` would try all fifty of them.
    if len(members) < 2:
        return []
    return [{"dependentSchemas": {
        member: {"properties": {other: False for other in members if other != member}} for member in members
    }}]  # fmt: skip


def _element(annotation: Any, metadata: list[Any], said: Mapping[str, Any], waiting: list[str]) -> dict[str, Any]:
    leaf, listed = _leaf(annotation)
    if leaf is None and metadata:
        leaf = metadata[0]
    schema = _leaf_schema(leaf, said, waiting)
    if not listed:
        return schema
    if _primitive(leaf) is not None or getattr(leaf, "__name__", "") == "FHIRPrimitiveExtensionType":
        # A list of primitives may have null where only an extension speaks.
        schema = {"anyOf": [schema, {"type": "null"}]}
    return {"type": "array", "minItems": 1, "maxItems": _ITEMS_MAX, "items": schema}


def _leaf(annotation: Any) -> tuple[Any, bool]:
    listed = False
    while True:
        origin = get_origin(annotation)
        if origin is typing.Annotated:
            return annotation.__metadata__[0], listed
        if origin is typing.Union or origin is UnionType:
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        elif origin is list:
            listed, annotation = True, get_args(annotation)[0]
        else:
            return annotation, listed


def _primitive(leaf: Any) -> Mapping[str, Any] | None:
    if leaf is bool:
        return _PRIMITIVES["Boolean"]
    name = leaf.__name__ if isinstance(leaf, type) else type(leaf).__name__
    return _PRIMITIVES.get(name)


def _leaf_schema(leaf: Any, said: Mapping[str, Any], waiting: list[str]) -> dict[str, Any]:
    known = _primitive(leaf)
    if known is not None:
        values = said.get("enum_values") or []
        rest = _CUT_SHORT.get(tuple(values)) if "+" in values else ()
        if values and rest is not None:
            return {"enum": [value for value in values if value != "+"] + list(rest)}
        return dict(known)
    target = getattr(leaf, "_model_klass", None)
    if target is None:
        return {}
    name = target.rsplit(".", 1)[1]
    if name == "Resource":
        return {"type": "object", "properties": {"resourceType": _TEXT}, "required": ["resourceType"]}
    waiting.append(name)
    reference = {"$ref": f"#/$defs/{name}"}
    kinds = said.get("enum_reference_types")
    if name == "Reference" and kinds and "Resource" not in kinds:
        # A relative reference says its type; an absolute one, a fragment or a urn does not.
        pattern = f"^([^/]*|[a-z]+:.*|({'|'.join(kinds)})/.*)$"
        return {"allOf": [reference, {"properties": {"reference": {"pattern": pattern}}}]}
    return reference


def _is_day(text: str) -> bool:
    """Say whether a FHIR date names a day that exists; a partial date names none and passes."""
    if len(text) < 10:
        return True
    try:
        if len(text) == 10:
            date.fromisoformat(text)
        else:
            datetime.fromisoformat(text[:19].replace(":60", ":59"))
    except ValueError:
        return False
    return True


_KINDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Required": ("a required element is missing", "send it", "101"),
    "Enum": ("the code is not one that FHIR allows here", "send a code of the element's value set", "103"),
    "Constant": ("the resourceType is another one", "send the type that belongs here", "103"),
    "AdditionalProperties": (
        "it has an element that FHIR does not know",
        "remove it or name the FHIR release",
        "207",
    ),
    "FalseSchema": ("two of one choice are said", "send one value of the choice", "207"),
    "MinItems": ("the list is empty", "leave the element out", "102"),
    "MaxItems": ("the list is longer than is read here", "send it in parts", "102"),
    "MinProperties": ("the element is empty", "leave the element out", "102"),
}


def _problem(place: str, error: Any) -> MessageError:
    kind = type(error.kind).__name__.removeprefix("ValidationErrorKind_")
    problem, remedy, code = _KINDS.get(kind, ("the value has not the form of its type", "send the FHIR type", "102"))
    if kind == "Required":
        problem = f"the required element `{error.kind.property}` is missing"
    return MessageError(_path(place, error.instance_path), problem, remedy, code)


def _path(place: str, steps: list[str | int]) -> str:
    return place + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
