"""From bytes to what a biller was told."""

import json
from datetime import date
from pathlib import Path

from fhir_radcharge.ledger import queries, verify_chain
from tests.engine_fakes import SITE, TWO, Desk, Destination, Site, dft, ft1

CHARGE = ("CG", "77412", "2026-03-02", 1)
CREDIT = ("CD", "77412", "2026-03-02", 1)


def test_a_session_is_charged_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    answers = desk.codes(dft("1", "P1", ft1("E1")))
    desk.work()
    said = desk.send()

    assert (answers, said) == (["AA"], [CHARGE])
    assert desk.standing() == [("PB", "77412", "2026-03-02", 1)]
    assert verify_chain(desk.ledger.connection).problem is None


def test_a_voided_fraction_is_credited_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()
    desk.send()

    desk.hear(dft("2", "P1", ft1("E1", revision=1, sign="CD")), dft("3", "P1", ft1("E1", revision=1, sign="CD")))
    desk.work()

    assert (desk.send(), desk.standing()) == ([CREDIT], [])


def test_a_void_that_is_heard_first_is_remembered(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1", revision=1, sign="CD")))
    desk.work()
    desk.hear(dft("2", "P1", ft1("E1")))
    desk.work()

    assert desk.send() == []


def test_a_void_at_the_revision_of_its_event_wins(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1", sign="CD")), dft("2", "P1", ft1("E1")))
    desk.work()

    assert desk.send() == []


def test_the_greatest_revision_stands_whatever_came_last(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    for number, revision, code in ((1, 2, "77407"), (2, 10, "77412"), (3, 9, "77402")):
        desk.hear(dft(str(number), "P1", ft1("E1", code, revision=revision)))
        desk.work()

    assert (desk.send(), desk.standing()) == (
        [("CG", "77407", "2026-03-02", 1), ("CD", "77407", "2026-03-02", 1), CHARGE],
        [("PB", "77412", "2026-03-02", 1)],
    )


def test_a_change_back_to_the_first_content_is_a_revision_and_not_a_repeat(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(
        dft("1", "P1", ft1("E1", revision=1)),
        dft("3", "P1", ft1("E1", revision=3)),
        dft("2", "P1", ft1("E1", "77402", revision=2)),
    )
    desk.work()

    assert desk.send() == [CHARGE]


def test_growth_and_shrinking_are_said_as_the_difference(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    said = []

    for revision, units in enumerate((2, 5, 1)):
        desk.hear(dft(str(revision), "P1", ft1("E1", revision=revision, units=units)))
        desk.work()
        said += [(sign, units) for sign, _, _, units in desk.send()]

    assert sorted(said[:2]) + sorted(said[2:]) == [("CG", 2), ("CG", 3), ("CD", 1), ("CD", 3)]
    assert desk.standing() == [("PB", "77412", "2026-03-02", 1)]


def test_a_line_charged_credited_and_charged_again_has_three_ids(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    for revision, sign in enumerate(("CG", "CD", "CG")):
        desk.hear(dft(str(revision), "P1", ft1("E1", revision=revision, sign=sign)))
        desk.work()
        desk.send()
    rows = desk.ledger.read("select id, kind, credits, previous from posting order by number")

    assert (len({row[0] for row in rows}), [row[1] for row in rows]) == (3, ["CHARGE", "CREDIT", "CHARGE"])
    assert [(None, None), (rows[0][0], rows[0][0]), (None, rows[1][0])] == [(row[2], row[3]) for row in rows]


def test_the_same_line_of_two_patients_has_two_ids(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1")), dft("2", "P2", ft1("E2")))
    desk.work()

    assert desk.ledger.read("select count(distinct id) from posting") == [(2,)]


def test_an_event_that_moves_to_another_patient_is_charged_there(tmp_path: Path) -> None:
    for remembered in (20_000, 1):
        desk = Desk(tmp_path / f"{remembered}.db", remembered_max=remembered)
        desk.hear(dft("1", "WRONG", ft1("E1")))
        desk.work()
        first = desk.send()

        desk.hear(dft("2", "RIGHT", ft1("E1", revision=1)))
        desk.work()
        second = desk.send()
        desk.hear(dft("3", "WRONG", ft1("E9", "77402")))
        desk.work()

        assert (first, sorted(second)) == ([CHARGE], [CREDIT, CHARGE])
        assert desk.send() == [("CG", "77402", "2026-03-02", 1)]


def test_each_bill_goes_to_its_destination(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", TWO)

    desk.hear(
        dft(
            "1",
            "P1",
            ft1("E1", "77412", bill="facility"),
            ft1("E2", "77427", bill="professional"),
            ft1("E3", "1", bill="global"),
        )
    )
    desk.work()

    assert desk.send("PB") == [("CG", "77427", "2026-03-02", 1)]
    assert desk.send("HB") == [CHARGE]
    assert desk.queue() == [("hold", "no_destination")]


def test_a_held_charge_waits_and_its_age_counts_from_the_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", hold="missing_diagnosis")))
    desk.work()
    (first,) = queries.queue(desk.ledger.connection)

    desk.hear(dft("2", "P1", ft1("E1", revision=1)))
    desk.work()
    cleared = desk.queue()
    desk.hear(dft("3", "P1", ft1("E1", revision=2, hold="missing_diagnosis")))
    desk.work()
    (again,) = queries.queue(desk.ledger.connection)

    assert ([], first["since"], first["key"]) == (cleared, again["since"], again["key"])
    assert [
        row["action"] for row in queries.history(desk.ledger.connection, first["key"])
    ] == ["held", "cleared", "held"]


def test_a_flag_is_a_work_item_without_a_charge(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1", "FLAG"), ft1("E2")))
    desk.work()

    assert (desk.queue(), desk.send()) == ([("flag", "look")], [CHARGE])


def test_a_message_that_cannot_be_read_is_parked_and_the_next_is_unharmed(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(
        dft("1", "P1", ft1("E1", "UNREADABLE"), ft1("E2", "77402")),
        dft("2", "P1", ft1("E3"), application="NOBODY"),
        dft("3", "P2", ft1("E4", "DEFECT")),
        dft("4", "P1", ft1("E5")),
    )
    desk.work()

    assert desk.queue() == [("defect", "ZeroDivisionError"), ("unreadable", "103"), ("unreadable", "207")]
    assert sorted(code for _, code, _, _ in desk.send()) == ["77402", "77412"]


def test_a_rule_error_and_a_defect_stop_their_patient_and_no_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(*(dft(f"{i}", f"P{i}", ft1(f"E{i}", code)) for i, code in enumerate(("NORULE", "BUG", "77412"))))
    desk.work()

    assert (desk.queue(), desk.send()) == ([("defect", "KeyError"), ("rule_error", "RuleError")], [CHARGE])
    desk.hear(*(dft(f"1{i}", f"P{i}", ft1(f"E{i}", revision=1)) for i in range(2)))
    desk.work()
    assert (desk.queue(), desk.send()) == ([], [CHARGE, CHARGE])


def test_no_alarm_names_a_patient(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(
        dft("1", "MRN77", ft1("E1", "BUG")),
        dft("2", "MRN77", ft1("E2", "DEFECT")),
        dft("3", "MRN77", ft1("E3", "NORULE")),
    )
    desk.work()

    told = json.dumps(queries.queue(desk.ledger.connection))
    assert ("DOE" in told, "MRN77" in told) == (False, False)


def test_identifiers_lie_in_messages_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "MRN777777", ft1("E1"), account="ACCT888888"))
    desk.work()
    desk.send()

    found = set()
    for (table,) in desk.ledger.read("select name from sqlite_master where type = 'table'"):
        for row in desk.ledger.read(f"select * from {table}"):
            for value in row:
                text = value if isinstance(value, bytes) else str(value).encode()
                if b"777777" in text or b"888888" in text:
                    found.add(table)
    assert {"message", "send"} == found


def test_a_charge_without_a_charge_code_is_held_and_its_neighbours_go_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", Site({"PB": Destination(("global",), needs_charge_code=True)}))

    desk.hear(dft("1", "P1", ft1("E1", "77402"), ft1("E2")))
    desk.work()

    assert (desk.queue(), desk.send()) == ([("unsendable", "no_charge_code")], [CHARGE])


def test_a_charge_that_cannot_be_written_is_held_and_its_neighbours_go_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1", "UNSAYABLE"), ft1("E2")))
    desk.work()

    assert (desk.queue(), desk.send()) == ([("unsendable", "102")], [CHARGE])


def test_only_activated_tables_compute(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", activate=False)

    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()
    waiting = desk.queue()
    desk.engine.decisions.activate("other tables", "all", "ada", "wrong ones")
    desk.work()
    nothing = desk.send()
    desk.engine.decisions.activate(SITE.digest, "new", "ada", "right ones")
    desk.work()

    assert (waiting, nothing, desk.queue()) == ([("not_activated", "not_activated")], [], [])
    assert desk.send() == [CHARGE]


def test_a_day_wakes_the_patients_whose_answer_may_change(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", "LATER")), dft("2", "P2", ft1("E2", "LATER", day="2026-03-20")))
    desk.work()

    woken = [desk.engine.day(date(2026, 3, day)) for day in (3, 4, 5, 5, 4, 6)]

    assert (woken, desk.send()) == ([0, 0, 1, 0, 0, 0], [("CG", "LATER", "2026-03-02", 1)])
    assert desk.queue() == [("hold", "waits")]


def test_a_batch_recomputes_a_patient_once(tmp_path: Path) -> None:
    asked = []

    def counted(events, rulebook, as_of=None):  # type: ignore[no-untyped-def]
        asked.append(len(events))
        return desk.rooms.charges_due(events, rulebook, as_of)

    desk = Desk(tmp_path / "a.db")
    desk.engine._work._rooms = desk.rooms._replace(charges_due=counted)
    desk.hear(*(dft(f"{i}", f"P{i % 2}", ft1(f"E{i}", day=f"2026-03-{i + 1:02}")) for i in range(10)))
    desk.work()

    assert asked == [5, 5]


def test_every_charge_can_say_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()
    desk.send()
    connection = desk.ledger.connection

    (stands,) = queries.standing(connection, "PB")
    posting = queries.posting(connection, stands["id"])
    assert posting is not None
    send = queries.send_of(connection, posting["id"])
    assert send is not None

    assert tuple(posting[name] for name in ("state", "events", "cause", "tables", "why")) == (
        "accepted", ("E1",), "new", "tables-1", [{"table": "service", "row": "row-1", "asked": (("code", "77412"),)}],
    )  # fmt: skip
    assert [(a["attempt"], a["kind"], a["code"]) for a in send["answers"]] == [(1, "accepted", "AA")]
    assert [event["event_id"] for event in queries.events_of_message(connection, posting["message"])] == ["E1"]
    assert queries.message(connection, posting["message"])["state"] == "processed"  # type: ignore[index]
    assert [(row["number"], row["message"]) for row in queries.revisions(connection, "RV", "E1")] == [(1, 1)]


def test_what_a_small_memory_forgets_is_read_again(tmp_path: Path) -> None:
    books = []
    for remembered in (1, 20_000):
        desk = Desk(tmp_path / f"{remembered}.db", remembered_max=remembered)
        for i in range(40):
            desk.hear(dft(f"{i}", f"P{i % 7}", ft1(f"E{i % 20}", revision=i // 20, day=f"2026-03-{1 + i % 9:02}")))
            desk.work()
            desk.send()
        books.append(desk.standing())

    assert books[0] == books[1]


def test_a_credit_is_the_same_whether_its_charge_is_remembered_or_read_again(tmp_path: Path) -> None:
    said = []
    for remembered in (1, 20_000):
        desk = Desk(tmp_path / f"{remembered}.db", remembered_max=remembered)
        for number, patient, line in (
            ("1", "P1", ft1("E1")), ("2", "P2", ft1("E2")), ("3", "P1", ft1("E1", revision=1, day="2026-03-03"))
        ):  # fmt: skip
            desk.hear(dft(number, patient, line))
            desk.work()
        said.append(desk.ledger.read("select kind, cause, why from posting order by number"))

    assert [kind for kind, *_ in said[0]] == ["CHARGE", "CHARGE", "CREDIT", "CHARGE"]
    assert said[0] == said[1]


def test_a_batch_of_large_messages_ends_where_memory_does(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(*(dft(f"{i}", f"P{i}", ft1(f"E{i}"), "ZZZ|" + "x" * (3 << 20)) for i in range(5)))

    worked = [desk.engine.work(100) for _ in range(4)]

    assert worked == [2, 2, 1, 0]
    assert len(desk.send()) == 5
