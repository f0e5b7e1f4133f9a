"""`queue`: what waits is listed with its owner and way out, and what a person says has its effect and is kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fhir_radcharge.errors import UnsafeError
from tests.cli_desk import Desk, copied, course_messages


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A course without its examinations, so that its weekly management waits; the rest was accepted."""
    made = Desk(tmp_path_factory.mktemp("queue"))
    made.hear_all(*(raw for raw in course_messages("prostate_imrt", seed=3) if b"|EXAM|" not in raw))
    made.send()
    return made.close()


def item(desk: Desk, reason: str) -> str:
    return str(desk.one(f"select key from open_item where reason = '{reason}' order by place limit 1"))


def test_the_list_says_each_reason_once_with_its_owner_and_way_out(base: Desk) -> None:
    result = base.run("queue", "--reason", "no_physician_exam", "--course", "C0000001")
    lines = result.output.splitlines()
    keys = [str(key) for (key,) in base.rows("select key from open_item where reason = 'no_physician_exam'")]

    assert [
        "hold no_physician_exam: the physician examined the patient on no day of this group of sessions; one by a nurse "
        "practitioner or assistant does not count",
        "  physician is asked; way out: an examination inside the group arrives",
    ] == lines[:2]
    assert sorted(keys) == sorted(line.split()[0] for line in lines[2:-1])
    assert (0, f"{len(keys)} items: {len(keys)} for physician") == (result.exit_code, lines[-1])


def test_cron_hears_of_a_list_that_is_not_empty(base: Desk) -> None:
    assert 1 == base.run("queue", "--check", "--owner", "physician").exit_code
    assert (0, "nothing waits for a person\n") == (
        (result := base.run("queue", "list", "--check", "--owner", "nobody")).exit_code, result.output)  # fmt: skip


def test_a_machine_gets_the_same_list(base: Desk) -> None:
    rows = json.loads(base.run("queue", "--json").output)

    assert base.one("select count(*) from open_item") == len(rows)
    assert all(row["owner"] and row["way_out"] and row["meaning"] and row["age"] for row in rows)


