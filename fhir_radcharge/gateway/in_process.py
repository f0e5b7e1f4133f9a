"""The books in a process of their own, at the other end of a pair of sockets.

The interpreter runs one thread at a time: in one process every computation keeps the doors waiting, and every byte
at the doors the computation. The two processes share nothing but the pair of sockets. When the gateway ends, however
it ends, the other end reads the end of the stream, keeps what had arrived, closes the books and ends too; when the
books' process ends, the gateway is told and ends.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import queue
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from fhir_radcharge.errors import LedgerError, RadchargeError
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.pace import EVEN, Pace
from fhir_radcharge.gateway.roles import Bookkeeper, Ledger, OpenBooks
from fhir_radcharge.gateway.turns import keep_books
from fhir_radcharge.gateway.waiting import Broken, Ended, Item, Note, Refused, Replied, Stop
from fhir_radcharge.memory import settled

_LENGTH = 4
_READ_BYTES = 1 << 20


class InProcess:
    """Begin the process that owns the books; `open_books` is called in it.

    It is a fork, so it begins where this is made: before there is an event loop or another thread.
    """

    def __init__(self, open_books: OpenBooks, pace: Pace = EVEN) -> None:
        self._ours, theirs = socket.socketpair()
        self._posted: list[Item] = []
        self._transport: asyncio.WriteTransport | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = os.fork()
        if self._child == 0:
            self._ours.close()
            _own(theirs, open_books, pace)
        theirs.close()

    async def begin(self, note: Callable[[Note], None]) -> None:
        """Listen to the process; its notes come on the running loop."""
        loop = asyncio.get_running_loop()
        self._note = note
        self._transport, _ = await loop.create_unix_connection(lambda: _Ear(note), sock=self._ours)
        self._soon = loop.call_soon

    def post(self, item: Item) -> None:
        """Have an item taken up; all that is posted in one turn of the loop goes out together."""
        if not self._posted:
            self._soon(self._flush)
        self._posted.append(item)

    def _flush(self) -> None:
        posted, self._posted = self._posted, []
        try:
            body = packed(posted)
        except Exception as error:  # noqa: BLE001  our bug: what cannot go over must not be waited for
            self._note(Broken(error))
            return
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(body)

    def end(self) -> None:
        """See that the process has ended; one that does not in time is killed, which its books survive."""
        with suppress(OSError):
            self._ours.close()
        # Started with SIGCHLD ignored, which is inherited, the system reaps it unasked and there is no such child.
        with suppress(ChildProcessError):
            for _ in range(100):
                if os.waitpid(self._child, os.WNOHANG)[0]:
                    return
                select.select([], [], [], 0.02)
            log.error("books_killed")
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)


class _Ear(asyncio.Protocol):
    """Hands on what the books' process says; when it says no more, whether it was to end."""

    def __init__(self, note: Callable[[Note], None]) -> None:
        self._note = note
        self._unpacker = Unpacker()
        self._ended = False
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for note in self._unpacker.feed(data):
            self._ended = self._ended or type(note) is Ended
            self._note(note)
        if self._ended and self._transport is not None:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended:
            self._note(Broken(LedgerError("the process that owns the books was ended from outside; start again")))
            self._note(Ended())


def _own(channel: socket.socket, open_books: OpenBooks, pace: Pace) -> NoReturn:
    """Be the process that owns the books. Whoever stops the gateway, stops this through the gateway alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    status = 1

    def opened() -> tuple[Bookkeeper, Ledger]:
        books = open_books()
        settled()
        return books

    try:
        keep_books(opened, pace, _Inbox(channel), _Mouth(channel))
        status = 0
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class _Inbox:
    """What the gateway posts; the end of the stream is a Stop."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._unpacker = Unpacker()
        self._items: deque[Item] = deque()

    def get(self, *, timeout: float) -> Item:
        if not self._items and select.select([self._channel], [], [], timeout)[0]:
            self._read()
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def _read(self) -> None:
        try:
            data = self._channel.recv(_READ_BYTES)
        except OSError:
            data = b""
        if data:
            self._items.extend(self._unpacker.feed(data))
        else:
            self._items.append(Stop())


class _Mouth:
    """Tells the gateway; when it is gone nobody is told, and the inbox says so."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def __call__(self, note: Note) -> None:
        with suppress(OSError):
            self._channel.sendall(packed([_portable(note)]))


def _portable(note: Note) -> Note:
    """Return a note that can be packed: an error that cannot be keeps its kind in words, never its text."""
    if isinstance(note, Refused | Broken | Replied):
        try:
            pickle.loads(pickle.dumps(note))  # noqa: S301  our own bytes
        except Exception:  # noqa: BLE001  whatever it holds, somebody waits for it
            told = note.error if isinstance(note, Refused | Broken) else note.result
            error = RadchargeError(f"{type(told).__name__} in the process that owns the books")
            return Broken(error) if isinstance(note, Broken) else Refused(note.ticket, error)
    return note


def packed(values: list[Any]) -> bytes:
    """Return values as they go through the pair of sockets: a length, then a pickle."""
    body = pickle.dumps(values, 5)
    return len(body).to_bytes(_LENGTH, "big") + body


class Unpacker:
    """Turns bytes, cut anywhere, back into the values; both ends are this program."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Return the values that are complete now."""
        held = self._held
        held += data
        values: list[Any] = []
        start = 0
        while len(held) - start >= _LENGTH:
            end = start + _LENGTH + int.from_bytes(held[start : start + _LENGTH], "big")
            if len(held) < end:
                break
            values += pickle.loads(memoryview(held)[start + _LENGTH : end])  # noqa: S301  our own bytes
            start = end
        del held[:start]
        return values
