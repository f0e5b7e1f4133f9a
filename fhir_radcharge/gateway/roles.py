"""Who meets at the books, and what each must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fhir_radcharge.engine import Heard, Outcome, Send


class Bookkeeper(Protocol):
    """What the owner of the books asks of an engine; every call is made inside a transaction and on one thread."""

    def receive(self, heard: Sequence[Heard]) -> list[bytes | None]: ...
    def work(self, messages_max: int, patients_max: int) -> int: ...
    def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]: ...
    def settle(self, outcomes: Sequence[Outcome]) -> None: ...
    def rest(self) -> None: ...


class Ledger(Protocol):
    """What their owner asks of the books: a transaction that is durable when it is left."""

    def transaction(self) -> AbstractContextManager[object]: ...
    def close(self) -> None: ...


class Speaker(Protocol):
    """An inbound connection that is owed answers. Both methods run on the event loop."""

    def answer(self, answers: list[bytes | None]) -> None: ...
    def give_up(self, reason: str) -> None: ...


class Carrier(Protocol):
    """A link to one destination. `carry` runs on the event loop."""

    destination: str
    lanes: int

    def carry(self, sends: list[Send]) -> None: ...


Verb = Callable[[Any, Mapping[str, Any]], Any]
OpenBooks = Callable[[], tuple[Bookkeeper, Ledger]]


class Keeper(Protocol):
    """What a connection asks of the books: to keep what it heard, and to call `answer` or `give_up` for it."""

    def hear(self, speaker: Speaker, heard: list[Heard]) -> None: ...


class Desk(Protocol):
    """What a link asks of the books: the next send of a free lane, and to have an outcome written."""

    def want(self, carrier: Carrier, lane: int) -> None: ...
    def withdraw(self, carrier: Carrier, lane: int) -> None: ...
    def settle(self, outcome: Outcome) -> None: ...
