"""The engine: receive, work, send; the only place where the rooms meet.

Synchronous, on one thread; the clock, the site and the other rooms are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from fhir_radcharge.engine.decisions import Decisions, Opening
from fhir_radcharge.engine.fhir_intake import FhirIntake, received
from fhir_radcharge.engine.patients import REMEMBERED_MAX, Patients
from fhir_radcharge.engine.receive import Intake
from fhir_radcharge.engine.rooms import Heard, Outcome, Rooms, Send, rooms
from fhir_radcharge.engine.sending import Sending
from fhir_radcharge.engine.work import Work
from fhir_radcharge.ledger import Ledger

__all__ = ["Engine", "Heard", "Opening", "Outcome", "Rooms", "Send"]


class Engine:
    """Receive, work through, send and settle, over one ledger and one site.

    Whatever is durable when a call returns stays; a call that raises has changed nothing. Attempts that an
    earlier process left without an outcome are settled as silent when an engine is made. Where more than
    `credits_per_hour_max` credits would go to a destination within an hour, it is paused for a person.
    What departs from the standard is refused at the listeners named in `strict`; `admitted` are the sender profiles
    that may speak at a listener, all where it names none. What is refused is kept, and on the work queue.
    """

    def __init__(
        self, ledger: Ledger, site: Any, clock: Callable[[], datetime], doors: Rooms | None = None,
        remembered_max: int = REMEMBERED_MAX,
        credits_per_hour_max: int | None = None,
        strict: frozenset[str] = frozenset(), admitted: Mapping[str, frozenset[str]] | None = None,
    ) -> None:  # fmt: skip
        self.ledger = ledger
        self.site = site
        self.tables: Any = None  # who can bring other tables while this runs; None: a restart does
        doors = doors if doors is not None else rooms()
        patients = Patients(ledger, remembered_max)
        self._intake = Intake(ledger, site, clock, doors, strict, admitted)
        self._fhir = FhirIntake(ledger, clock)
        self._work = Work(ledger, site, clock, doors, patients)
        self._sending = Sending(ledger, site, clock, patients, credits_per_hour_max)
        self.decisions = Decisions(ledger, site, clock, doors, patients, self._work.reader, self._sending)
        self._sending.recover()

    def receive(self, heard: Sequence[Heard]) -> list[bytes | None]:
        """Store payloads inside the caller's transaction and return their answers, to be given once it is committed.

        While the disk is nearly full nothing is stored and LedgerError is raised, so that nobody is answered.
        """
        self.ledger.need_space()
        return received(heard, self._intake.receive, self._fhir.receive)

    def work(self, messages_max: int, patients_max: int | None = None) -> int:
        """Read stored messages and compute patients, in one commit; return how much was done, 0 when nothing is left.

        Patients that a message, a decision, an answer or an activation touched wait in the order in which they were
        touched; with `patients_max` no more than these are computed, and the others are computed by later calls with
        all that arrived meanwhile. Without it those whom the messages of this call touch are all computed.
        """
        return self._work.work(messages_max, patients_max)

    def rest(self) -> None:
        """Note that the process ends in order: the last call before the ledger is closed."""
        self._work.rest()

    def follow_activations(self, follow: Callable[[], None]) -> None:
        """Have `follow` called, between two transactions of others, when other tables were activated than before."""
        self._work.follow_activations(follow)

    def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]:
        """Return the next send of every free lane, its attempt recorded."""
        return self._sending.take(destination, free_lanes, lanes)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record how attempts ended; patients whose postings were refused are computed again."""
        with self.ledger.transaction():
            self._work.recompute(self._sending.settle(outcomes))

    def day(self, day: date) -> int:
        """Append a day of the facility and recompute the patients whose answer may change on it."""
        return self._work.day(day)
