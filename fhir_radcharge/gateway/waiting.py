"""What waits for the books thread, gathered into one batch, and one batch's results on their way back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from fhir_radcharge.engine import Heard, Send
from fhir_radcharge.gateway.roles import Carrier, Speaker, Verb


class Told(NamedTuple):
    """Frames that a connection heard."""

    speaker: Speaker
    heard: list[Heard]


class Free(NamedTuple):
    """A lane that can carry a send."""

    carrier: Carrier
    lane: int


class Gone(NamedTuple):
    """A lane that no longer can."""

    carrier: Carrier
    lane: int


class Asked(NamedTuple):
    """A verb, and where its result is awaited."""

    verb: Verb
    args: Mapping[str, Any]
    reply: asyncio.Future[Any]


class Stop(NamedTuple):
    """The end: what was queued before it is still kept."""


class Back(NamedTuple):
    """One batch on its way back to the loop."""

    answers: list[tuple[Speaker, list[bytes | None]]]
    unanswered: list[Speaker]
    sends: list[tuple[Carrier, list[Send]]]


class Batch:
    """Everything that waited when the thread looked, in the order in which it came."""

    __slots__ = ("asked", "heard", "stop", "told")

    def __init__(self) -> None:
        self.told: list[tuple[Speaker, int]] = []
        self.heard: list[Heard] = []
        self.asked: list[Asked] = []
        self.stop = False


def dealt(
    told: list[tuple[Speaker, int]], answers: list[bytes | None]
) -> list[tuple[Speaker, list[bytes | None]]]:
    """Give each speaker its own stretch of the answers."""
    dealt, start = [], 0
    for speaker, count in told:
        dealt.append((speaker, answers[start : start + count]))
        start += count
    return dealt
