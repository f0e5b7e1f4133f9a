"""What stops the process is known at the next start: work that did not end at two starts is put aside at the third."""

from __future__ import annotations

from fhir_radcharge.engine.items import Item, item_key
from fhir_radcharge.engine.state import cursor, set_cursor
from fhir_radcharge.ledger import Ledger

STARTS_MAX = 3
QUARANTINED = "quarantined"


class Starts:
    """Counts the starts of the program at which a piece of work was begun and did not end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counted = ("", 0)

    def counted(self, name: str) -> bool:
        """Count this start; tell whether the count is on disk already, so that the work may begin."""
        this = name, self._ledger.generation
        if self._counted == this:
            self._counted = ("", 0)
            return True
        set_cursor(self._ledger, f"starts/{name}", self.of(name) + 1)
        self._counted = this
        return False

    def of(self, name: str) -> int:
        """Return how many starts were counted."""
        return cursor(self._ledger, f"starts/{name}")

    def ended(self, name: str) -> None:
        """Forget the count: the work is done, or put aside."""
        self._ledger.write("delete from cursor where name = ?", (f"starts/{name}",))


def message_aside(number: int) -> Item:
    """Return the item of a message that is not read any more until a person releases it."""
    note = "reading this message stopped the program twice; report it, then release"
    return Item(item_key(QUARANTINED, number), QUARANTINED, QUARANTINED, message=number, note=note)


def patient_aside(number: int, hexed: str) -> Item:
    """Return the item of a patient for whom nothing is computed any more until a person releases it."""
    note = "computing this patient stopped the program twice; report it, then release"
    return Item(item_key(QUARANTINED, hexed), QUARANTINED, QUARANTINED, number, note=note)
