"""The routes of the FHIR endpoint: what a request asks, who answers it, and in which form.

A body is looked at here and kept by the owner of the books; its answer leaves when it is durable. Nothing that a
resource refers to is ever fetched, and no address that we make names a person.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_radcharge.engine import Heard
from fhir_radcharge.errors import LedgerError, MessageError
from fhir_radcharge.gateway.http.body import BodyError, Buffer, Drawn, draw, inflated, let_go
from fhir_radcharge.gateway.http.capability import capability_statement, open_api
from fhir_radcharge.gateway.http.stored import READ_BACK, read_back, represented, stored_resource
from fhir_radcharge.gateway.lobby import Lobby
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.roles import Keeper, Verb
from fhir_radcharge.wire.fhir.answering import JSON, said
from fhir_radcharge.wire.fhir.asking import POSTED, Look, look
from fhir_radcharge.wire.fhir.http_form import Asked, Told, read_answer
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import release_of
from fhir_radcharge.wire.fhir.schema import Release
from fhir_radcharge.wire.fhir.strict_json import BYTES_MAX, dumps

BASE: Final = "/fhir"
# Larger bodies are looked at beside the loop, one at a time: the largest take seconds.
_LARGE_BYTES: Final = 64 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_VERSION: Final = re.compile(r"[0-9]{1,18}")
_TYPES: Final = frozenset({JSON, "application/json"})
_CONDITIONS: Final = ("If-Match", "If-None-Exist")
_CLOSING: Final = frozenset({408, 413})


class Lingering(Response):
    """An answer that is said at once, while the rest of what was too long is let go."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await let_go(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class BooksDesk(Keeper, Protocol):
    """What a FHIR door asks of the books: to keep what it heard, and to be asked what they hold."""

    def ask(self, verb: Verb, args: Mapping[str, Any]) -> asyncio.Future[Any]: ...


class Rules(NamedTuple):
    """What one FHIR door grants and asks: its sender's profile, its limits, and the token that opens it."""

    name: str
    sender: Sender
    body_bytes_max: int = BYTES_MAX
    body_s: float = 30.0
    buffer_bytes_max: int = 256 * 1024 * 1024
    token: bytes = b""


