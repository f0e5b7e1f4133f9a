"""Turns `mappings/senders/*.yaml` into senders: checked as data, then compiled into functions, once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fhir_radcharge.errors import TableError, did_you_mean
from fhir_radcharge.profiles.sender import SenderFile
from fhir_radcharge.profiles.words import check_charset, check_states, check_values, sources, states
from fhir_radcharge.tables.strict_yaml import Row, line_of, parse, typed, validated
from fhir_radcharge.wire.facts import FACTS_OF, NAMES, meaning
from fhir_radcharge.wire.paths import Parts, all_of, captured, first_of, keyed, parts_of, present
from fhir_radcharge.wire.sender import (
    Activity,
    Fact,
    FactSources,
    Identity,
    Lacking,
    Like,
    Mapped,
    Sender,
    TextSource,
)
from fhir_radcharge.wire.texts import names_in, template
from fhir_radcharge.zones import zone_named

# Segments of the message as a whole; an IN1 that a P11 gives to one FT1 is noticed when it is read.
_SHARED = frozenset({"MSH", "EVN", "PID", "PD1", "PV1", "PV2", "IN1", "IN2", "IN3", "GT1"})
_LINE_NAMES = frozenset({"course"})


def read_sender(path: Path, name: str) -> Sender:
    """Return the sender that a profile declares; `name` is how errors and remedies name the file."""
    try:
        content = path.read_bytes()
        data = parse(content.decode("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{name}:1: cannot be read as UTF-8 text; check the file") from error
    return sender_from(data, name, hashlib.sha256(content).hexdigest())


def sender_from(data: Any, name: str, digest: str) -> Sender:
    """Return the sender that loaded YAML declares; raise TableError with `file:line` for each problem."""
    profile = validated(SenderFile, data, name)
    compiler = _Compiler(profile, data, name)
    sender = compiler.sender(digest)
    if compiler.problems:
        raise TableError("\n".join(compiler.problems))
    return sender


class _Compiler:
    """Compiles one profile and collects what is wrong with it, so that a person mends it in one go."""

    def __init__(self, profile: SenderFile, data: Row, name: str) -> None:
        self.profile = profile
        self.data = data
        self.name = name
        self.problems: list[str] = []

    def sender(self, digest: str) -> Sender:
        """Return the sender; what is wrong with its profile is in `problems`, and then it is not to be used."""
        self._check_names()
        known = {**self._identity(digest), **self._shared(), **self._revision(), **self._booking(), **self._details()}
        return Sender(**known)

    def _identity(self, digest: str) -> dict[str, Any]:
        profile = self.profile
        return {
            "name": profile.sender,
            "file": self.name,
            "digest": digest,
            "application": profile.match.application,
            "facility": profile.match.facility,
            "charset": self._charset(),
            "control_ids": profile.control_ids,
            "answers": profile.answers,
            "foreign_codes": profile.foreign_codes,
            "books": frozenset(profile.books),
            "zone": self._zone(),
        }

    def _shared(self) -> dict[str, Any]:
        message = self.profile.message
        return {
            "patient": self._first(message.patient, "message", "patient"),
            "account": self._first(message.account, "message", "account"),
            "patient_class": self._patient_class(),
            "payer": self._each(message.payer.from_, "message", "payer"),
            "payer_absent": message.payer.absent,
            "payer_per_line": any(not _is_shared(path) for path in message.payer.from_),
        }

    def _revision(self) -> dict[str, Any]:
        revision = self.profile.line.revision
        return {
            "revision_number": self._first(revision.number, "line", "revision") if revision.number else None,
            "revision_time": self._first(revision.time, "line", "revision"),
            "revision_per_line": any(not _is_shared(path) for path in revision.time),
        }

    def _booking(self) -> dict[str, Any]:
        line = self.profile.line
        return {
            "id": self._first(line.id, "line", "id"),
            "id_place": line.id[0],
            "type": self._first((line.type,), "line", "type"),
            "type_place": line.type,
            "types": line.types,
            "negative_is_credit": line.negative_quantity == "credit",
            "quantity": self._first((line.quantity.from_,), "line", "quantity"),
            "quantity_place": line.quantity.from_,
            # HL7 2.1 had the amount in FT1-10 and the quantity in FT1-11; 2.2 exchanged them.
            "quantity_2_1": self._first((_swapped(line.quantity.from_),), "line", "quantity"),
            "quantity_absent_is_one": line.quantity.absent == "one",
            "activity": self._first(line.activity, "line", "activity"),
            "activity_place": line.activity[0],
            "activities": self._activities(),
        }

    def _details(self) -> dict[str, Any]:
        line, keys = self.profile.line, self.profile.keys
        return {
            "start": self._first(line.start, "line", "start"),
            "start_place": line.start[0],
            "course": self._first((*line.course, *line.order), "line", "course"),
            "code": self._first(line.code, "line", "code"),
            "modifiers": self._modifiers(),
            "rendering": self._first(line.rendering, "line", "rendering"),
            "location": self._each(line.location, "line", "location"),
            "lacking": self._lacking(),
            "key_segment": keys.segment if keys else "",
            "key_first": keys.first if keys else 1,
            "keys_known": self._keys_known(),
            "observations": self._names_read("OBX"),
            "texts": self._texts(),
            "facts": self._facts(),
            "identity": self._identities(),
        }

    def _identities(self) -> Identity | None:
        told = self.profile.identity
        if told is None:
            return None
        prior = self._first(told.prior, "identity", "prior")
        visit = self._first(told.prior_visit, "identity", "prior_visit") if told.prior_visit else None
        if told.visits and visit is None:
            self._say(self._line("identity", "visits"), "no prior_visit says where the prior visit is")
        return Identity(frozenset(told.merges), frozenset(told.updates), frozenset(told.visits), prior, visit)

    def _say(self, line: int, problem: str) -> None:
        self.problems.append(f"{self.name}:{line}: {problem}")

    def _line(self, *steps: str) -> int:
        """Return the line of a key, or of the nearest one above it that stands in the file."""
        data: Any = self.data
        line = line_of(data)
        for step in steps:
            if not isinstance(data, Row) or step not in data:
                break
            line = data.lines[step]
            data = data[step]
        return line

    def _first(self, paths: tuple[str, ...], *steps: str) -> Any:
        try:
            return first_of([self._known(path) for path in paths])
        except ValueError as error:
            self._say(self._line(*steps), str(error))
            return first_of(())

    def _each(self, paths: tuple[str, ...], *steps: str) -> tuple[Any, ...]:
        return tuple(self._first((path,), *steps) for path in paths)

    def _known(self, path: str) -> str:
        key = keyed(path)
        if key and key[0] != "OBX" and (self.profile.keys is None or self.profile.keys.segment != key[0]):
            raise ValueError(f"'{path}' needs `keys: {{segment: {key[0]}, first: ..., ignored: []}}` in this profile")
        name = captured(path)
        if name and not any(name in names_in(text.like) for text in self.profile.texts):
            raise ValueError(f"'{path}' is captured by no text; add a template under `texts`")
        return path

    def _charset(self) -> str | None:
        if self.profile.charset is not None:
            try:
                check_charset(self.profile.charset)
            except ValueError as error:
                self._say(self._line("charset"), str(error))
        return self.profile.charset

    def _zone(self) -> Any:
        try:
            return zone_named(self.profile.zone)
        except ValueError as error:
            self._say(self._line("zone"), str(error))
            return None

    def _patient_class(self) -> Mapped:
        declared = self.profile.message.patient_class
        absent = None if declared.absent == "refuse" else declared.absent
        return Mapped(self._first(declared.from_, "message", "patient_class"), declared.values, absent)

    def _modifiers(self) -> Any:
        try:
            return all_of(self.profile.line.modifiers)
        except ValueError as error:
            self._say(self._line("line", "modifiers"), str(error))
            return None

    def _lacking(self) -> tuple[Lacking, ...]:
        line = self.profile.line
        paths = {
            "diagnosis": line.diagnosis,
            "rendering_npi": line.rendering,
            "ordering_npi": line.ordering,
            "authorization": line.authorization,
        }
        for item in self.profile.requires:
            if not paths[item]:
                self._say(self._line("requires"), f"{item} is required and `line` names no path for it")
        for item in self.profile.requires:
            self._first(paths[item], "line")
        if self.problems:
            return ()
        return tuple(Lacking(item, present(paths[item])) for item in self.profile.requires)

    def _texts(self) -> dict[str, tuple[TextSource, ...]]:
        likes: dict[Parts, list[Like]] = {}
        for text in self.profile.texts:
            parts = parts_of(text.from_)
            try:
                if parts is None or parts.key or parts.component == 0:
                    raise ValueError(f"'{text.from_}' is not a field; write one such as NTE-3.1")
                likes.setdefault(parts, []).append(template(text.like))
            except ValueError as error:
                self._say(self._line("texts"), str(error))
        found: dict[str, tuple[TextSource, ...]] = {}
        for parts, shapes in likes.items():
            source = TextSource(parts.field, parts.component, tuple(shapes), {})
            found[parts.segment] = (*found.get(parts.segment, ()), source)
        return found

    def _names_read(self, segment: str) -> frozenset[str]:
        """Return the names of keyed paths that read a segment: its other keys or observations say nothing here."""
        line = self.profile.line.model_dump()
        paths = [*_leaves(line), *(path for fact in self.profile.facts.values() for path in fact.from_)]
        return frozenset(key[1] for path in paths if (key := keyed(path)) is not None and key[0] == segment)

    def _keys_known(self) -> frozenset[str]:
        """Return the keys that some path reads, and those declared as ignored: any other is worth a notice."""
        keys = self.profile.keys
        return self._names_read(keys.segment) | frozenset(keys.ignored) if keys else frozenset()

    def _check_names(self) -> None:
        for name in self.profile.facts:
            if name not in NAMES:
                self._say(
                    self._line("facts", name),
                    f"'{name}' is no fact; the facts are {', '.join(sorted(NAMES))}{did_you_mean(name, NAMES)}",
                )
        for text in self.profile.texts:
            for name in names_in(text.like):
                if name not in NAMES | _LINE_NAMES:
                    self._say(self._line("texts"), f"'{{{name}}}' in '{text.like}' is neither a fact nor course")

    def _facts(self) -> dict[str, FactSources]:
        """Return, for each kind of event, the facts it may have by the place where they stand."""
        facts = [(declared.from_, fact) for name, declared in self.profile.facts.items() if (fact := self._fact(name))]
        return {kind: sources(facts, allowed) for kind, allowed in FACTS_OF.items()}

    def _fact(self, name: str) -> Fact | None:
        declared = self.profile.facts[name]
        first = self._first(declared.from_, "facts", name)
        competes = len(declared.from_) > 1 or parts_of(declared.from_[0]) is not None
        if name not in NAMES:
            return None
        try:
            values = self._values(name, declared.values)
            known, convert = meaning(name, self.name, values, declared.suffixes, declared.separator, declared.lower)
        except ValueError as error:
            self._say(self._line("facts", name), str(error))
            return None
        return Fact(name, known, convert, first if competes else None)

    def _values(self, name: str, declared: Any) -> Mapping[str, Any] | None:
        if declared is None:
            return None
        if isinstance(declared, str):
            if declared not in self.profile.vocabularies:
                raise ValueError(f"there is no vocabulary '{declared}'; declare it under `vocabularies`")
            declared = self.profile.vocabularies[declared]
        values = typed(declared)
        if not isinstance(values, dict):
            raise ValueError(f"`values` of {name} maps the sender's words to values of the fact")
        check_values(name, values.values())
        return values

    def _activities(self) -> dict[str, Activity]:
        found: dict[str, Activity] = {}
        for code, declared in self.profile.activities.items():
            try:
                facts = typed(declared.facts) or {}
                for name, value in facts.items():
                    if name not in NAMES:
                        raise ValueError(f"'{name}' is no fact")
                    check_values(name, [value])
                stated = tuple(states(row) for row in declared.states)
                check_states(stated)
            except (ValueError, AttributeError) as error:
                self._say(self._line("activities", code), str(error))
                continue
            kind = None if declared.kind == "ignored" else declared.kind
            found[code] = Activity(kind, facts, stated, declared.code)
        return found


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _leaves(inner)


def _is_shared(path: str) -> bool:
    parts = parts_of(path)
    return parts is not None and parts.segment in _SHARED


def _swapped(path: str) -> str:
    parts = parts_of(path)
    return "FT1-11.1.1" if parts is not None and parts.segment == "FT1" and parts.field == 10 else path
