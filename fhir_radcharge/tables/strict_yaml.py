"""Turns YAML files into text that knows its line, so that no code is silently changed.

YAML 1.1 reads `0333` as 219, `NO` as false and `12:30` as 750. Here every scalar stays the text that was
written, and a scalar that some YAML reader would change is refused until it is quoted. A model that wants a
number, a date or a truth value says so by its type; `typed` does so for values whose type no model declares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from fhir_radcharge.errors import TableError, did_you_mean

ModelT = TypeVar("ModelT")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = {
    "tag:yaml.org,2002:bool": re.compile(r"true|false"),
    "tag:yaml.org,2002:int": re.compile(r"-?(0|[1-9][0-9]*)"),
    "tag:yaml.org,2002:float": re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+"),
    "tag:yaml.org,2002:null": re.compile(r"null"),
    "tag:yaml.org,2002:timestamp": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "tag:yaml.org,2002:str": re.compile(
        r"(?![-+]?[0-9][0-9_.]*[eE][-+]?[0-9]+$|0[0-9]+$|[0-9]+:[0-9]|[yYnN]$).*", re.DOTALL
    ),
}
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")


class Text(str):
    """A scalar as it was written, with its line and whether it was quoted."""

    __slots__ = ("line", "quoted")
    line: int
    quoted: bool


class Row(dict[str, Any]):
    """A mapping with its line; `lines` has the line of each key."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Rows(list[Any]):
    """A sequence with its line."""

    __slots__ = ("line",)

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class Strict(BaseModel):
    """A frozen model that refuses unknown keys: the parent of whatever is read from a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def load(path: Path) -> Any:
    """Return the one document of a file as Row, Rows, Text and None; raise TableError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TableError(f"{path}:1: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}:1: is not UTF-8; save the file as UTF-8") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Any:
    """Return the one document of a text; `name` stands for the file in errors."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise TableError(f"{name}:{line}: is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise TableError(f"{name}:1: is not YAML: a character is not allowed") from error
    if node is None:
        raise TableError(f"{name}:1: is empty")
    return _value(node, name, set())


def validated(model: type[ModelT], data: Any, name: Path | str) -> ModelT:
    """Return the data as the model's values; raise one TableError with a `file:line: ...` line for each problem."""
    try:
        return cast(ModelT, _adapter(model).validate_python(data))
    except ValidationError as error:
        known = sorted(set(_field_names(model, set())))
        lines = [_told(item, data, str(name), known) for item in error.errors(include_url=False)]
        raise TableError("\n".join(dict.fromkeys(lines))) from error


def line_of(value: Any, default: int = 1) -> int:
    """Return the line on which a loaded value stands."""
    return getattr(value, "line", default)


def typed(value: Any) -> Any:
    """Return a loaded value with unquoted numbers and true/false as such; quoted text stays text."""
    if isinstance(value, Row):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, Rows):
        return [typed(item) for item in value]
    if not isinstance(value, Text):
        return value
    if value.quoted:
        return str(value)
    if value in ("true", "false"):
        return value == "true"
    if _INTEGER.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else str(value)


def _quoted(value: Any) -> Any:
    if isinstance(value, Text) and not value.quoted and value[:1].isdigit():
        raise ValueError(f'write the code in quotes: "{value}"')
    return value


Code = Annotated[str, BeforeValidator(_quoted)]
"""A code: text that must be quoted in the file where it begins with a digit."""


def _value(node: Any, name: str, seen: set[int]) -> Any:
    if id(node) in seen:
        raise TableError(f"{name}:{node.start_mark.line + 1}: uses an alias (*name); write the value out")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, name)
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        rows = Rows(line)
        rows.extend(_value(item, name, seen) for item in node.value)
        return rows
    row = Row(line)
    for key_node, value_node in node.value:
        key = _key(key_node, name)
        at = key_node.start_mark.line + 1
        if key in row:
            first = row.lines[key]
            raise TableError(f"{name}:{at}: key '{key}' stands twice (first on line {first}); keep one")
        row.lines[key] = at
        row[key] = _value(value_node, name, seen)
    return row


def _key(node: Any, name: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise TableError(f"{name}:{node.start_mark.line + 1}: a key must be one word, not a list")
    key = _scalar(node, name)
    if key is None:
        raise TableError(f"{name}:{node.start_mark.line + 1}: a key is empty")
    return str(key)


def _scalar(node: yaml.ScalarNode, name: str) -> Text | None:
    line = node.start_mark.line + 1
    plain = node.style in (None, "")  # the C reader says ""
    if plain:
        allowed = _PLAIN.get(node.tag)
        if not node.value:
            raise TableError(f'{name}:{line}: has no value; write null, or "" for empty text')
        if allowed is None or not allowed.fullmatch(node.value):
            written = node.value
            raise TableError(
                f'{name}:{line}: {written} would be changed by YAML; write "{written}" in quotes'
            )
        if node.tag == "tag:yaml.org,2002:null":
            return None
    text = Text(node.value)
    text.line = line
    text.quoted = not plain
    return text


def _told(item: Any, data: Any, name: str, known: Sequence[str]) -> str:
    line, trail = _walk(data, item["loc"])
    where = f"{name}:{line}: {trail}" if trail else f"{name}:{line}"
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown key" + (did_you_mean(str(item["loc"][-1]), known) or "; remove it")
    if item["type"] == "missing":
        return f"{where}: is missing; write it"
    problem = item["msg"].removeprefix("Value error, ")
    given = item["input"]
    found = f" (found '{given}')" if isinstance(given, str) else ""
    if found and item["type"] == "literal_error":
        found += did_you_mean(given, re.findall("'([^']*)'", item["ctx"]["expected"]))
    return f"{where}: {problem}{found}"


def _walk(data: Any, loc: Sequence[int | str]) -> tuple[int, str]:
    """Return the line of the deepest place that the location names, and the location as a reader says it."""
    line, trail = line_of(data), ""
    for step in loc:
        if isinstance(data, Row) and isinstance(step, str):
            trail = f"{trail}.{step}" if trail else step
            line = data.lines.get(step, line)
            data = data.get(step)
        elif isinstance(data, Rows) and isinstance(step, int) and step < len(data):
            trail = f"{trail}[{step + 1}]"
            data = data[step]
            line = line_of(data, line)
    return line, trail


def _field_names(model: Any, seen: set[Any]) -> Iterator[str]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        if model in seen:
            return
        seen.add(model)
        for name, field in model.model_fields.items():
            yield field.alias or name
            yield from _field_names(field.annotation, seen)
    for inner in get_args(model):
        yield from _field_names(inner, seen)
