"""The one who owns the engine: turns all that waits into one durable transaction, then hands back.

Everything that waits is kept in one transaction (one fsync for all), and only after the commit goes one note back
with every answer and every next send. Between two commits stored messages are processed in short slices, so that a
long backlog does not make a sender wait.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Protocol

from fhir_radcharge.engine import Outcome, Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.pace import Pace, Slices
from fhir_radcharge.gateway.roles import Bookkeeper, Ledger, OpenBooks
from fhir_radcharge.gateway.waiting import (
    Asked,
    Back,
    Batch,
    Broken,
    Count,
    Ended,
    Free,
    Gone,
    Note,
    Opened,
    Refused,
    Replied,
    Stop,
    Told,
    dealt,
)

Tell = Callable[[Note], None]


class Inbox(Protocol):
    """Where items arrive in the order in which they were posted; queue.Empty when none came in time."""

    def get(self, *, timeout: float) -> Any: ...


def keep_books(open_books: OpenBooks, pace: Pace, inbox: Inbox, tell: Tell) -> None:
    """Open the books and keep them until told to stop; whatever happens is told, `Ended` last.

    A SQLite connection belongs to the thread that opened it, so all of it runs on one. What ends it is our own bug
    or books that cannot be opened; a storage error while running is retried for ever and answers nobody meanwhile.
    """
    try:
        engine, ledger = open_books()
    except BaseException as error:  # noqa: BLE001  whatever it is, the loop must hear of it
        tell(Broken(error))
        tell(Ended())
        return
    tell(Opened())
    turns = Turns(engine, ledger, pace, inbox, tell)
    try:
        while turns.turn():
            pass
        turns.rest()
    except BaseException as error:  # noqa: BLE001  our bug: the process ends, but with its reason
        log.defect("books_defect", error)
        tell(Broken(error))
    finally:
        ledger.close()
        tell(Ended())


class Turns:
    """Commit in groups, answer after the commit, process in between."""

    def __init__(self, engine: Bookkeeper, ledger: Ledger, pace: Pace, inbox: Inbox, tell: Tell) -> None:
        self._engine = engine
        self._ledger = ledger
        self._pace = pace
        self._inbox = inbox
        self._tell = tell
        self._outcomes: list[Outcome] = []
        self._free: dict[str, set[int]] = {}
        self._lanes: dict[str, int] = {}
        self._hungry: set[str] = set()
        self._backlog = True
        self._slices = Slices(pace)
        self._failures = 0
        self._crowded = False
        self._answered = False
        self._early = Batch()
        self._taken_up = self._told_of = 0
        self._kept = self._commits = 0

    def turn(self) -> bool:
        """Keep one batch, then give the backlog its slice if it is due; False when it is time to stop."""
        batch = self._gather()
        waits = self._backlog or bool(batch.heard or batch.asked)
        slice_due = waits and not batch.stop and self._slices.due(bool(batch.heard), self._answered)
        self._answered = False
        try:
            if batch.heard or not slice_due:
                self._keep(batch, alone=not slice_due)
            for asked in batch.asked:
                self._obey(asked)
            if slice_due:
                self._work()
        except LedgerError as error:
            self._storage_failed(batch, error)
        return not batch.stop

    def rest(self) -> None:
        """Let the engine note that this is an end in order; books that cannot be written are closed without."""
        with suppress(LedgerError), self._ledger.transaction():
            self._engine.rest()

    def _gather(self) -> Batch:
        batch, self._early = self._early, Batch()
        if self._crowded and not self._backlog:
            # Many speak at once: one commit for all who do within this while costs each of them less than a turn.
            # With a backlog they come together during its slices.
            sleep(self._pace.together_s)
        taken = self._take_up(batch, 0.0 if batch else self._patience())
        if not taken and not batch and not self._backlog:
            # Nothing for a while: books may change by the clock (a retry falls due), so look again.
            self._backlog = True
            self._hungry.update(self._free)
        self._crowded = taken >= self._pace.crowd
        return batch

    def _take_up(self, batch: Batch, wait_s: float) -> int:
        """Sort into a batch what waits, or what comes first within a while; return how many items it was."""
        taken = 0
        with suppress(queue.Empty):
            while not batch.stop and len(batch.heard) < self._pace.frames_max:
                self._sort(self._inbox.get(timeout=0.0 if taken else wait_s), batch)
                taken += 1
        self._taken_up += taken
        return taken

    def _patience(self) -> float:
        if self._failures:
            return min(self._pace.retry_max_s, self._pace.retry_s * 2.0 ** min(self._failures - 1, 32))
        return 0.0 if self._backlog else self._pace.poll_s

    def _sort(self, item: Any, batch: Batch) -> None:
        if type(item) is Told:
            batch.told.append((item.ticket, len(item.heard)))
            batch.heard.extend(item.heard)
        elif type(item) is Free:
            self._free.setdefault(item.destination, set()).add(item.lane)
            self._lanes[item.destination] = item.lanes
            self._hungry.add(item.destination)
        elif type(item) is Gone:
            self._free.get(item.destination, set()).discard(item.lane)
        elif type(item) is Asked:
            batch.asked.append(item)
        elif type(item) is Stop:
            batch.stop = True
        else:
            self._outcomes.append(item)
            self._answered = True

    def _keep(self, batch: Batch, alone: bool) -> None:
        """Commit what was heard; with it what lanes tell and want, unless the slice that follows commits that."""
        if not (batch.heard or self._outcomes or self._hungry):
            return
        sends: list[Send] = []
        with self._ledger.transaction():
            answers = self._engine.receive(batch.heard) if batch.heard else []
            if alone:
                self._settle_in()
                sends = self._next_sends()
        assert len(answers) == len(batch.heard), "an engine answers every message that it was given"
        self._committed()
        if batch.heard:
            self._kept += len(batch.heard)
            self._backlog = True
        if alone:
            self._settled_and_given(sends)
        self._hand_back(dealt(batch.told, answers), [], sends)
        batch.told = []  # a failure of what follows is not theirs any more

    def _committed(self) -> None:
        self._commits += 1
        self._failures = 0

    def _next_sends(self) -> list[Send]:
        """Ask for the next send of each free lane; lanes are crossed off only when this is committed."""
        sends: list[Send] = []
        for destination in self._hungry:
            free = self._free.get(destination)
            if free:
                sends += self._engine.take(destination, frozenset(free), self._lanes[destination])
        return sends

    def _settle_in(self) -> None:
        if self._outcomes:
            self._engine.settle(self._outcomes)

    def _settled_and_given(self, sends: list[Send]) -> None:
        """Cross off what was committed."""
        self._outcomes = []
        for send in sends:
            self._free[send.destination].discard(send.lane)
        self._hungry.clear()

    def _work(self) -> None:
        with self._ledger.transaction():
            began = monotonic()
            done = self._engine.work(self._slices.messages, self._slices.size)
            self._slices.took(monotonic() - began, done)
            # Lanes that were answered meanwhile have their next message with this commit, not with the one after.
            self._take_up(self._early, 0.0)
            self._settle_in()
            if done:
                self._hungry.update(self._free)
            sends = self._next_sends()
        self._committed()
        self._backlog = done > 0
        self._settled_and_given(sends)
        self._hand_back([], [], sends)

    def _obey(self, asked: Asked) -> None:
        """Run one verb alone: its mistake is its asker's, and undoes nothing of anybody else."""
        try:
            with self._ledger.transaction():
                result = asked.verb(self._engine, asked.args)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the one who asked
            self._tell(Refused(asked.ticket, error))
            return
        self._backlog = True
        self._hungry.update(self._free)
        self._tell(Replied(asked.ticket, result))

    def _storage_failed(self, batch: Batch, error: LedgerError) -> None:
        """Leave the batch unanswered: some senders take AE as final, so silence is the only safe answer."""
        self._failures += 1
        self._backlog = True
        self._hungry.update(self._free)
        if str(self._failures).strip("0") == "1":
            # Every sender that asks again makes another: the first, the tenth, the hundredth in a row are told.
            log.error("storage_failed", failures=self._failures, frames=len(batch.heard))
        self._hand_back([], [ticket for ticket, _ in batch.told], [])
        for asked in batch.asked:
            self._tell(Refused(asked.ticket, error))

    def _hand_back(
        self, answers: list[tuple[int, list[bytes | None]]], unanswered: list[int], sends: list[Send]
    ) -> None:
        if answers or unanswered or sends or self._taken_up > self._told_of:
            self._told_of = self._taken_up
            so_far = Count(self._taken_up, self._kept, self._commits, self._failures == 0)
            self._tell(Back(answers, unanswered, sends, so_far))
