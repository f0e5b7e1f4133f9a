"""What reads the books knows what the engine knows of identity: merged records, visits, and who pays since when."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from report_kit import draft

from fhir_radcharge.editions import packed
from fhir_radcharge.engine.items import hold
from fhir_radcharge.engine.starts import patient_aside
from fhir_radcharge.ledger import reader
from fhir_radcharge.patient_stream import books
from fhir_radcharge.recoding import Hearing
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.site import load_site
from tests.cli_desk import Desk, copied

DAYS = ("20260202", "20260203", "20260204", "20260205", "20260206", "20260209")
FACTS = {"technique": "imrt", "course": "C1", "prescribed_fractions": "30", "isocenters": "1", "motion": "none",
         "energy_mv": "6", "site": "prostate"}  # fmt: skip
LEVEL = ("rules/level_codes.yaml", 'open: "2", level: [unknown, "2"],    code: "77407", rank: "2"',
         'open: "2", level: [unknown, "2"],    code: "77412", rank: "2"')  # fmt: skip
HOLD = (LEVEL[0], LEVEL[1], f"{LEVEL[1]}, hold: level_conflict")


def head(kind: str, name: str, at: str, patient: str, visit: str = "") -> list[str]:
    return [
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{at}||{kind}|{name}|P|2.5.1",
        f"EVN|{kind[4:]}|{at}", f"PID|1||{patient}||INVENTED^{patient}|||||||||||||{visit}",
    ]  # fmt: skip


def raw(*lines: str) -> bytes:
    return "\r".join([*lines, ""]).encode()


def session(number: int, patient: str, visit: str = "V1", plan: str = "MCARE", kind: str = "CG") -> bytes:
    at = f"{DAYS[number]}0900"
    facts = [f"OBX|{i}|ST|{name}||{value}" for i, (name, value) in enumerate(FACTS.items(), 1)]
    return raw(
        *head("DFT^P03", f"S{number}{patient}", at, patient, visit), "PV1|1|O|RADONC",
        f"FT1|1|F{number}||{at}||{kind}|FRACTION|||1||||||RADONC|||C61|1999999984^CURIE|1999999976^REFER",
        *facts, f"OBX|9|NM|fraction_number||{number + 1}", f"IN1|1|{plan}|{plan}",
    )  # fmt: skip


def merge(prior: str, survivor: str, at: str = "202602100800") -> bytes:
    return raw(*head("ADT^A40", f"M{prior}{survivor}", at, survivor), f"MRG|{prior}")


def coverage(patient: str, plan: str, visit: str = "V1", at: str = "202602110800") -> bytes:
    return raw(*head("ADT^A08", f"C{patient}{plan}{visit}", at, patient, visit), "PV1|1|O|RADONC", f"IN1|1|{plan}|{plan}")


STORY = (
    *(session(number, "B" if number % 2 else "A") for number in range(5)),
    session(5, "B", visit="V2"), session(0, "C").replace(b"|F0|", b"|F9|"),
    merge("A", "B"), coverage("A", "MCARE-RG"), coverage("C", "MCARE-RG"),
    raw(*head("ADT^A41", "V1", "202602120800", "B", "V7"), "MRG|B||V1"),
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One patient of two records with a later coverage of one visit, one patient whose coverage came later too."""
    desk = Desk(tmp_path_factory.mktemp("merged"))
    for message in STORY:
        desk.hear(message)
        desk.send()
    desk.day(date(2026, 2, 20))
    desk.send()
    return desk.close()


def told(desk: Desk, *words: str) -> tuple[int, Any]:
    result = desk.run(*words, "--json")
    assert result.exit_code in (0, 1), result.output
    return result.exit_code, json.loads(result.stdout)


def postings(desk: Desk, after: object) -> list[tuple[object, ...]]:
    return desk.rows(
        "select patient, id, kind, destination, code, day, units, coalesce(credits, ''), cause from posting"
        f" where number > {after} order by number"
    )


def test_a_merged_patient_is_read_once_and_under_the_record_that_survives(base: Desk) -> None:
    connection = reader(base.folder / "books.db")
    found = list(books(connection))
    again = list(books(connection, [1, 2, 3]))
    connection.close()

    assert [len(book.group) for book in found] == [len(book.group) for book in again]
    assert sorted(number for book in found for number in book.group) == [1, 2, 3]
    assert sorted(len(book.events()) for book in found) == [1, 6]
    assert {event.payer for book in found for event in book.events()} == {"medicare", "medicare_robotic_g"}


def test_the_dry_run_of_unchanged_tables_says_that_nothing_changes(base: Desk) -> None:
    code, found = told(base, "diff", "--rules", str(base.folder / "mappings"))

    assert (code, found["corrections"], sum(found["effects"].values())) == (0, [], 0)


