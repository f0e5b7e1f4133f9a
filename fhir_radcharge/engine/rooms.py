"""The doors of the other rooms, as the engine goes through them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from fhir_radcharge.model import PostingKind


class Heard(NamedTuple):
    """One payload as a listener heard it; `look` is what a FHIR door has seen in it, None for HL7 v2."""

    listener: str
    peer: str
    raw: bytes
    look: Any = None


class Send(NamedTuple):
    """One attempt to say a message: its bytes are the same at every attempt."""

    seq: int
    destination: str
    lane: int
    control_id: str
    body: bytes
    attempt: int


class Outcome(NamedTuple):
    """How an attempt ended: `not_taken` is a busy receiver, `silent` one that may or may not have heard."""

    seq: int
    attempt: int
    kind: Literal["accepted", "refused", "not_taken", "silent"]
    code: str
    raw: bytes


class Rooms(NamedTuple):
    """What the engine asks of the pure rooms; a test may put simpler ones in their place."""

    header: Callable[[bytes], Any]
    answer: Callable[..., bytes]
    answer_code: Callable[[Any, Any, bool], str]
    wanted: Callable[[Any, Any, bool], bool]
    no_header: Any
    read_message: Callable[[bytes, str | None], Any]
    read_dft: Callable[..., Any]
    message_for: Callable[..., bytes]
    charges_due: Callable[..., Any]
    corrections: Callable[..., Any]
    line_key: Callable[[Any], str]
    posting_id: Callable[[str, str, PostingKind, str | None], str]


def rooms() -> Rooms:
    """Return the real rooms."""
    from fhir_radcharge import reconcile
    from fhir_radcharge.engine.fhir_saying import message_for
    from fhir_radcharge.rules import charging
    from fhir_radcharge.wire import ack, dft, er7

    return Rooms(
        ack.header,
        ack.answer,
        ack.answer_code,
        ack.wanted,
        ack.NO_HEADER,
        er7.read_message,
        dft.read_dft,
        message_for,
        charging.charges_due,
        reconcile.corrections,
        reconcile.line_key,
        reconcile.posting_id,
    )


def label(now: datetime) -> str:
    """Return an instant as the books show it; nothing is ever computed from it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
