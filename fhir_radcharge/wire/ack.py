"""Turn a message's header into the acknowledgement that it asks for, and a received one into its meaning."""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Literal, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import er7
from fhir_radcharge.wire.charset import is_known
from fhir_radcharge.wire.er7 import Delimiters, Message
from fhir_radcharge.wire.versions import HEARD

Kind = Literal["accept", "error", "reject"]

_CODES: dict[Kind, tuple[str, str]] = {"accept": ("AA", "CA"), "error": ("AE", "CE"), "reject": ("AR", "CR")}
_ALL_CODES = frozenset(code for codes in _CODES.values() for code in codes)
_ACCEPT_ACK = frozenset({"AL", "NE", "ER", "SU"})  # HL7 table 0155
_FT1 = re.compile(r"FT1\[([1-9]\d{0,3})\](?:-|$)")
_NO_ERRORS = frozenset({"W", "I"})
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?")
_REMEMBERED_BYTES_MAX = 500
_FRAMING = {0x0A: None, 0x0B: None, 0x0D: None, 0x1C: None}
_CONDITIONS = {  # HL7 table 0357
    "100": "Segment sequence error", "101": "Required field missing", "102": "Data type error",
    "103": "Table value not found", "200": "Unsupported message type", "201": "Unsupported event code",
    "202": "Unsupported processing id", "203": "Unsupported version id", "204": "Unknown key identifier",
    "205": "Duplicate key identifier", "206": "Application record locked",
    "207": "Application internal error",
}  # fmt: skip
# MSA-3 has 80 characters in every version that has it.
_TEXT_CHARACTERS_MAX = 80


class Header(NamedTuple):
    """What MSH says, first components decoded; `fields` are the raw fields by HL7 number, byte for byte."""

    delimiters: Delimiters
    fields: tuple[str, ...]
    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    at: str
    type: str
    trigger: str
    structure: str
    control_id: str
    processing_id: str
    version: str
    accept_ack: str
    application_ack: str

    def raw(self, field: int) -> str:
        """Return a field as sent, one character for each byte, without framing bytes; "" if it is absent."""
        value = self.fields[field] if field < len(self.fields) else ""
        return value if value.isprintable() else value.translate(_FRAMING)


# To answer bytes in which no MSH was found: such an answer names no message.
NO_HEADER = Header(er7.STANDARD, ("MSH", "|", "^~\\&"), "", "", "", "", "", "", "", "", "", "", "", "", "")


def header(raw: bytes) -> Header:
    """Peek at MSH without reading the rest; raise MessageError if there is none that can be split."""
    _, delimiters, line = er7.opening(raw)
    # Latin-1 maps bytes to characters one to one, so an answer can echo them in any character set.
    parts = line.decode("latin-1").split(delimiters.field)
    parts.insert(1, delimiters.field)
    parts += [""] * (17 - len(parts))
    # Whatever is sent, only what is short is remembered.
    read = _alike if len(line) <= _REMEMBERED_BYTES_MAX else _alike.__wrapped__
    names, kind, asks = read(delimiters, *parts[3:7], parts[9], *parts[11:13], *parts[15:17])
    return Header(delimiters, tuple(parts), *names, parts[7], *kind, _whole(parts[10], delimiters), *asks)


@lru_cache(maxsize=512)
def _alike(
    d: Delimiters, sender: str, facility: str, receiver: str, at: str, kind: str, processing: str, version: str,
    accept: str, application: str,
) -> tuple[tuple[str, str, str, str], tuple[str, str, str], tuple[str, str, str, str]]:  # fmt: skip
    """Return what the headers of a sender have in common: the four names, the type, and how it is to be answered."""
    names = _leaf(sender, d), _leaf(facility, d), _leaf(receiver, d), _leaf(at, d)
    asks = _leaf(processing, d), _leaf(version, d), accept.strip(), application.strip()
    return names, _three(kind, d), asks


def answer_code(heard: Header, kind: Kind, original: bool = False) -> str:
    """Return AA, AE or AR, or CA, CE or CR where MSH-15 asks for enhanced mode and the profile allows it."""
    enhanced = heard.accept_ack in _ACCEPT_ACK and not original
    return _CODES[kind][enhanced]


def wanted(heard: Header, kind: Kind, original: bool = False) -> bool:
    """Tell whether MSH-15 lets this answer be sent: AL all, NE none, ER errors and rejects, SU accepts."""
    if original or heard.accept_ack not in _ACCEPT_ACK:
        return True
    return heard.accept_ack == "AL" or heard.accept_ack == ("SU" if kind == "accept" else "ER")


