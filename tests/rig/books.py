"""Reads the ledger beside the engine, by its own SQL, and checks after each step what was promised."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from rig.broken import Broken

_BOOKS = ("message", "event", "posting", "send", "attempt", "answer", "hold", "decision", "day")
_LINE = "bill, course, code, modifiers, day, end_day, place_of_service, provider, packaged, account"

# A refused credit never happened, and neither did one that was withdrawn or never arrived.
_OVERDRAWN = """
    select c.id from posting c join posting k on k.credits = c.id
    where k.send not in (select send from answer where kind in ('refused', 'withdrawn', 'not_arrived'))
    group by c.id having sum(k.units) > c.units"""
_STANDING = f"""
    select destination, hex(key), {_LINE}, sum(case kind when 'CHARGE' then units else -units end)
    from posting join patient on patient.number = posting.patient
    where send not in (select send from answer where kind in ('refused', 'withdrawn', 'not_arrived'))
    group by destination, key, {_LINE} having sum(case kind when 'CHARGE' then units else -units end) <> 0"""
_QUESTIONS = {
    "a posting without its message": """
        select p.id from posting p left join message m on m.number = p.message where m.number is null""",
    "a posting without its event": """
        select p.id from posting p where not exists
        (select 1 from event e where e.event_id = p.dated_by and e.patient = p.patient)""",
    "a posting without its rules": """
        select p.id from posting p left join edition e on e.number = p.edition
        where e.number is null or p.why in ('', '[]')""",
    "a posting without its send": """
        select p.id from posting p left join send s on s.number = p.send where s.number is null""",
    # What was withdrawn was never attempted.
    "an answer without its attempt": """
        select a.number from answer a left join attempt t on t.send = a.send and t.attempt = a.attempt
        where t.number is null and a.kind <> 'withdrawn'""",
}


class Snapshot(NamedTuple):
    """How far a book went at some step, and the digest of all its rows up to there."""

    book: str
    top: int
    digest: str


class BooksCheck:
    """Follow the books row by row, from outside: a second connection that only sees what is committed."""

    def __init__(self, path: Path) -> None:
        self._read = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self.messages: dict[bytes, int] = {}
        self.bodies: dict[str, bytes] = {}
        self._line_of: dict[str, tuple[Any, ...]] = {}
        self._tops = dict.fromkeys(("message", "posting", "send"), 0)
        self.snapshots: list[Snapshot] = []

    def close(self) -> None:
        self._read.close()

    def step(self, acked: list[bytes]) -> None:
        """Check what the last step added."""
        self._new_messages()
        self._new_postings()
        for control_id, body in self._rows("select number, control_id, body from send where number > ?", "send"):
            if control_id in self.bodies:
                raise Broken("I4", f"two messages under {control_id}")
            self.bodies[control_id] = body
        for raw in acked:
            if raw not in self.messages:
                raise Broken("I1", "an acknowledged message is not in the books")

    def _rows(self, sql: str, book: str) -> list[tuple[Any, ...]]:
        rows = self._read.execute(f"{sql} order by number", (self._tops[book],)).fetchall()
        for row in rows:
            if row[0] != self._tops[book] + 1:
                raise Broken("I5", f"{book} jumps to {row[0]}")
            self._tops[book] = row[0]
        return [row[1:] for row in rows]

    def _new_messages(self) -> None:
        for (raw,) in self._rows("select number, raw from message where number > ?", "message"):
            if raw in self.messages:
                raise Broken("I3", "the same bytes are stored twice")
            self.messages[raw] = self._tops["message"]

    def _new_postings(self) -> None:
        rows = self._rows(
            f"select number, id, kind, destination, patient, credits, slot, {_LINE} from posting where number > ?",
            "posting",
        )
        said: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        for name, kind, destination, patient, credits, slot, *line in rows:
            told = (destination, patient, *line)
            if kind == "CHARGE":
                self._line_of[name] = told
            else:
                self._credit(name, credits, told)
            said[*told, slot].add(kind)
        self._credits_first(rows)
        both = [told for told, kinds in said.items() if len(kinds) > 1]
        if both:
            raise Broken("I7", f"a line was credited and charged again unchanged: {both[0][:1] + both[0][2:6]}")

    def _credits_first(self, rows: list[tuple[Any, ...]]) -> None:
        """Check that within one correction nothing is charged before what it replaces is taken back."""
        charged: set[tuple[Any, ...]] = set()
        for _, kind, destination, patient, _, slot, _, course, code, *_ in rows:
            unit = (destination, patient, course, slot or code)
            if kind == "CHARGE":
                charged.add(unit)
            elif slot and unit in charged:
                raise Broken("I8", f"{code} at {destination} is charged before it is credited")

    def _credit(self, name: str, credits: str, told: tuple[Any, ...]) -> None:
        if credits not in self._line_of:
            raise Broken("I8", f"credit {name} of a charge that was never said")
        if self._line_of[credits][:-1] != told[:-1]:
            raise Broken("I8", f"credit {name} takes back another line than {credits}")

    def snapshot(self) -> None:
        """Remember how the books look now."""
        for book in _BOOKS:
            top = self._read.execute(f"select coalesce(max(number), 0) from {book}").fetchone()[0]
            self.snapshots.append(Snapshot(book, top, self._digest(book, top)))

    def _digest(self, book: str, top: int) -> str:
        digest = sha256()
        for row in self._read.execute(f"select * from {book} where number <= ? order by number", (top,)):
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def at_rest(self, quiet: bool) -> None:
        """Check what must hold once nothing is left to do; in a quiet run nothing was ever taken back."""
        if quiet and self._read.execute("select 1 from posting where kind = 'CREDIT'").fetchone():
            raise Broken("I7", "a credit, although everything came in order and nothing was changed")
        for book, top, digest in self.snapshots:
            if self._digest(book, top) != digest:
                raise Broken("I5", f"{book} was changed up to row {top}")
        self._no_limbo()
        self._explained()
        overdrawn = self._read.execute(_OVERDRAWN).fetchone()
        if overdrawn:
            raise Broken("I8", f"more was credited than was charged: {overdrawn[0]}")

    def _no_limbo(self) -> None:
        (read,) = self._read.execute("select coalesce(max(value), 0) from cursor where name = 'work'").fetchone()
        (newest,) = self._read.execute("select coalesce(max(number), 0) from message").fetchone()
        if read != newest:
            raise Broken("I2", f"messages {read + 1} to {newest} were never worked on")

    def _explained(self) -> None:
        """Check that each posting leads back to its message, event and rules, and each answer to its attempt."""
        for problem, sql in _QUESTIONS.items():
            found = self._read.execute(sql).fetchone()
            if found:
                raise Broken("I14", f"{problem}: {found[0]}")

    def standing(self) -> set[tuple[Any, ...]]:
        """Return each line that stands, with its units."""
        return set(self._read.execute(_STANDING))

    def stored(self) -> list[bytes]:
        """Return every message that is kept, in the order in which it came."""
        return [raw for (raw,) in self._read.execute("select raw from message order by number")]

    def items(self, category: str) -> list[tuple[Any, ...]]:
        """Return the open items of a category: key, destination, reason, note."""
        return self._read.execute(
            "select key, destination, reason, note from open_item where category = ? order by key",
            (category,),
        ).fetchall()
