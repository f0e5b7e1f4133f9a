"""Editions of official tables kept in a database file of their own, beside the ledger.

Both times are kept: a row's day of service, and the day from which its edition was known. An edition is
written once and never changed; one that comes in parts answers nothing until it is whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import LedgerError
from .names import Kind
from .rows import Faults, FeeRow, LimitRow, PairRow, code_text

APPLICATION_ID = 0x52434F46   # "RCOF"
SCHEMA_VERSION = 1
BATCH_ROWS = 20_000

_SCHEMA = """
create table edition (
  id integer primary key, kind text not null, name text not null, as_of integer not null,
  known_from integer not null, parts integer not null, complete integer not null, row_count integer not null
);
create table part (
  edition integer not null, part integer not null, file text not null, sha256 text not null,
  known_from integer not null, row_count integer not null, tombstones integer not null,
  bad_rows integer not null,
  primary key (edition, part)
) without rowid;
create table ptp (
  edition integer not null, first integer not null, second integer not null, effective integer not null,
  deleted integer, indicator integer not null, part integer not null, line integer not null,
  primary key (edition, first, second, effective)
) without rowid;
create table mue (
  edition integer not null, code integer not null, units integer not null, mai integer not null,
  line integer not null,
  primary key (edition, code)
) without rowid;
create table schedule (
  edition integer not null, code integer not null, modifier text not null, status text not null,
  component text not null, supervision text not null, apc text not null, amount text not null,
  line integer not null,
  primary key (edition, code, modifier)
) without rowid;
"""


_Name = Callable[[Sequence[object]], str]
_Values = Sequence[tuple[Any, ...]]


class Edition(NamedTuple):
    """One edition of one table: what it is for (`as_of`) and since when it was known."""

    id: int
    kind: Kind
    name: str
    as_of: date
    known_from: date
    parts: int
    complete: bool
    rows: int


class Part(NamedTuple):
    """One imported file of an edition."""

    part: int
    file: str
    sha256: str
    known_from: date
    rows: int
    tombstones: int
    bad_rows: int


class OfficialStore:
    """The editions on disk. One object writes at a time; readers of the same file are not kept waiting."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        try:
            self.database = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: the official tables cannot be opened ({error})") from None

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def editions(self, kind: Kind | None = None) -> tuple[Edition, ...]:
        """Return all editions of a kind, or of every kind, in the order in which they were imported."""
        return editions(self.database, kind)

    def parts(self, edition: int) -> tuple[Part, ...]:
        """Return the imported files of an edition."""
        query = (
            "select part, file, sha256, known_from, row_count, tombstones, bad_rows from part"
            " where edition = ? order by part"
        )
        return tuple(
            Part(part, file, sha256, date.fromordinal(known), *counts)
            for part, file, sha256, known, *counts in self.database.execute(query, (edition,))
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep everything written inside, or nothing."""
        try:
            self.database.execute("begin immediate")
            try:
                yield
            except BaseException:
                if self.database.in_transaction:   # a full disk has rolled back by itself
                    self.database.execute("rollback")
                raise
            self.database.execute("commit")
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: the official tables cannot be written ({error})") from None

    def edition_for(self, kind: Kind, name: str, as_of: date, known_from: date, parts: int) -> Edition:
        """Return the edition of that name that still waits for parts, or begin a new one."""
        for edition in reversed(self.editions(kind)):
            if edition.name == name and not edition.complete:
                return edition
        self.database.execute(
            "insert into edition (kind, name, as_of, known_from, parts, complete, row_count)"
            " values (?, ?, ?, ?, ?, 0, 0)",
            (kind, name, as_of.toordinal(), known_from.toordinal(), parts),
        )
        return self.editions(kind)[-1]

    def add_part(self, edition: Edition, part: Part) -> Edition:
        """Record an imported file and return its edition, known since its last part was."""
        self.database.execute(
            "insert into part values (?, ?, ?, ?, ?, ?, ?, ?)",
            (edition.id, part.part, part.file, part.sha256, part.known_from.toordinal(),
             part.rows, part.tombstones, part.bad_rows),
        )
        self.database.execute(
            "update edition set known_from = max(known_from, ?1), row_count = row_count + ?2,"
            " complete = (select count(*) from part where edition = ?3) >= parts where id = ?3",
            (part.known_from.toordinal(), part.rows, edition.id),
        )
        return next(found for found in self.editions(edition.kind) if found.id == edition.id)

    def add_pairs(self, edition: int, part: int, rows: Sequence[PairRow], faults: Faults) -> int:
        """Insert pair edits and return how many; a pair given twice for one date is a bad row."""
        values = [(edition, *row[:5], part, row.line) for row in rows]
        return self._insert("insert into ptp values (?, ?, ?, ?, ?, ?, ?, ?)", values, faults, _pair_name)

    def add_limits(self, edition: int, rows: Iterable[LimitRow], faults: Faults) -> int:
        """Insert unit limits and return how many; a code given twice is a bad row."""
        values = [(edition, *row) for row in rows]
        return self._insert("insert into mue values (?, ?, ?, ?, ?)", values, faults, _code_name)

    def add_fees(self, edition: int, rows: Iterable[FeeRow], faults: Faults) -> int:
        """Insert schedule rows and return how many; a code and modifier given twice is a bad row."""
        values = [(edition, *row) for row in rows]
        statement = "insert into schedule values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        return self._insert(statement, values, faults, _code_name)

    def _insert(self, statement: str, values: _Values, faults: Faults, name: _Name) -> int:
        # The whole batch at once; only a batch with a double is gone through row by row, to find its line.
        self.database.execute("savepoint batch")
        try:
            self.database.executemany(statement, values)
        except sqlite3.IntegrityError:
            self.database.execute("rollback to batch")
            return self._insert_singly(statement, values, faults, name)
        finally:
            self.database.execute("release batch")
        return len(values)

    def _insert_singly(self, statement: str, values: _Values, faults: Faults, name: _Name) -> int:
        kept = 0
        for row in values:
            try:
                self.database.execute(statement, row)
                kept += 1
            except sqlite3.IntegrityError:
                faults.add(int(str(row[-1])), f"{name(row)} is there twice")
        return kept

    def _prepare(self) -> None:
        database = self.database
        (version,) = database.execute("pragma user_version").fetchone()
        (application,) = database.execute("pragma application_id").fetchone()
        if version == 0 and not database.execute("select 1 from sqlite_master").fetchone():
            database.execute("pragma journal_mode = wal")
            database.executescript(
                f"begin; {_SCHEMA} pragma application_id = {APPLICATION_ID};"
                f" pragma user_version = {SCHEMA_VERSION}; commit;"
            )
        elif (version, application) != (SCHEMA_VERSION, APPLICATION_ID):
            raise sqlite3.DatabaseError("not a file of official tables of this version; name another file")
        database.execute("pragma synchronous = full")
        database.execute("pragma cache_size = -65536")


def editions(database: sqlite3.Connection, kind: Kind | None = None) -> tuple[Edition, ...]:
    """Return the editions in a database, in the order in which they were imported."""
    query = (
        "select id, kind, name, as_of, known_from, parts, complete, row_count from edition"
        " where kind = coalesce(?, kind) order by id"
    )
    return tuple(
        Edition(id, kind, name, date.fromordinal(as_of), date.fromordinal(known), parts, bool(complete), rows)
        for id, kind, name, as_of, known, parts, complete, rows in database.execute(query, (kind,))
    )


def _pair_name(row: Sequence[object]) -> str:
    first, second, effective = (int(str(cell)) for cell in row[1:4])
    return f"the pair {code_text(first)}, {code_text(second)} from {date.fromordinal(effective)}"


def _code_name(row: Sequence[object]) -> str:
    return f"the code {code_text(int(str(row[1])))}"
