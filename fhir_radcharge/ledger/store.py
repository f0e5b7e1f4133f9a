"""The ledger: one SQLite file, one writer, one durable commit for every promise."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fhir_radcharge.errors import LedgerError
from fhir_radcharge.ledger.chain import GENESIS, link, rows_digest
from fhir_radcharge.ledger.lock import Lock, site_secret
from fhir_radcharge.ledger.schema import BOOKS, MIGRATIONS, guards

# Measured: at 10,000 pages a commit waits less often for a checkpoint than at SQLite's 1,000.
CHECKPOINT_PAGES = 10_000
# Below this nothing new is heard, so that what was heard can still be worked through and sent.
FREE_BYTES_MIN = 64 << 20
# Before 3.51.3 a checkpoint that races with another connection may corrupt a WAL database: one connection writes and
# checkpoints, and nothing else does.
SEVERAL_CONNECTIONS_FROM = (3, 51, 3)
SINGLE_CONNECTION = sqlite3.sqlite_version_info < SEVERAL_CONNECTIONS_FROM

_INSERT = {
    book.name: f"insert into {book.name} ({', '.join(book.columns)}) values ({', '.join('?' * len(book.columns))})"  # noqa: S608
    for book in BOOKS
}


class Ledger:
    """The append-only books, open for writing by this process alone.

    After any error of the database the transaction is rolled back, the connection is dropped and `LedgerError`
    is raised; `generation` counts these, so that whoever remembers what was read knows to forget it.
    """

    def __init__(
        self, path: Path, *, pages_max: int | None = None, free_bytes_min: int = FREE_BYTES_MIN,
        lock_within_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self._free_bytes_min = free_bytes_min
        self.generation = 0
        self._pages_max = pages_max
        self._depth = 0
        self._failed = False
        self._rows: dict[str, list[Sequence[Any]]] = {}
        self._tops: dict[str, int] = {}
        self._head = (0, GENESIS)
        self._connection: sqlite3.Connection | None = None
        self.lock = Lock(self.path, lock_within_s)
        try:
            existed = self.path.exists() and self.path.stat().st_size > 0
            self._secret = site_secret(self.path, create=not existed)
            self._connect()
        except BaseException:
            self._drop()
            self.lock.release()
            raise

    # -- one transaction per promise ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside durable together, or nothing of it; inside another one, join that."""
        if self._depth:
            self._depth += 1
            try:
                yield
            except BaseException:
                self._failed = True
                raise
            finally:
                self._depth -= 1
            return
        connection = self._ready()
        try:
            connection.execute("begin immediate")
            self._depth, self._failed = 1, False
            yield
            if self._failed:
                raise LedgerError("a part of the transaction failed, so none of it is kept")
            self._seal(connection)
            if not connection.in_transaction:
                raise LedgerError("the database ended the transaction by itself")
            self._commit(connection)
        except sqlite3.Error as error:
            self._drop()
            raise LedgerError(f"the ledger cannot be written: {_name(error)}") from error
        except LedgerError:
            self._drop()
            raise
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._depth = 0
            self._rows = {}

    def append(self, book: str, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows to a book; the first column is the number that `next_number` promised."""
        if not rows:
            return
        connection = self._writing()
        connection.executemany(_INSERT[book], rows)
        self._rows.setdefault(book, []).extend(rows)
        self._tops[book] = rows[-1][0]

    def need_space(self) -> None:
        """Raise LedgerError while the disk has too little room for new messages."""
        if not self._free_bytes_min:
            return
        disk = os.statvfs(self.path.parent)
        if disk.f_bavail * disk.f_frsize < self._free_bytes_min:
            raise LedgerError(
                f"less than {self._free_bytes_min >> 20} MiB are free where {self.path.name} stands: nothing is heard"
            )

    def next_number(self, book: str) -> int:
        """Return the number that the next row of a book will have."""
        return self._tops[book] + 1

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Change a working table and return how many rows changed."""
        return self._writing().execute(sql, parameters).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Change a working table once for every row."""
        self._writing().executemany(sql, rows)

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows that answer a question."""
        connection = self._writing() if self._depth else self._ready()
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            # Whoever catches this inside a transaction cannot save the transaction.
            self._failed = True
            if not self._depth:
                self._drop()
            raise LedgerError(f"the ledger cannot be read: {_name(error)}") from error

    @property
    def connection(self) -> sqlite3.Connection:
        """The one connection, for reports that read a stream of rows."""
        return self._ready()

    def key(self, identity: str) -> bytes:
        """Return the keyed hash by which the books know a person or an account."""
        return blake2b(identity.encode(), digest_size=16, key=self._secret).digest()

    @property
    def head(self) -> tuple[int, str]:
        """The number and hash of the newest batch, to be noted elsewhere."""
        return self._head[0], self._head[1].hex()

    def close(self) -> None:
        """Close the books and let another process have them."""
        self._drop()
        self.lock.release()

    # -- inside ------------------------------------------------------------------------------------------------

    def _seal(self, connection: sqlite3.Connection) -> None:
        if not self._rows:
            return
        tops = json.dumps([self._tops[book.name] for book in BOOKS], separators=(",", ":"))
        digest = rows_digest(self._rows)
        number, head = self._head[0] + 1, link(self._head[1], tops, digest)
        connection.execute(
            "insert into chain (number, tops, digest, hash) values (?, ?, ?, ?)", (number, tops, digest, head)
        )
        self._head = number, head

    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.execute("commit")

    def _writing(self) -> sqlite3.Connection:
        # After SQLITE_FULL the database has rolled back by itself; a statement would then commit alone.
        connection = self._connection
        if connection is None or not self._depth or self._failed or not connection.in_transaction:
            raise LedgerError("nothing is written outside a transaction")
        return connection

    def _ready(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        return self._connection

    def _roll_back(self) -> None:
        self.generation += 1
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("rollback")
            self._load(connection)
        except sqlite3.Error:
            self._drop()

    def _drop(self) -> None:
        self.generation += 1
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for leave in (_rolled_back, sqlite3.Connection.close):
            try:
                leave(connection)
            except sqlite3.Error:
                continue

    def _connect(self) -> None:
        try:
            # Whole messages are in it, so only its owner may read it; what SQLite makes beside it is made alike.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # The gateway builds the ledger on one thread and then uses it on one other, never on two at once.
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._connection = connection
            self._tune(connection)
            _migrate(connection)
            self._check_secret(connection)
            self._load(connection)
        except (sqlite3.Error, OSError) as error:
            self._drop()
            raise LedgerError(f"{self.path.name} cannot be opened: {error}") from error
        except BaseException:
            self._drop()
            raise

    def _tune(self, connection: sqlite3.Connection) -> None:
        for pragma in (
            "journal_mode = wal",
            "synchronous = full",
            "mmap_size = 0",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            "cache_size = -32000",
            "busy_timeout = 5000",
            "temp_store = memory",
            "foreign_keys = on",
        ):
            connection.execute(f"pragma {pragma}")
        if self._pages_max is not None:
            connection.execute(f"pragma max_page_count = {self._pages_max}")
        for pragma, wanted in (("journal_mode", "wal"), ("synchronous", 2), ("mmap_size", 0)):
            row = connection.execute(f"pragma {pragma}").fetchone()
            if row is not None and row[0] != wanted:
                raise LedgerError(f"{self.path.name}: {pragma} is {row[0]!r} and must be {wanted!r}")

    def _check_secret(self, connection: sqlite3.Connection) -> None:
        told = blake2b(b"site secret", digest_size=16, key=self._secret).hexdigest()
        connection.execute("insert or ignore into meta (name, value) values ('secret', ?)", (told,))
        if connection.execute("select value from meta where name = 'secret'").fetchone()[0] != told:
            raise LedgerError(f"{self.path.name}: the secret beside it is not the one it was written with")

    def _load(self, connection: sqlite3.Connection) -> None:
        self._tops = {
            book.name: connection.execute(f"select coalesce(max(number), 0) from {book.name}").fetchone()[0]  # noqa: S608
            for book in BOOKS
        }
        row = connection.execute("select number, hash from chain order by number desc limit 1").fetchone()
        self._head = row if row is not None else (0, GENESIS)


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _rolled_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("rollback")


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("pragma user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise LedgerError(f"the books are of version {version}, this program knows up to {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        # Only after the last of them is every book there to be guarded.
        guarded = guards() if number == len(MIGRATIONS) else ""
        connection.executescript(f"begin immediate;\n{script}\n{guarded}\npragma user_version = {number};\ncommit;")


def reader(path: Path) -> sqlite3.Connection:
    """Open the books for reading only, beside a running writer."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)


def unreadable(connection: sqlite3.Connection, name: str, error: sqlite3.Error) -> LedgerError:
    """Return why a reader cannot read the books, and the way out: a reader never carries them over to a new version."""
    known = len(MIGRATIONS)
    try:
        version = connection.execute("pragma user_version").fetchone()[0]
    except sqlite3.Error:
        version = 0
    if version in (0, known):
        return LedgerError(f"{name}: cannot be read as books: {error}")
    told = f"{name}: these books are of version {version} and this program reads version {known}"
    if version > known:
        return LedgerError(f"{told}; read them with the program that wrote them")
    return LedgerError(
        f"{told}; put them where `store.path` says, and the first verb that writes, such as `pause`, carries them"
        " over. Nothing was changed"
    )


Clock = Callable[[], Any]
