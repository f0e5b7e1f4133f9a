"""Which records are one patient, which visits are one, and who pays: derived from all that was said, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

from fhir_radcharge.engine.state import cursor
from fhir_radcharge.ledger import Ledger


class Coverage(NamedTuple):
    """Who pays for a visit, by the greatest revision; `message` has the insurance segments."""

    payer: str
    insurance: str
    message: int


Name = TypeVar("Name", int, str)


class Merge(NamedTuple, Generic[Name]):
    """One record, or visit, said to be another one; what is said at the greatest revision stands."""

    order: tuple[int, bytes]
    patient: Name
    survivor: Name


def standing_merges(merges: Iterable[Merge[Name]]) -> dict[Name, Name]:
    """Return for each merged record, or visit, the one that it went into; the same for the same merges in any order.

    A record goes into one other only, and never in a circle: the greatest revision is heard first, and what
    contradicts it not at all.
    """
    into: dict[Name, Name] = {}
    for merge in sorted(set(merges), reverse=True):
        if merge.patient not in into and last(into, merge.survivor) != merge.patient:
            into[merge.patient] = merge.survivor
    return into


def last(into: dict[Name, Name], number: Name) -> Name:
    """Return the end of a chain of merges."""
    while number in into:
        number = into[number]
    return number


def ever_one(merges: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    """Return for each record those that were ever said to be the same person, whichever saying stands now."""
    same: dict[int, set[int]] = {}
    for pair in merges:
        whole = set[int]().union(*(same.get(number, {number}) for number in pair))
        same.update(dict.fromkeys(whole, whole))
    return same


class Identities:
    """What the books say of identity, kept in memory; read again when a transaction failed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known = (-1, -1)
        self._into: dict[int, int] = {}
        self._groups: dict[int, list[int]] = {}

    def survivor(self, number: int) -> int:
        """Return the record that a patient's record went into, or itself."""
        self._refresh()
        return last(self._into, number) if number in self._into else number

    def group(self, survivor: int) -> Sequence[int]:
        """Return every record that is this patient, the surviving one first."""
        self._refresh()
        return (survivor, *self._groups.get(survivor, ()))

    def append(self, rows: Sequence[tuple[str, int, int, str, str, str, int, int]]) -> set[int]:
        """Append statements and return who is touched.

        One is kind, patient, other, account, payer, insurance, revision and message; one that is in the books is a
        repeat and changes nothing.
        """
        touched: set[int] = set()
        for kind, patient, other, account, payer, insurance, revision, message in rows:
            content = _content(self._ledger, kind, patient, other, account, payer, insurance, revision)
            known = self._ledger.read("select 1 from identity where patient = ? and content = ?", (patient, content))
            if known or (kind == "merge" and patient == other):
                continue
            number = self._ledger.next_number("identity")
            before = {*self._line(patient), *(self._line(other) if other else ())}
            self._ledger.append(
                "identity", [(number, kind, patient, other, account, payer, insurance, revision, message, content)]
            )
            after = {*self._line(patient), *(self._line(other) if other else ())}
            touched |= before | after
        self._move_waiting(touched)
        return touched

    def visits(self, group: Sequence[int]) -> dict[str, str]:
        """Return for each visit of a patient that became another one which it became."""
        marks = ",".join("?" * len(group))
        rows = self._ledger.read(
            "select revision, content, account from identity"  # noqa: S608
            f" where kind = 'visit' and patient in ({marks})",
            tuple(group),
        )
        return standing_merges(
            Merge((revision, content), *account.split("/", 1)) for revision, content, account in rows
        )

    def coverages(self, group: Sequence[int], visits: dict[str, str]) -> dict[str, Coverage]:
        """Return who pays for each visit of a patient, by the visit that it became."""
        marks = ",".join("?" * len(group))
        rows = self._ledger.read(
            "select account, payer, insurance, message from identity"  # noqa: S608
            f" where kind = 'coverage' and patient in ({marks}) order by revision, content",
            tuple(group),
        )
        return {last(visits, account): Coverage(*told) for account, *told in rows}

    def message_naming(self, number: int) -> int:
        """Return the newest message that names this record as the patient, 0 if there is none."""
        ((event,),) = self._ledger.read("select coalesce(max(message), 0) from event where patient = ?", (number,))
        ((said,),) = self._ledger.read(
            "select coalesce(max(message), 0) from identity where other = ? or (patient = ? and kind = 'coverage')",
            (number, number),
        )
        return max(int(event), int(said))

    def named_in(self, message: int) -> int:
        """Return the record that a message with events names, 0 if it has none."""
        rows = self._ledger.read("select patient from event where message = ? limit 1", (message,))
        return int(rows[0][0]) if rows else 0

    def visit_in(self, message: int) -> str:
        """Return the visit that a message reports its events for, "" if it has none."""
        rows = self._ledger.read("select account from event where message = ? limit 1", (message,))
        return str(rows[0][0]) if rows else ""

    def message_of_visit(self, visit: str, group: Sequence[int]) -> int:
        """Return the newest message that says that a visit of a patient became this one, 0 if there is none."""
        marks = ",".join("?" * len(group))
        ((message,),) = self._ledger.read(
            "select coalesce(max(message), 0) from identity"  # noqa: S608
            f" where kind = 'visit' and patient in ({marks}) and account like '%/' || ?",
            (*group, visit),
        )
        return int(message)

    def insured_in(self, insurance: str, group: Sequence[int]) -> int:
        """Return the newest message of a patient that has these insurance segments, 0 if there is none."""
        marks = ",".join("?" * len(group))
        ((message,),) = self._ledger.read(
            f"select coalesce(max(message), 0) from identity where insurance = ? and patient in ({marks})",  # noqa: S608
            (insurance, *group),
        )
        return int(message)

    # -- inside ------------------------------------------------------------------------------------------------

    def _line(self, number: int) -> Sequence[int]:
        return self.group(self.survivor(number))

    def _refresh(self) -> None:
        now = self._ledger.generation, self._ledger.next_number("identity")
        if now == self._known:
            return
        rows = self._ledger.read("select revision, content, patient, other from identity where kind = 'merge'")
        self._into = standing_merges(Merge((revision, content), old, new) for revision, content, old, new in rows)
        self._groups = {}
        for number in sorted(self._into):
            self._groups.setdefault(last(self._into, number), []).append(number)
        self._known = now

    def _move_waiting(self, touched: Iterable[int]) -> None:
        """Put what waits for an answer into the lane of the surviving record, so that a credit cannot overtake it."""
        for number in touched:
            survivor = self.survivor(number)
            for seq, destination in self._ledger.read(
                "select o.seq, o.destination from outbox o join posting p on p.send = o.seq where p.patient = ?",
                (number,),
            ):
                lanes = cursor(self._ledger, f"lanes/{destination}") or 1
                self._ledger.write(
                    "update outbox set patient = ?, lane = ? where seq = ?", (survivor, survivor % lanes, seq)
                )
            if survivor != number:
                self._ledger.write("delete from wake where patient = ?", (number,))


def _content(ledger: Ledger, kind: str, patient: int, other: int, *told: object) -> bytes:
    # The keyed hashes of the records, because their numbers depend on what was heard first.
    keys = [
        ledger.read("select hex(key) from patient where number = ?", (number,))[0][0]
        for number in (patient, other)
        if number
    ]
    return blake2b("\0".join([kind, *keys, *map(str, told)]).encode(), digest_size=16).digest()
