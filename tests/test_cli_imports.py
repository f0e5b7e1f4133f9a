"""`import`: what the old system charged stands and is not said again; official files come in whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_radcharge.control.opening_file import COLUMNS
from fhir_radcharge.errors import TableError
from tests.cli_desk import ROOT, Desk, course_messages

HEADING = ",".join(COLUMNS)


def opening_of(desk: Desk) -> list[str]:
    """Return what a desk has charged, as an earlier system would export it."""
    rows = desk.rows(
        "select destination, course, bill, code, modifiers, day, coalesce(end_day, ''), units, place_of_service,"
        " coalesce(provider, ''), packaged, slot, id from posting where kind = 'CHARGE' order by number")  # fmt: skip
    return [
        f"ZZSIM0000001,{to},{course},{bill},{code},{modifiers},{day},{end},{units},{pos},{provider},"
        f"{'yes' if packaged else ''},{str(slot).rpartition('/')[2]},V000000001,old-{name}"
        for to, course, bill, code, modifiers, day, end, units, pos, provider, packaged, slot, name in rows
    ]


def test_what_the_old_system_charged_is_not_charged_again(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, desk = Desk(tmp_path / "old"), Desk(tmp_path / "new").close()
    raws = course_messages("prostate_imrt", seed=3)
    old.hear_all(*raws)
    file = tmp_path / "opening.csv"
    file.write_text("\n".join([HEADING, *opening_of(old.close())]) + "\n")

    counts = [
        json.loads(desk.run("import", "opening", str(file), "--why", "going live", "--json").output) for _ in range(2)
    ]
    desk.open()
    desk.hear_all(*raws)
    desk.close()

    rows = len(file.read_text().splitlines()) - 1
    assert [{"rows": rows, "new": rows}, {"rows": rows, "new": 0}] == counts
    assert [("opening", rows)] == desk.rows("select mode, count(*) from posting group by 1")
    assert 0 == desk.run("books").exit_code
    name = str(desk.one("select id from posting limit 1"))
    assert "  stands      yes: charged before this engine, and never sent\n" in desk.run("explain", name).output


def test_every_mistake_is_told_with_its_line_and_nothing_is_loaded(tmp_path: Path) -> None:
    desk = Desk(tmp_path).close()
    good = "P1,global_biller,C1,global,77412,,2026-03-02,,1,11,,,,V1,"
    file = tmp_path / "opening.csv"
    lines = [
        good + "r1", good + "r1", good, good.replace("global_biller", "nobody") + "r2", good.replace(",global,", ",facility,") + "r3",
        good.replace("2026-03-02", "03/02/2026") + "r4", good.replace(",1,11,", ",0,11,") + "r5", "P1,global_biller",
    ]  # fmt: skip
    file.write_text("\n".join([HEADING, *lines]) + "\n")

    result = desk.run("import", "opening", str(file), "--why", "going live")

    assert isinstance(result.exception, TableError)
    assert [
        "opening.csv:3: reference: stands on line 2 too; give each charge its own",
        "opening.csv:4: reference: is empty; fill it",
        "opening.csv:5: destination: 'nobody' is none of facility_biller, global_biller, professional_biller",
        "opening.csv:6: bill: global_biller takes global, not 'facility'",
        "opening.csv:7: date: is not a date YYYY-MM-DD",
        "opening.csv:8: units: is not a whole number from 1 to 999",
        "opening.csv:9: has 2 cells and needs 15",
    ] == str(result.exception).splitlines()
    assert 0 == desk.one("select count(*) from posting")


@pytest.mark.parametrize("text", ["patient,destination\n", "", "\xff\xfe".encode("latin-1").decode("latin-1")])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "opening.csv"
    file.write_bytes(text.encode("latin-1"))

    assert isinstance(Desk(tmp_path).close().run("import", "opening", str(file), "--why", "x").exception, TableError)


def test_an_official_file_is_imported_beside_the_books_and_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path).close()
    file = str(ROOT / "fixtures/official/MCR_MUE_PractitionerServices_Eff_07-01-2026.csv")

    first, again = (desk.run("import", "official", file, "--known-from", "2026-06-15").output for _ in range(2))

    digest = desk.one("select substr(subject, 1, 12) from decision where kind = 'official' limit 1")
    assert first.splitlines() == [
        "mue-practitioner-2026-07-01 (mue_practitioner): 4 rows, for services from 2026-07-01, known from 2026-06-15",
        "first edition of its kind: nothing to compare with",
        f"{digest} edits lines now; patients computed again: 0",
    ]
    assert "is already there; nothing was changed" in again
    assert (desk.folder / "official.db").exists()
