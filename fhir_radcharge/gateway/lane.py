"""One lane of a link: one connection at a time, one message at a time, and what became of each message.

An answer belongs to a message only if it came on the connection that carried it, while it was outstanding,
and its MSA-2 equals the message's MSH-10. Anything else closes the connection, and a new one starts clean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from fhir_radcharge.engine import Outcome, Send
from fhir_radcharge.errors import MessageError
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.route import Kind, Route
from fhir_radcharge.wire.ack import read_answer
from fhir_radcharge.wire.mllp import Frame, Framer, Item, Junk, frame

# Line ends and the odd NUL behind an answer are harmless; more is not MLLP.
_JUNK_BYTES_MAX = 16


class Owner(Protocol):
    """What a lane asks of its link."""

    route: Route
    loop: asyncio.AbstractEventLoop
    chance: Callable[[], float]
    paused: bool
    closing: bool

    def want(self, lane: int) -> None: ...
    def withdraw(self, lane: int) -> None: ...
    def settle(self, outcome: Outcome) -> None: ...
    def may_dial(self, lane: int) -> bool: ...
    def got_through(self) -> None: ...
    def not_reached(self) -> None: ...


class Lane:
    """Connect, carry one message, read its answer, and again."""

    def __init__(self, link: Owner, number: int) -> None:
        self.number = number
        self.send: Send | None = None
        self._link = link
        self._socket: _Socket | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._not_taken = 0
        self._wanted = False

    @property
    def up(self) -> bool:
        """Tell whether something can be said."""
        return self._socket is not None

    @property
    def dialling(self) -> bool:
        """Tell whether the lane is connecting or waits to try again."""
        return self._dialling is not None

    # Connecting.

    def dial(self) -> None:
        """Connect in a while, unless connected, at it already, or another lane tries for all."""
        if not (self.up or self.dialling or self._link.closing) and self._link.may_dial(self.number):
            self._dialling = self._link.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            while not (self.up or self._link.closing):
                if self._failures:
                    wait_s = self._link.route.backoff.wait_s(self._failures, self._link.chance())
                    await asyncio.sleep(wait_s)
                if not self._link.may_dial(self.number):
                    return
                await self._try_once()
        finally:
            self._dialling = None
        self._link.got_through()

    async def _try_once(self) -> None:
        route, socket = self._link.route, _Socket(self)
        try:
            async with asyncio.timeout(route.connect_s):
                await self._link.loop.create_connection(
                    lambda: socket, route.host, route.port, ssl=route.ssl,
                    server_hostname=route.host if route.ssl else None,
                )  # fmt: skip
        except (OSError, TimeoutError, UnicodeError) as error:
            self._failures += 1
            log.debug("connect_failed", destination=route.name, lane=self.number, error=type(error).__name__)
            self._link.not_reached()

    def connected(self, socket: _Socket) -> None:
        """Hear from a new connection that it is up."""
        if self._link.closing:
            return socket.abort()
        self._socket = socket
        return self.want()

    def lost(self, socket: _Socket) -> None:
        """Hear from a connection that it has gone; one that the lane has closed itself is not news."""
        if socket is self._socket:
            self.hang_up("closed")
        self.dial()

    def hang_up(self, why: str, raw: bytes = b"") -> None:
        """Close the connection at once; what became of a message that is outstanding is not known."""
        self._withdraw()
        self._stop_clock()
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.abort()
            # A connection that did its work, or stood for long, says nothing against the next one.
            lived = self._link.loop.time() - socket.since > self._link.route.backoff.cap_s
            self._failures = 1 if lived or socket.answers else self._failures + 1
            log.info("link_closed", destination=self._link.route.name, lane=self.number, why=why)
        if self.send is not None:
            self._settle("silent", why, raw)

    def close(self) -> None:
        """Hang up for good."""
        self.hang_up("shutdown")
        if self._dialling is not None:
            self._dialling.cancel()

    # One message out, one answer back.

    def want(self) -> None:
        """Ask for the next send, if the lane is free to carry one."""
        if self.up and self.send is None and not self._wanted and not self._link.paused:
            self._wanted = True
            self._link.want(self.number)

    def pause(self) -> None:
        """Ask for nothing any more; what was taken is still said."""
        self._withdraw()

    def _withdraw(self) -> None:
        if self._wanted:
            self._wanted = False
            self._link.withdraw(self.number)

    def carry(self, send: Send) -> None:
        """Say one message and start its clock; without a connection give it back, for it was not said."""
        self._wanted = False
        if self._socket is None or self.send is not None:
            self._link.settle(Outcome(send.seq, send.attempt, "not_taken", "not_sent", b""))
            return self.want()
        try:
            payload = frame(send.body)
        except MessageError:
            log.error("body_not_sendable", destination=self._link.route.name, seq=send.seq)
            self._link.settle(Outcome(send.seq, send.attempt, "refused", "not_sendable", b""))
            return self.want()
        self.send = send
        self._clock(self._link.route.timeout_s, self._timed_out)
        return self._socket.say(payload)

    def answered(self, raw: bytes) -> None:
        """Take one frame from the current connection: the answer awaited, or a reason to close it."""
        if self.send is None:
            return self.hang_up("late")
        try:
            answer = read_answer(raw)
        except MessageError:
            return self.hang_up("garbled", raw)
        if answer.control_id != self.send.control_id:
            return self.hang_up("foreign", raw)
        kind = self._link.route.answers.get(answer.code)
        if kind is None:
            return self.hang_up("garbled", raw)
        if self._link.route.awaits_application and answer.code == "CA":
            return None
        if self._socket is not None:
            self._socket.answers += 1
        return self._settle(kind, answer.code, raw)

    def _settle(self, kind: Kind, code: str, raw: bytes) -> None:
        assert self.send is not None, "an outcome belongs to a send"
        send, self.send = self.send, None
        self._stop_clock()
        self._link.settle(Outcome(send.seq, send.attempt, kind, code, raw))
        if kind == "not_taken":
            # The same bytes again, but not at once: the destination has said that it cannot.
            self._failures += 1
            self._not_taken += 1
            if self._not_taken in (1, 10, 100, 1000):
                log.warning("not_taken", destination=self._link.route.name, lane=self.number, code=code,
                            times=self._not_taken)  # fmt: skip
            self._clock(self._link.route.backoff.wait_s(self._failures, self._link.chance()), self.want)
        elif kind != "silent":
            self._failures = self._not_taken = 0
            self.want()

    def _timed_out(self) -> None:
        self.hang_up("timeout")

    # One clock at a time: the answer's, or the pause before a message that was not taken is tried again.

    def _clock(self, after_s: float, then: Callable[[], None]) -> None:
        self._stop_clock()
        self._timer = self._link.loop.call_later(after_s, then)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Socket(asyncio.Protocol):
    """One connection of a lane; once the lane has let go of it, nothing it hears reaches the lane."""

    def __init__(self, lane: Lane) -> None:
        self.since = 0.0
        self.answers = 0
        self._lane = lane
        self._route = lane._link.route
        self._framer = Framer(self._route.answer_bytes_max)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the lane."""
        self._transport = cast(asyncio.Transport, transport)
        self.since = self._lane._link.loop.time()
        self._lane.connected(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the lane."""
        self._transport = None
        self._lane.lost(self)

    def data_received(self, data: bytes) -> None:
        """Cut out frames; anything between them, or a frame that nobody asked for, ends the connection."""
        for item in self._framer.feed(data):
            if not self._current:
                return
            if type(item) is Frame:
                self._lane.answered(item.payload)
            elif not _harmless(item):
                self._lane.hang_up("garbled")
        if not self._current:
            return
        if self._framer.junk > _JUNK_BYTES_MAX:
            self._lane.hang_up("garbled")
        elif self._framer.inside and self._lane.send is None:
            self._lane.hang_up("late")
        elif self._framer.doubtful:
            self._lane._link.loop.call_later(self._route.doubt_s, self._settle_doubt)

    def say(self, payload: bytes) -> None:
        """Write a frame."""
        assert self._transport is not None, "a lane speaks on a connection that is up"
        self._transport.write(payload)

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def _current(self) -> bool:
        return self._lane._socket is self

    def _settle_doubt(self) -> None:
        if self._current:
            for item in self._framer.settle():
                if type(item) is Frame:
                    self._lane.answered(item.payload)


def _harmless(item: Item) -> bool:
    return type(item) is Junk and item.reason == "between frames" and item.size <= _JUNK_BYTES_MAX