class Desk:
    """What the routes of one door share."""

    def __init__(self, rules: Rules, books: BooksDesk, lobby: Lobby) -> None:
        self.rules = rules
        self.books = books
        self._lobby = lobby
        self.buffer = Buffer(rules.buffer_bytes_max, self._hold)
        self._reader = ThreadPoolExecutor(1, "fhir-reader")

    async def look(self, asked: Asked, release: Release) -> Look:
        """Return the look at a request, beside the loop where it is large."""
        if len(asked.body) <= _LARGE_BYTES:
            return look(asked, self.rules.sender, release)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, look, asked, self.rules.sender, release)

    async def keep(self, seen: Look, peer: str) -> Told:
        """Have a request kept and return its answer, after the durable commit; LedgerError where it is not kept."""
        caller = _Caller(asyncio.get_running_loop().create_future())
        self.books.hear(caller, [Heard(self.rules.name, peer, seen.asked.body, seen)])
        return read_answer(await caller.answered)

    def close(self) -> None:
        """Look at no more."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _hold(self, count: int) -> int:
        self._lobby.buffered += count
        return self._lobby.buffered


Act = Callable[[Desk, Request], Awaitable[Told]]


class _Caller:
    """One request that is owed its answer."""

    __slots__ = ("answered",)

    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self.answered = answered

    def answer(self, answers: list[bytes | None]) -> None:
        if not self.answered.done():
            assert answers[0] is not None, "every request has an answer"
            self.answered.set_result(answers[0])

    def give_up(self, reason: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(LedgerError(f"not kept: {reason}"))


def app_of(desk: Desk) -> ASGIApp:
    """Return the ASGI application of one door.

    What senders post all day goes past the router, which would cost a tenth of the whole request.
    """
    routed = _routed(desk)
    direct = {f"{BASE}/{kind}": _posts(kind) for kind in POSTED} | {BASE: _root}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        act = direct.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if act is None:
            await routed(scope, receive, send)
        else:
            response = await _guarded(desk, Request(scope, receive), act)
            await response(scope, receive, send)

    return app


def _posts(kind: str) -> Act:
    async def act(desk: Desk, request: Request) -> Told:
        return await _take(desk, request, kind)

    return act


def _routed(desk: Desk) -> Starlette:
    def route(path: str, act: Act, *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            return await _guarded(desk, request, act)

        return Route(BASE + path, endpoint, methods=list(methods))

    routes = [
        route("/$process-message", _root, "POST"),
        route("/{type}", _create, "POST"),
        route("/metadata", _metadata, "GET"),
        route("/openapi.json", _open_api, "GET"),
        route("", _root, "POST"),
        route("/", _root, "POST"),
        route("/{type}/{id}", _one, "GET", "PUT"),
        route("/{type}/{id}/_history/{version}", _version, "GET"),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})  # type: ignore[dict-item]


async def _guarded(desk: Desk, request: Request, act: Act) -> Response:
    """Let a request in and say how it ended; our own defect is told without its text, which might name somebody."""
    try:
        refusal = _refusal(desk, request)
        return _response(refusal or await act(desk, request), request)
    except BodyError as problem:
        close = (("Connection", "close"),) if problem.status in _CLOSING else ()
        return _response(said(problem.status, problem.text, *close), request)
    except LedgerError:
        return _response(said(503, "it could not be kept; send it again", ("Retry-After", "1")), request)
    except Exception as error:  # noqa: BLE001  our own bug in one request must not stop the others
        log.error("fhir_request_failed", listener=desk.rules.name, error=type(error).__name__)
        return _response(said(500, "a defect of this program; report it"), request)


def _refusal(desk: Desk, request: Request) -> Told | None:
    token = desk.rules.token
    if token and request.url.path != f"{BASE}/metadata":
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), b"Bearer " + token):
            return said(401, "the token is not the one of this door", ("WWW-Authenticate", "Bearer"))
    accept = request.headers.get("accept", "")
    if accept and not any(word in accept for word in ("json", "*/*", "application/*")):
        return said(406, "answers are JSON; accept application/fhir+json")
    return None


# What is asked.


async def _metadata(desk: Desk, request: Request) -> Told:
    return _json(capability_statement(desk.rules.sender.profile.release))


async def _open_api(desk: Desk, request: Request) -> Told:
    return _json(open_api())


async def _root(desk: Desk, request: Request) -> Told:
    return await _take(desk, request, request.url.path[len(BASE) :].strip("/"))


async def _create(desk: Desk, request: Request) -> Told:
    kind = request.path_params["type"]
    if kind not in POSTED:
        return said(404, "this type is not taken by itself; send a Bundle with the treatment or charge")
    return await _take(desk, request, kind)


async def _one(desk: Desk, request: Request) -> Told:
    kind, name = request.path_params["type"], request.path_params["id"]
    if request.method != "PUT":
        return await _read(desk, kind, name, "")
    if kind not in POSTED:
        return said(404, "this type is not taken by itself; send a Bundle with the treatment or charge")
    if _ID.fullmatch(name) is None:
        return said(400, "the id is not one of FHIR")
    return await _take(desk, request, f"{kind}/{name}")


async def _version(desk: Desk, request: Request) -> Told:
    found = request.path_params
    if _VERSION.fullmatch(found["version"]) is None:
        return said(404, "there is no such version")
    return await _read(desk, found["type"], found["id"], found["version"])


async def _read(desk: Desk, kind: str, name: str, version: str) -> Told:
    if kind not in READ_BACK or _ID.fullmatch(name) is None:
        return said(404, "there is no such resource")
    asked = {"sender": desk.rules.sender.name, "type": kind, "id": name, "version": int(version) if version else 0}
    found = await desk.books.ask(stored_resource, asked)
    if found is None:
        return said(404, "there is no such resource")
    return read_back(found, kind, name)


async def _take(desk: Desk, request: Request, path: str) -> Told:
    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
    release = _release(desk, given.get("content-type", ""))
    limit = desk.rules.body_bytes_max
    length = given.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise BodyError(413, f"the body is longer than {limit} bytes")
    drawn = Drawn(desk.buffer)
    try:
        raw = await draw(request.receive, drawn, limit, desk.rules.body_s)
        body = inflated(raw, given.get("content-encoding", "").lower(), limit)
        conditions = tuple((name, given[name.lower()]) for name in _CONDITIONS if name.lower() in given)
        seen = await desk.look(Asked(request.method, path, conditions, body), release)
        client = request.client
        told = await desk.keep(seen, f"{client.host}:{client.port}" if client else "local")
    finally:
        drawn.release()
    if told.status < 300 and "return=representation" in given.get("prefer", "") and told.header("Location"):
        return represented(told, body)
    return told


def _release(desk: Desk, content_type: str) -> Release:
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() not in _TYPES:
        raise BodyError(415, "the Content-Type is not taken; send application/fhir+json")
    release = desk.rules.sender.profile.release
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        value = value.strip('"').lower()
        if key.lower() == "fhirversion":
            try:
                release = release_of(value, release)
            except MessageError:
                raise BodyError(415, "the fhirVersion is not one that is read here; send 4.0, 4.3 or 5.0") from None
        elif key.lower() == "charset" and value not in ("utf-8", "utf8"):
            raise BodyError(415, "the charset is not taken; send UTF-8")
    return release


# In which form it is answered.


def _json(value: dict[str, Any]) -> Told:
    return Told(200, (("Content-Type", JSON),), dumps(value))


def _response(told: Told, request: Request) -> Response:
    response = (Lingering if told.status in _CLOSING else Response)(told.body, told.status)
    for name, value in told.headers:
        response.headers[name] = f"{BASE}/{value}" if name == "Location" else value
    if told.body and "content-type" not in response.headers:
        response.headers["Content-Type"] = JSON
    return response


async def _no_route(request: Request, error: HTTPException) -> Response:
    headers = [(name, value) for name, value in (error.headers or {}).items() if name.lower() == "allow"]
    text = "this is not done here" if error.status_code == 405 else "there is no such address"
    return _response(said(error.status_code, text, *headers), request)
