"""What the event loop posts to whoever owns the books, and what comes back: plain values that can cross a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.gateway.roles import Verb


class Told(NamedTuple):
    """Frames that one connection heard; `ticket` names it until they are answered."""

    ticket: int
    heard: list[Heard]


class Free(NamedTuple):
    """A lane, one of so many of its destination, that can carry a send."""

    destination: str
    lane: int
    lanes: int


class Gone(NamedTuple):
    """A lane that no longer can."""

    destination: str
    lane: int


class Asked(NamedTuple):
    """A verb; `ticket` names who waits for its result."""

    ticket: int
    verb: Verb
    args: Mapping[str, Any]


class Stop(NamedTuple):
    """The end: what was posted before it is still kept."""


Item = Told | Free | Gone | Outcome | Asked | Stop


class Opened(NamedTuple):
    """The books are open."""


class Count(NamedTuple):
    """How many items were taken up so far, messages kept and batches committed; whether the last commit went well."""

    taken: int
    kept: int
    commits: int
    storage_ok: bool


class Back(NamedTuple):
    """What one commit gives back: answers by ticket, tickets that get none, and the next sends of free lanes."""

    answers: list[tuple[int, list[bytes | None]]]
    unanswered: list[int]
    sends: list[Send]
    so_far: Count


class Replied(NamedTuple):
    """What a verb returned."""

    ticket: int
    result: Any


class Refused(NamedTuple):
    """What a verb raised."""

    ticket: int
    error: BaseException


class Broken(NamedTuple):
    """Why the books cannot be opened, or why nobody turns their pages any more."""

    error: BaseException


class Ended(NamedTuple):
    """The books are closed; nothing comes after it."""


Note = Opened | Back | Replied | Refused | Broken | Ended


class Batch:
    """Everything that waited at one look, in the order in which it came."""

    __slots__ = ("asked", "heard", "stop", "told")

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.heard: list[Heard] = []
        self.asked: list[Asked] = []
        self.stop = False

    def __bool__(self) -> bool:
        """Return whether there is anything to do for it."""
        return bool(self.heard or self.asked or self.stop)


def dealt(told: list[tuple[int, int]], answers: list[bytes | None]) -> list[tuple[int, list[bytes | None]]]:
    """Give each ticket its own stretch of the answers."""
    dealt, start = [], 0
    for ticket, count in told:
        dealt.append((ticket, answers[start : start + count]))
        start += count
    return dealt
