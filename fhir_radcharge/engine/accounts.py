"""What is due of a patient into the account of each line: of whom, for which visit, by which insurance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from fhir_radcharge.engine.identified import insurance_in
from fhir_radcharge.engine.patients import PatientBook, Saying
from fhir_radcharge.model import Charge, Standing


class Messages(Protocol):
    """What answers with a stored message."""

    def message(self, number: int) -> Any:
        """Return a message whose patient, visit and insurance a posting carries."""


class Accounts:
    """Where each line of a patient goes, as the sessions that date the lines say."""

    def __init__(
        self, book: PatientBook, sayings: Sequence[Saying], charges: Sequence[Charge], messages: Messages
    ) -> None:
        self._book = book
        self._messages = messages
        self._insurances: dict[int, str] = {}
        self._sayings = {saying.event.id: saying for saying in sayings}
        # Several senders may have given one id; then the day tells which is meant.
        several = len(self._sayings) < len(sayings)
        self._of_day = {(one.event.id, one.event.day): one for one in sayings} if several else {}
        self._dates = {(charge.dated_by, charge.day): self._dated_by(charge) for charge in charges}
        # By the event that dates a line: what corrections are computed with.
        self.of_events = {name: account for (name, _), (_, account) in self._dates.items()}

    def message_of(self, charge: Charge) -> int:
        """Return the message that a line is written from, 0 if there is none."""
        return self._dates[charge.dated_by, charge.day][0]

    def of(self, charge: Charge) -> str:
        """Return the account of a line, by which it is compared."""
        return self.of_events[charge.dated_by]

    def placed(
        self, standing: list[Standing], charges: Sequence[Charge], line_key: Callable[[Charge | Standing], str]
    ) -> list[Standing]:
        """Return what stands; what an earlier system said without an account stands on the account of its line."""
        if all(said.account for said in standing):
            return standing
        known = {line_key(charge): self.of(charge) for charge in charges}
        return [said if said.account else said._replace(account=known.get(line_key(said), "")) for said in standing]

    def _dated_by(self, charge: Charge) -> tuple[int, str]:
        for name in (charge.dated_by, *reversed(charge.events)):
            saying = (self._of_day and self._of_day.get((name, charge.day))) or self._sayings.get(name)
            if saying is not None and saying.event.message:
                return saying.event.message, account_of(self._book, saying.account, self._insurance(saying))
        return 0, account_of(self._book, "")

    def _insurance(self, saying: Saying) -> str:
        """Return the insurance that was told of a visit later, "" where the session's own message says the same."""
        told = self._book.coverages.get(saying.account)
        if told is None:
            return ""
        number = saying.event.message
        if number not in self._insurances:
            self._insurances[number] = insurance_in(self._messages.message(number))
        return "" if self._insurances[number] == told.insurance else told.insurance


def account_of(book: PatientBook, visit: str, insurance: str = "") -> str:
    """Return the account that a line is charged to: of whom, for which visit, and the insurance told of it later."""
    return f"{book.hex}/{visit}/{insurance}" if insurance else f"{book.hex}/{visit}"


