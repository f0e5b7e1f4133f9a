"""The one thread that owns the engine: it turns all that waits into one durable transaction, then hands back.

The event loop puts work into a queue and never touches the books. The thread takes everything that waits,
keeps it in one transaction (one fsync for all), and only after the commit gives the loop one call with every
answer and every next send. Between two commits it processes stored messages in short slices, so that a long
backlog does not make a sender wait.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.pace import EVEN, Pace, Slices
from fhir_radcharge.gateway.roles import Bookkeeper, Carrier, Ledger, OpenBooks, Speaker, Verb
from fhir_radcharge.gateway.waiting import Asked, Back, Batch, Free, Gone, Stop, Told, dealt


class Books:
    """Own the engine on one thread; commit in groups, answer after the commit, process in between.

    `open_books` is called on the thread, because a SQLite connection belongs to the thread that opened it.
    `failed` is called on the loop with the exception when the thread cannot go on (our bug, or books that
    cannot be opened); a storage error while running is retried for ever and answers nobody in the meantime.
    """

    def __init__(
        self,
        open_books: OpenBooks,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[BaseException], None],
        pace: Pace = EVEN,
    ) -> None:
        self._open_books = open_books
        self._loop = loop
        self._failed = failed
        self._pace = pace
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="books", daemon=True)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._outcomes: list[Outcome] = []
        self._free: dict[Carrier, set[int]] = {}
        self._hungry: set[Carrier] = set()
        self._backlog = True
        self._slices = Slices(pace)
        self._failures = 0
        self._crowded = False
        self.storage_ok = True
        self.kept = 0
        self.commits = 0

    # What the event loop calls.

    async def open(self) -> None:
        """Start the thread and return when the books are open, or raise what kept them shut."""
        self._thread.start()
        await asyncio.shield(self._opened)

    def hear(self, speaker: Speaker, heard: list[Heard]) -> None:
        """Have received frames kept; `speaker.answer` follows after the commit, or `speaker.give_up`."""
        self._queue.put(Told(speaker, heard))

    def want(self, carrier: Carrier, lane: int) -> None:
        """Have `carrier.carry` called with the next send of this lane as soon as there is one."""
        self._queue.put(Free(carrier, lane))

    def withdraw(self, carrier: Carrier, lane: int) -> None:
        """Take a want back; a send that is already on its way still arrives at `carry`."""
        self._queue.put(Gone(carrier, lane))

    def settle(self, outcome: Outcome) -> None:
        """Have the outcome of an attempt written; it is kept through storage errors."""
        self._queue.put(outcome)

    def ask(self, verb: Verb, args: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Run a verb on the engine in a transaction of its own; the future has its result or its error."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(Asked(verb, args, reply))
        return reply

    async def close(self) -> None:
        """Commit what was queued before this call, close the books and end the thread."""
        self._queue.put(Stop())
        await asyncio.shield(self._ended)

    def waiting(self) -> int:
        """Return how many queued items the thread has not taken up yet."""
        return self._queue.qsize()

    # What runs on the thread.

    def _run(self) -> None:
        try:
            engine, ledger = self._open_books()
        except BaseException as error:  # noqa: BLE001  whatever it is, the loop must hear of it
            self._on_loop(_fail, self._opened, error)
            self._on_loop(_resolve, self._ended, None)
            return
        self._on_loop(_resolve, self._opened, None)
        try:
            while self._turn(engine, ledger):
                pass
        except BaseException as error:  # noqa: BLE001  our bug: the process ends, but with its reason
            self._on_loop(self._failed, error)
        finally:
            ledger.close()
            self._on_loop(_resolve, self._ended, None)

    def _turn(self, engine: Bookkeeper, ledger: Ledger) -> bool:
        """Keep one batch, then give the backlog its slice if it is due; False when it is time to stop."""
        batch = self._gather()
        waits = self._backlog or bool(batch.heard or batch.asked)
        slice_due = waits and not batch.stop and self._slices.due(bool(batch.heard), bool(self._outcomes))
        try:
            if batch.heard or not slice_due:
                self._keep(batch, engine, ledger, alone=not slice_due)
            for asked in batch.asked:
                self._obey(asked, engine, ledger)
            if slice_due:
                self._work(engine, ledger)
        except LedgerError as error:
            self._storage_failed(batch, error)
        return not batch.stop

    def _gather(self) -> Batch:
        batch, taken = Batch(), 0
        if self._crowded:
            # Many speak at once: one commit for all who do within this while costs each of them less than a turn.
            sleep(self._pace.together_s)
        try:
            item = self._queue.get(timeout=self._patience())
            while True:
                self._sort(item, batch)
                taken += 1
                if batch.stop or len(batch.heard) >= self._pace.frames_max:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            if not batch.told and not self._backlog:
                # Nothing for a while: books may change by the clock (a retry falls due), so look again.
                self._backlog = True
                self._hungry.update(self._free)
        self._crowded = taken >= self._pace.crowd
        return batch

    def _patience(self) -> float:
        if self._failures:
            return min(self._pace.retry_max_s, self._pace.retry_s * 2.0 ** (self._failures - 1))
        return self._pace.breath_s if self._backlog else self._pace.poll_s

    def _sort(self, item: Any, batch: Batch) -> None:
        if type(item) is Told:
            batch.told.append((item.speaker, len(item.heard)))
            batch.heard.extend(item.heard)
        elif type(item) is Free:
            self._free.setdefault(item.carrier, set()).add(item.lane)
            self._hungry.add(item.carrier)
        elif type(item) is Gone:
            self._free.get(item.carrier, set()).discard(item.lane)
        elif type(item) is Asked:
            batch.asked.append(item)
        elif type(item) is Stop:
            batch.stop = True
        else:
            self._outcomes.append(item)

    def _keep(self, batch: Batch, engine: Bookkeeper, ledger: Ledger, alone: bool) -> None:
        """Commit what was heard; with it what lanes tell and want, unless the slice that follows commits that."""
        if not (batch.heard or self._outcomes or self._hungry):
            return
        sends: list[tuple[Carrier, list[Send]]] = []
        with ledger.transaction():
            answers = engine.receive(batch.heard) if batch.heard else []
            if alone:
                self._settle_in(engine)
                sends = self._taken(engine)
        assert len(answers) == len(batch.heard), "an engine answers every message that it was given"
        self._committed()
        if batch.heard:
            self.kept += len(batch.heard)
            self._backlog = True
        if alone:
            self._settled_and_given(sends)
        self._hand_back(Back(dealt(batch.told, answers), [], sends))
        batch.told = []  # a failure of what follows is not theirs any more

    def _committed(self) -> None:
        self.commits += 1
        self._failures = 0
        self.storage_ok = True

    def _taken(self, engine: Bookkeeper) -> list[tuple[Carrier, list[Send]]]:
        """Ask for the next send of each free lane; lanes are crossed off only when this is committed."""
        sends = []
        for carrier in self._hungry:
            lanes = self._free.get(carrier)
            if lanes:
                taken = engine.take(carrier.destination, frozenset(lanes), carrier.lanes)
                if taken:
                    sends.append((carrier, taken))
        return sends

    def _settle_in(self, engine: Bookkeeper) -> None:
        if self._outcomes:
            engine.settle(self._outcomes)

    def _settled_and_given(self, sends: list[tuple[Carrier, list[Send]]]) -> None:
        """Cross off what was committed."""
        self._outcomes = []
        for carrier, taken in sends:
            self._free[carrier].difference_update(send.lane for send in taken)
        self._hungry.clear()

    def _work(self, engine: Bookkeeper, ledger: Ledger) -> None:
        began = monotonic()
        with ledger.transaction():
            self._settle_in(engine)
            done = engine.work(self._slices.messages, self._slices.size)
            if done:
                self._hungry.update(self._free)
            sends = self._taken(engine)
        self._committed()
        self._backlog = done > 0
        self._slices.took(monotonic() - began, done)
        self._settled_and_given(sends)
        self._hand_back(Back([], [], sends))

    def _obey(self, asked: Asked, engine: Bookkeeper, ledger: Ledger) -> None:
        """Run one verb alone: its mistake is its asker's, and undoes nothing of anybody else."""
        try:
            with ledger.transaction():
                result = asked.verb(engine, asked.args)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the one who asked
            self._on_loop(_fail, asked.reply, error)
            return
        self._backlog = True
        self._hungry.update(self._free)
        self._on_loop(_resolve, asked.reply, result)

    def _storage_failed(self, batch: Batch, error: LedgerError) -> None:
        """Leave the batch unanswered: some senders take AE as final, so silence is the only safe answer."""
        self._failures += 1
        self._backlog = True
        self._hungry.update(self._free)
        self.storage_ok = False
        log.error("storage_failed", failures=self._failures, frames=len(batch.heard))
        self._hand_back(Back([], [speaker for speaker, _ in batch.told], []))
        for asked in batch.asked:
            self._on_loop(_fail, asked.reply, error)

    def _hand_back(self, back: Back) -> None:
        if back.answers or back.unanswered or back.sends:
            self._on_loop(_deliver, back)

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is gone. What was committed is committed; the senders ask again.
            log.warning("loop_closed")


def _deliver(back: Back) -> None:
    """Say what was committed; one broken connection must not lose the answers of the others."""
    for speaker, answers in back.answers:
        _guarded(speaker.answer, answers)
    for speaker in back.unanswered:
        _guarded(speaker.give_up, "storage")
    for carrier, sends in back.sends:
        _guarded(carrier.carry, sends)


def _guarded(act: Callable[[Any], None], what: Any) -> None:
    try:
        act(what)
    except Exception as error:  # noqa: BLE001  a fault of one peer is not a fault of the batch
        log.error("hand_back_failed", error=type(error).__name__)


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
