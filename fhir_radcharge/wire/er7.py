"""Turn HL7 v2 bytes into segments and fields without loss, and typed values back into bytes."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.charset import decoded
from fhir_radcharge.wire.escapes import (
    STANDARD,
    Delimiters,
    Value,
    encode_component,
    encode_field,
    escape,
    unescape,
)

__all__ = [
    "NULL",
    "STANDARD",
    "Delimiters",
    "Message",
    "Unopened",
    "Value",
    "build_segment",
    "components",
    "encode_component",
    "encode_field",
    "escape",
    "opening",
    "proved",
    "read_message",
    "repetitions",
    "subcomponents",
    "text",
    "unescape",
    "write_message",
]

NULL = '""'  # the explicit null: "delete what you have", which differs from an empty field

# Only what may follow a message in a frame or file without meaning anything.
_BLANK = " \t\x00\x1a"
_HEADERS = ("MSH", "FHS", "BHS")
# Names met in charge messages; any other is checked letter by letter. MSH is not here: a second is an error.
_USUAL = frozenset(
    ("EVN", "PID", "PD1", "PV1", "PV2", "FT1", "NTE", "PR1", "DG1", "DRG", "IN1", "IN2", "IN3", "GT1", "ACC",
     "AL1", "DB1", "OBR", "OBX", "ORC", "ROL", "TQ1", "SFT", "UAC", "PRT", "BLG", "MSA", "ERR", "ZCH", "DSC")
)  # fmt: skip
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")


class Message:
    """One message: its segments as raw, escaped fields in HL7's numbering, and the bytes it came as.

    `segments[n][0]` is the name and `segments[n][f]` field f; in MSH, field 1 is the separator and field 2
    the encoding characters. Fields may be changed in place; `write_message` notices.
    """

    __slots__ = ("charset", "delimiters", "raw", "segments", "warnings")

    def __init__(
        self,
        delimiters: Delimiters,
        segments: list[list[str]],
        charset: str = "utf-8",
        raw: bytes = b"",
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.delimiters = delimiters
        self.segments = segments
        self.charset = charset
        self.raw = raw
        self.warnings = warnings

    def all(self, name: str) -> list[list[str]]:
        """Return every segment of that name, in order."""
        return [segment for segment in self.segments if segment[0] == name]

    def first(self, name: str) -> list[str]:
        """Return the first segment of that name; [], in which every field is absent, if there is none."""
        return next((segment for segment in self.segments if segment[0] == name), [])


class Unopened(Message):
    """A message that is proved to be readable, and is read where a part of it is asked for."""

    __slots__ = ("_configured",)

    def __init__(self, raw: bytes, charset: str | None) -> None:
        self.raw = raw
        self._configured = charset

    def __getattr__(self, name: str) -> Any:
        """Read the message when the first of its parts is asked for."""
        whole = read_message(self.raw, self._configured)
        super().__init__(whole.delimiters, whole.segments, whole.charset, whole.raw, whole.warnings)
        return getattr(whole, name)


def read_message(raw: bytes, charset: str | None = None) -> Message:
    """Read one message; raise MessageError with its place if these bytes are not exactly one.

    `charset` is the sender's configured character set and outranks MSH-18.
    """
    body, delimiters, line = opening(raw)
    told = decoded(body, "" if charset else _declared(line, delimiters), charset)
    text = told.text
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    separator = delimiters.field
    segments = [line.split(separator) for line in text.split("\r") if line]
    if not _USUAL.issuperset([segment[0] for segment in segments[1:]]):
        segments = _checked(segments)
    segments[0].insert(1, separator)
    return Message(delimiters, segments, told.charset, raw, told.warnings)


def proved(raw: bytes, charset: str | None = None) -> Message:
    """Return a message without splitting its fields, several times as fast; raise what `read_message` raises."""
    body, delimiters, line = opening(raw)
    text = decoded(body, _declared(line, delimiters), charset).text
    lines = [line for line in text.replace("\n", "\r").split("\r")[1:] if line]
    if _USUAL.issuperset([line[:3] for line in lines]) and {line[3:4] for line in lines} <= {"", delimiters.field}:
        return Unopened(raw, charset)
    return read_message(raw, charset)


def opening(raw: bytes) -> tuple[bytes, Delimiters, bytes]:
    """Return the bytes from MSH on, the delimiters, and the line of MSH: the cheap part of reading."""
    body = raw if raw.startswith(b"MSH") else _opened(raw)
    delimiters = _delimiters(body[3:10])
    end = body.find(b"\r")
    line = body if end < 0 else body[:end]
    if b"\n" in line:
        line = line.partition(b"\n")[0]
    return body, delimiters, line


def write_message(message: Message) -> bytes:
    """Return the very bytes that were read if no field has changed, else all segments, each ended by CR.

    A field that would become two fields or a second segment is refused: it was not escaped.
    """
    if message.raw and read_message(message.raw, message.charset).segments == message.segments:
        return message.raw
    lines = [_line(segment, message.delimiters.field, n) for n, segment in enumerate(message.segments, 1)]
    try:
        return "\r".join([*lines, ""]).encode(message.charset)
    except UnicodeEncodeError:
        raise MessageError(
            "MSH-18",
            f"a character of the message does not exist in {message.charset}",
            "write the message as UNICODE UTF-8",
            "102",
        ) from None


def text(
    message: Message,
    segment: Sequence[str],
    field: int,
    component: int = 1,
    subcomponent: int = 1,
    repetition: int = 1,
) -> str:
    """Return one decoded value; "" if it is absent, and '""' for the explicit null."""
    if field >= len(segment):
        return ""
    value = segment[field]
    if not value or (field < 3 and segment[0] in _HEADERS):
        return value
    d = message.delimiters
    value = _nth(value, d.repetition, repetition)
    value = _nth(value, d.component, component)
    value = _nth(value, d.subcomponent, subcomponent)
    return unescape(value, d) if d.escape and d.escape in value else value


def repetitions(field: str, d: Delimiters) -> list[str]:
    """Return the raw repetitions of a field; [] if it is empty."""
    if not field:
        return []
    return field.split(d.repetition) if d.repetition else [field]


def components(field: str, d: Delimiters) -> list[str]:
    """Return the raw components of one repetition; [] if it is empty."""
    if not field:
        return []
    return field.split(d.component) if d.component else [field]


def subcomponents(component: str, d: Delimiters) -> list[str]:
    """Return the raw sub-components of one component; [] if it is empty."""
    if not component:
        return []
    return component.split(d.subcomponent) if d.subcomponent else [component]


def build_segment(name: str, fields: Mapping[int, str]) -> list[str]:
    """Return a segment from fields by HL7 number, already encoded; what lies between is empty."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a segment name")
    segment = [name] + [""] * max(fields, default=0)
    for number, value in fields.items():
        if number < 1:
            raise ValueError("fields are numbered from 1")
        segment[number] = value
    return segment


