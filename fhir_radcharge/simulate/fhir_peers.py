"""The FHIR neighbours of the engine, for demonstrations and tests: a sender that posts, a server that books.

The server keeps books as billing systems do, in the four ways that the shipped destination profiles speak. What it
does wrong is told to it: it may lose an answer, be busy, or leave out what it does not know.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from fhir_radcharge.simulate.fhir_dialect import path_of
from fhir_radcharge.simulate.peers import Spoken

JSON = "application/fhir+json"
ANSWER_WAIT_S = 30.0


class Version(NamedTuple):
    """A resource as the server has it."""

    number: int
    resource: dict[str, Any]


class FhirBiller:
    """A FHIR server that keeps books: resources by type and id, each with its versions.

    `faults` are taken one for each request that writes: a status to answer with instead of doing it, or `lose`: do
    it and say nothing. `ignores` are elements of ChargeItem that it leaves out without a word.
    """

    def __init__(self, name: str, ignores: Iterable[str] = (), token: str = "") -> None:
        self.name = name
        self.resources: dict[str, list[Version]] = {}
        self.faults: deque[int | str] = deque()
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.repeats = 0
        self.tokens_given = 0
        self.assertions: list[str] = []
        self.heard: Callable[[], None] = lambda: None
        self._ignores = frozenset(ignores)
        self._token = token
        self._transactions: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    # Its books.

    @property
    def messages(self) -> int:
        """Return how many charge items it has."""
        return sum(key.startswith("ChargeItem/") for key in self.resources)

    def units(self) -> Counter[tuple[str, str]]:
        """Return the units that stand, by code and date: what is not in error, less what was offset."""
        found: Counter[tuple[str, str]] = Counter()
        for key, versions in self.resources.items():
            item = versions[-1].resource
            if key.startswith("ChargeItem/") and item["status"] != "entered-in-error":
                day = item.get("occurrenceDateTime") or item["occurrencePeriod"]["start"]
                found[item["code"]["coding"][0]["code"], day[:10]] += item["quantity"]["value"]
        return Counter({key: units for key, units in found.items() if units})

    # Its door.

    async def open(self, port: int = 0) -> int:
        """Listen on loopback and return the port."""
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/token", self._give_token)
        app.router.add_route("*", "/r4{path:.*}", self._guarded)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        number: int = self._runner.addresses[0][1]
        return number

    async def close(self) -> None:
        """Take no more connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _give_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.assertions.append(str(form["client_assertion"]))
        self.tokens_given += 1
        return web.json_response({"access_token": f"{self._token}{self.tokens_given}", "expires_in": 300})

    async def _guarded(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.match_info["path"]))
        body = await request.read()
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}{self.tokens_given}":
            return _outcome(401, "login")
        if request.method == "GET":
            return self._read(request.match_info["path"].strip("/"))
        self.bodies.append(body)
        fault = self.faults.popleft() if self.faults else 0
        if isinstance(fault, int) and fault:
            return _outcome(fault, "transient", {"Retry-After": "1"} if fault in (429, 503) else {})
        answer = self._write(request.method, request.match_info["path"].strip("/"), json.loads(body))
        self.heard()
        if fault == "lose" and request.transport is not None:
            request.transport.abort()
        return answer

    def _read(self, path: str) -> web.Response:
        if path == "metadata":
            return web.json_response({"resourceType": "CapabilityStatement"}, content_type=JSON)
        versions = self.resources.get(path)
        if versions is None:
            return _outcome(404, "not-found")
        return web.json_response(versions[-1].resource, content_type=JSON)

    def _write(self, method: str, path: str, body: dict[str, Any]) -> web.Response:
        if method == "PUT":
            status, version = self._put(path, body)
            return web.Response(status=status, headers=_where(path, version))
        if path == "":
            return self._transaction(body)
        if path == "ChargeItem/$charge-item-create":
            items = [one["resource"] for one in body["entry"] if one["resource"]["resourceType"] == "ChargeItem"]
            self._once(body["identifier"]["value"], items[0])
            return web.json_response({"resourceType": "Bundle", "type": "message"}, content_type=JSON)
        given: Mapping[str, Any] = {one["name"]: one for one in body["parameter"]}
        name = given["transactionId"]["valueUuid"]
        if path == "ChargeItem/$create":
            return self._created(self._once(name, {**given["chargeItem"]["resource"], "status": "billable"}))
        return self._credit(path.split("/")[1], given["versionId"]["valueId"], name)

    def _put(self, path: str, resource: dict[str, Any]) -> tuple[int, int]:
        versions = self.resources.setdefault(path, [])
        kept = {key: value for key, value in resource.items() if key not in self._ignores}
        if versions and versions[-1].resource == kept:
            self.repeats += 1
            return 200, versions[-1].number
        versions.append(Version(len(versions) + 1, kept))
        return (201 if len(versions) == 1 else 200), len(versions)

    def _transaction(self, body: dict[str, Any]) -> web.Response:
        responses = []
        for entry in body["entry"]:
            path = entry["request"]["url"]
            status, version = self._put(path, entry["resource"])
            said = {"status": str(status), "location": f"{path}/_history/{version}", "etag": f'W/"{version}"'}
            responses.append({"response": said})
        answer = {"resourceType": "Bundle", "type": "transaction-response", "entry": responses}
        return web.json_response(answer, content_type=JSON)

    def _once(self, name: str, item: dict[str, Any]) -> str:
        if name in self._transactions:
            self.repeats += 1
            return self._transactions[name]
        path = self._transactions[name] = f"ChargeItem/{len(self.resources) + 9001}"
        self._put(path, {**item, "id": path.split("/")[1]})
        return path

    def _credit(self, name: str, version: str, transaction: str) -> web.Response:
        versions = self.resources.get(f"ChargeItem/{name}")
        if versions is None:
            return _outcome(404, "not-found")
        if str(versions[-1].number) != version:
            return _outcome(409, "conflict")
        charge = versions[-1].resource
        quantity = {"value": -charge["quantity"]["value"]}
        return self._created(self._once(transaction, {**charge, "quantity": quantity}))

    def _created(self, path: str) -> web.Response:
        return web.Response(status=201, headers=_where(path, 1))


def _where(path: str, version: int) -> dict[str, str]:
    return {"Location": f"http://host/r4/{path}/_history/{version}", "ETag": f'W/"{version}"'}


def _outcome(status: int, code: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
    return web.json_response(body, status=status, content_type=JSON, headers=headers)


async def post(port: int, bodies: Iterable[bytes], said: Callable[[int], None] = lambda _: None) -> Spoken:
    """Post resources one after another, each after the answer to the one before; TimeoutError without one."""
    count = refused = 0
    timeout = aiohttp.ClientTimeout(total=ANSWER_WAIT_S)
    headers = {"Content-Type": JSON}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        for body in bodies:
            async with session.post(f"http://127.0.0.1:{port}/fhir/{path_of(body)}", data=body) as response:
                refused += response.status not in (200, 201)
            count += 1
            said(count)
            await asyncio.sleep(0)
    return Spoken(count, refused)
