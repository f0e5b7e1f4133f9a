"""`books`: whole books hold every promise, and each kind of damage is seen."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from fhir_radcharge.cli import exit_code
from tests.cli_desk import Desk, copied, course_messages


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A course in which much goes wrong, message by message, all accepted."""
    made = Desk(tmp_path_factory.mktemp("books"))
    made.hear(*course_messages(courses=1, size="torture", seed=5))
    made.send()
    return made.close()


def damaged(desk: Desk, *statements: str) -> list[str]:
    """Change the books behind the back of the engine and return the invariants that are seen broken."""
    connection = sqlite3.connect(desk.folder / "books.db")
    for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")
    for statement in statements:
        assert connection.execute(statement).rowcount, statement
    connection.commit()
    connection.close()
    result = desk.run("books", "--json")
    checks = json.loads(result.output)["checks"]
    broken = [check["ids"] for check in checks if check["verdict"] == "BROKEN"]
    assert result.exit_code == (1 if broken else 0)
    return broken


def test_books_that_the_engine_wrote_hold_every_promise(base: Desk) -> None:
    result = base.run("books", "--json")
    told = json.loads(result.output)

    assert (0, True) == (result.exit_code, told["ok"])
    assert {"I2": "holds", "I3": "holds", "I4": "holds", "I5 I8": "holds", "I7": "holds", "I14": "holds", "I6": "holds"} == {
        check["ids"]: check["verdict"] for check in told["checks"]}  # fmt: skip
    assert base.one("select count(*) from chain") == told["head"]["batch"]


def test_a_copy_is_checked_without_its_site(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    desk.config.unlink()
    from click.testing import CliRunner

    from fhir_radcharge.cli import cli

    result = CliRunner().invoke(cli, ["books", "--database", str(desk.folder / "books.db")])

    assert 0 == result.exit_code
    assert "BROKEN" not in result.output
    assert "I6" not in result.output


@pytest.mark.parametrize(
    ("statements", "seen"),
    [
        (["update posting set units = 9 where number = 3"], ["I5 I8", "I6"]),
        (["update posting set id = 'AAAAAAAAAAAA' where number = 3"], ["I4", "I5 I8"]),
        (["delete from message where number = 2"], ["I5 I8"]),
        (["update message set disposition = 'lost' where number = 4"], ["I2", "I5 I8"]),
        (["delete from hold where action = 'held'"], ["I5 I8", "I14"]),
        (["delete from edition"], ["I5 I8", "I14"]),
        (["update cursor set value = 100000 where name = 'work'"], ["I2"]),
        (["update chain set hash = zeroblob(32) where number = 5"], ["I5 I8"]),
        (["insert into struck select patient, id from posting where kind = 'CHARGE' limit 1"], ["I5 I8", "I6"]),
    ],
)  # fmt: skip
def test_damage_is_seen(base: Desk, tmp_path: Path, statements: list[str], seen: list[str]) -> None:
    assert seen == damaged(copied(base, tmp_path), *statements)


def test_what_is_due_is_judged_by_the_tables_that_compute_and_not_by_an_edited_folder(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    path = desk.folder / "mappings/rules/level_codes.yaml"
    path.write_text(path.read_text().replace('code: "77407"', 'code: "77412"'))

    result = desk.run("books")

    assert 0 == result.exit_code
    assert "not judged" not in result.output


def test_what_is_due_is_not_judged_by_other_tables(tmp_path: Path) -> None:
    desk = Desk(tmp_path, activate=False)
    desk.engine.decisions.activate(desk.site.digest, "all", "ada", "by an earlier version, which kept no tables")
    desk.close()
    path = desk.folder / "mappings/settings.yaml"
    path.write_text(path.read_text() + "# another day\n")

    result = desk.run("books")

    assert 0 == result.exit_code
    assert "I6 is not judged: other tables compute than those that are loaded here\n" in result.output


def earlier(desk: Desk) -> Path:
    """Return the books as the program of an earlier version left them: without the last of the tables."""
    path = desk.folder / "books.db"
    connection = sqlite3.connect(path)
    connection.executescript("drop table identity; pragma user_version = 3;")
    connection.close()
    return path


@pytest.mark.parametrize("words", [("books", "--database", "{}"), ("books",), ("explain", "C0000001"),
                                   ("reconcile", "--from", "2026-02-01", "--to", "2026-04-01")])
def test_a_backup_of_an_earlier_version_is_not_changed_and_says_what_carries_it_over(
    base: Desk, tmp_path: Path, words: tuple[str, ...]
) -> None:
    desk = copied(base, tmp_path)
    path = earlier(desk)
    before = path.read_bytes()

    result = desk.run(*(word.format(path) for word in words))

    assert (
        "books.db: these books are of version 3 and this program reads version 5; put them where `store.path` says, and"
        " the first verb that writes, such as `pause`, carries them over. Nothing was changed"
    ) == str(result.exception)
    assert (3, before) == (exit_code(result.exception), path.read_bytes())


def test_the_first_verb_that_writes_carries_the_books_over(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    earlier(desk)

    written = desk.run("pause", "global_biller", "--by", "ada", "--why", "restored")

    assert (0, 0) == (written.exit_code, desk.run("books").exit_code), written.exception


def test_books_of_a_later_version_and_what_is_none_are_told_apart(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    path = earlier(desk)
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    (tmp_path / "other.db").write_bytes(b"")
    (tmp_path / "text.db").write_text("no database at all, only words" * 100)

    told = [str(desk.run("books", "--database", str(at)).exception) for at in
            (path, tmp_path / "other.db", tmp_path / "text.db")]  # fmt: skip

    assert told[0] == (
        "books.db: these books are of version 99 and this program reads version 5; read them with the program that wrote them"
    )
    assert ["other.db: cannot be read as books", "text.db: cannot be read as books"] == [
        ": ".join(text.split(": ")[:2]) for text in told[1:]
    ]
