"""Which tables may compute which dates of service, and the numbers under which the books know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from fhir_radcharge.engine.items import Item, clear, hold, item_key, open_item
from fhir_radcharge.engine.rooms import label
from fhir_radcharge.ledger import Ledger

_NOT_ACTIVATED = Item(
    item_key("not_activated"),
    "not_activated",
    "not_activated",
    note="the tables of this site are not activated; look at their difference, then activate them",
)


class Span(NamedTuple):
    """From which date of service on (None: from the first) tables with this digest decide."""

    first: date | None
    digest: str


def scope_text(scope: str, first: date | None) -> str:
    """Return a scope as the books have it: `all`, `new`, or `new` with the first date of service."""
    return scope if first is None else f"{scope} {first.isoformat()}"


def spans_of(activations: Iterable[tuple[str, str]]) -> tuple[Span, ...]:
    """Return the spans that a chain of (digest, scope) leaves in force, the earliest first.

    One with a first date leaves earlier dates to what was in force; any other decides all of them.
    """
    found: list[Span] = []
    for digest, scope in activations:
        _, _, day = scope.partition(" ")
        first = date.fromisoformat(day) if day and found else None
        found = [span for span in found if first is not None and (span.first is None or span.first < first)]
        if not found or found[-1].digest != digest:
            found.append(Span(first, digest))
    return tuple(found)


class Activation:
    """Only the tables that were activated last compute; until then messages are stored, and the work queue says so."""

    def __init__(self, ledger: Ledger, site: Any, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._site = site
        self._clock = clock
        self._numbers: dict[str, int] = {}
        self._generation = ledger.generation
        self._spans: tuple[Span, ...] = ()
        self._known: tuple[int, int, bool] = (-1, -1, False)
        self.follow: Callable[[], None] | None = None
        """Called when the activations in the books are others than before: who holds the site may bring the new one."""

    def is_active(self) -> bool:
        """Tell whether anything may be computed; a change of the answer is held or cleared on the work queue."""
        latest = self._ledger.generation, self._ledger.next_number("activation")
        if self._known[:2] != latest:
            if self.follow is not None:
                self.follow()
            self._spans = spans_of(self._ledger.read("select digest, scope from activation order by number"))
            active = bool(self._spans) and self._spans[-1].digest == self._site.digest
            self._say(active)
            self._known = (self._ledger.generation, latest[1], active)
        return self._known[2]

    def edition(self) -> int:
        """Return the number of these tables in the books, which are told of them the first time."""
        return self._number(self._site.digest)

    def edition_on(self, day: date) -> int:
        """Return the number of the tables that decide a date of service."""
        digest = self._site.digest
        for span in self._spans:
            if span.first is None or span.first <= day:
                digest = span.digest
        return self._number(digest)

    def _number(self, digest: str) -> int:
        if self._generation != self._ledger.generation:
            self._numbers.clear()
            self._generation = self._ledger.generation
        known = self._numbers.get(digest, 0)
        if not 0 < known < self._ledger.next_number("edition"):
            rows = self._ledger.read("select number from edition where digest = ?", (digest,))
            known = self._numbers[digest] = rows[0][0] if rows else self._ledger.next_number("edition")
            if not rows:
                self._ledger.append("edition", [(known, digest)])
        return known

    def _say(self, active: bool) -> None:
        known = open_item(self._ledger, _NOT_ACTIVATED.key) is not None
        if known != active:
            return
        with self._ledger.transaction():
            (clear if active else hold)(self._ledger, [_NOT_ACTIVATED], label(self._clock()))