def answer(heard: Message | Header, code: str, control_id: str, at: str, errors: Sequence[MessageError] = ()) -> bytes:
    """Return the acknowledgement in the delimiters, character set and shape of the message's version.

    `control_id` becomes MSH-10 and `at` MSH-7; every segment, the last one too, ends in CR.
    """
    if code not in _ALL_CODES:
        raise ValueError(f"{code!r} is not in HL7 table 0008")
    told = heard if isinstance(heard, Header) else header(heard.raw or er7.write_message(heard))
    d = told.delimiters
    version = _numbers(told.version)
    remark = _said(_cut(str(errors[0])), d) if errors and version < (2, 7) else ""
    lines = [_answer_header(told, control_id, at, version)]
    lines.append(d.field.join(("MSA", code, told.raw(10), remark)).rstrip(d.field))
    if version < (2, 5):
        lines += [_old_err(errors, d, version)] if errors else []
    else:
        lines += [_new_err(error, d) for error in errors]
    # What is echoed has one character for each byte, and what is ours is ASCII.
    return "\r".join([*lines, ""]).encode("latin-1")


class AnswerError(NamedTuple):
    """One error that a receiver reports; `place` is "" if it names none."""

    place: str
    code: str
    severity: str
    text: str


class Answer(NamedTuple):
    """What a receiver says about a message that we sent."""

    code: str
    control_id: str
    text: str
    errors: tuple[AnswerError, ...]


def read_answer(raw: bytes) -> Answer:
    """Read an acknowledgement, however it ends its lines; raise MessageError if it has no usable MSA."""
    body, d, _ = er7.opening(raw)
    try:
        whole = body.decode("utf-8")
    except UnicodeDecodeError:
        whole = body.decode("latin-1")
    lines = [line.split(d.field) for line in whole.replace("\n", "\r").split("\r")]
    msa = next((line for line in lines if line[0] == "MSA"), None)
    if msa is None:
        raise MessageError("MSA", "the answer has no MSA", "let the receiver answer with an ACK", "100")
    msa += [""] * (4 - len(msa))
    code = msa[1].strip().upper()
    if code not in _ALL_CODES:
        raise MessageError("MSA-1", "the code is not in HL7 table 0008", "let it answer AA, AE or AR", "103")
    errors = tuple(error for line in lines if line[0] == "ERR" for error in _errors(line, d))
    return Answer(code, er7.unescape(msa[2].strip(), d), er7.unescape(msa[3].strip(), d), errors)


def refused_lines(raw: bytes) -> frozenset[int]:
    """Return which FT1, counted from 1, an answer refuses by ERR; none where an error is about anything else."""
    try:
        errors = [error for error in read_answer(raw).errors if error.severity not in _NO_ERRORS]
    except MessageError:
        return frozenset()
    found = [_FT1.match(error.place) for error in errors]
    return frozenset(int(match[1]) for match in found if match) if all(found) else frozenset()


def _leaf(field: str, d: Delimiters) -> str:
    """Return the first component, decoded; its bytes are taken as UTF-8 if they are, else as Latin-1."""
    if field.isalnum() and field.isascii():
        return field
    leaf = field
    for mark in (d.repetition, d.component, d.subcomponent):
        if mark and mark in leaf:
            leaf = leaf.partition(mark)[0]
    return _whole(leaf, d)


def _whole(field: str, d: Delimiters) -> str:
    """Return a field decoded, and not split: a control id has no components, even if it looks like it."""
    if not field.isascii():
        with suppress(UnicodeDecodeError):
            field = field.encode("latin-1").decode("utf-8")
    return er7.unescape(field, d).strip()


def _three(field: str, d: Delimiters) -> tuple[str, str, str]:
    """Return type, trigger and structure; the type alone, and DFT_P03 for DFT^P03, are common in MSH-9."""
    parts = [part.strip() for part in er7.components(field, d)]
    if len(parts) == 1 and "_" in parts[0]:
        kind, _, trigger = parts[0].partition("_")
        return kind, trigger, parts[0]
    kind, trigger, structure = (*parts, "", "", "")[:3]
    return kind, trigger, structure


_VERSIONS = {version: tuple(map(int, version.split("."))) for version in HEARD if version}


def _numbers(version: str) -> tuple[int, ...]:
    """Return 2.5.1 as (2, 5, 1); what is no version counts as the oldest."""
    known = _VERSIONS.get(version)
    if known is not None:
        return known
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(p.isascii() and p.isdigit() for p in parts) else (2, 1)


