"""What a person decides: appended with who, when and why, and acted on in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from fhir_radcharge.engine.accounts import account_of
from fhir_radcharge.engine.activation import scope_text
from fhir_radcharge.engine.brake import flood_item
from fhir_radcharge.engine.items import Item, clear, hold, items_of, open_item
from fhir_radcharge.engine.patients import Patients
from fhir_radcharge.engine.reading import Reader, tell
from fhir_radcharge.engine.rooms import Rooms, label
from fhir_radcharge.engine.sending import Sending
from fhir_radcharge.engine.state import MODES, PACES
from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.ledger.codec import Line, line_fields
from fhir_radcharge.model import Charge, TreatmentEvent

MESSAGE_ITEMS = frozenset(
    {"unreadable", "nonconforming", "not_admitted", "reused", "quarantined", "notice", "defect"}
)
SCOPES = ("new", "all")
# Holds that no person can let go, and what ends them.
NOT_RELEASED = {
    "no_destination": "let a destination take this bill",
    "course_unknown": "let the sender name the course",
}


class Opening(NamedTuple):
    """One charge that the system before this one has already made: it stands, and is never sent."""

    patient: str
    destination: str
    line: Charge
    units: int
    account: str = ""
    reference: str = ""


class Decisions:
    """The verbs of the work queue and of going live."""

    def __init__(
        self, ledger: Ledger, site: Any, clock: Callable[[], datetime], rooms: Rooms, patients: Patients,
        reader: Reader, sending: Sending,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._site = site
        self._clock = clock
        self._rooms = rooms
        self._patients = patients
        self._reader = reader
        self._sending = sending

    def release(self, key: str, by: str, why: str, modifiers: Sequence[str] = ()) -> str:
        """Let what waits go on: a message is read again, a held or refused line goes, a patient is computed again.

        A held line may be released with modifiers. Returned is the id of the event that releases it, "" for all else.
        """
        with self._ledger.transaction():
            item, at = self._open(key), self._decide("release", key, by, why)
            if modifiers and item.category != "hold":
                raise UnsafeError(f"{key}: a modifier goes on a held line, and this is {item.category}")
            if item.category == "unanswered":
                raise UnsafeError(f"{key}: say arrived, resend or not_arrived of an unanswered message")
            if item.category == "flag":
                raise UnsafeError(f"{key}: a flag stands beside a charge and holds nothing; dismiss it")
            if item.category == "hold":
                return self._release_hold(item, tuple(modifiers))
            self._sending.close(item, at)
            if item.message and item.category in MESSAGE_ITEMS:
                self._ledger.write("insert or ignore into again (message) values (?)", (item.message,))
            if item.patient:
                self._touch(item.patient)
            return ""

    def dismiss(self, key: str, by: str, why: str) -> None:
        """Say that nothing more will be done about an item; it is opened again only if what is due changes."""
        with self._ledger.transaction():
            item, at = self._open(key), self._decide("dismiss", key, by, why)
            if item.category == "unanswered":
                raise UnsafeError(f"{key}: say arrived, resend or not_arrived of an unanswered message")
            self._sending.close(item, at)
            if item.patient:
                kept = item._replace(category="dismissed", reason=item.category)
                hold(self._ledger, [kept], at)
                self._patients.book(item.patient).items[key] = kept
                self._touch(item.patient)

    def dismiss_message(self, number: int, by: str, why: str) -> list[str]:
        """Dismiss every open item of a message, each with its own record; return their names.

        What the message did to a course (a hold, a flag, a refusal) is decided by itself.
        """
        with self._ledger.transaction():
            keys = [i.key for i in items_of(self._ledger, "message", number) if i.category in MESSAGE_ITEMS]
            if not keys:
                raise UnsafeError(f"message #{number} has no open item of its own; see `queue`")
            for key in keys:
                self.dismiss(key, by, why)
            return keys

    def arrived(self, key: str, by: str, why: str) -> None:
        """Say that an unanswered message arrived."""
        self._said("arrived", key, by, why)

    def resend(self, key: str, by: str, why: str) -> None:
        """Say an unanswered message again, in the same bytes."""
        self._said("resend", key, by, why)

    def not_arrived(self, key: str, by: str, why: str) -> None:
        """Say that an unanswered message never arrived: it does not stand, and what is due is said anew."""
        self._said("not_arrived", key, by, why)

    def set_destination(self, destination: str, verb: str, by: str, why: str) -> None:
        """Pause or resume what goes to a destination; or make it live, a shadow, or drain it.

        Paused: computed, and kept. Drained: what waits goes out and nothing new is computed. Shadow: computed and
        written as a shadow, and never sent.
        """
        if destination not in self._site.destinations:
            raise UnsafeError(f"there is no destination '{destination}' in this site's files")
        if verb not in (*PACES, *MODES):
            raise UnsafeError(f"'{verb}' is none of {', '.join((*PACES, *MODES))}")
        with self._ledger.transaction():
            self._decide(verb, f"destination/{destination}", by, why)
            if verb in MODES:
                self._touch_all()
            if verb == "resume":
                clear(self._ledger, [flood_item(destination)], label(self._clock()))

    def activate(
        self, digest: str, scope: str, by: str, why: str, first: date | None = None, second: str = "",
        files: bytes | None = None,
    ) -> None:  # fmt: skip
        """Let tables of this digest compute: dates of service from `first` on (`new`), or all of them.

        `files` are the tables themselves, which the books keep, so that they can decide earlier dates when later
        ones were activated; `second` is who else agreed.
        """
        if scope not in SCOPES:
            raise UnsafeError(f"the scope '{scope}' is none of {', '.join(SCOPES)}")
        if scope == "all" and first is not None:
            raise UnsafeError("the scope 'all' has no first day")
        with self._ledger.transaction():
            detail = {"scope": scope, **({"from": first.isoformat()} if first else {}),
                      **({"second": second} if second else {})}  # fmt: skip
            at = self._decide("activate", digest, by, why, detail)
            told = scope_text(scope, first)
            self._ledger.append("activation", [(self._ledger.next_number("activation"), digest, told, by, why, at)])
            if files is not None and not self._ledger.read("select 1 from edition_files where digest = ?", (digest,)):
                self._ledger.append("edition_files", [(self._ledger.next_number("edition_files"), digest, files)])
            self._touch_for(scope, first)
            # A message that could not be read may be readable with these profiles.
            self._ledger.write(
                "insert or ignore into again (message) select message from open_item"
                " where message > 0 and category = 'unreadable'"
            )

    def imported(self, digest: str, editions: Sequence[str], by: str, why: str) -> int:
        """Let imported official tables edit lines at once: every patient is computed again, slice by slice."""
        with self._ledger.transaction():
            self._decide("official", digest, by, why, {"editions": list(editions)})
            self._touch_all()
            return int(self._ledger.read("select count(*) from touched")[0][0])

    def supply(self, patient: str, account: str, event: TreatmentEvent, by: str, why: str) -> None:
        """Append an event that a person says: a release, a fact that was missing, a course."""
        with self._ledger.transaction():
            self._decide("supply", event.id, by, why, {"kind": event.kind, "source": event.source})
            for number in self._reader.append([tell(event, patient, account)]):
                self._touch(number)

    def supply_to(self, patient: int, event: TreatmentEvent, by: str, why: str) -> None:
        """Append an event that a person says of a patient whom the books know."""
        with self._ledger.transaction():
            self._decide("supply", event.id, by, why, {"kind": event.kind, "source": event.source})
            for number in self._reader.supply(patient, event):
                self._touch(number)

    def open_with(self, rows: Sequence[Opening], by: str, why: str) -> int:
        """Load what an earlier system charged as standing; return how many rows were new."""
        with self._ledger.transaction():
            self._decide("opening", "import", by, why, {"rows": len(rows)})
            numbers = self._reader.patient_numbers({row.patient for row in rows})
            count = 0
            for row in rows:
                count += self._open_one(numbers[row.patient], row)
            return count

    # -- inside ------------------------------------------------------------------------------------------------

    def _release_hold(self, item: Item, modifiers: tuple[str, ...]) -> str:
        """Append the release as an event, so that the rules see it wherever the line moves."""
        if item.reason in NOT_RELEASED:
            raise UnsafeError(f"{item.key}: {item.reason} cannot be released; {NOT_RELEASED[item.reason]}")
        _, spelled, day = item.place.split(" ")
        code = spelled.partition("-")[0]
        if code == "?":
            raise UnsafeError(
                f"{item.key}: the line has no code yet, so it cannot be released; let its facts be stated"
            )
        facts: dict[str, Any] = {"code": code, "date": day, "reason": item.reason}
        if modifiers:
            facts["modifiers"] = modifiers
        # A line that is held again may be released again, otherwise than before.
        ((times,),) = self._ledger.read(
            "select count(*) from decision where kind = 'release' and subject = ?", (item.key,)
        )
        event = TreatmentEvent(
            "person", f"release/{item.key}/{times}", "release", date.fromisoformat(day), course=item.course or None,
            facts=facts, revision=(1,),
        )  # fmt: skip
        for number in self._reader.supply(item.patient, event):
            self._touch(number)
        return event.id

    def _open_one(self, patient: int, row: Opening) -> int:
        book = self._patients.book(patient)
        line_key = f"{book.hex}/{self._rooms.line_key(row.line)}"
        name = self._rooms.posting_id(row.destination, line_key, "CHARGE", f"opening {row.reference}")
        if name in book.lines:
            return 0
        account = account_of(book, self._reader.account(row.account)) if row.account else ""
        line = Line(
            name, "CHARGE", "opening", row.destination, line_key, row.line, row.units, None, 0, account, None, patient
        )
        previous = book.previous(row.destination, "opening", line_key)
        at, number = label(self._clock()), self._ledger.next_number("posting")
        self._ledger.append(
            "posting",
            [(number, name, "CHARGE", "opening", row.destination, patient, row.line.course, line_key,
              *line_fields(row.line), row.units, None, previous, 0, account, at[:10], "opening", 0, None,
              json.dumps([[], [], row.reference]))],
        )  # fmt: skip
        book.add_line(line)
        self._touch(patient)
        return 1

    def _said(self, verdict: str, key: str, by: str, why: str) -> None:
        with self._ledger.transaction():
            item, at = self._open(key), self._decide(verdict, key, by, why)
            if item.category != "unanswered":
                raise UnsafeError(f"{key}: only an unanswered message can be said to have {verdict}")
            self._sending.said_of(item, verdict, at)

    def _open(self, key: str) -> Item:
        item = open_item(self._ledger, key)
        if item is None:
            raise UnsafeError(f"no item '{key}' is open")
        return item

    def _decide(self, kind: str, subject: str, by: str, why: str, detail: dict[str, Any] | None = None) -> str:
        if not by or not why:
            raise UnsafeError("a decision needs who and why")
        at, number = label(self._clock()), self._ledger.next_number("decision")
        self._ledger.append("decision", [(number, kind, subject, by, why, at, json.dumps(detail or {}))])
        return at

    def _touch(self, patient: int) -> None:
        self._ledger.write("insert or ignore into touched (patient) values (?)", (patient,))

    def _touch_for(self, scope: str, first: date | None) -> None:
        """Put those in line whose answer an activation may change."""
        if scope == "all":
            self._touch_all()
            return
        if first is not None:
            # A line is dated by an event, so whoever has none from that day on has no other answer. The body of an
            # event begins with its day.
            self._ledger.write(
                "insert or ignore into touched (patient) select distinct patient from event"
                " where substr(body, 3, 10) >= ?",
                (first.isoformat(),),
            )
        self._ledger.write(
            "insert or ignore into touched (patient) select patient from open_item"
            " where patient > 0 and category in ('rule_error', 'unsendable')"
        )

    def _touch_all(self) -> None:
        self._ledger.write("insert or ignore into touched (patient) select number from patient")