def _opened(raw: bytes) -> bytes:
    """Return the bytes from MSH on, behind a byte-order mark and blank lines."""
    if b"\x00" in raw[:8] or raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise MessageError("MSH-18", "the message is UTF-16 or UTF-32", "send UNICODE UTF-8", "103")
    body = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if body.startswith(b"MSH"):
        return body
    if body[:3] in (b"FHS", b"BHS"):
        raise MessageError("segment 1", "this is a batch, not a message", "read it as a batch file", "100")
    raise MessageError("segment 1", "a message begins with MSH", "check the framing and the file", "100")


@lru_cache(maxsize=512)
def _delimiters(start: bytes) -> Delimiters:
    """Return the delimiters declared in the seven bytes behind `MSH`."""
    field = start[:1].decode("latin-1")
    line = start[1:].decode("latin-1").replace("\n", "\r").partition("\r")[0]
    encoding, stop, _ = line.partition(field or "|")
    declared = field + encoding
    if not field or not encoding or len(encoding) > 5 or (not stop and len(start) == 7):
        raise MessageError(
            "MSH-2",
            "the encoding characters are not one to five, ended by the separator of MSH-1",
            "declare ^~\\& in MSH-2",
            "102",
        )
    if len(set(declared)) < len(declared) or not all("!" <= c <= "~" and not c.isalnum() for c in declared):
        raise MessageError(
            "MSH-2",
            "a delimiter is a letter, a digit, a control character or declared twice",
            "declare |^~\\& in MSH-1 and MSH-2",
            "102",
        )
    return Delimiters(field, *(encoding[n : n + 1] for n in range(5)))


def _declared(line: bytes, d: Delimiters) -> str:
    """Return MSH-18 from the header line, its repetitions parted by `~`."""
    fields = line.split(d.field.encode("ascii"), 18)
    declared = fields[17].decode("latin-1").strip() if len(fields) > 17 else ""
    return declared.replace(d.repetition, "~") if d.repetition else declared


def _checked(segments: list[list[str]]) -> list[list[str]]:
    """Leave out blank lines and insist that every other line begins with a segment name."""
    kept = segments[:1]
    for segment in segments[1:]:
        name = segment[0]
        if len(segment) == 1 and not name.strip(_BLANK):
            continue
        if name in _HEADERS:
            raise MessageError(
                f"segment {len(kept) + 1}",
                "a second header: these are several messages",
                "frame each message by itself, or read the file as a batch",
                "100",
            )
        if not _NAME.fullmatch(name):
            raise MessageError(
                f"segment {len(kept) + 1}",
                "the line does not begin with a segment name",
                "escape line ends inside a field as \\.br\\ or \\X0D\\",
                "100",
            )
        kept.append(segment)
    return kept


def _line(segment: Sequence[str], separator: str, number: int) -> str:
    """Return one segment as text, if it still is one segment with as many fields when it is read."""
    fields = segment if segment[0] not in _HEADERS else [segment[0], *segment[2:]]
    line = separator.join(fields)
    if line.count(separator) != len(fields) - 1 or any(c in line for c in "\r\n\x0b\x1c"):
        raise MessageError(
            f"segment {number}",
            "a field holds a bare separator, line end or framing byte",
            "escape the value before it is put into a field",
            "102",
        )
    return line


def _nth(value: str, delimiter: str, number: int) -> str:
    if not delimiter or delimiter not in value:
        return value if number == 1 else ""
    parts = value.split(delimiter, number)
    return parts[number - 1] if number <= len(parts) else ""
