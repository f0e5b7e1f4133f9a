"""A message that is not taken, time after time, into a work item that ends with the next other answer."""

from __future__ import annotations

from collections.abc import Collection

from fhir_radcharge.engine.items import Item, clear, hold, item_key
from fhir_radcharge.ledger import Ledger

# The waits between attempts double up to `send.retry_cap_s`, so ten in a row are minutes: more than a busy moment.
IN_A_ROW = 10


class Declined:
    """Opens one item for each destination, naming the message; it stops and delays nothing.

    It closes when that message is taken, refused or unanswered. Other lanes may go on meanwhile, so what they are
    answered does not close it: it would open and close with every attempt.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._generation = -1
        self._items: dict[int, Item] = {}

    def not_taken(self, seq: int, destination: str, attempt: int, code: str, at: str) -> None:
        """Open the item of a destination at the tenth such answer in a row about one message."""
        if attempt < IN_A_ROW or any(item.destination == destination for item in self._known().values()):
            return
        kinds = self._ledger.read(_LAST, (seq, IN_A_ROW))
        if kinds != [("not_taken",)] * IN_A_ROW:
            return
        ((name,),) = self._ledger.read("select control_id from send where number = ?", (seq,))
        item = Item(
            item_key("not_taken", destination), "not_taken", code or "not_taken", destination=destination,
            place=f"attempt {attempt}", note=name,
        )  # fmt: skip
        hold(self._ledger, [item], at)
        self._items[seq] = item

    def ended(self, seqs: Collection[int], at: str) -> None:
        """Close the items that name one of these messages."""
        known = self._known()
        if known:
            clear(self._ledger, [known.pop(seq) for seq in seqs if seq in known], at)

    def _known(self) -> dict[int, Item]:
        """Return the items by message; one that a person dismissed is remembered, so that it stays away."""
        if self._generation != self._ledger.generation:
            self._items = {seq: Item(*item) for seq, *item in self._ledger.read(_OPEN)}
            self._generation = self._ledger.generation
        return self._items


_LAST = "select kind from answer where send = ? and kind != 'late' order by number desc limit ?"
_OPEN = (
    "select p.send, i.key, i.category, i.reason, i.patient, i.course, i.destination, i.message, i.place, i.note"
    " from open_item i join posting p on p.id = i.note where i.category = 'not_taken'"
)