def test_a_released_line_is_charged_and_says_who_released_it(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    key = item(desk, "no_physician_exam")
    before = desk.rows("select count(*) from posting where code = '77427'")

    result = desk.run("queue", "release", key, "--why", "the note was found", "--by", "ada")

    assert (0, f"{key}: released\n") == (result.exit_code, result.output)
    assert ([(0,)], [(1,)]) == (before, desk.rows("select count(*) from posting where code = '77427'"))
    facts = json.loads(str(desk.one("select body from event where kind = 'release'")))[3]
    assert ("77427", "no_physician_exam") == (facts["code"], facts["reason"])
    said = desk.run("queue", "show", key).output
    assert f"{key}  hold no_physician_exam  closed" in said
    assert re.search(r"release   \S+ \S+ \S+ by ada: the note was found\n", said)


def test_a_release_may_add_a_modifier(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    desk.run("queue", "release", item(desk, "no_physician_exam"), "--modifier", "59", "--why", "apart", "--by", "ada")

    assert [("59",)] == desk.rows("select modifiers from posting where code = '77427'")


def test_what_cannot_be_said_of_an_item_is_refused_and_changes_nothing(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    decisions = desk.one("select count(*) from decision")
    key = item(desk, "no_physician_exam")
    results = [
        desk.run("queue", "release", "NOSUCHITEM", "--why", "x"),
        desk.run("queue", "arrived", key, "--why", "x"),
        desk.run("queue", "supply", item(desk, "notice"), "--what", "diagnosis", "--why", "x"),
        desk.run("queue", "release", item(desk, "notice"), "--modifier", "59", "--why", "x"),
    ]

    assert [UnsafeError] * 4 == [type(result.exception) for result in results]
    assert decisions == desk.one("select count(*) from decision")
    assert 2 == desk.run("queue", "release", key).exit_code, "a decision needs a reason"


def test_a_dismissed_item_is_gone_from_the_list(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    key = item(desk, "notice")

    assert f"{key}: dismissed; it opens again if what is due changes\n" == desk.run(
        "queue", "dismiss", key, "--why", "seen", "--by", "ada").output  # fmt: skip
    assert key not in desk.run("queue").output


def test_a_missing_diagnosis_is_supplied_by_a_person(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    raws = [raw.replace(b"|C79.51|", b"||") for raw in course_messages("bone_2d", seed=3) if b"|FRACTION|" in raw]
    desk.hear_all(*raws)
    desk.close()
    waits = desk.one("select count(*) from open_item where reason = 'missing_diagnosis'")
    key = item(desk, "missing_diagnosis")

    result = desk.run("queue", "supply", key, "--what", "diagnosis", "--why", "in the chart", "--by", "ada")

    assert (True, f"{key}: diagnosis supplied\n") == (int(str(waits)) > 3, result.output)
    assert 0 == desk.one("select count(*) from open_item where reason = 'missing_diagnosis'")


@pytest.mark.parametrize(
    ("verb", "said", "standing", "states"),
    [
        ("arrived", "arrived; its course goes on", 0, []),
        ("resend", "it will be sent again, in the same bytes", 0, [(0,)]),
        ("not-arrived", "never arrived; what is due is said anew", 1, [(0,)]),
    ],
)
def test_a_person_says_what_became_of_an_unanswered_message(
    tmp_path: Path, verb: str, said: str, standing: int, states: list[tuple[int]]
) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("bone_2d", seed=3)[:1])
    desk.send("silent", "")
    desk.close()
    key = item(desk, "hold")

    assert f"{key}: {said}\n" == desk.run("queue", verb, key, "--why", "asked them", "--by", "ada").output
    assert (0, standing) == (desk.one("select count(*) from open_item where category = 'unanswered'"),
                             desk.one("select count(*) from struck"))  # fmt: skip
    assert states == desk.rows("select state from outbox")[:1]


def test_a_patient_for_whom_the_tables_have_no_answer_is_named_by_number_and_the_reason_stands_there(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(course_messages("bone_2d", seed=3)[0].replace(b"||202601261000|", b"||189901261000|"))
    desk.close()

    listed = desk.run("queue", "--category", "rule_error").output.splitlines()
    shown = desk.run("queue", "show", item(desk, "RuleError")).output

    assert "patient 1 services: answers from 2015-01-01 to 9999-12-31, asked for 1899-01-26" in listed[2]
    assert listed[-1] == "1 item: 1 for coder"
    assert "  patient   1\n" in shown


def test_a_message_that_raises_many_items_is_told_by_some_and_a_number(tmp_path: Path) -> None:
    lines = [f"FT1|{n}|N{n}||20260302||CG|NOTHING|||1" for n in range(1, 41)]
    head = ["MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|20260302||DFT^P03|ONE|P|2.5.1", "PID|1||TEST-0001||A^B", "PV1|1|O|RADONC"]
    desk = Desk(tmp_path)
    desk.hear_all("\r".join([*head, *lines, ""]).encode())
    desk.close()

    told = desk.run("queue", "list", "--category", "unreadable").output.splitlines()
    every = json.loads(desk.run("queue", "list", "--category", "unreadable", "--json").output)

    assert (len(every), sum("NOTHING" in line for line in told), told[-1][:8]) == (40, 5, "40 items")
    assert ", and 35 more of message #1 (all with --json; all at once: `queue dismiss --message 1`)" in " ".join(told)


def of_one_message(folder: Path, lines: int) -> Desk:
    """A message of which no line can be read, and another one beside it."""
    head = ["MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|20260302||DFT^P03|{}|P|2.5.1", "PID|1||TEST-0001||A^B", "PV1|1|O|RADONC", "IN1|1|MCARE"]
    desk = Desk(folder)
    for name, count in (("ONE", lines), ("TWO", 1)):
        said = [*head, *(f"FT1|{n}|N{n}||20260302||CG|NOTHING|||1" for n in range(1, count + 1)), ""]
        desk.hear_all("\r".join(said).format(name).encode())
    return desk.close()


@pytest.mark.parametrize("name", ["1", "#1", "ONE"])
def test_the_items_of_a_message_are_dismissed_together_each_with_its_record(tmp_path: Path, name: str) -> None:
    desk = of_one_message(tmp_path, 40)
    keys = {str(key) for (key,) in desk.rows("select key from open_item where message = 1")}

    result = desk.run("queue", "dismiss", "--message", name, "--by", "ada", "--why", "a test of the vendor")

    said = desk.rows("select subject, by, why from decision where kind = 'dismiss' order by number")
    assert (0, "message #1: 40 items dismissed\n") == (result.exit_code, result.output), result.exception
    assert {(key, "ada", "a test of the vendor") for key in keys} == set(said)
    assert (len(said), [(2,)]) == (40, desk.rows("select message from open_item"))
    shown = desk.run("queue", "show", sorted(keys)[0]).output
    assert re.search(r"dismiss   \S+ \S+ \S+ by ada: a test of the vendor\n", shown)


def test_a_message_is_dismissed_as_json_too(tmp_path: Path) -> None:
    desk = of_one_message(tmp_path, 3)

    result = desk.run("queue", "dismiss", "--message", "1", "--by", "ada", "--why", "seen", "--json")

    assert {"message": 1, "dismissed": 3} == {name: len(value) if name == "dismissed" else value
                                             for name, value in json.loads(result.output).items()}  # fmt: skip


def test_a_message_without_items_is_not_dismissed_and_a_key_or_a_message_is_named(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    decisions = desk.one("select count(*) from decision")
    (quiet,) = desk.rows("select number from message where number not in (select message from open_item) limit 1")
    results = [
        desk.run("queue", "dismiss", "--message", str(quiet[0]), "--why", "x"),
        desk.run("queue", "dismiss", "--message", "NOSUCH", "--why", "x"),
        desk.run("queue", "dismiss", "--why", "x"),
        desk.run("queue", "dismiss", item(desk, "notice"), "--message", "1", "--why", "x"),
    ]

    assert ["UnsafeError", "NotFoundError", "SystemExit", "SystemExit"] == [
        type(result.exception).__name__ for result in results
    ]
    assert decisions == desk.one("select count(*) from decision")


def test_what_a_message_did_to_a_course_is_not_dismissed_with_it(base: Desk, tmp_path: Path) -> None:
    desk = copied(base, tmp_path)
    holds = desk.rows("select key from open_item where category in ('hold', 'flag', 'refused') order by key")
    for (number,) in desk.rows("select distinct message from open_item where category = 'notice'"):
        desk.run("queue", "dismiss", "--message", str(number), "--by", "ada", "--why", "seen")

    assert [] == desk.rows("select key from open_item where category = 'notice'")
    assert holds == desk.rows("select key from open_item where category in ('hold', 'flag', 'refused') order by key")


def test_a_destination_that_takes_nothing_is_listed_with_its_owner_and_way_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("bone_2d", seed=3))
    for _ in range(12):
        desk.send("not_taken", "AR")
    asked = desk.rows("select destination, note from open_item where category = 'not_taken' order by destination")
    desk.close()

    told = desk.run("queue", "--category", "not_taken").output.splitlines()
    shown = desk.run("queue", "show", str(desk.one("select key from open_item where destination = 'facility_biller'"))).output

    assert [
        "not_taken AR: a destination did not take a message ten times in a row; it is tried again without end, and what"
        " stands behind it waits",
        "  interface analyst is asked; way out: who runs the destination is asked why; it ends by itself when the message"
        " is taken or refused",
    ] == told[:2]
    assert [f"attempt 10 {destination} {posting}" for destination, posting in asked] == sorted(
        line.split("  ")[-1].strip() for line in told[2:-1]
    )
    assert (2, "  at        facility_biller\n" in shown) == (len(asked), True)
    assert [] == [line for line in desk.run("books").output.splitlines() if "BROKEN" in line]