@pytest.mark.parametrize("aside", [0, 2], ids=["all", "one-aside"])
@pytest.mark.parametrize("edit", [LEVEL, HOLD], ids=["level", "hold"])
def test_an_activation_emits_what_the_dry_run_of_a_merged_patient_showed(
    base: Desk, tmp_path: Path, edit: tuple[str, str, str], aside: int
) -> None:
    other, desk = draft(tmp_path, edit), copied(base, tmp_path)
    desk.open()
    if aside:
        ((key,),) = desk.ledger.read("select key from patient where number = ?", (aside,))
        with desk.ledger.transaction():
            hold(desk.ledger, [patient_aside(aside, key.hex())], "2026-03-01T00:00:00Z")
    desk.close()
    _, found = told(desk, "diff", "--rules", str(other))
    foreseen = [
        (one["patient"], one["id"], one["kind"], one["destination"], one["code"], one["day"], one["units"],
         one["credits"] or "", one["cause"])
        for one in found["corrections"]
    ]  # fmt: skip

    before = desk.one("select max(number) from posting")
    desk.site = load_site(other)
    desk.open()
    desk.engine.decisions.activate(desk.site.digest, "all", "ada", "seen its difference", files=packed(other)[1])
    desk.work()
    desk.close()

    assert foreseen == postings(desk, before) != []


def test_reconcile_finds_nothing_missing_and_nothing_twice_behind_a_merge(base: Desk) -> None:
    _, found = told(base, "reconcile", "--from", "2026-02-02", "--to", "2026-02-09")

    # Five fractions of both records are a week, for which neither a check nor an examination is documented.
    assert [(one["state"], one["codes"]) for one in found["findings"]] == [("held", "77336 77427")]
    assert found["fractions"] == {"final": 6, "held": 1}


def test_the_books_of_a_merged_patient_hold_every_promise(base: Desk) -> None:
    code, found = told(base, "books")

    assert [check for check in found["checks"] if check["verdict"] != "holds"] == []
    assert code == 0


@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        ("delete from posting where number = (select max(number) from posting where patient = {0})", "I6"),
        ("update posting set account = '' || account || 'x' where number = (select max(number) from posting"
         " where patient = {0})", "I6"),
        ("update posting set dated_by = 'F9' where number = (select max(number) from posting where patient = {0})",
         "I14"),
    ],
    ids=["lost", "other-account", "other-event"],
)  # fmt: skip
def test_what_is_wrong_behind_a_merge_is_still_seen(base: Desk, tmp_path: Path, damage: str, broken: str) -> None:
    desk = copied(base, tmp_path)
    survivor = desk.one("select other from identity where kind = 'merge'")
    connection = sqlite3.connect(desk.folder / "books.db")
    for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        connection.execute(f"drop trigger {name}")
    assert connection.execute(damage.format(survivor)).rowcount == 1
    connection.commit()
    connection.close()
    _, found = told(desk, "books")

    assert broken in {check["ids"] for check in found["checks"] if check["verdict"] == "BROKEN"}


def explained(desk: Desk, name: object, *words: str) -> str:
    result = desk.run("explain", str(name), *words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", ["CREDIT", "CHARGE"])
def test_explain_of_a_posting_tells_the_merge_in_words(base: Desk, kind: str) -> None:
    moved = base.rows(
        f"select id from posting where cause = 'account' and kind = '{kind}' and day = '2026-02-04' order by number"
    )
    by_merge, by_coverage, by_visit = [explained(base, name) for (name,) in moved]

    assert "account: it belongs to another account" in by_merge
    assert "after       patient 1 was merged into patient 2 by message #8" in by_merge
    assert "after       medicare_robotic_g pays for a visit of patient 1 since message #9" in by_coverage
    assert "after       a visit of patient 2 became another one by message #11" in by_visit
    assert all("from        fraction F2 on 2026-02-04\n" in said and "heard" in said for said in (by_merge, by_coverage))


def test_explain_finds_a_merged_patient_under_either_record(base: Desk) -> None:
    told_of_a, told_of_b = (explained(base, "C1", "--patient", number) for number in "12")
    event, message = explained(base, "F2"), explained(base, "#8")

    assert told_of_a == told_of_b
    assert "course C1 of patient 2: 6 fractions" in told_of_a
    assert "identity    patient 1 was merged into patient 2 by message #8" in told_of_a
    assert "identity    patient 1 was merged into patient 2 by message #8" in event
    assert event.count("+77407") == 4
    assert "identity    patient 1 was merged into patient 2 by message #8" in message


@pytest.mark.parametrize("kept", [1, 2, 100])
@pytest.mark.parametrize("order", [STORY, STORY[::-1], (*STORY[7:], *STORY[:7])], ids=["told", "backward", "adt-first"])
def test_an_archive_makes_due_what_its_books_do(
    base: Desk, tmp_path: Path, kept: int, order: tuple[bytes, ...]
) -> None:
    hearing = Hearing(base.site, tmp_path, kept)
    for number, message in enumerate(order, 1):
        hearing.hear("archive", number, message)
    found = [(patient.events, patient.due) for patient in hearing.patients(date(2026, 2, 20), None)]
    connection = reader(base.folder / "books.db")
    told_by_books = [
        (len(events), charges_due(events, base.site.rulebook, date(2026, 2, 20)))
        for events in (book.events() for book in books(connection))
    ]
    connection.close()

    assert hearing.parked == []
    assert sorted(found, key=repr) == sorted(told_by_books, key=repr)
