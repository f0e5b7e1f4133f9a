"""Turns postings into whether a message can be written of them, and writes none where that cannot fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_radcharge.engine.fhir_saying import message_for
from fhir_radcharge.engine.rooms import Rooms, rooms
from fhir_radcharge.model import Posting
from fhir_radcharge.wire.ack import Header, header
from fhir_radcharge.wire.destination import Destination
from fhir_radcharge.wire.er7 import Unopened, proved
from fhir_radcharge.wire.outbound import writes_whatever_was_read

HEADERS_MAX = 1_000
NOT_WRITTEN = b""


def proving_rooms() -> Rooms:
    """Return the real rooms, but for messages: these fail as the real ones do, and are not spelled."""
    return rooms()._replace(header=_Headers().of, read_message=proved, message_for=proved_message)


def proved_message(
    postings: Sequence[Posting], destination: Any, heard: Any, control_id: str, at: str, site: Any
) -> bytes:
    """Return the message where writing it could fail, else nothing; raise what writing it raises."""
    if type(heard) is Unopened and type(destination) is Destination and writes_whatever_was_read(destination):
        return NOT_WRITTEN
    return message_for(postings, destination, heard, control_id, at, site)


class _Headers:
    """The headers of messages, remembered by the bytes before MSH-5, which name their sender."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, ...], Header] = {}

    def of(self, raw: bytes) -> Header:
        """Return a header that names the sender of a message; its other fields may be those of another message."""
        if not raw.startswith(b"MSH|"):
            return header(raw)
        parts = raw[:200].split(b"|", 4)
        before = tuple(parts[1:4])
        found = self._known.get(before)
        if found is None:
            found = header(raw)
            if len(parts) == 5 and len(self._known) < HEADERS_MAX:
                self._known[before] = found
        return found
