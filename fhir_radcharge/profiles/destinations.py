"""Turns `mappings/destinations/*.yaml` into destinations: checked as data, then compiled, once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fhir_radcharge.errors import TableError, did_you_mean
from fhir_radcharge.model import Bill
from fhir_radcharge.tables.strict_yaml import Code, Row, Strict, parse, validated
from fhir_radcharge.wire.destination import CreditStyle, Destination, OnAmbiguous, Template, Write
from fhir_radcharge.wire.er7 import Delimiters, escape
from fhir_radcharge.wire.values import WRITERS
from fhir_radcharge.wire.versions import WRITTEN

_FIELD = re.compile(r"(FT1|NTE|Z[A-Z0-9]{2})-([1-9][0-9]?)")
# FT1's last field by version. 2.3 ends with 25; 26 is allowed there too, because its receivers read it.
_LAST = {"2.1": 22, "2.2": 23, "2.3": 26, "2.3.1": 26, "2.4": 26, "2.5": 31, "2.5.1": 31, "2.6": 31}
_LAST_FROM_2_7 = 43
_CODECS = {
    "": "ascii",
    "ASCII": "ascii",
    "8859/1": "latin-1",
    "8859/15": "iso8859-15",
    "UNICODE UTF-8": "utf-8",
}
_BEFORE = frozenset({"PID", "PD1", "PV1", "PV2"})
_AFTER = frozenset({"DG1", "GT1", "IN1", "IN2", "IN3", "ACC"})
_REQUIRED = ("FT1-4", "FT1-6", "FT1-7")
_NEW_ID_STYLES = ("cd_new_id", "negative_quantity")


_Acknowledged = Literal["AA", "AE", "AR", "CA", "CE", "CR"]  # HL7 table 0008


class _Answers(Strict):
    accepted: frozenset[_Acknowledged] = Field(min_length=1)
    refused: frozenset[_Acknowledged]
    not_taken: frozenset[_Acknowledged]


class _Types(Strict):
    charge: str = Field(pattern=r"^[A-Z0-9]{1,8}$")
    credit: str = Field(pattern=r"^[A-Z0-9]{1,8}$")


class _Header(Strict):
    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    processing_id: Literal["P", "T", "D"]
    charset: Literal["", "ASCII", "8859/1", "8859/15", "UNICODE UTF-8"]
    accept_ack: Literal["", "AL", "NE", "ER", "SU"]
    application_ack: Literal["", "AL", "NE", "ER", "SU"]


class _Destination(Strict):
    destination: str = Field(pattern=r"[a-z][a-z0-9_]*")
    bills: tuple[Bill, ...] = Field(min_length=1)
    connections: int = Field(ge=1, le=64)
    on_ambiguous: OnAmbiguous
    answers: _Answers
    needs_charge_code: bool
    per_message: Literal["one", "many"]
    refuses: Literal["messages", "lines"] | None = None
    credit: CreditStyle
    types: _Types
    delimiters: str = Field(min_length=5, max_length=6)
    version: Code
    currency: str | None = None
    header: _Header
    segments: tuple[str, ...]
    fields: dict[str, str]


def read_destination(path: Path, name: str) -> Destination:
    """Return the destination that a profile declares; `name` is how errors name the file."""
    try:
        content = path.read_bytes()
        data = parse(content.decode("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{name}:1: cannot be read as UTF-8 text; check the file") from error
    return destination_from(data, name, hashlib.sha256(content).hexdigest())


def destination_from(data: Any, name: str, digest: str) -> Destination:
    """Return the destination that loaded YAML declares; raise TableError with `file:line` for each problem."""
    profile = validated(_Destination, data, name)
    problems = _problems(profile, data, name)
    if problems:
        raise TableError("\n".join(problems))
    d = Delimiters(*profile.delimiters)
    start, end = _header(profile.header, profile.version, d)
    return Destination(
        name=profile.destination,
        file=name,
        digest=digest,
        bills=profile.bills,
        connections=profile.connections,
        on_ambiguous=profile.on_ambiguous,
        accepted=profile.answers.accepted,
        refused=profile.answers.refused,
        not_taken=profile.answers.not_taken,
        needs_charge_code=profile.needs_charge_code,
        per_message=profile.per_message,
        refuses=profile.refuses or "messages",
        credit=profile.credit,
        charge_type=profile.types.charge,
        credit_type=profile.types.credit,
        delimiters=d,
        version=profile.version,
        codec=_CODECS[profile.header.charset],
        currency=profile.currency or "",
        header_start=start,
        header_end=end,
        trigger=_trigger(profile.version, d),
        before=frozenset(profile.segments) & _BEFORE,
        after=frozenset(profile.segments) & _AFTER,
        templates=_templates(profile.fields),
        dates_in_note=profile.version < "2.5",
    )


def _header(header: _Header, version: str, d: Delimiters) -> tuple[str, str]:
    """Return MSH as it stands before and after the time, type and control id of each message."""
    names = [header.sending_application, header.sending_facility]
    names += [header.receiving_application, header.receiving_facility]
    start = d.field.join(["MSH", d.encoding, *(escape(text, d) for text in names), ""])
    tail = ["", header.processing_id, version, "", "", header.accept_ack, header.application_ack]
    return start, d.field.join([*tail, "", header.charset]).rstrip(d.field)


def _trigger(version: str, d: Delimiters) -> str:
    structure = f"{d.component}DFT_P03" if version >= "2.3.1" else ""
    return f"{d.field}{d.field}DFT{d.component}P03{structure}{d.field}"


def _templates(fields: dict[str, str]) -> tuple[Template, ...]:
    found: dict[str, list[tuple[int, Write, bool]]] = {"FT1": []}
    for path, value in fields.items():
        segment, position = path.split("-")
        found.setdefault(segment, []).append((int(position), WRITERS[value], value != "set_id"))
    return tuple(
        Template(segment, max(one[0] for one in filled) + 1, tuple(sorted(filled, key=lambda one: one[0])))
        for segment, filled in found.items()
    )


NO_QUERY = (
    "a receiver of DFT messages cannot be asked what it has, HL7 has no query for that; write hold, or resend where it"
    " is known to drop a repeated control id"
)
"""Why a destination over MLLP has no `query`; a FHIR server can be read."""


_REFUSES = (
    "many lines in a message need `refuses`: `messages` where a refused message leaves nothing behind, `lines` where"
    " the receiver posts the lines that no ERR of its refusal names; ask who runs it"
)


def _problems(profile: _Destination, data: Row, name: str) -> list[str]:
    told: list[tuple[int, str]] = []
    line = data.lines
    if profile.version not in WRITTEN:
        told.append((line["version"], f"version is one of {', '.join(WRITTEN)}"))
    if len(set(profile.delimiters)) != len(profile.delimiters) or any(map(str.isalnum, profile.delimiters)):
        told.append((line["delimiters"], "the delimiters are five different characters, such as |^~\\&"))
    for segment in profile.segments:
        if segment not in _BEFORE | _AFTER:
            known = ", ".join(sorted(_BEFORE | _AFTER))
            told.append((line["segments"], f"{segment} cannot be copied; the segments are {known}"))
    if profile.on_ambiguous == "query":
        told.append((line["on_ambiguous"], NO_QUERY))
    if profile.per_message == "many" and profile.refuses is None:
        told.append((line["per_message"], _REFUSES))
    if profile.per_message == "one" and profile.refuses is not None:
        told.append((line["refuses"], "refuses is about messages of many lines; leave it out"))
    told += _field_problems(profile, data["fields"])
    told += _credit_problems(profile, line)
    return [f"{name}:{number}: {problem}" for number, problem in told]


def _field_problems(profile: _Destination, fields: Row) -> list[tuple[int, str]]:
    told: list[tuple[int, str]] = []
    last = _LAST.get(profile.version, _LAST_FROM_2_7)
    for path, value in profile.fields.items():
        at = fields.lines[path]
        found = _FIELD.fullmatch(path)
        if found is None:
            told.append((at, f"'{path}' is not a field of FT1, NTE or a Z segment, such as FT1-7"))
        elif found[1] == "FT1" and int(found[2]) > last:
            told.append((at, f"{path} does not exist in {profile.version}; use a Z field, such as ZFT-1"))
        elif path in ("FT1-8", "FT1-9") and profile.version >= "2.6":
            told.append((at, f"{path} is withdrawn in {profile.version}; leave it out"))
        if value not in WRITERS:
            near = did_you_mean(value, WRITERS)
            told.append((at, f"'{value}' is no value; the values are {', '.join(sorted(WRITERS))}{near}"))
    if profile.version == "2.1" and profile.fields.get("FT1-10") == "units":
        told.append((fields.lines["FT1-10"], "in 2.1 the quantity is FT1-11 and FT1-10 is the amount"))
    for path in _REQUIRED:
        if path not in profile.fields:
            told.append((fields.line, f"{path} is required by HL7; add it to `fields`"))
    if "charge_code" in profile.fields.values() and not profile.needs_charge_code:
        told.append((fields.line, "charge_code needs `needs_charge_code: true`; or use charge_code_or_code"))
    return told


def _credit_problems(profile: _Destination, line: dict[str, int]) -> list[tuple[int, str]]:
    told: list[tuple[int, str]] = []
    values = set(profile.fields.values())
    same = profile.types.charge == profile.types.credit
    if same and profile.credit != "negative_quantity":
        told.append((line["types"], "charge and credit have one type: only negative_quantity tells them apart"))
    if not same and profile.credit == "negative_quantity":
        told.append((line["credit"], "negative_quantity is said with the type of a charge: make both types alike"))
    if profile.credit in _NEW_ID_STYLES and "reference" not in values:
        told.append((line["credit"], f"{profile.credit} needs a field for `reference`, or no credit finds its charge"))
    if "units" not in values:
        told.append((line["fields"], "no field carries `units`"))
    if "transaction_id" not in values and "posting_id" not in values:
        told.append((line["fields"], "no field carries `transaction_id`"))
    return told
