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
        self._with_this: dict[str, int] = {}

    def counted(self, name: str) -> bool:
        """Count this start, once whatever is undone meanwhile; tell whether the count is on disk already, so that
        the work may begin."""
        before = self.of(name)
        if before and self._with_this.get(name) == before:
            return True
        self._with_this[name] = before + 1
        set_cursor(self._ledger, f"starts/{name}", before + 1)
        return False

    def rest(self) -> None:
        """Take back this start where the work was not begun or not done: a process that ends in order died of none."""
        for name, with_this in self._with_this.items():
            if self.of(name) == with_this:
                self._ledger.write("update cursor set value = value - 1 where name = ?", (f"starts/{name}",))
        self._ledger.write("delete from cursor where name like 'starts/%' and value <= 0")
        self._with_this.clear()

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
