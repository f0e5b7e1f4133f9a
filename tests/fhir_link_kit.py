"""A FHIR link between real books and a server that keeps books, in one process; nothing waits for a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from http_kit import Keeping, site_sending

from fhir_radcharge.config_values import Web
from fhir_radcharge.engine import Outcome
from fhir_radcharge.engine.rooms import Heard
from fhir_radcharge.gateway.fhir_link import FhirLink
from fhir_radcharge.gateway.fhir_route import FhirRoute
from fhir_radcharge.gateway.route import Backoff
from fhir_radcharge.gateway.smart import Client
from fhir_radcharge.simulate.fhir_dialect import path_of
from fhir_radcharge.simulate.fhir_peers import FhirBiller
from fhir_radcharge.site import Site
from fhir_radcharge.wire.fhir.asking import look
from fhir_radcharge.wire.fhir.http_form import Asked

AT_ONCE = Backoff(0.001, 0.002)


class Till(Keeping):
    """Books that give a link its sends at once, and take its outcomes."""

    def __init__(self, folder: Path, site: Site) -> None:
        super().__init__(folder, site)
        self.site = site
        self.wants: set[int] = set()
        self.link: Any = None

    def hear_resource(self, raw: bytes, sender: str = "rv_fhir") -> bytes:
        seen = look(Asked("POST", path_of(raw), (), raw), self.site.fhir.senders[sender], "R4")
        with self.ledger.transaction():
            (answer,) = self.engine.receive([Heard("rv", "here", raw, seen)])
        assert answer is not None
        return answer

    def want(self, carrier: Any, lane: int) -> None:
        self.link = carrier
        self.wants.add(lane)
        asyncio.get_running_loop().call_soon(self.turn)

    def withdraw(self, carrier: Any, lane: int) -> None:
        self.wants.discard(lane)

    def settle(self, outcome: Outcome) -> None:
        self.engine.settle([outcome])
        self.turn()

    def turn(self) -> None:
        self.work()
        if self.link is None or not self.wants:
            return
        sends = self.engine.take(self.link.destination, frozenset(self.wants), self.link.lanes)
        self.wants -= {send.lane for send in sends}
        if sends:
            self.link.carry(sends)

    def answers(self) -> list[tuple[str, str]]:
        return [tuple(row) for row in self.rows("select kind, code from answer order by number")]

    def waiting(self) -> int:
        return int(self.rows("select count(*) from outbox")[0][0])


@asynccontextmanager
async def linked(
    folder: Path, name: str, biller: FhirBiller, lanes: int = 2, client: Client | None = None,
    site: Site | None = None, **changes: Any
) -> AsyncIterator[Till]:  # fmt: skip
    site = site or site_sending(name)
    destination = site.fhir.destinations[name].model_copy(update=changes)
    till = Till(folder, _with(site, name, destination))
    port = await biller.open()
    if client is not None:
        client = client._replace(token_url=f"http://127.0.0.1:{port}/token")
    base = Web("http", "127.0.0.1", port, "/r4")
    link = FhirLink(FhirRoute(name, base, destination, lanes, 5.0, None, client, AT_ONCE), till, lambda: 0.5)
    link.open()
    try:
        yield till
    finally:
        await link.close(1.0)
        await biller.close()
        till.close()


def _with(site: Site, name: str, destination: Any) -> Site:
    from dataclasses import replace

    return replace(site, destinations={name: destination})


async def settled(till: Till) -> None:
    """Return when nothing waits any more."""
    async with asyncio.timeout(60.0):
        while till.waiting() or (till.link is not None and till.link.outstanding):
            await asyncio.sleep(0.001)


def kinds(till: Till) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for kind, _ in till.answers():
        found[kind] = found.get(kind, 0) + 1
    return found
