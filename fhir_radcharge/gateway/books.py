"""The books, as the event loop sees them: all that is told, wanted, settled or asked is posted to their one owner.

The loop never touches the books. They are owned by a process of its own (`in_process`), so that neither a computation
nor a commit keeps a sender waiting for the interpreter; a test may have them elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Protocol

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.roles import Carrier, Speaker, Verb
from fhir_radcharge.gateway.waiting import (
    Asked,
    Back,
    Broken,
    Count,
    Ended,
    Free,
    Gone,
    Item,
    Note,
    Opened,
    Refused,
    Replied,
    Stop,
    Told,
)


class Place(Protocol):
    """Where the books are owned: begins there, and carries items to it and its notes back to the loop, in order."""

    async def begin(self, note: Callable[[Note], None]) -> None: ...
    def post(self, item: Item) -> None: ...


class Books:
    """Post to the owner of the books, and hand what comes back to whoever it is for; all of it on the loop.

    `failed` is called with the exception when the owner cannot go on.
    """

    def __init__(self, place: Place, failed: Callable[[BaseException], None]) -> None:
        loop = asyncio.get_running_loop()
        self._place = place
        self._failed = failed
        self._opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._tickets = count()
        self._speakers: dict[int, Speaker] = {}
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._carriers: dict[str, Carrier] = {}
        self._posted = 0
        self._count = Count(0, 0, 0, True)

    async def open(self) -> None:
        """Return when the books are open, or raise what kept them shut."""
        await self._place.begin(self._noted)
        await asyncio.shield(self._opened)

    def hear(self, speaker: Speaker, heard: list[Heard]) -> None:
        """Have received frames kept; `speaker.answer` follows after the commit, or `speaker.give_up`."""
        ticket = next(self._tickets)
        self._speakers[ticket] = speaker
        self._post(Told(ticket, heard))

    def want(self, carrier: Carrier, lane: int) -> None:
        """Have `carrier.carry` called with the next send of this lane as soon as there is one."""
        self._carriers[carrier.destination] = carrier
        self._post(Free(carrier.destination, lane, carrier.lanes))

    def withdraw(self, carrier: Carrier, lane: int) -> None:
        """Take a want back; a send that is already on its way still arrives at `carry`."""
        self._post(Gone(carrier.destination, lane))

    def settle(self, outcome: Outcome) -> None:
        """Have the outcome of an attempt written; it is kept through storage errors."""
        self._post(outcome)

    def ask(self, verb: Verb, args: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Run a verb on the engine in a transaction of its own; the future has its result or its error.

        The verb is a function of a module and its arguments are plain values: both may go to another process.
        """
        ticket = next(self._tickets)
        reply = self._replies[ticket] = asyncio.get_running_loop().create_future()
        self._post(Asked(ticket, verb, args))
        return reply

    async def close(self) -> None:
        """Have committed what was posted before this call, and the books closed."""
        self._post(Stop())
        await asyncio.shield(self._ended)

    def waiting(self) -> int:
        """Return how many posted items were not taken up yet, as far as told."""
        return self._posted - self._count.taken

    @property
    def storage_ok(self) -> bool:
        """Whether the last commit went well."""
        return self._count.storage_ok

    @property
    def kept(self) -> int:
        """How many messages were kept."""
        return self._count.kept

    @property
    def commits(self) -> int:
        """How many batches were committed."""
        return self._count.commits

    def _post(self, item: Item) -> None:
        self._posted += 1
        self._place.post(item)

    # What comes back.

    def _noted(self, note: Note) -> None:
        if type(note) is Back:
            self._deliver(note)
        elif type(note) is Replied:
            self._reply(note.ticket, note.result, None)
        elif type(note) is Refused:
            self._reply(note.ticket, None, note.error)
        elif type(note) is Opened:
            _resolve(self._opened)
        elif type(note) is Broken:
            self._break(note.error)
        elif type(note) is Ended:
            _resolve(self._ended)
            for ticket in list(self._replies):
                self._reply(ticket, None, LedgerError("the books were closed before this was done"))

    def _deliver(self, back: Back) -> None:
        """Say what was committed; one broken connection must not lose the answers of the others."""
        self._count = back.so_far
        for ticket, answers in back.answers:
            _guarded(self._speakers.pop(ticket).answer, answers)
        for ticket in back.unanswered:
            _guarded(self._speakers.pop(ticket).give_up, "storage")
        if back.sends:
            by_destination: dict[str, list[Send]] = defaultdict(list)
            for send in back.sends:
                by_destination[send.destination].append(send)
            for destination, sends in by_destination.items():
                _guarded(self._carriers[destination].carry, sends)

    def _reply(self, ticket: int, result: Any, error: BaseException | None) -> None:
        reply = self._replies.pop(ticket, None)
        if reply is None or reply.done():
            return
        if error is not None:
            reply.set_exception(error)
        else:
            reply.set_result(result)

    def _break(self, error: BaseException) -> None:
        if self._opened.done():
            self._failed(error)
        else:
            self._opened.set_exception(error)


def _guarded(act: Callable[[Any], None], what: Any) -> None:
    try:
        act(what)
    except Exception as error:  # noqa: BLE001  a fault of one peer is not a fault of the batch
        log.error("hand_back_failed", error=type(error).__name__)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
