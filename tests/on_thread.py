"""The books on a thread of this process, for a test that looks at the engine or holds its commits back."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable

from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.pace import EVEN, Pace
from fhir_radcharge.gateway.roles import OpenBooks
from fhir_radcharge.gateway.turns import keep_books
from fhir_radcharge.gateway.waiting import Item, Note


class OnThread:
    """Own the books on one thread; `open_books` is called on it."""

    def __init__(self, open_books: OpenBooks, pace: Pace = EVEN) -> None:
        self._open_books = open_books
        self._pace = pace
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()

    async def begin(self, note: Callable[[Note], None]) -> None:
        """Start the thread; its notes come on the running loop."""
        loop = asyncio.get_running_loop()

        def tell(told: Note) -> None:
            try:
                loop.call_soon_threadsafe(note, told)
            except RuntimeError:
                # The loop is gone. What was committed is committed; the senders ask again.
                log.warning("loop_closed")

        told = (self._open_books, self._pace, self._inbox, tell)
        threading.Thread(target=keep_books, args=told, name="books", daemon=True).start()

    def post(self, item: Item) -> None:
        """Have an item taken up."""
        self._inbox.put(item)
