"""Whether the tables of this site may compute, and the number under which the books know them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fhir_radcharge.engine.items import Item, clear, hold, item_key, open_item
from fhir_radcharge.engine.rooms import label
from fhir_radcharge.ledger import Ledger

_NOT_ACTIVATED = Item(
    item_key("not_activated"),
    "not_activated",
    "not_activated",
    note="the tables of this site are not activated; look at their difference, then activate them",
)


class Activation:
    """Only the tables that were activated last compute; until then messages are stored, and the work queue says so."""

    def __init__(self, ledger: Ledger, digest: str, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._digest = digest
        self._clock = clock
        self._edition = 0
        self._known: tuple[int, int, bool] = (-1, -1, False)

    def is_active(self) -> bool:
        """Tell whether anything may be computed; a change of the answer is held or cleared on the work queue."""
        latest = self._ledger.generation, self._ledger.next_number("activation")
        if self._known[:2] != latest:
            rows = self._ledger.read("select digest from activation order by number desc limit 1")
            active = bool(rows) and rows[0][0] == self._digest
            self._say(active)
            self._known = (*latest, active)
        return self._known[2]

    def edition(self) -> int:
        """Return the number of these tables in the books, which are told of them the first time."""
        if not 0 < self._edition < self._ledger.next_number("edition"):
            rows = self._ledger.read("select number from edition where digest = ?", (self._digest,))
            self._edition = rows[0][0] if rows else self._ledger.next_number("edition")
            if not rows:
                self._ledger.append("edition", [(self._edition, self._digest)])
        return self._edition

    def _say(self, active: bool) -> None:
        known = open_item(self._ledger, _NOT_ACTIVATED.key) is not None
        if known != active:
            return
        with self._ledger.transaction():
            (clear if active else hold)(self._ledger, [_NOT_ACTIVATED], label(self._clock()))
