"""What waits in the outbox into attempts, and how attempts ended into what stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fhir_radcharge.engine.brake import Brake
from fhir_radcharge.engine.declined import Declined
from fhir_radcharge.engine.items import Item, clear, hold, item_key
from fhir_radcharge.engine.patients import PatientBook, Patients
from fhir_radcharge.engine.rooms import Outcome, Send, label
from fhir_radcharge.engine.state import ASKED, OUT, READY, WAITING, cursor, is_paused, set_cursor
from fhir_radcharge.engine.work import unblock
from fhir_radcharge.ledger import Ledger

IN_PART = "in_part"
"""How an attempt ended whose message was taken but for the lines that its answer names."""


class Waiting(NamedTuple):
    """One row of the outbox."""

    seq: int
    destination: str
    patient: int
    course: str
    state: int
    attempt: int


class Sending:
    """Stop and wait on every lane, in the order of the books within a course, the same bytes at every attempt."""

    def __init__(
        self,
        ledger: Ledger,
        site: Any,
        clock: Callable[[], datetime],
        patients: Patients,
        credits_per_hour_max: int | None = None,
    ) -> None:
        self._ledger = ledger
        self._site = site
        self._clock = clock
        self._patients = patients
        self._brake = Brake(ledger, credits_per_hour_max)
        self._declined = Declined(ledger)

    def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]:
        """Return the next message of every free lane; its attempt is in the books before its bytes go out.

        A lane with an attempt that has no outcome yet is not free, whatever the caller says. After `not_taken`
        the caller leaves the lane out until it wants to try again. Nothing to send, or paused: an empty list.
        """
        with self._ledger.transaction():
            if is_paused(self._ledger, destination):
                return []
            self._divide(destination, lanes)
            if not self._ledger.read(_ANY, (destination, READY)):
                return []
            busy = {lane for (lane,) in self._ledger.read(_BUSY, (destination, OUT))}
            sends = []
            for lane in sorted(set(free_lanes) - busy):
                for seq, attempt, control_id, body in self._ledger.read(_NEXT, (destination, READY, lane)):
                    sends.append(Send(seq, destination, lane, control_id, body, attempt + 1))
            now = self._clock()
            sends = self._brake.allowed(destination, sends, now)
            at, number = label(now), self._ledger.next_number("attempt")
            self._ledger.append("attempt", [(number + i, send.seq, send.attempt, at) for i, send in enumerate(sends)])
            self._ledger.write_many(
                "update outbox set state = ?, attempt = ? where seq = ?",
                [(OUT, send.attempt, send.seq) for send in sends],
            )
            return sends

    def settle(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Append how attempts ended, and let it have its effect; an outcome of an older attempt has none.

        Returned are the patients whose postings were refused.
        """
        if not outcomes:
            return set()
        with self._ledger.transaction():
            at, number = label(self._clock()), self._ledger.next_number("answer")
            rows = self._outbox([outcome.seq for outcome in outcomes])
            answers: list[tuple[Any, ...]] = []
            done: list[tuple[int]] = []
            effects: list[tuple[Waiting, Outcome]] = []
            for outcome in outcomes:
                row = rows.get(outcome.seq)
                kind: str = outcome.kind
                if row is None or row.state != OUT or row.attempt != outcome.attempt:
                    kind = "late"
                else:
                    del rows[outcome.seq]
                    if kind == "refused" and self._refused_of(row, outcome):
                        kind = IN_PART
                    if kind == "accepted":
                        done.append((outcome.seq,))
                    else:
                        effects.append((row, outcome))
                answers.append(
                    (number + len(answers), outcome.seq, outcome.attempt, kind, outcome.code, at, outcome.raw)
                )
            self._ledger.append("answer", answers)
            self._ledger.write_many("delete from outbox where seq = ?", done)
            self._declined.ended([seq for (seq,) in done], at)
            for row, outcome in effects:
                self._effect(row, outcome, at)
            return {row.patient for row, outcome in effects if outcome.kind == "refused"}

    def recover(self) -> int:
        """Count attempts that the process before left without an outcome as silent ones; return how many."""
        out = self._ledger.read("select seq, attempt from outbox where state = ? order by seq", (OUT,))
        self.settle([Outcome(seq, attempt, "silent", "restart", b"") for seq, attempt in out])
        return len(out)

    # -- how an attempt ended ----------------------------------------------------------------------------------

    def _effect(self, row: Waiting, outcome: Outcome, at: str) -> None:
        # A destination that is no longer in the site's files is asked about: nothing says otherwise.
        declared = self._site.destinations.get(row.destination)
        if outcome.kind == "not_taken":
            self._ledger.write("update outbox set state = ? where seq = ?", (READY, row.seq))
            self._declined.not_taken(row.seq, row.destination, row.attempt, outcome.code, at)
            return
        self._declined.ended([row.seq], at)
        if outcome.kind == "refused":
            self.refuse(row, outcome.code, at, self._refused_of(row, outcome))
        elif declared is not None and declared.on_ambiguous == "resend":
            self._ledger.write("update outbox set state = ? where seq = ?", (READY, row.seq))
        else:
            self._ask(row, declared.on_ambiguous if declared is not None else "hold", at)

    def _refused_of(self, row: Waiting, outcome: Outcome) -> frozenset[str]:
        """Return the postings that a refusal names, where its destination takes the others; none: it is about all."""
        refused_lines = getattr(self._site.destinations.get(row.destination), "refused_lines", None)
        numbers = refused_lines(outcome.raw) if refused_lines is not None else frozenset()
        if not numbers:
            return frozenset()
        told = [line.id for line in self._patients.book(row.patient).lines.values() if line.send == row.seq]
        if max(numbers) > len(told) or len(numbers) == len(told):
            return frozenset()
        return frozenset(told[number - 1] for number in numbers)

    def refuse(self, row: Waiting, code: str, at: str, only: Collection[str] = ()) -> None:
        """Let postings never have happened, withdraw the credits that wait for them, and ask a person.

        `only` are those that were refused, where the others of the message were taken.
        """
        book = self.strike(row, only)
        items = []
        for line in book.lines.values():
            if line.send == row.seq and (not only or line.id in only):
                key = item_key(
                    "refused",
                    row.destination,
                    line.kind,
                    line.line_key,
                    line.charge.units,
                    line.units,
                    line.credits,
                )
                place = f"{line.charge.bill} {line.charge.code} {line.charge.day.isoformat()}"
                items.append(
                    Item(
                        key,
                        "refused",
                        code or "refused",
                        row.patient,
                        row.course,
                        row.destination,
                        line.message,
                        place,
                        line.id,
                    )
                )
        self._open(book, items, at)
        self._block(row)

    def strike(self, row: Waiting, only: Collection[str] = ()) -> PatientBook:
        """Take a message out of the outbox and what it says, or `only` some of it, out of what stands; touch its
        patient."""
        book = self._patients.book(row.patient)
        struck: list[str] = []
        messages = [row.seq]
        for seq in messages:
            self._ledger.write("delete from outbox where seq = ?", (seq,))
            if seq != row.seq:
                self._withdrawn(seq)
            told = [line.id for line in book.lines.values() if line.send == seq]
            if only and seq == row.seq:
                told = [name for name in told if name in only]
            struck += told
            for line in book.lines.values():
                # It names a charge that never happened, and waited for it, so its message was never said.
                if line.credits in told and line.id not in book.struck and line.send not in (None, *messages):
                    assert line.send is not None
                    messages.append(line.send)
        self._ledger.write_many(
            "insert or ignore into struck (patient, posting) values (?, ?)",
            [(book.lines[name].patient, name) for name in struck],
        )
        book.struck.update(struck)
        self._ledger.write("insert or ignore into touched (patient) values (?)", (row.patient,))
        return book

    def _withdrawn(self, seq: int) -> None:
        number = self._ledger.next_number("answer")
        self._ledger.append("answer", [(number, seq, 0, "withdrawn", "", label(self._clock()), b"")])

    def _ask(self, row: Waiting, policy: str, at: str) -> None:
        book = self._patients.book(row.patient)
        self._ledger.write("update outbox set state = ? where seq = ?", (ASKED, row.seq))
        name = next((line.id for line in book.lines.values() if line.send == row.seq), "")
        self._open(
            book,
            [Item(item_key("unanswered", row.destination, name), "unanswered", policy, row.patient, row.course,
                  row.destination, place=f"attempt {row.attempt}", note=name)],
            at,
        )  # fmt: skip
        self._block(row)

    def _open(self, book: PatientBook, items: Iterable[Item], at: str) -> None:
        for item in items:
            hold(self._ledger, [item], at)
            book.items[item.key] = item

    def _block(self, row: Waiting) -> None:
        self._ledger.write(
            "update outbox set state = ? where patient = ? and destination = ? and course = ? and state = ?",
            (WAITING, row.patient, row.destination, row.course, READY),
        )

    # -- what a person says of it ------------------------------------------------------------------------------

    def said_of(self, item: Item, verdict: str, at: str) -> None:
        """Act on what a person knows of an unanswered message: arrived, resend or not_arrived."""
        book = self._patients.book(item.patient)
        seq = next(line.send for line in book.lines.values() if line.id == item.note)
        assert seq is not None
        row = self._outbox([seq])[seq]
        number = self._ledger.next_number("answer")
        self._ledger.append("answer", [(number, seq, row.attempt, verdict, "", at, b"")])
        if verdict == "arrived":
            self._ledger.write("delete from outbox where seq = ?", (seq,))
        elif verdict == "resend":
            self._ledger.write("update outbox set state = ? where seq = ?", (READY, seq))
        else:
            self.strike(row)
        self.close(item, at)

    def close(self, item: Item, at: str) -> None:
        """Close an item of a patient; the course that it blocked goes on."""
        clear(self._ledger, [item], at)
        if item.patient:
            book = self._patients.book(item.patient)
            book.items.pop(item.key, None)
            unblock(self._ledger, book, item.destination, item.course)

    # -- inside ------------------------------------------------------------------------------------------------

    def _outbox(self, seqs: Sequence[int]) -> dict[int, Waiting]:
        marks = ",".join("?" * len(seqs))
        rows = self._ledger.read(
            f"select seq, destination, patient, course, state, attempt from outbox where seq in ({marks})",  # noqa: S608
            seqs,
        )
        return {row[0]: Waiting(*row) for row in rows}

    def _divide(self, destination: str, lanes: int) -> None:
        """Give every waiting message its lane anew where the number of lanes was changed."""
        if cursor(self._ledger, f"lanes/{destination}") == lanes:
            return
        self._ledger.write("update outbox set lane = patient % ? where destination = ?", (lanes, destination))
        set_cursor(self._ledger, f"lanes/{destination}", lanes)


_ANY = "select 1 from outbox where destination = ? and state = ? limit 1"
_BUSY = "select distinct lane from outbox where destination = ? and state = ?"
_NEXT = (
    "select o.seq, o.attempt, s.control_id, s.body from outbox o join send s on s.number = o.seq"
    " where o.destination = ? and o.state = ? and o.lane = ? order by o.seq limit 1"
)
