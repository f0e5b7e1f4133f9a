"""Stored messages into events, one recomputation per touched patient, and the postings that follow.

Reading may run ahead of computing: patients that were touched and not yet computed wait in the books in the order in
which they were first touched, so that what arrives meanwhile is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from fhir_radcharge.engine.activation import Activation
from fhir_radcharge.engine.items import BLOCKING, DERIVED, REFUSALS, Item, clear, hold
from fhir_radcharge.engine.patients import PatientBook, Patients
from fhir_radcharge.engine.reading import Parsed, Reader, Stored
from fhir_radcharge.engine.reckoning import Moment, Plan, Said, plan
from fhir_radcharge.engine.rooms import Rooms, label
from fhir_radcharge.engine.starts import QUARANTINED, STARTS_MAX, Starts, message_aside, patient_aside
from fhir_radcharge.engine.state import READY, WAITING, cursor, destination_modes, latest_day, set_cursor
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.ledger.codec import line_fields, why_text

# At a start this many of the waiting messages are read one by one, or as many as a batch ever had.
CAREFUL_MIN = 1_000
# Messages may be large, so a batch ends at this many bytes whatever their number.
BATCH_BYTES_MAX = 8 << 20
# Patients computed in one transaction where the caller does not say how many.
PATIENTS_MAX = 200


class Work:
    """Turns what is stored into what is said, in the order in which it was stored."""

    def __init__(
        self, ledger: Ledger, site: Any, clock: Callable[[], datetime], rooms: Rooms, patients: Patients
    ) -> None:
        self._ledger = ledger
        self._site = site
        self._clock = clock
        self._rooms = rooms
        self._patients = patients
        self._parsed = Parsed(ledger, rooms, site)
        self.reader = Reader(ledger, site, rooms, self._parsed, patients)
        self._activation = Activation(ledger, site, clock)
        self._starts = Starts(ledger)
        self._careful_until = self._careful()
        # The slice in which the process before may have ended took these.
        self._careful_with = self._touched(PATIENTS_MAX)

    # -- the verbs ---------------------------------------------------------------------------------------------

    def work(self, messages_max: int, patients_max: int | None = None) -> int:
        """Read stored messages, then compute those who have waited longest; return how much was done, 0 when nothing.

        Without `patients_max` all whom these messages touch are computed with them.
        """
        if not self._activation.is_active():
            return 0
        alone = self._alone_first()
        if alone:
            return alone
        with self._ledger.transaction():
            now = self._clock()
            fresh = self._stored(cursor(self._ledger, "work"), messages_max)
            touched = sorted(self._read(fresh, now))
            turn = self._turn(touched, PATIENTS_MAX if patients_max is None else patients_max, patients_max is None)
            self._recompute(turn, now)
            if fresh:
                set_cursor(self._ledger, "work", fresh[-1].number)
                self._note_batch(messages_max)
        self._parsed.trim()
        return len(turn) or len(fresh)

    def follow_activations(self, follow: Callable[[], None]) -> None:
        """Have something called before the first work after an activation, and before the first work at all."""
        self._activation.follow = follow

    def rest(self) -> None:
        """Note that the process ends in order: nothing that was begun has stopped it."""
        self._starts.rest()

    def recompute(self, patients: Iterable[int]) -> None:
        """Compute some patients now, whoever waits longer; without active tables they wait."""
        if self._activation.is_active():
            self._recompute(sorted(patients), self._clock())

    def day(self, day: date) -> int:
        """Append a day of the facility and touch the patients whose answer may change on it; return how many.

        The first of them are computed again at once, the others by the next calls of `work`.
        """
        with self._ledger.transaction():
            latest = latest_day(self._ledger)
            if latest is not None and day <= latest:
                return 0
            self._ledger.append("day", [(self._ledger.next_number("day"), day.isoformat(), label(self._clock()))])
            woken = self._ledger.write(
                "insert or ignore into touched (patient) select patient from wake where day <= ?", (day.isoformat(),)
            )
            self.recompute(self._touched(PATIENTS_MAX))
            return woken

    # -- inside one transaction --------------------------------------------------------------------------------

    def _read(self, messages: Sequence[Stored], now: datetime) -> set[int]:
        taken = [message for message in messages if message.disposition == "taken"]
        return self.reader.read(taken, self._activation.edition(), label(now)) if taken else set()

    def _turn(self, touched: Sequence[int], most: int, all_touched: bool) -> list[int]:
        """Return whose turn it is, longest waiting first; the others that were touched are put in line."""
        turn = dict.fromkeys(self._touched(most))
        late = [number for number in touched if number not in turn]
        now = late if all_touched else late[: most - len(turn)]
        later = late[len(now) :]
        if later:
            self._ledger.write_many(PUT_IN_LINE, [(number,) for number in later])
        return [*turn, *now]

    def _recompute(self, order: Sequence[int], now: datetime) -> None:
        if not order:
            return
        as_of = latest_day(self._ledger)
        moment = Moment(as_of, as_of or self._site.today(now), now.strftime("%Y%m%d%H%M%S+0000"))
        modes = destination_modes(self._ledger, self._site.destinations)
        lanes = {name: cursor(self._ledger, f"lanes/{name}") or 1 for name in self._site.destinations}
        identities = self._patients.identities
        plans: list[tuple[PatientBook, Plan]] = []
        for number in dict.fromkeys(map(identities.survivor, order)):
            book = self._patients.book(number)
            if any(item.category == QUARANTINED for item in book.items.values()):
                continue
            plans.append((book, plan(book, self._site, self._rooms, self._parsed, modes, moment, identities)))
        self._write_items(plans, label(now))
        self._write_postings(plans, lanes)
        self._write_wakes(plans)
        for book, _ in plans:
            self._patients.weigh(book)
        self._ledger.write_many("delete from touched where patient = ?", [(number,) for number in order])

    def _write_postings(self, plans: Sequence[tuple[PatientBook, Plan]], lanes: dict[str, int]) -> None:
        edition_on = self._activation.edition_on
        number, send = self._ledger.next_number("posting"), self._ledger.next_number("send")
        postings: list[tuple[Any, ...]] = []
        sends: list[tuple[Any, ...]] = []
        outbox: list[tuple[Any, ...]] = []
        for book, made in plans:
            if not made.said:
                continue
            blocked = {(i.destination, i.course) for i in book.items.values() if i.category in BLOCKING}
            for said in made.said:
                line = said.line
                if said.joined:
                    line = line._replace(send=sends[-1][0])
                elif said.body is not None:
                    line = line._replace(send=send + len(sends))
                    course = line.charge.course
                    sends.append((line.send, line.destination, book.number, course, line.message, line.id, said.body))
                    state = WAITING if (line.destination, course) in blocked else READY
                    lane = book.number % lanes[line.destination]
                    outbox.append((line.send, line.destination, lane, book.number, course, state, 0))
                edition = edition_on(said.charge.day)
                postings.append(_posting_row(number + len(postings), line.patient, said, line.send, edition))
                book.add_line(line)
        self._ledger.append("send", sends)
        self._ledger.append("posting", postings)
        self._ledger.write_many(
            "insert into outbox (seq, destination, lane, patient, course, state, attempt) values (?, ?, ?, ?, ?, ?, ?)",
            outbox,
        )

    def _write_items(self, plans: Sequence[tuple[PatientBook, Plan]], at: str) -> None:
        for book, made in plans:
            if not made.items and not book.items:
                continue
            gone = [item for item in book.items.values() if _is_gone(item, made)]
            new = [item for key, item in made.items.items() if key not in book.items]
            if gone:
                clear(self._ledger, gone, at)
                for item in gone:
                    del book.items[item.key]
                for item in gone:
                    if item.category in BLOCKING:
                        unblock(self._ledger, book, item.destination, item.course)
            if new:
                hold(self._ledger, new, at)
                book.items.update((item.key, item) for item in new)

    def _write_wakes(self, plans: Sequence[tuple[PatientBook, Plan]]) -> None:
        moved = [(book, made.wake) for book, made in plans if made.wake != book.wake]
        gone = [(book.number,) for book, wake in moved if wake is None]
        self._ledger.write_many("delete from wake where patient = ?", gone)
        self._ledger.write_many(
            "insert into wake (patient, day) values (?, ?) on conflict (patient) do update set day = excluded.day",
            [(book.number, wake) for book, wake in moved if wake is not None],
        )
        for book, wake in moved:
            book.wake = wake

    def _touched(self, most: int) -> list[int]:
        return [
            number for (number,) in self._ledger.read("select patient from touched order by turn limit ?", (most,))
        ]

    def _stored(self, after: int, most: int) -> list[Stored]:
        """Return the next messages, as many as fit into memory at once and at least one."""
        sizes = self._ledger.read(
            "select number, length(raw) from message where number > ? order by number limit ?", (after, most)
        )
        last = total = 0
        for number, size in sizes:
            total += size
            if last and total > BATCH_BYTES_MAX:
                break
            last = number
        rows = self._ledger.read(
            "select number, disposition, raw from message where number > ? and number <= ? order by number",
            (after, last),
        )
        return [Stored(*row) for row in rows]

    # -- a message that stops the process ----------------------------------------------------------------------

    def _careful(self) -> int:
        """Return up to which message to go one by one: the batch in which the process before may have ended."""
        after, newest = cursor(self._ledger, "work"), self._ledger.next_number("message") - 1
        return min(newest, after + max(cursor(self._ledger, "batch"), CAREFUL_MIN)) if newest > after else 0

    def _alone_first(self) -> int:
        """Work through one patient or message alone: one released by a person, or at which the process may have ended.

        Two calls do it: the first counts the start, and once that is committed the second does the work, so that
        what ends the process is known and put aside.
        """
        rows = self._ledger.read(
            "select m.number, m.disposition, m.raw from again a join message m on m.number = a.message"
            " order by a.message limit 1"
        )
        with_care = self._careful_with and set(self._touched(PATIENTS_MAX)).intersection(self._careful_with)
        careful = cursor(self._ledger, "work") < self._careful_until
        if not (rows or with_care or careful):
            self._careful_with = []
            return 0
        with self._ledger.transaction():
            if with_care:
                self._patient_alone(min(with_care))
            else:
                message = Stored(*rows[0]) if rows else self._stored(cursor(self._ledger, "work"), 1)[0]
                self._message_alone(message, again=bool(rows))
        self._parsed.trim()
        return 1

    def _patient_alone(self, number: int) -> None:
        name, now = f"patient/{number}", self._clock()
        if not self._starts.counted(name):
            return
        if self._starts.of(name) >= STARTS_MAX - 1:
            ((key,),) = self._ledger.read("select key from patient where number = ?", (number,))
            hold(self._ledger, [patient_aside(number, key.hex())], label(now))
            self._patients.forget(number)
            self._ledger.write("delete from touched where patient = ?", (number,))
        else:
            self._recompute([number], now)
        self._starts.ended(name)

    def _message_alone(self, message: Stored, again: bool) -> None:
        name, now = f"message/{message.number}", self._clock()
        if not self._starts.counted(name):
            return
        if self._starts.of(name) >= STARTS_MAX - (not again):
            hold(self._ledger, [message_aside(message.number)], label(now))
        elif again:
            read = self.reader.read_again([message], self._activation.edition(), label(now))
            self._recompute(sorted(read), now)
        else:
            self._recompute(sorted(self._read([message], now)), now)
        if again:
            self._ledger.write("delete from again where message = ?", (message.number,))
        else:
            set_cursor(self._ledger, "work", message.number)
        self._starts.ended(name)

    def _note_batch(self, size: int) -> None:
        if size > cursor(self._ledger, "batch"):
            set_cursor(self._ledger, "batch", size)


PUT_IN_LINE = "insert or ignore into touched (patient) values (?)"


def unblock(ledger: Ledger, book: PatientBook, destination: str, course: str) -> None:
    """Let a course go on at a destination, unless something else still blocks it."""
    for item in book.items.values():
        if item.category in BLOCKING and item.destination == destination and item.course == course:
            return
    ledger.write(
        "update outbox set state = ? where patient = ? and destination = ? and course = ? and state = ?",
        (READY, book.number, destination, course, WAITING),
    )


def _is_gone(item: Item, made: Plan) -> bool:
    if item.key in made.items:
        return False
    if item.category in DERIVED:
        return True
    if item.category not in REFUSALS or made.answered is None:
        return False
    return item.key not in made.refusals_wanted and (not item.destination or item.destination in made.answered)


def _posting_row(number: int, patient: int, said: Said, send: int | None, edition: int) -> tuple[Any, ...]:
    line, charge = said.line, said.charge
    return (
        number, line.id, line.kind, line.mode, line.destination, patient, charge.course, line.line_key,
        *line_fields(charge), line.units, line.credits, said.previous, line.message, line.account,
        said.posted.isoformat(), said.cause, edition, send, why_text(charge),
    )  # fmt: skip
