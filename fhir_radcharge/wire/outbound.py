"""Turns postings into the bytes of a DFT message, as the profile of their destination says.

Patient, visit and insurance are copied from the message of the session that dates the line, only in the segments
that the destination lists. Every leaf is escaped for the destination, so that no value can add a field or a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fhir_radcharge.chargemaster import ChargeMaster
from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import Posting
from fhir_radcharge.wire.destination import Destination, Said
from fhir_radcharge.wire.er7 import Delimiters, Message, escape
from fhir_radcharge.wire.paths import Scope, leaf
from fhir_radcharge.wire.sender import Sender
from fhir_radcharge.wire.values import recoded

_FRAMING = ("\x0b", "\x1c")


class SiteTables(Protocol):
    """What writing needs of a site."""

    @property
    def chargemaster(self) -> ChargeMaster:
        """Return the site's charge codes."""

    def sender_named(self, application: str, facility: str) -> Sender | None:
        """Return the profile of a sender, or None."""


def message_for(
    postings: Sequence[Posting],
    destination: Destination,
    heard: Message,
    control_id: str,
    at: str,
    site: SiteTables,
) -> bytes:
    """Return one message that says the postings in their order; the same arguments give the same bytes.

    `heard` is the message whose patient, visit and insurance they carry, `at` the text of MSH-7.
    """
    d = destination.delimiters
    lines = [
        f"{destination.header_start}{at}{destination.trigger}{escape(control_id, d)}{destination.header_end}",
        f"EVN{d.field}{'P03' if destination.version < '2.7' else ''}{d.field}{at}",
    ]
    _copy(lines, heard, destination.before, d)
    for number, posting in enumerate(postings, 1):
        _write(lines, _said(posting, destination, heard, number, site), d)
    _copy(lines, heard, destination.after, d)
    lines.append("")
    text = "\r".join(lines)
    for character in _FRAMING:
        if character in text:
            text = text.replace(character, f"{d.escape}X{ord(character):02X}{d.escape}")
    try:
        return text.encode(destination.codec)
    except UnicodeEncodeError as error:
        raise MessageError(
            "MSH-18",
            f"a character of the message does not exist in the character set of {destination.name}",
            f"set header.charset of {destination.file} to UNICODE UTF-8",
            "102",
        ) from error


def writes_whatever_was_read(destination: Destination) -> bool:
    """Tell whether no posting can fail to be written, of whichever message that was read.

    All that fails is a character that the destination's set does not have, or that cannot be escaped. A line without
    the charge code that a destination needs is refused before it is written.
    """
    return destination.codec == "utf-8" and bool(destination.delimiters.escape)


def _said(posting: Posting, destination: Destination, heard: Message, number: int, site: SiteTables) -> Said:
    line = posting.line
    row = site.chargemaster.row(destination.name, line.code, line.modifiers, line.day)
    return Said(posting, row, _ft1(heard, line.dated_by, site), heard, destination, number)


def _ft1(heard: Message, event: str, site: SiteTables) -> Sequence[str]:
    """Return the FT1 that told the event; of a message with only one FT1 that one; else nothing is copied."""
    found = heard.all("FT1")
    if len(found) == 1:
        return found[0]
    header, d = heard.segments[0], heard.delimiters
    names = [leaf(header[field], d) if field < len(header) else "" for field in (3, 4)]
    sender = site.sender_named(names[0], names[1])
    for ft1 in found:
        if sender is not None and sender.id(Scope(d, ft1)) == event:
            return ft1
    return ()


def _copy(lines: list[str], heard: Message, names: frozenset[str], d: Delimiters) -> None:
    if not names:
        return
    source = heard.delimiters
    same = source[:5] == d[:5]
    for segment in heard.segments:
        if segment[0] in names:
            fields = segment if same else [recoded(field, source, d) for field in segment]
            lines.append(d.field.join(fields).rstrip(d.field))


def _write(lines: list[str], said: Said, d: Delimiters) -> None:
    for name, width, writes in said.destination.templates:
        fields = [""] * width
        fields[0] = name
        told = name == "FT1"
        for position, write, tells in writes:
            value = write(said)
            if value:
                fields[position] = value
                told = told or tells
        if told:
            lines.append(d.field.join(fields).rstrip(d.field))
