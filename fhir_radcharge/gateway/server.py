"""The running gateway: opens the books, the links and the doors, says that it is ready, and drains when told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fhir_radcharge.config import Config, SendTo
from fhir_radcharge.errors import ConfigError, RadchargeError
from fhir_radcharge.gateway.books import Books, Place
from fhir_radcharge.gateway.control import ControlSocket
from fhir_radcharge.gateway.doors import Clock, door_of, pace_of, route_of
from fhir_radcharge.gateway.in_process import InProcess
from fhir_radcharge.gateway.link import Link
from fhir_radcharge.gateway.listener import Listener
from fhir_radcharge.gateway.lobby import Lobby
from fhir_radcharge.gateway.logs import log, write_logs
from fhir_radcharge.gateway.roles import OpenBooks, Verb
from fhir_radcharge.memory import settled
from fhir_radcharge.site import Site
from fhir_radcharge.wire.fhir.destination import FhirDestination

# What speaks HTTP is large, and is read where a site has a door or a link for it.
if TYPE_CHECKING:
    from fhir_radcharge.gateway.fhir_link import FhirLink
    from fhir_radcharge.gateway.http.listener import FhirListener

# The facility's date is looked at this often: a new day is an event, and a machine may sleep through midnight.
_DAY_LOOK_S = 20.0


class Calendar(Protocol):
    """An engine that keeps days."""

    def day(self, day: date) -> int: ...


class Surroundings(NamedTuple):
    """What a test replaces: the wall clock, chance, where readiness is said, and whether logs are set up."""

    clock: Clock = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random
    say: Callable[[str], None] = lambda line: _say(line)
    logs: bool = True


REAL = Surroundings()


def serve(
    config: Config, site: Site, open_books: OpenBooks, verbs: Mapping[str, Verb], around: Surroundings = REAL
) -> None:
    """Run until SIGTERM or SIGINT, then drain; raise what kept the books shut or ended their thread.

    `open_books` is called in the process of the books and returns the engine and its ledger; `site` is as configured
    (`doors.as_configured`). `verbs` are what the control socket offers besides `status`: each is called with the
    engine and its arguments, alone in a transaction.
    """
    _fill_standard_streams()
    if around.logs:
        write_logs(level=config.work.log_level)
    _raise_file_limit()
    settled()
    place = InProcess(open_books, pace_of(config))
    try:
        asyncio.run(Gateway(config, site, place, verbs, around).run())
    finally:
        place.end()


class Gateway:
    """Doors, links and verbs around the books, in the order in which they open and close; `place` owns the books."""

    def __init__(
        self, config: Config, site: Site, place: Place, verbs: Mapping[str, Verb], around: Surroundings = REAL
    ) -> None:
        self._config = config
        self._site = site
        self._place = place
        self._verbs = verbs
        self._around = around
        self._lobby = Lobby(config.work.connections, config.work.buffer)
        self._ports: dict[str, int] = {}
        self._listeners: list[Listener | FhirListener] = []
        self._links: list[Link | FhirLink] = []
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Open, say that it is ready, wait for the end, drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._books = Books(self._place, self._failed)
        control = ControlSocket(self._config.control.socket, self._obey)
        await self._books.open()
        days = None
        try:
            await control.open()
            days = loop.create_task(self._days())
            await self._open_doors()
            self._around.say(self._readiness())
            log.info("ready", site=self._config.site.name, listeners=len(self._listeners), links=len(self._links))
            await self._stop.wait()
        finally:
            if days is not None:
                days.cancel()
            await control.close()
            await self._drain()
        if self._failure is not None:
            raise self._failure

    async def _open_doors(self) -> None:
        for send in self._config.send:
            link = self._link_of(send)
            self._links.append(link)
            link.open()
        for listen in self._config.listen:
            listener = Listener(door_of(listen, self._around.clock), self._books, self._lobby)
            await self._open_door(listener, listen.name, "listen")
        for one in self._config.fhir_listen:
            from fhir_radcharge.gateway.http.doors import fhir_listener_of

            opened = fhir_listener_of(one, self._site, self._books, self._lobby)
            await self._open_door(opened, one.name, "fhir_listen")

    async def _open_door(self, listener: Listener | FhirListener, name: str, kind: str) -> None:
        try:
            self._ports[name] = await listener.open()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(f"{kind}[{name}].bind: {reason}; free the address or name another") from None
        self._listeners.append(listener)

    def _link_of(self, send: SendTo) -> Link | FhirLink:
        destination: Any = self._site.destinations[send.name]
        if isinstance(destination, FhirDestination):
            from fhir_radcharge.gateway.fhir_link import FhirLink
            from fhir_radcharge.gateway.fhir_route import fhir_route_of

            return FhirLink(fhir_route_of(send, destination), self._books, self._around.chance)
        return Link(route_of(send, destination), self._books, self._around.chance)

    async def _drain(self) -> None:
        """Hear and take up no more, let what is owed and what is outstanding come to its end, close the books."""
        within_s = 0.0 if self._failure else self._config.work.drain_s
        log.info("draining", links=len(self._links), connections=len(self._lobby.connections))
        await asyncio.gather(
            *(listener.close(within_s * 0.8) for listener in self._listeners),
            *(link.close(within_s * 0.8) for link in self._links),
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._books.close(), within_s * 0.2 + 2.0)
        log.info("stopped")

    def _readiness(self) -> str:
        binds = [(one.name, one.bind.host) for one in self._config.listen]
        binds += [(one.name, one.bind.host) for one in self._config.fhir_listen]
        doors = [f"{name}={host}:{self._ports[name]}" for name, host in binds]
        links = [f"{one.name}->{one.to.host}:{one.to.port}" for one in self._config.send]
        return " ".join(["ready", f"site={self._config.site.name}", f"pid={os.getpid()}", *doors, *links])

    def _failed(self, error: BaseException) -> None:
        log.error("books_failed", error=type(error).__name__)
        self._failure = error
        self._stop.set()

    # Verbs and days.

    async def _obey(self, verb: str, args: Mapping[str, Any]) -> Any:
        if verb == "status":
            return self.status()
        if verb not in self._verbs:
            known = ", ".join(sorted([*self._verbs, "status"]))
            raise RadchargeError(f"there is no verb {verb!r} here; known: {known}")
        return await self._books.ask(self._verbs[verb], args)

    def status(self) -> dict[str, Any]:
        """Return whether the gateway can keep messages, and the state of each door and link."""
        return {
            "site": self._config.site.name,
            "ready": self._books.storage_ok and not self._stop.is_set(),
            "storage": "ok" if self._books.storage_ok else "failing",
            "waiting": self._books.waiting(),
            "kept": self._books.kept,
            "commits": self._books.commits,
            "buffered_bytes": self._lobby.buffered,
            "listeners": {
                name: {"port": port, "connections": self._lobby.by_door[name]} for name, port in self._ports.items()
            },
            "links": {link.destination: link.state() for link in self._links},
        }

    async def _days(self) -> None:
        """Give the engine each day of the facility once it has begun; days missed asleep are one step."""
        known: date | None = None
        while True:
            today = self._site.today(self._around.clock())
            if known is None or today > known:
                try:
                    await self._books.ask(_day, {"day": today})
                    known = today
                except Exception as error:  # noqa: BLE001  the next look tries again
                    log.error("day_not_kept", error=type(error).__name__)
            await asyncio.sleep(_DAY_LOOK_S)


def _day(engine: Calendar, args: Mapping[str, Any]) -> int:
    return engine.day(args["day"])


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fill_standard_streams() -> None:
    """Stand in for streams that were closed by whoever started this: their numbers must not be given to the books."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _raise_file_limit() -> None:
    """Let the process hold as many connections as the system allows: the usual soft limit is 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
