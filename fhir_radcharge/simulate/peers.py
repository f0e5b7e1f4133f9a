"""The two neighbours of the engine, for demonstrations and benches: a department that speaks, a biller that books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fhir_radcharge.wire import ack, er7
from fhir_radcharge.wire.mllp import Frame, Framer, frame

ANSWER_WAIT_S = 30.0


class Booked(NamedTuple):
    """One line as a billing system has it: FT1-2, -6, -7 or -25, -26, -10, -4 and -23 of what it was sent."""

    id: str
    kind: str
    code: str
    modifiers: str
    units: str
    day: str
    reference: str


class Biller:
    """A billing system that keeps books: it posts each control id once, drops repeats, and answers AA."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[Booked] = []
        self.repeats = 0
        self._answers: dict[str, bytes] = {}
        self._server: asyncio.Server | None = None
        self.heard: Callable[[], None] = lambda: None

    @property
    def messages(self) -> int:
        """Return how many different messages were posted."""
        return len(self._answers)

    async def open(self, port: int = 0) -> int:
        """Listen on loopback and return the port."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Door(self), "127.0.0.1", port)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    def post(self, payload: bytes) -> bytes:
        """Post a message once and return its answer."""
        head = ack.header(payload)
        known = self._answers.get(head.control_id)
        if known is not None:
            self.repeats += 1
            return known
        message = er7.read_message(payload)
        self.lines.extend(_booked(message, segment) for segment in message.all("FT1"))
        answer = ack.answer(message, "AA", f"B{len(self._answers) + 1}", head.at)
        self._answers[head.control_id] = answer
        self.heard()
        return answer


def _booked(message: er7.Message, ft1: list[str]) -> Booked:
    def of(field: int) -> str:
        return er7.text(message, ft1, field)

    return Booked(of(2), of(6), of(25) or of(7), ft1[26] if len(ft1) > 26 else "", of(10), of(4)[:8], of(23))


class _Door(asyncio.Protocol):
    """One connection of a biller."""

    def __init__(self, biller: Biller) -> None:
        self._biller = biller
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        for item in self._framer.feed(data):
            if isinstance(item, Frame):
                self._transport.write(frame(self._biller.post(item.payload)))


class Spoken(NamedTuple):
    """How a stream went: messages said, and how many answers were not AA or CA."""

    messages: int
    refused: int


async def speak(port: int, payloads: Iterable[bytes], said: Callable[[int], None] = lambda _: None) -> Spoken:
    """Say payloads over one MLLP connection, each after the answer to the one before; TimeoutError without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    framer, count, refused = Framer(), 0, 0
    try:
        for payload in payloads:
            writer.write(frame(payload))
            answer = await asyncio.wait_for(_answer(reader, framer), ANSWER_WAIT_S)
            refused += ack.read_answer(answer).code not in ("AA", "CA")
            count += 1
            said(count)
    finally:
        writer.close()
    return Spoken(count, refused)


async def _answer(reader: asyncio.StreamReader, framer: Framer) -> bytes:
    while True:
        data = await reader.read(65_536)
        if not data:
            raise ConnectionError("the connection ended before the answer")
        for item in framer.feed(data):
            if isinstance(item, Frame):
                return item.payload
