"""Tables and official files that come while a server runs: in force at once, in its own books, without a restart."""

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import zlib
from datetime import date
from pathlib import Path

import pytest

from fhir_radcharge.config import load
from fhir_radcharge.control import VERBS
from fhir_radcharge.control.opening_file import COLUMNS
from fhir_radcharge.editions import packed, written
from fhir_radcharge.errors import LedgerError, UnsafeError
from fhir_radcharge.ledger import Ledger, verify_chain
from fhir_radcharge.ledger.chain import GENESIS, link, rows_digest
from fhir_radcharge.ledger.schema import BOOKS, MIGRATIONS
from fhir_radcharge.serving import engine_of, site_of
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.site import digest_of, spelled
from fhir_radcharge.wire.mllp import frame
from tests.cli_desk import CONFIG, ROOT, Desk, voided
from tests.official_files import FILES
from tests.test_cli_destinations import server
from tests.test_editions_year import brought, drafted

FIRST = date(2026, 12, 14)


class Served(Desk):
    """A desk whose engine is the one that a configuration makes."""

    def open(self) -> None:
        config = load(self.config)
        self.ledger = Ledger(self.folder / "books.db")
        self.engine = engine_of(config, site_of(config), self.ledger)


def course(number: int = 1) -> list[bytes]:
    run = run_of("smoke", 3, FIRST, "breast_3d_boost", 5)
    return [said.raw for said in messages(run, "plain") if f"ZZSIM000000{number}".encode() in said.raw]


def test_a_running_engine_takes_activated_tables_between_two_transactions(tmp_path: Path) -> None:
    desk = Served(tmp_path)
    old = desk.engine.site.digest
    desk.hear_all(*course(1))
    brought(desk, drafted(desk))
    with server(desk) as asked:
        result = desk.run("rules", "activate", "--from", "2027-01-01", "--by", "ada", "--why", "2027")
    committed, new = desk.engine.site.digest, desk.one("select digest from activation order by number desc limit 1")

    desk.work()
    desk.hear_all(*course(2))

    assert (["activate"], 0) == (asked, result.exit_code), result.output
    assert (old, new) == (committed, desk.engine.site.digest), "swapped by the first work after the commit"
    assert [] == desk.rows("select 1 from open_item where category = 'not_activated'")
    rows = desk.rows("select distinct day < '2027', code, digest from posting p join edition e on e.number = p.edition"
                     " where code in ('77407', '77408') and kind = 'CHARGE' and p.patient = 2 order by 1 desc")  # fmt: skip
    assert [(1, "77407", old), (0, "77408", new)] == rows
    desk.close()
    assert 0 == desk.run("books").exit_code


def test_tables_that_the_servers_folder_has_not_are_refused_and_change_nothing(tmp_path: Path) -> None:
    desk = Served(tmp_path)
    shutil.copytree(desk.folder, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("elsewhere", "sock"))
    brought(desk, drafted(desk))
    args = {"digest": "0" * 64, "scope": "all", "by": "ada", "why": "x", "files": {}}

    with pytest.raises(UnsafeError, match="the folder of the server has tables"), desk.ledger.transaction():
        VERBS["activate"](desk.engine, args)

    assert 1 == desk.one("select count(*) from activation")
    desk.hear_all(*course(1))
    assert {(1,)} == set(desk.rows("select edition from posting"))
    desk.close()


def test_a_failed_commit_of_an_activation_leaves_the_old_tables_computing(tmp_path: Path) -> None:
    desk = Served(tmp_path)
    old = desk.engine.site.digest
    brought(desk, drafted(desk))

    args = {"digest": digest_of(tmp_path / "mappings"), "scope": "new", "from": "2027-01-01", "by": "ada", "why": "x",
            "files": {}}  # fmt: skip
    with pytest.raises(LedgerError, match="a disk is full"):
        activate_on_a_full_disk(desk, args)
    desk.hear_all(*course(1))

    assert old == desk.engine.site.digest
    assert {("77407",)} == set(desk.rows("select code from posting where code in ('77407', '77408')"))
    desk.close()


def activate_on_a_full_disk(desk: Desk, args: dict[str, object]) -> None:
    with desk.ledger.transaction():
        VERBS["activate"](desk.engine, args)
        raise LedgerError("a disk is full")


def test_a_restart_reads_the_tables_of_earlier_dates_from_the_books(tmp_path: Path) -> None:
    desk = Served(tmp_path)
    desk.hear_all(*course(1))
    brought(desk, drafted(desk))
    desk.close()
    desk.run("rules", "activate", "--from", "2027-01-01", "--by", "ada", "--why", "2027")
    shutil.rmtree(desk.folder / "draft")
    desk.open()

    desk.hear_all(*course(2))

    rows = desk.rows("select distinct day < '2027', code, edition from posting where code in ('77407', '77408')"
                     " and patient = 2 order by 1 desc")  # fmt: skip
    assert [(1, "77407", 1), (0, "77408", 2)] == rows
    desk.close()