def _answer_header(told: Header, control_id: str, at: str, version: tuple[int, ...]) -> str:
    d = told.delimiters
    trigger = er7.escape(told.trigger, d)
    kind = ["ACK"] + [trigger] * (bool(trigger) and version >= (2, 3)) + ["ACK"] * (version >= (2, 3, 1))
    if len(kind) == 2 and kind[1] == "ACK":  # a structure without a trigger has an empty second component
        kind.insert(1, "")
    fields = ["MSH", d.encoding, told.raw(5), told.raw(6), told.raw(3), told.raw(4), at, "",
              d.component.join(kind), er7.escape(control_id, d), told.raw(11), told.raw(12)]  # fmt: skip
    charset = told.raw(18)
    # What is not known is not said again: our answer would claim to be in it.
    if charset and is_known(charset):
        fields += ["", "", "", "", "", charset]
    return d.field.join(fields)


def _said(text: str, d: Delimiters) -> str:
    """Return our own words, in ASCII, because the message may be in any character set."""
    return er7.escape(text.encode("ascii", "replace").decode("ascii"), d)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS_MAX else text[: _TEXT_CHARACTERS_MAX - 3] + "..."


def _location(place: str) -> list[str]:
    """Return segment, sequence, field, repetition, component, sub-component of a place like FT1[2]-6.1."""
    match = _PLACE.fullmatch(place)
    if match is None:
        return []
    segment, sequence, *rest = match.groups(default="")
    field, repetition, component, subcomponent = rest
    if component and not repetition:
        repetition = "1"
    return [segment, sequence or "1", field, repetition, component, subcomponent]


def _old_err(errors: Sequence[MessageError], d: Delimiters, version: tuple[int, ...]) -> str:
    """Return ERR-1 of 2.1 to 2.4: segment, sequence, field and condition, once for each error."""
    return f"ERR{d.field}" + (d.repetition or d.component).join(
        d.component.join([*(*_location(error.place), "", "", "")[:3], _condition(error.code, d, version)])
        for error in errors
    )


def _condition(code: str, d: Delimiters, version: tuple[int, ...]) -> str:
    if version < (2, 3, 1) or not d.subcomponent:
        return code
    return d.subcomponent.join([code, _CONDITIONS.get(code, ""), "HL70357"])


def _new_err(error: MessageError, d: Delimiters) -> str:
    """Return one ERR of 2.5 and later: location, 0357 code, severity, diagnosis and the way out."""
    where = d.component.join(_location(error.place)).rstrip(d.component)
    what = d.component.join([error.code, _CONDITIONS.get(error.code, ""), "HL70357"])
    diagnosis = _said(error.problem if where else f"{error.place}: {error.problem}", d)
    return d.field.join(["ERR", "", where, what, "E", "", "", diagnosis, _said(error.remedy, d)])


def _errors(line: Sequence[str], d: Delimiters) -> list[AnswerError]:
    """Return what one received ERR says, in the old shape (ERR-1) or the new one (ERR-2 to 8)."""
    fields = [*line, *[""] * (9 - len(line))]
    if any(fields[2:]):
        code = _leaf_of(fields[3], 1, d)
        said = [er7.unescape(fields[n], d) for n in (7, 8) if fields[n]] or [_leaf_of(fields[3], 2, d)]
        # ERR-2 repeats: one error may be about many places.
        places = [place for place in er7.repetitions(fields[2], d) if place] or [""]
        return [AnswerError(_place(place, d), code, fields[4], "; ".join(said)) for place in places]
    return [_old_error(repetition, d) for repetition in er7.repetitions(fields[1], d)]


def _old_error(repetition: str, d: Delimiters) -> AnswerError:
    parts = er7.components(repetition, d)
    condition = er7.subcomponents(parts[3] if len(parts) > 3 else "", d)
    code, said = (*(er7.unescape(part, d) for part in condition), "", "")[:2]
    return AnswerError(_place(d.component.join(parts[:3]), d), code, "E", said)


def _leaf_of(field: str, component: int, d: Delimiters) -> str:
    parts = er7.components(field, d)
    return er7.unescape(parts[component - 1], d) if component <= len(parts) else ""


def _place(location: str, d: Delimiters) -> str:
    """Return FT1^2^6 as FT1[2]-6; "" if no segment is named."""
    segment, sequence, field = (*er7.components(location, d), "", "", "")[:3]
    if not segment:
        return ""
    return segment + (f"[{sequence}]" if sequence else "") + (f"-{field}" if field else "")
