"""The parties around the gateway, as fakes that keep books: an engine in memory, a sender, a destination."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from typing import Any

from on_thread import OnThread

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.books import Books
from fhir_radcharge.gateway.pace import Pace
from fhir_radcharge.wire.mllp import Frame, Framer, frame

PATIENCE_S = 5.0


def message(control_id: str, padding: int = 0) -> bytes:
    """Return a small charge message of an invented patient."""
    return (
        f"MSH|^~\\&|RV|NORTH|RC|NORTH|20260302101500||DFT^P03|{control_id}|P|2.5.1\r"
        f"PID|1||X-1||TESTER^IVA\rNTE|1||{'x' * padding}\r"
    ).encode()


def control_id_of(payload: bytes) -> str:
    return payload.split(b"|")[9].decode()


def ack(control_id: str, code: str = "AA") -> bytes:
    """Return an answer to a message, as a receiver would write it."""
    return f"MSH|^~\\&|B|C|RC|N|20260302101500||ACK|A{control_id}|P|2.5.1\rMSA|{code}|{control_id}\r".encode()


class Till:
    """An engine and its books in memory: `kept` is what is committed, and a failed transaction leaves nothing.

    `gate` closed holds every commit. Every call must come on one thread, inside a transaction.
    """

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.answers: dict[bytes, bytes] = {}
        self.outcomes: list[Outcome] = []
        self.to_send: dict[tuple[str, int], deque[tuple[str, bytes]]] = {}
        self.attempts: dict[str, int] = {}
        self.taken: set[tuple[str, int]] = set()
        self.failures_to_come = 0
        self.commits = 0
        self.commits_that_kept: list[int] = []
        self.slices: list[int] = []
        self.closed = False
        self.backlog = 0
        self.remark = ""
        self.days: list[date] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.rested = False
        self._thread: int | None = None
        self._open = False

    def books(self) -> tuple[Till, Till]:
        self._thread = threading.get_ident()
        return self, self

    def close(self) -> None:
        self.closed = True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        assert self._thread == threading.get_ident()
        assert not self._open
        before = (list(self.kept), dict(self.answers), list(self.outcomes), set(self.taken), dict(self.attempts))
        self._open = True
        try:
            yield
            self.waiting.set()
            assert self.gate.wait(PATIENCE_S)
            if self.failures_to_come:
                self.failures_to_come -= 1
                raise LedgerError("no space left on device")
            self.commits += 1
            if len(self.kept) > len(before[0]):
                self.commits_that_kept.append(len(self.kept) - len(before[0]))
        except BaseException:
            self.kept, self.answers, self.outcomes, self.taken, self.attempts = before
            raise
        finally:
            self._open = False

    def receive(self, heard: Sequence[Heard]) -> list[bytes | None]:
        assert self._open
        said: list[bytes | None] = []
        for one in heard:
            if one.raw not in self.answers:
                self.kept.append(one.raw)
                remark = f"NTE|1||kept as {len(self.kept)} {self.remark}\r".encode()
                self.answers[one.raw] = ack(control_id_of(one.raw)) + remark
            said.append(self.answers[one.raw])
        return said

    def work(self, messages_max: int, patients_max: int) -> int:
        assert self._open
        done = min(self.backlog, patients_max)
        self.backlog -= done
        self.slices.append(done)
        return done

    def day(self, day: date) -> int:
        assert self._open
        self.days.append(day)
        return 0

    def queue(self, destination: str, lane: int, *control_ids: str) -> None:
        """Have messages waiting for a destination; they go out in order on their lane."""
        waiting = self.to_send.setdefault((destination, lane), deque())
        waiting.extend((name, message(name)) for name in control_ids)

    def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]:
        assert self._open
        sends = []
        for lane in sorted(free_lanes):
            waiting = self.to_send.get((destination, lane))
            if waiting and (destination, lane) not in self.taken:
                name, body = waiting[0]
                self.taken.add((destination, lane))
                self.attempts[name] = self.attempts.get(name, 0) + 1
                sends.append(Send(_number(name), destination, lane, name, body, self.attempts[name]))
        return sends

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        assert self._open
        self.outcomes.extend(outcomes)
        for outcome in outcomes:
            for key, waiting in self.to_send.items():
                if waiting and _number(waiting[0][0]) == outcome.seq and key in self.taken:
                    self.taken.discard(key)
                    if outcome.kind != "not_taken":
                        waiting.popleft()

    def rest(self) -> None:
        assert self._open
        self.rested = True

    def told(self) -> list[tuple[int, int, str, str]]:
        """Return what became of each attempt: number, attempt, kind, code."""
        return [(one.seq, one.attempt, one.kind, one.code) for one in self.outcomes]


def _number(control_id: str) -> int:
    return int(control_id.lstrip("M"))


@asynccontextmanager
async def books_of(till: Till, **pace: Any) -> Any:
    """Open the books thread over a till; a failure of the thread fails the test."""
    failures: list[BaseException] = []
    quick = Pace(**{"poll_s": 0.02, "retry_s": 0.01, "retry_max_s": 0.02, **pace})
    books = Books(OnThread(till.books, quick), failures.append)
    await books.open()
    try:
        yield books
    finally:
        till.gate.set()
        await books.close()
    assert failures == []


class Sender:
    """A record-and-verify system: writes bytes and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._framer = Framer()
        self._answers: deque[bytes] = deque()

    @classmethod
    async def connect(cls, port: int, **options: Any) -> Sender:
        return cls(*await asyncio.open_connection("127.0.0.1", port, **options))

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, *payloads: bytes) -> None:
        self.writer.write(b"".join(map(frame, payloads)))

    async def answer(self) -> bytes:
        """Return the next answer; b"" when the connection has ended without one."""
        while not self._answers:
            try:
                data = await asyncio.wait_for(self.reader.read(65536), PATIENCE_S)
            except ConnectionError:
                data = b""
            if not data:
                return b""
            self._answers.extend(item.payload for item in self._framer.feed(data) if isinstance(item, Frame))
        return self._answers.popleft()

    async def answers(self, count: int) -> list[bytes]:
        return [await self.answer() for _ in range(count)]

    async def ended(self) -> bytes:
        """Return every byte up to the end of the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S)
        except ConnectionError:
            return b""

    def reset(self) -> None:
        """Go away without a word."""
        self.writer.transport.abort()


Behaviour = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Destination:
    """A billing system that behaves as told, and writes down what it heard, on which connection."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.heard: list[tuple[int, str]] = []
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self.open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, framer = self.connections, Framer()
        self.connections += 1
        self.open.add(writer)
        try:
            while data := await reader.read(65536):
                for item in framer.feed(data):
                    assert isinstance(item, Frame)
                    self.heard.append((number, control_id_of(item.payload)))
                    await self.behave(control_id_of(item.payload), writer)
        except ConnectionError:
            pass
        finally:
            self.open.discard(writer)
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail if it does not within patience."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


def run(story: Coroutine[Any, Any, None]) -> None:
    """Play a story, but not for ever."""
    asyncio.run(asyncio.wait_for(story, 20.0))
