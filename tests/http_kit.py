"""A FHIR door over real books in one process: the keeper commits at once, the client speaks real HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from fhir_radcharge.engine import Engine, Heard
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.http.app import Desk, Rules
from fhir_radcharge.gateway.http.listener import FhirListener
from fhir_radcharge.gateway.lobby import Door, Limits, Lobby
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.site import Site, load_site

MAPPINGS = Path(__file__).parent.parent / "mappings"
NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
NO_LIMITS = Limits()
JSON = {"Content-Type": "application/fhir+json"}


@cache
def whole_site() -> Site:
    return load_site(MAPPINGS)


def site_sending(*names: str) -> Site:
    """Return the shipped site with nothing but these FHIR destinations."""
    site = whole_site()
    return replace(site, destinations={name: site.fhir.destinations[name] for name in names})


class Keeping:
    """Books that commit each request as it comes; `broken` are books that cannot."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.ledger = Ledger(folder / "radcharge.db")
        self.engine = Engine(self.ledger, site, lambda: NOW)
        self.engine.decisions.activate(site.digest, "all", "tester", "the tables of the test")
        self.engine.day(date(2026, 3, 31))
        self.broken = False

    def hear(self, speaker: Any, heard: list[Heard]) -> None:
        if self.broken:
            return speaker.give_up("storage")
        with self.ledger.transaction():
            answers = self.engine.receive(heard)
        return speaker.answer(answers)

    def ask(self, verb: Any, args: Mapping[str, Any]) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            if self.broken:
                raise LedgerError("broken")
            with self.ledger.transaction():
                reply.set_result(verb(self.engine, args))
        except Exception as error:  # noqa: BLE001
            reply.set_exception(error)
        return reply

    def work(self) -> None:
        for _ in range(1_000):
            if not self.engine.work(100):
                return

    def rows(self, sql: str) -> list[Any]:
        return self.ledger.read(sql)

    def close(self) -> None:
        self.ledger.close()


class Told(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def places(self) -> list[str]:
        return [place for issue in self.body["issue"] for place in issue.get("expression", ())]


class Client:
    """Speaks to one door."""

    def __init__(self, keeping: Keeping, port: int, session: aiohttp.ClientSession) -> None:
        self.keeping, self.port, self.session = keeping, port, session

    async def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Told:
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {**(JSON if raw is not None else {}), **(headers or {})}
        url = f"http://127.0.0.1:{self.port}/fhir{path}"
        async with self.session.request(method, url, data=raw, headers=given) as response:
            text = await response.read()
            return Told(response.status, response.headers.copy(), json.loads(text) if text else None)

    async def post(self, path: str, body: Any, **headers: str) -> Told:
        return await self.ask("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    async def put(self, path: str, body: Any, **headers: str) -> Told:
        return await self.ask("PUT", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    async def get(self, path: str) -> Told:
        return await self.ask("GET", path)


@asynccontextmanager
async def door(
    folder: Path, sender: str = "charge_items", site: Site | None = None, limits: Limits = NO_LIMITS, **rules: Any
) -> AsyncIterator[Client]:
    site = site or whole_site()
    keeping = Keeping(folder, site)
    lobby = Lobby()
    desk = Desk(Rules("rv", site.fhir.senders[sender], **rules), keeping, lobby)
    listener = FhirListener(Door("rv", "127.0.0.1", 0, limits), desk, lobby)
    port = await listener.open()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(keeping, port, session)
    finally:
        await listener.close(1.0)
        keeping.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120.0):
            await test()

    asyncio.run(bounded())


def copied_mappings(folder: Path) -> Path:
    return Path(shutil.copytree(MAPPINGS, folder / "mappings"))
