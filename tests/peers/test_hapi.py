"""A HAPI FHIR server takes what we send, read by its own strict parser; never run in CI.

It needs Java 17 and Maven, which builds the server once from tests/peers/hapi: `RADCHARGE_PEERS=1 pytest tests/peers`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent.parent))

from fhir_link_kit import AT_ONCE, Till, kinds, settled
from http_kit import run, site_sending
from java_kit import built, java, missing

from fhir_radcharge.config_values import Web
from fhir_radcharge.gateway.fhir_link import FhirLink
from fhir_radcharge.gateway.fhir_route import FhirRoute
from fhir_radcharge.ledger.promises import broken_promises
from fhir_radcharge.simulate import courses, messages, run_of, truth

RUN = run_of("torture", 11, date(2025, 11, 17), courses=40)
LANES = 8


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "ready")


@pytest.fixture(scope="session")
def hapi(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that runs as a process of its own, and ends with the tests."""
    folder, command = built(request), java("Peer", "0")
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and not line.startswith("ready "):
            line = process.stdout.readline()
        yield int(line.split()[1])
    finally:
        process.terminate()
        process.wait(20)


@asynccontextmanager
async def losing(port: int, every: int) -> Any:
    """A proxy that lets each request through and loses every n-th answer."""
    count = 0
    session = aiohttp.ClientSession()

    async def through(request: web.Request) -> web.StreamResponse:
        nonlocal count
        headers = {key: value for key, value in request.headers.items() if key in ("Content-Type", "Accept", "If-Match")}
        async with session.request(
            request.method, f"http://127.0.0.1:{port}{request.path_qs}", data=await request.read(), headers=headers
        ) as answer:
            body = await answer.read()
        count += 1
        if count % every == 0 and request.transport is not None:
            request.transport.abort()
        kept = {key: value for key, value in answer.headers.items() if key in ("Content-Type", "Location", "ETag")}
        return web.Response(status=answer.status, body=body, headers=kept)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", through)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        await session.close()


async def _items(port: int) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session:
        found: list[dict[str, Any]] = []
        url = f"http://127.0.0.1:{port}/r4/ChargeItem?_count=100000"
        while url:
            async with session.get(url) as answer:
                page = await answer.json(content_type=None)
            found += [entry["resource"] for entry in page.get("entry", ())]
            url = next((link["url"] for link in page.get("link", ()) if link["relation"] == "next"), "")
        return found


@pytest.mark.parametrize(("name", "bill"), [("hospital_put", "facility"), ("office_transaction", "global")])
def test_eight_lanes_with_lost_answers_leave_no_duplicate(tmp_path: Path, hapi: int, name: str, bill: str) -> None:
    wanted: Counter[tuple[str, str]] = Counter()
    for one in courses(RUN):
        for line in truth(one, date(2026, 3, 31)):
            if line.bill == bill and not line.hold:
                wanted[line.code, line.day.isoformat()] += line.units

    async def story() -> None:
        site = site_sending(name)
        till = Till(tmp_path, site)
        async with losing(hapi, 7) as port:
            base = Web("http", "127.0.0.1", port, "/r4")
            link = FhirLink(
                FhirRoute(name, base, site.destinations[name], LANES, 20.0, backoff=AT_ONCE), till, lambda: 0.5
            )
            link.open()
            for number, message in enumerate(messages(RUN, "fhir")):
                till.hear_resource(message.raw)
                if number % 20 == 0:
                    till.turn()
                    await asyncio.sleep(0)
            till.turn()
            async with asyncio.timeout(100.0):
                await settled(till)
            await link.close(1.0)
        found: Counter[tuple[str, str]] = Counter()
        mine = {row[0] for row in till.rows("select id from posting")}
        items = [item for item in await _items(hapi) if item["id"] in mine]
        for item in items:
            if item["status"] != "entered-in-error":
                day = item.get("occurrenceDateTime") or item["occurrencePeriod"]["start"]
                found[item["code"]["coding"][0]["code"], day[:10]] += item["quantity"]["value"]

        assert +Counter({key: units for key, units in found.items() if units}) == wanted
        assert len({item["id"] for item in items}) == len(items)
        assert kinds(till)["silent"] > 10
        assert "refused" not in kinds(till)
        assert broken_promises(till.ledger.connection) == []
        print(f"{name}: {len(items)} charge items, {dict(kinds(till))}")
        till.close()

    run(story)
