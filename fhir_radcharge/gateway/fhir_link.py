"""The outbound link to one FHIR server: says each frozen request, reads its answer, and reads back where it must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import aiohttp

from fhir_radcharge.engine import Outcome, Send
from fhir_radcharge.engine.fhir_books import left_out, sent_of, with_sent
from fhir_radcharge.engine.fhir_saying import CREDITS
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.fhir_answers import Answer, asked_item, own_place, read_outcome, told_of
from fhir_radcharge.gateway.fhir_route import FhirRoute
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.roles import Desk, Verb
from fhir_radcharge.gateway.smart import TokenError, Tokens
from fhir_radcharge.wire.fhir import answers
from fhir_radcharge.wire.fhir.destination import OutcomeKind
from fhir_radcharge.wire.fhir.http_form import Asked, read_request

_CONNECT_S: Final = 10.0
_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
# A connection that was silent for longer may be closed by the server at the moment at which we speak again, and
# then nobody knows whether it heard.
_KEPT_S: Final = 2.0
_OURS: Final = "radcharge-"


class AskingDesk(Desk, Protocol):
    """What a FHIR link asks of the books."""

    def ask(self, verb: Verb, args: Mapping[str, Any]) -> asyncio.Future[Any]: ...


class _Said(NamedTuple):
    """How one attempt ended, and how long the receiver asks to be left alone."""

    outcome: Outcome
    wait_s: float | None = None


class FhirLink:
    """All lanes to one FHIR server; each says one request at a time."""

    def __init__(self, route: FhirRoute, desk: AskingDesk, chance: Callable[[], float]) -> None:
        self.route = route
        self.destination = route.name
        self.lanes = route.lanes
        self.paused = False
        self._desk = desk
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._reached: bool | None = None
        self._probing = asyncio.Lock()
        self._failures = 0
        self._brought: list[asyncio.Queue[Send]] = [asyncio.Queue() for _ in range(route.lanes)]
        self._wanted: set[int] = set()
        self._idle: set[int] = set()
        self._busy: dict[int, Send] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._tokens: Tokens | None = None

    # What the gateway asks.

    def open(self) -> None:
        """Begin to look for the server."""
        connector = aiohttp.TCPConnector(
            limit=0, ssl=self.route.ssl or True, keepalive_timeout=_KEPT_S, enable_cleanup_closed=True
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False,
            timeout=aiohttp.ClientTimeout(total=self.route.timeout_s, connect=_CONNECT_S),
            headers={"Accept-Encoding": "identity", "User-Agent": "fhir_radcharge"},
        )  # fmt: skip
        # Each time that bytes go out is an attempt in the books: the client must not repeat by itself.
        self._session._retry_connection = False
        if self.route.client is not None:
            self._tokens = Tokens(self.route.client, self._session)
        self._tasks = [self._loop.create_task(self._lane(number)) for number in range(self.lanes)]

    def carry(self, sends: list[Send]) -> None:
        """Say each on its lane."""
        for send in sends:
            self._wanted.discard(send.lane)
            self._brought[send.lane].put_nowait(send)

    def pause(self) -> None:
        """Take up no more sends; what is outstanding is waited for."""
        self.paused = True
        for lane in sorted(self._wanted):
            self._desk.withdraw(self, lane)
        self._wanted.clear()

    def resume(self) -> None:
        """Take up sends again."""
        self.paused = False
        for lane in sorted(self._idle):
            self._want(lane)

    async def close(self, within_s: float = 5.0) -> None:
        """Take up no more, wait for outstanding answers, then close; a missing answer is `silent`."""
        self.pause()
        self._closing = True
        deadline = self._loop.time() + within_s
        while self.outstanding and self._loop.time() < deadline:
            await asyncio.sleep(0.005)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def outstanding(self) -> int:
        """Return how many requests are said and not answered."""
        return len(self._busy)

    @property
    def up(self) -> int:
        """Return how many lanes can speak."""
        return self.lanes if self._reached else 0

    def state(self) -> dict[str, str | int]:
        """Return what an operator asks first: is it up, is it paused, what is outstanding."""
        word = "paused" if self.paused else "connected" if self._reached else "unreachable"
        return {"state": word, "lanes": self.lanes, "up": self.up, "outstanding": self.outstanding}

    # One lane.

    async def _lane(self, number: int) -> None:
        failures = 0
        while not self._closing:
            await self._reach()
            self._idle.add(number)
            self._want(number)
            send = await self._brought[number].get()
            self._idle.discard(number)
            self._busy[number] = send
            said = _Said(Outcome(send.seq, send.attempt, "silent", "shutdown", b""))
            try:
                said = await self._say(send)
            except LedgerError:
                said = _Said(Outcome(send.seq, send.attempt, "not_taken", "books_busy", b""))
            except Exception as error:  # noqa: BLE001  our own bug; whether it was said is not known
                log.error("fhir_send_failed", destination=self.destination, error=type(error).__name__)
                said = _Said(Outcome(send.seq, send.attempt, "silent", "defect", b""))
            finally:
                self._desk.settle(said.outcome)
                del self._busy[number]
            failures = failures + 1 if said.outcome.kind in ("not_taken", "silent") else 0
            if failures:
                pause = self.route.backoff.wait_s(failures, self._chance())
                await asyncio.sleep(max(pause, said.wait_s or 0.0))

    def _want(self, lane: int) -> None:
        if not self.paused and lane not in self._wanted and self._brought[lane].empty():
            self._wanted.add(lane)
            self._desk.want(self, lane)

    async def _reach(self) -> None:
        """Return when the server takes connections: an attempt is not spent on one that is away."""
        async with self._probing:
            while not self._reached and not self._closing:
                if self._failures:
                    await asyncio.sleep(self.route.backoff.wait_s(self._failures, self._chance()))
                try:
                    async with asyncio.timeout(_CONNECT_S):
                        _, writer = await asyncio.open_connection(self.route.base.host, self.route.base.port)
                    writer.close()
                except (OSError, TimeoutError, UnicodeError) as error:
                    self._away(type(error).__name__)
                else:
                    self._failures = 0
                    self._reached = True
                    log.info("destination_reached", destination=self.destination)

    def _away(self, why: str) -> None:
        self._failures += 1
        if self._reached is not False:
            self._reached = False
            log.warning("destination_unreachable", destination=self.destination, error=why)

    # One request out, one answer back.

    async def _say(self, send: Send) -> _Said:
        asked = read_request(send.body)
        charge = asked.header(CREDITS)
        if charge:
            sent = await self._desk.ask(sent_of, {"posting": charge})
            if sent is None or not sent.version:
                return _Said(Outcome(send.seq, send.attempt, "refused", "host_id_unknown", b""))
            asked = with_sent(asked, sent)
        answer = await self._exchange(asked)
        if answer is None:
            return _Said(Outcome(send.seq, send.attempt, "not_taken", "not_sent", b""))
        kind, code = answers.outcome(answer.status, answer.headers, answer.body, self.route.destination)
        if kind == "silent" and self.route.destination.on_ambiguous == "query":
            kind, code = await self._queried(asked, code)
        if kind == "accepted" and self.route.destination.read_back:
            code = await self._verified(send, asked, answer, code)
        return _Said(
            Outcome(send.seq, send.attempt, kind, code, told_of(answer)), answers.retry_after_s(answer.headers)
        )

    async def _exchange(self, asked: Asked) -> Answer | None:
        """Return the answer, one without a status where it was lost, None where nothing was said."""
        try:
            answer = await self._once(asked)
            if answer.status == 401 and self._tokens is not None:
                # A refused token was not even looked behind: a new one, and once more.
                answer = await self._once(asked)
        except TokenError as error:
            log.warning("no_token", destination=self.destination, why=str(error))
            return None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._away(type(error).__name__)
            return None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            log.info("answer_lost", destination=self.destination, why=type(error).__name__)
            return Answer(None, {}, b"")
        return answer

    async def _once(self, asked: Asked) -> Answer:
        assert self._session is not None, "a link speaks when it is open"
        headers = {name: value for name, value in asked.headers if not name.lower().startswith(_OURS)}
        token = ""
        if self._tokens is not None:
            token = await self._tokens.token()
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self.route.base.url}/{asked.path}".rstrip("/")
        async with self._session.request(
            asked.method, url, data=asked.body or None, headers=headers, allow_redirects=False
        ) as response:
            body = await _bounded(response)
            if response.status == 401 and self._tokens is not None:
                self._tokens.forget(token)
            return Answer(response.status, dict(response.headers), body)

    async def _queried(self, asked: Asked, code: str) -> tuple[OutcomeKind, str]:
        """Ask what became of a request whose answer was lost: the resource is under our own id, or it is not there."""
        place = own_place(asked)
        if not place:
            return "silent", code
        answer = await self._exchange(Asked("GET", place, (("Accept", "application/fhir+json"),), b""))
        return read_outcome(asked, answer, code)

    async def _verified(self, send: Send, asked: Asked, answer: Answer, code: str) -> str:
        """Read what was taken and have it kept if something of it is not there; it stands all the same."""
        item = asked_item(asked)
        sent = answers.sent(answer.headers, answer.body)
        place = f"ChargeItem/{sent.id}" if sent is not None else own_place(asked)
        if item is None or not place:
            return code
        seen = await self._exchange(Asked("GET", place, (("Accept", "application/fhir+json"),), b""))
        if seen is None or seen.status != 200:
            return f"{code} not read back"
        paths = answers.differences(item, seen.body)
        if paths:
            said = {"destination": self.destination, "posting": send.control_id, "paths": paths}
            await self._desk.ask(left_out, {**said, "at": datetime.now(UTC)})
            return f"{code} left out {len(paths)}"
        return code


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(65_536):
        size += len(part)
        if size > _ANSWER_BYTES_MAX:
            raise ValueError("the answer is too long")
        parts.append(part)
    return b"".join(parts)
