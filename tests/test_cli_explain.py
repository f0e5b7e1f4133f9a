"""`explain`: every posting can say why, every id finds its log, and nobody's name is in it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fhir_radcharge.cli.demo import HIGHEST, delivery_below
from fhir_radcharge.explain import Found, explanation, found, told
from fhir_radcharge.ledger import reader
from tests.cli_desk import Desk, course_messages, voided

CHICAGO = ZoneInfo("America/Chicago")
PEOPLE = ("ZZSIM", "TESTPATIENT", "SIMULATED", "NOTAPERSON", "SAMPLECASE", "MADEUP", "CURIE")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two courses in which much goes wrong: revised, voided, late and out of order, message by message."""
    made = Desk(tmp_path_factory.mktemp("explain"))
    made.hear(*course_messages(courses=2, size="torture"))
    made.send()
    made.day(date(2026, 5, 1))
    made.send()
    return made.close()


def test_every_posting_says_its_rows_its_events_its_tables_and_its_answer(desk: Desk) -> None:
    books = reader(desk.folder / "books.db")
    names = [name for (name,) in books.execute("select id from posting")]
    lacking = []
    for name in names:
        row = explanation(books, desk.site.rulebook, Found("posting", name))
        steps = all(step["place"] and step["sources"] for step in row["because"])
        events = all(sum(one["used"] for one in event["revisions"]) == 1 for event in row["events"])
        heard = all(one["heard"] for event in row["events"] for one in event["revisions"])
        sent = [answer["kind"] for answer in row["sent"]["answers"]]
        whole = row["because"] and steps and row["events"] and events and heard and row["tables"] == desk.site.digest
        if not (whole and sent == ["accepted"] and (row["kind"] == "CHARGE" or row["after"]) and told(row, CHICAGO)):
            lacking.append(name)

    assert len(names) > 100
    assert [] == lacking


def test_no_log_tells_who_a_patient_is(desk: Desk) -> None:
    books = reader(desk.folder / "books.db")
    names = [name for (name,) in books.execute("select id from posting union select event_id from event")]
    names += ["C0000001", "C0000002", *(f"#{number}" for (number,) in books.execute("select number from message"))]
    seen = [
        word
        for name in names
        for row in [explanation(books, desk.site.rulebook, found(books, name))]
        for text in ["\n".join(told(row, CHICAGO)) + json.dumps(row, default=str)]
        for word in PEOPLE
        if word in text
    ]

    assert [] == seen


def test_the_log_of_a_charge_is_told_whole(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("bone_2d", courses=1, seed=3))
    desk.send()
    desk.close()
    name = desk.one("select id from posting where code = '77402' and bill = 'facility' order by number limit 1")
    lines = desk.run("explain", str(name)).output.splitlines()
    kept = [line for line in lines if not line.startswith(("  because", " " * 14)) or "revision" in line]

    assert [
        "+77402 x1  facility bill  course C0000001  date of service 2026-02-02 (America/Chicago)",
        f"  id          {name}, a charge for facility_biller, posted 2026-03-02",
        f"  tables      {desk.site.digest[:12]}, which compute now",
        "  from        fraction 0000001F1 on 2026-02-02",
        "                revision 1 of 1: message #4 heard 2026-03-02 06:00:02 CST",
        "  cause       new: it became due",
        "  stands      yes: the destination accepted it",
        f"  sent to     facility_biller as message {name}, the same bytes at every attempt",
    ] == kept
    assert "techniques row tech-photons, in force from 2015-01-01 [CMS-MANUAL13, ACOA06]" in [
        line[14:] for line in lines
    ]
    assert "  asked: technique = 2d" in [line[14:] for line in lines]


