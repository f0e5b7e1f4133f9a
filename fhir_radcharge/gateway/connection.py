"""One sender's connection: turns what it writes into frames for the books, and answers in the same order.

An answer is written only when the books hand it back, which they do after the durable commit. When they
cannot keep a message, nothing is said and the connection is closed: the sender will repeat itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from fhir_radcharge.engine import Heard
from fhir_radcharge.gateway.lobby import Door, Lobby
from fhir_radcharge.gateway.roles import Keeper
from fhir_radcharge.gateway.tls import names_of
from fhir_radcharge.wire.mllp import Frame, Framer, Item, Junk, Oversize, frame

# What may stand before a first frame without making the peer a stranger: some senders begin with a line end.
_HARMLESS = frozenset(b"\x0b\r\n \t\x00")


class Connection(asyncio.Protocol):
    """One peer's connection: frames go to the books in order, answers come back in order."""

    __slots__ = (
        "_answered", "_asides", "_books", "_buffered", "_clock", "_farewell", "_frame_began", "_framer",
        "_full", "_heard", "_heard_at", "_host", "_lobby", "_owed_bytes", "_peer", "_stuck_since",
        "_transport", "door",
    )  # fmt: skip

    def __init__(self, door: Door, books: Keeper, lobby: Lobby, clock: Callable[[], float]) -> None:
        self.door = door
        self._books = books
        self._lobby = lobby
        self._clock = clock
        self._framer = Framer(door.limits.frame_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._host = self._peer = ""
        self._heard = self._answered = self._owed_bytes = self._buffered = 0
        self._asides: deque[tuple[int, bytes]] = deque()
        self._heard_at = self._frame_began = clock()
        self._stuck_since: float | None = None
        self._full = False
        self._farewell = False

    # What the event loop says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once if a limit or its certificate says so."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername") or ("local", 0)
        self._host, self._peer = str(address[0]), f"{address[0]}:{address[1]}"
        refusal = self._lobby.refusal(self.door, self._host)
        if refusal is None and self.door.client_names:
            names = names_of(transport.get_extra_info("peercert"))
            refusal = None if names & self.door.client_names else "certificate_name"
        if refusal:
            self._cut(refusal)
        else:
            self._lobby.enter(self, self.door, self._host)

    def data_received(self, data: bytes) -> None:
        """Have every complete frame kept."""
        if self._farewell or self._transport is None:
            return None
        self._heard_at = now = self._clock()
        framer = self._framer
        began = framer.inside
        items = framer.feed(data)
        if framer.inside and (items or not began):
            self._frame_began = now
        if items:
            self._take(items)
        elif framer.junk and self._stranger(data):
            return self._cut("not_mllp")
        self._account()
        return None

    def eof_received(self) -> bool:
        """Keep the connection for the answers still owed: some senders half-close after their last frame."""
        self._take(self._framer.finish())
        self._account()
        plain = self._transport is not None and self._transport.get_extra_info("sslcontext") is None
        self._farewell = True
        return plain and self.owed > 0

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the peer; answers still owed are in the books, and are said when it repeats itself."""
        self._farewell = True
        self._transport = None
        self._framer.finish()
        self._owed_bytes = 0
        self._account()
        self._lobby.leave(self, self.door, self._host)

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read."""
        self._stuck_since = self._clock()
        self._read_or_not()

    def resume_writing(self) -> None:
        """Read again."""
        self._stuck_since = None
        self._read_or_not()

    # What the books say, after the commit.

    def answer(self, answers: list[bytes | None]) -> None:
        """Write the next answers owed, in order; to a peer that has gone nothing is said."""
        self._answered += len(answers)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        said = self._with_asides(answers) if self._asides else answers
        transport.write(b"".join([frame(answer) for answer in said if answer is not None]))
        if self._answered == self._heard:
            self._owed_bytes = 0
            self._account()
            if self._farewell:
                transport.close()
        if self._full:
            self._read_or_not()

    def give_up(self, reason: str) -> None:
        """Close without an answer; what was answered before still goes out."""
        if self._transport is not None and not self._transport.is_closing():
            self._lobby.count(reason, self.door.name, self._host)
            self._transport.close()
        self._farewell = True

    # What the listener says.

    @property
    def owed(self) -> int:
        """Return how many answers this connection still waits for; none when it is gone."""
        return 0 if self._transport is None else self._heard - self._answered

    def sweep(self, now: float) -> None:
        """Cut the connection if one of its clocks has run out; settle a frame whose end was in doubt."""
        limits = self.door.limits
        if self._framer.doubtful and now - self._heard_at >= limits.doubt_s:
            self._take(self._framer.settle())
            self._account()
        if self._stuck_since is not None:
            if now - self._stuck_since > limits.frame_s:
                self._cut("answers_unread")
        elif self._framer.inside and not self._full:
            if now - self._frame_began > limits.frame_s:
                self._cut("frame_slow")
        elif not self.owed and now - self._heard_at > limits.idle_s:
            self._cut("idle")

    def hang_up(self) -> None:
        """Read no more; close as soon as nothing is owed."""
        self._farewell = True
        if self._transport is not None:
            self._read_or_not()
            if not self.owed:
                self._transport.close()

    # What follows from it.

    def _take(self, items: list[Item]) -> None:
        heard: list[Heard] = []
        for item in items:
            if type(item) is Frame:
                heard.append(Heard(self.door.name, self._peer, item.payload))
            elif type(item) is Oversize and self.door.oversize:
                self._tell(heard)
                heard = []
                self._aside(self.door.oversize(item.limit))
            self._note(item)
        return self._tell(heard)

    def _tell(self, heard: list[Heard]) -> None:
        if heard:
            self._heard += len(heard)
            self._owed_bytes += sum([len(one.raw) for one in heard])
            self._books.hear(self, heard)
            if self.owed > self.door.limits.owed_max:
                self._read_or_not()

    def _aside(self, answer: bytes) -> None:
        """Say what the books know nothing of, when its turn comes."""
        if self.owed or self._transport is None:
            self._asides.append((self._heard, answer))
        else:
            self._transport.write(frame(answer))

    def _with_asides(self, answers: list[bytes | None]) -> list[bytes | None]:
        said: list[bytes | None] = []
        for turn, answer in enumerate(answers, self._answered - len(answers) + 1):
            said.append(answer)
            while self._asides and self._asides[0][0] == turn:
                said.append(self._asides.popleft()[1])
        return said

    def _note(self, item: Item) -> None:
        if type(item) is Oversize:
            self._lobby.count("frame_oversize", self.door.name, self._host)
        elif type(item) is Junk and item.reason != "between frames":
            self._lobby.count("frame_" + item.reason.replace(" ", "_"), self.door.name, self._host)

    def _stranger(self, data: bytes) -> bool:
        junk = self._framer.junk
        return junk > self.door.limits.junk_bytes_max or (junk == len(data) and data[0] not in _HARMLESS)

    def _account(self) -> None:
        """Keep the count of bytes held for all peers; the one that would exceed it is cut."""
        held = self._framer.held + self._owed_bytes
        self._lobby.buffered += held - self._buffered
        self._buffered = held
        if held and self._lobby.buffered > self._lobby.buffer_bytes_max and self._transport is not None:
            self._cut("buffer_budget")

    def _read_or_not(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        low = self.door.limits.owed_max if not self._full else self.door.limits.owed_max // 2
        full = self._farewell or self._stuck_since is not None or self.owed > low
        if full and not self._full:
            transport.pause_reading()
        elif self._full and not full:
            # The pause was ours, so the sender's clocks start again.
            self._heard_at = self._frame_began = self._clock()
            transport.resume_reading()
        self._full = full

    def _cut(self, reason: str) -> None:
        self._farewell = True
        self._lobby.count(reason, self.door.name, self._host)
        if self._transport is not None:
            self._transport.abort()