def test_a_folder_that_was_edited_and_not_activated_changes_nothing_after_a_restart(tmp_path: Path) -> None:
    desk = Served(tmp_path)
    old = desk.engine.site.digest
    brought(desk, drafted(desk))
    desk.close()
    desk.open()

    desk.hear_all(*course(1))

    assert {("77407", 1)} == set(desk.rows("select code, edition from posting where code in ('77407', '77408')"))
    assert [] == desk.rows("select 1 from open_item where category = 'not_activated'")
    assert old == desk.engine.site.digest
    desk.close()
    status = desk.run("rules", "status")
    assert (1, True) == (status.exit_code, "changed codes.csv, rules/level_codes.yaml\n" in status.output)
    assert 0 == desk.run("rules", "activate", "--from", "2027-01-01", "--by", "ada", "--why", "2027").exit_code
    assert f"        {old[:16]} decides dates of service before 2027-01-01" in desk.run("rules", "status").output


def test_more_credits_than_may_go_pause_the_engine_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "north").mkdir()
    desk = Served(tmp_path / "north").close()
    desk.config.write_text(CONFIG.replace("per_hour_before_pause = 40", "per_hour_before_pause = 0"))
    desk.open()
    raws = course(1)
    desk.hear_all(*raws)
    desk.send()
    desk.hear_all(*[voided(raw) for raw in raws if b"|FRACTION|" in raw or b"FRAC" in raw][:1])

    desk.send()

    assert {("credit_flood",)} == set(desk.rows("select reason from open_item where category = 'credit_flood'"))
    desk.close()


def test_tables_that_the_books_do_not_keep_cannot_be_left_to_earlier_dates(tmp_path: Path) -> None:
    desk = Desk(tmp_path, activate=False)
    desk.engine.decisions.activate(desk.site.digest, "all", "ada", "by an earlier version")
    desk.close()
    brought(desk, drafted(desk))

    result = desk.run("rules", "activate", "--from", "2027-01-01", "--by", "ada", "--why", "2027")

    assert isinstance(result.exception, LedgerError)
    assert "activate them once more from their folder, or activate the new ones with --scope all" in str(result.exception)
    assert 0 == desk.run("rules", "activate", "--scope", "all", "--by", "ada", "--why", "2027").exit_code


def test_books_of_an_earlier_version_are_brought_up_and_their_chain_still_holds(tmp_path: Path) -> None:
    before = MIGRATIONS[:2]
    connection = sqlite3.connect(tmp_path / "books.db", isolation_level=None)
    for script in before:
        connection.executescript(script)
    names = [book.name for book in BOOKS]
    tops = [int(name == "day") for name in names[: names.index("edition_files")]]
    row = (1, "2026-03-02", "2026-03-02T00:00:00Z")
    connection.execute("insert into day values (?, ?, ?)", row)
    told, digest = json.dumps(tops, separators=(",", ":")), rows_digest({"day": [row]})
    connection.execute("insert into chain values (1, ?, ?, ?)", (told, digest, link(GENESIS, told, digest)))
    connection.execute(f"pragma user_version = {len(before)}")
    connection.close()
    (tmp_path / "books.db.secret").write_bytes(b"s" * 32)
    (tmp_path / "books.db.secret").chmod(0o600)

    ledger = Ledger(tmp_path / "books.db")
    with ledger.transaction():
        ledger.append("edition_files", [(1, packed(ROOT / "mappings")[0], packed(ROOT / "mappings")[1])])

    assert (2, 2, None) == verify_chain(ledger.connection)
    with pytest.raises(sqlite3.IntegrityError, match="insert only"):
        ledger.connection.execute("update edition_files set body = x'00'")
    ledger.connection.execute("drop trigger edition_files_no_update")
    ledger.connection.execute("update edition_files set body = ?", (zlib.compress(b"other"),))
    assert "batch 2: the tables of an edition were changed" == verify_chain(ledger.connection).problem
    ledger.close()


@pytest.mark.parametrize("name", ["../outside.yaml", "/etc/outside.yaml"])
def test_a_kept_edition_is_written_inside_its_folder_alone(tmp_path: Path, name: str) -> None:
    with pytest.raises(LedgerError, match="names a file outside its folder"):
        written(zlib.compress(spelled(name, b"x")), tmp_path / "out")

    assert not (tmp_path / "outside.yaml").exists()


# -- official files --------------------------------------------------------------------------------------------


def limits(folder: Path, start: str, units: int) -> str:
    """Write a table of unit limits that has the weekly physics check."""
    text = (FILES / "MCR_MUE_PractitionerServices_Eff_07-01-2026.csv").read_text()
    path = folder / f"MCR_MUE_PractitionerServices_Eff_{start}.csv"
    path.write_text(text.replace("X1004,0,", f"77336,{units},"))
    return str(path)