def test_a_credit_says_what_was_heard_since_its_charge(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    raws = course_messages("bone_2d", courses=1, seed=3)
    desk.hear_all(*raws)
    desk.send()
    fraction = next(raw for raw in raws if b"|0000001F4|" in raw)
    desk.hear(voided(fraction))
    desk.send()
    desk.close()
    credit, charge = desk.rows("select id, credits from posting where code = '77402' and cause = 'gone'")[0]
    output = desk.run("explain", str(credit)).output
    number = desk.one("select max(number) from message")

    assert f"  after       fraction 0000001F4 was voided by message #{number}\n" in output
    assert f"  credits     {charge}\n" in output
    assert f"                revision 2 of 2: message #{number} heard 2026-03-02 06:00:" in output
    assert "voided  (later)\n" in output
    assert f"  stands      no: credited by {credit}\n" in desk.run("explain", str(charge)).output


def test_a_message_is_found_by_its_number_and_by_its_control_id(desk: Desk) -> None:
    by_number, by_name = (desk.run("explain", name).output for name in ("#13", "13"))
    control_id = "PL" + by_number.split("  said        ")[1].split(" ")[1] + ".1"

    assert by_number == by_name == desk.run("explain", control_id).output
    assert by_number.startswith("message #13 heard by rv at 2026-03-02 06:00:")


def test_a_voided_event_shows_both_sayings_and_no_posting(desk: Desk) -> None:
    event = desk.one("select event_id from event where voided = 1 and kind = 'guidance' limit 1")
    row = json.loads(desk.run("explain", str(event), "--json").output)

    assert ([False, True], "event", event) == ([one["voided"] for one in row["revisions"]], row["what"], row["event"])


def test_a_course_is_shown_day_by_day_with_one_sentence_for_a_run_of_moved_groups(desk: Desk) -> None:
    row = json.loads(desk.run("explain", "C0000002", "--json").output)
    output = desk.run("explain", "C0000002").output

    assert len(row["days"]) > 20
    assert any("fx 1" in day["given"] for day in row["days"])
    assert {(move["code"], move["bill"]) for move in row["moved"]} == {
        (code, bill) for code, bill in desk.rows("select distinct code, bill from posting where course = 'C0000002'"
                                                 " and cause = 'moved'")
    }  # fmt: skip
    assert all(any("fraction" in said for said in move["after"]) for move in row["moved"])
    assert "patient 2: " in output
    assert ".. on its way" in output


def test_why_not_reads_the_events_that_stand(desk: Desk) -> None:
    held = desk.rows("select course, place, reason from open_item where category = 'hold' order by key limit 1")[0]
    bill, code, day = str(held[1]).split(" ")
    result = desk.run("explain", str(held[0]), "--why-not", code.split("-")[0], "--date", day)

    assert f"  it is due on {day} on the {bill} bill, and held: {held[2]}" in result.output
    assert desk.run("explain", str(held[0]), "--why-not", "77371").output.startswith("77371: not charged\n")


def test_an_unknown_id_is_a_finding_and_no_books_are_unavailable(desk: Desk, tmp_path: Path) -> None:
    result = desk.run("explain", "NOBODY")
    empty = Desk(tmp_path, activate=False).close()
    (empty.folder / "books.db").unlink()

    assert (1, "no posting, event, message or course is called 'NOBODY' in these books\n") == (
        result.exit_code, result.output)  # fmt: skip
    assert "there are no books there yet" in str(empty.run("explain", "X").exception)


def test_a_course_name_of_several_patients_asks_which(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    raws = [raw.replace(b"C0000002", b"C0000001") for raw in course_messages("bone_2d", courses=2, seed=3)]
    desk.hear_all(*raws)
    desk.close()

    result = desk.run("explain", "C0000001")

    assert "several courses are called 'C0000001': 1, 2; name one with --patient" in result.output
    assert desk.run("explain", "C0000001", "--patient", "2").output.startswith("course C0000001 of patient 2: ")


def test_a_message_says_what_was_wrong_with_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(course_messages("bone_2d", seed=3)[0].replace(b"||202601261000|", b"||202602301000|"))
    desk.close()

    told = desk.run("explain", "#1").output

    assert "names a day that does not exist; send YYYYMMDD" in told
    assert "notice notice" not in told


def test_the_demo_asks_why_not_of_a_delivery_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("prostate_imrt", seed=3))
    desk.close()
    with closing(reader(desk.folder / "books.db")) as books:
        name = delivery_below(books, HIGHEST)
    (line,) = desk.rows(f"select code, family from posting where id = '{name}'")

    told = desk.run("explain", name, "--why-not", HIGHEST).output.splitlines()

    assert ("delivery", True) == (line[1], line[0] in ("77402", "77407"))
    assert ("77412: not charged", True) == (told[0], any("level_codes" in sentence for sentence in told))
