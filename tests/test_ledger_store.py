"""The books themselves: what is written stays, or is not written at all."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_radcharge.errors import LedgerError
from fhir_radcharge.ledger import Ledger, reader, verify_chain
from fhir_radcharge.ledger.schema import BOOKS, KEPT


def note(ledger: Ledger, digest: str) -> None:
    with ledger.transaction():
        ledger.append("edition", [(ledger.next_number("edition"), digest)])


def digests(ledger: Ledger) -> list[str]:
    return [row[0] for row in ledger.read("select digest from edition order by number")]


def test_only_its_owner_can_read_what_was_heard(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")

    note(ledger, "1")

    assert {one.name: one.stat().st_mode & 0o077 for one in tmp_path.iterdir()} == {
        "a.db": 0, "a.db-wal": 0, "a.db-shm": 0, "a.db.lock": 0, "a.db.secret": 0
    }  # fmt: skip


def test_the_store_is_durable_as_it_promises(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")

    found = [ledger.read(f"pragma {name}")[0][0] for name in ("journal_mode", "synchronous", "wal_autocheckpoint")]

    assert found == ["wal", 2, 10_000]
    ledger.close()


def test_no_book_can_be_changed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    tables = {row[0] for row in ledger.read("select tbl_name from sqlite_master where type = 'trigger'")}
    note(ledger, "first")

    for sql in (
        "update edition set digest = 'x'",
        "delete from edition",
        "update chain set tops = ''",
        "delete from chain",
    ):
        with pytest.raises(LedgerError), ledger.transaction():
            ledger.write(sql)

    assert (set(KEPT), ["first"]) == (tables, digests(ledger))
    ledger.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")

    with pytest.raises(LedgerError, match="open in another process"):
        Ledger(tmp_path / "a.db")
    ledger.close()
    Ledger(tmp_path / "a.db").close()


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from fhir_radcharge.ledger import Ledger;"
        "ledger = Ledger(Path(sys.argv[1])); promise = ledger.transaction(); promise.__enter__();"
        "ledger.append('edition', [(1, 'lost')]); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).resolve().parents[1]

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], cwd=root, check=False)

    ledger = Ledger(tmp_path / "a.db")
    assert (done.returncode, digests(ledger)) == (-9, [])
    ledger.close()


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    note(ledger, "first")

    with pytest.raises(ZeroDivisionError), ledger.transaction():  # noqa: PT012
        ledger.append("edition", [(ledger.next_number("edition"), "second")])
        _ = 1 / 0
    note(ledger, "third")

    assert (digests(ledger), verify_chain(ledger.connection).problem) == (["first", "third"], None)
    ledger.close()


def test_a_part_that_failed_fails_the_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")

    with pytest.raises(LedgerError), ledger.transaction():  # noqa: PT012
        ledger.append("edition", [(1, "first")])
        try:
            with ledger.transaction():
                raise KeyError
        except KeyError:
            pass

    assert digests(ledger) == []
    ledger.close()


def test_nothing_is_written_outside_a_transaction(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")

    with pytest.raises(LedgerError):
        ledger.append("edition", [(1, "first")])
    with pytest.raises(LedgerError):
        ledger.write("insert into wake (patient, day) values (1, '2026-01-01')")
    ledger.close()


def test_after_an_error_of_the_database_nothing_continues(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")

    with pytest.raises(LedgerError), ledger.transaction():  # noqa: PT012
        ledger.append("edition", [(1, "first")])
        try:
            ledger.read("select nothing from nowhere")
        except LedgerError:
            ledger.append("edition", [(2, "second")])

    assert digests(ledger) == []
    ledger.close()


def test_a_full_disk_loses_the_transaction_and_no_more(tmp_path: Path) -> None:
    Ledger(tmp_path / "a.db").close()
    pages = os.path.getsize(tmp_path / "a.db") // 4096
    ledger = Ledger(tmp_path / "a.db", pages_max=pages + 2)
    kept: list[str] = []

    for i in range(60):
        try:
            note(ledger, f"{i}" * 500)
            kept.append(f"{i}" * 500)
        except LedgerError:
            pass

    assert 0 < len(kept) < 60
    assert (kept, None) == (digests(ledger), verify_chain(ledger.connection).problem)
    ledger.close()
    ledger = Ledger(tmp_path / "a.db")
    note(ledger, "space again")
    assert [*kept, "space again"] == digests(ledger)
    ledger.close()


def test_the_secret_is_for_its_owner_and_is_needed_ever_after(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    key = ledger.key("12345")
    ledger.close()
    secret = tmp_path / "a.db.secret"

    assert (secret.stat().st_mode & 0o777, secret.stat().st_size, len(key)) == (0o600, 32, 16)
    assert b"12345" not in key
    secret.chmod(0o644)
    with pytest.raises(LedgerError, match="600"):
        Ledger(tmp_path / "a.db")
    secret.chmod(0o600)
    secret.write_bytes(bytes(32))
    with pytest.raises(LedgerError, match="secret"):
        Ledger(tmp_path / "a.db")
    secret.unlink()
    with pytest.raises(LedgerError, match="put the secret"):
        Ledger(tmp_path / "a.db")


def test_books_of_a_newer_program_are_not_opened(tmp_path: Path) -> None:
    Ledger(tmp_path / "a.db").close()
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("pragma user_version = 99")
    connection.close()

    with pytest.raises(LedgerError, match="version 99"):
        Ledger(tmp_path / "a.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path / "a.db").close()
    (tmp_path / "a.db").write_bytes(b"not a database" * 1000)

    with pytest.raises(LedgerError):
        Ledger(tmp_path / "a.db")


def test_the_chain_finds_a_changed_a_lost_and_a_foreign_row(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    for digest in ("first", "second", "third"):
        note(ledger, digest)
    with ledger.transaction():
        ledger.append("message", [(1, "rv", "peer", "at", b"d", b"wrong content", "taken", b"AA", b"raw")])
    ledger.close()

    def broken(*statements: str) -> str | None:
        copy = sqlite3.connect(":memory:", isolation_level=None)
        source = sqlite3.connect(tmp_path / "a.db")
        source.backup(copy)
        source.close()
        for book in (*BOOKS, type("chain", (), {"name": "chain"})):
            for verb in ("update", "delete"):
                copy.execute(f"drop trigger {book.name}_no_{verb}")
        for statement in statements:
            copy.execute(statement)
        return verify_chain(copy).problem

    assert [
        broken(),
        broken("update edition set digest = 'x' where number = 2"),
        broken("delete from edition where number = 2"),
        broken("update chain set hash = zeroblob(32) where number = 2"),
        broken("delete from chain where number = 2"),
        broken("delete from message", "delete from chain where number = 4", "insert into edition values (4, 'x')"),
    ] == [
        "batch 4: the bytes of a message were changed",
        "batch 2: a row was changed",
        "batch 2: a row of edition is missing",
        "batch 2: the link is broken",
        "batch 2 is missing",
        "a row of edition belongs to no batch",
    ]


def test_a_reader_sees_what_is_committed_beside_the_writer(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    note(ledger, "first")
    beside = reader(tmp_path / "a.db")

    with ledger.transaction():
        ledger.append("edition", [(2, "second")])
        seen = beside.execute("select digest from edition").fetchall()
    after = beside.execute("select digest from edition").fetchall()

    assert (seen, after) == ([("first",)], [("first",), ("second",)])
    with pytest.raises(sqlite3.OperationalError):
        beside.execute("delete from wake")
    beside.close()
    ledger.close()