def pairs(folder: Path) -> str:
    """Write a table of pairs in which a simulation is inside a device of the same day, whatever is said."""
    path = folder / "ccipra-v323r0-f1.txt"
    path.write_text((FILES / path.name).read_text().replace("X1001\tX1004\t\t", "77334\t77290\t\t"))
    return str(path)


def imported(desk: Desk, *files: str) -> dict[str, object]:
    result = desk.run("import", "official", *files, "--known-from", "2026-09-15", "--parts", "1", "--by", "ada")
    assert 0 == result.exit_code, (result.output, result.exception)
    return {"output": result.output}


@pytest.mark.parametrize("running", [True, False], ids=["beside a server", "alone"])
def test_imported_limits_and_pairs_edit_what_waits_and_flag_what_stands(tmp_path: Path, running: bool) -> None:
    desk = Served(tmp_path)
    first, second = course(3), course(1)
    desk.hear_all(*first)
    desk.send()
    sent = desk.rows("select id from posting")
    files = limits(tmp_path, "10-01-2026", 0), pairs(tmp_path)
    if running:
        with server(desk) as asked:
            imported(desk, *files)
        assert ["official"] == asked
    else:
        desk.close()
        imported(desk, *files)
        desk.open()
    desk.work()

    flags = desk.rows("select reason, count(*) > 0 from open_item where category = 'flag' and note = 'already sent'"
                      " group by 1 order by 1")  # fmt: skip
    assert [("mue_edit", 1), ("ptp_edit", 1)] == flags, "what stands is flagged"
    assert sent == desk.rows("select id from posting"), "and never taken back"
    ((digest, by, detail),) = desk.rows("select subject, by, detail from decision where kind = 'official'")
    assert "ada" == by
    assert ["mue-practitioner-2026-10-01", "ccipra-v323r0"] == json.loads(str(detail))["editions"]

    desk.hear_all(*second)
    desk.close()
    name = desk.one("select id from posting where patient = 2 and bill = 'professional' or patient = 2 limit 1")
    told = json.loads(desk.run("explain", str(name), "--json").output)["official"]
    assert digest == told["digest"]
    assert f"official    {str(digest)[:12]}: mue-practitioner-2026-10-01" in desk.run("explain", str(name)).output
    assert 0 == desk.run("books").exit_code


def test_a_held_line_goes_when_a_later_edition_lets_it(tmp_path: Path) -> None:
    desk = Served(tmp_path)
    desk.close()
    imported(desk, limits(tmp_path, "10-01-2026", 0))
    desk.open()
    desk.hear_all(*course(3))
    held = "select place from open_item where reason = 'mue_edit' order by 1"
    before = [str(place)[-10:] for (place,) in desk.rows(held)]
    posted = "select day from posting where code = '77336' and bill = 'global' order by 1"
    assert [] == desk.rows(posted)
    with server(desk):
        imported(desk, limits(tmp_path, "01-01-2027", 5))

    desk.work()

    after = [str(place)[-10:] for (place,) in desk.rows(held)]
    assert (before, []) == (sorted([*after, *(str(day) for (day,) in desk.rows(posted))]), [d for d in after if d >= "2027"])
    assert any(day >= "2027" for day in before)
    desk.close()


# -- the real server -------------------------------------------------------------------------------------------


def test_the_real_server_computes_by_new_tables_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "radcharge.toml").write_text(CONFIG)
    desk = Desk(tmp_path).close()
    old = desk.site.digest
    process = subprocess.Popen(
        [sys.executable, "-m", "fhir_radcharge", "serve", "--config", str(desk.config)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.split(" rv=127.0.0.1:")[1].split()[0])
        said(port, course(1))
        brought(desk, drafted(desk))
        result = desk.run("rules", "activate", "--from", "2027-01-01", "--by", "ada", "--why", "2027")
        assert 0 == result.exit_code, (result.output, result.exception)
        said(port, course(2))
    finally:
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)
    desk.run("import", "opening", str(empty(tmp_path)), "--by", "ada", "--why", "let what is left be worked through")
    new = desk.one("select digest from activation order by number desc limit 1")
    rows = desk.rows("select distinct day < '2027', code, digest from posting p join edition e on e.number = p.edition"
                     " where code in ('77407', '77408') and p.patient = 2 order by 1 desc")  # fmt: skip
    assert [(1, "77407", old), (0, "77408", new)] == rows
    assert 0 == desk.run("books").exit_code


def said(port: int, raws: list[bytes]) -> None:
    """Say messages and wait for the answer of each."""
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.settimeout(10)
        for raw in raws:
            peer.sendall(frame(raw))
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                answer += peer.recv(65536)
            assert b"MSA|AA|" in answer


def empty(folder: Path) -> Path:
    path = folder / "opening.csv"
    path.write_text(",".join(COLUMNS) + "\n")
    return path
