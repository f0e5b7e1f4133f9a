"""Stop and wait on every lane; silence stands; a refusal never happened."""

from datetime import timedelta
from pathlib import Path

from fhir_radcharge.engine import Outcome, Send
from tests.engine_fakes import SITE, Desk, Destination, Site, dft, ft1, line_of

CHARGE = ("CG", "77412", "2026-03-02", 1)
CREDIT = ("CD", "77412", "2026-03-02", 1)
RESEND = Site({"PB": Destination(("global",), "resend")})


def heard(desk: Desk, *lines: str, patient: str = "P1", number: int = 1) -> None:
    desk.hear(dft(f"{number}-{patient}", patient, *lines))
    desk.work()


def one(desk: Desk, destination: str = "PB") -> Send:
    (send,) = desk.engine.take(destination, [0], 1)
    return send


def ended(desk: Desk, send: Send, kind: str, code: str = "") -> None:
    desk.engine.settle([Outcome(send.seq, send.attempt, kind, code, b"")])  # type: ignore[arg-type]


def answers(desk: Desk) -> list[str]:
    return [row[0] for row in desk.ledger.read("select kind from answer order by number")]


def test_a_lane_has_one_outstanding_message(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))

    first = desk.engine.take("PB", [0], 1)
    meanwhile = desk.engine.take("PB", [0], 1)
    ended(desk, first[0], "accepted")
    second = desk.engine.take("PB", [0], 1)

    assert (len(first), meanwhile, len(second)) == (1, [], 1)


def test_one_patient_stays_on_one_lane_and_in_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    for patient in range(8):
        heard(desk, *(ft1(f"E{patient}-{i}", f"7740{i}") for i in range(3)), patient=f"P{patient}")

    lanes: dict[bytes, set[int]] = {}
    codes: dict[bytes, list[str]] = {}
    while sends := desk.engine.take("PB", range(3), 3):
        for send in sends:
            patient = send.body.split(b"\rPID|1||")[1][:2]
            lanes.setdefault(patient, set()).add(send.lane)
            codes.setdefault(patient, []).append(line_of(send.body)[1])
            ended(desk, send, "accepted")

    assert (
        [len(each) for each in lanes.values()],
        list(codes.values()),
    ) == ([1] * 8, [["77400", "77401", "77402"]] * 8)


def test_the_number_of_lanes_may_change(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    for patient in range(20):
        heard(desk, ft1(f"E{patient}"), patient=f"P{patient}")

    first = desk.engine.take("PB", range(8), 8)
    for send in first:
        ended(desk, send, "accepted")
    rest = desk.send(lanes=3)

    assert (len(first), len(rest)) == (8, 12)


def test_a_resend_is_the_same_bytes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", RESEND)
    heard(desk, ft1("E1"))

    sends = []
    for kind in ("silent", "not_taken", "silent", "accepted"):
        sends.append(one(desk))
        ended(desk, sends[-1], kind)

    assert [send.attempt for send in sends] == [1, 2, 3, 4]
    assert (len({send.body for send in sends}), len({send.control_id for send in sends}), desk.queue()) == (1, 1, [])
    assert answers(desk) == ["silent", "not_taken", "silent", "accepted"]


def test_silence_stands_and_is_held_until_a_person_says(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))
    heard(desk, ft1("E3", "77407"), patient="P2")
    send = one(desk)

    ended(desk, send, "silent")
    others = desk.send()

    assert (desk.queue(), others) == ([("unanswered", "hold")], [("CG", "77407", "2026-03-02", 1)])
    assert ("PB", "77412", "2026-03-02", 1) in desk.standing()


def test_a_person_may_say_that_a_silent_one_arrived(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))
    ended(desk, one(desk), "silent")

    desk.engine.decisions.arrived(desk.item("unanswered"), "ada", "seen in the biller's list")
    desk.work()

    assert (
        desk.send(), desk.queue(), answers(desk),
    ) == ([("CG", "77402", "2026-03-02", 1)], [], ["silent", "arrived", "accepted"])  # fmt: skip


def test_a_person_may_have_a_silent_one_sent_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))
    first = one(desk)
    ended(desk, first, "silent")

    desk.engine.decisions.resend(desk.item("unanswered"), "ada", "not in the biller's list")
    second = one(desk)
    ended(desk, second, "accepted")

    assert (first.body, 2) == (second.body, second.attempt)
    assert desk.send() == [("CG", "77402", "2026-03-02", 1)]


def test_one_that_never_arrived_is_said_anew_under_a_new_id(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    first = one(desk)
    ended(desk, first, "silent")

    desk.engine.decisions.not_arrived(desk.item("unanswered"), "ada", "the biller says so")
    desk.work()
    second = one(desk)
    ended(desk, second, "accepted")

    assert first.control_id != second.control_id
    assert (desk.standing(), desk.queue()) == ([("PB", "77412", "2026-03-02", 1)], [])


def test_a_refused_charge_does_not_stand_and_blocks_its_course_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"), ft1("E3", "77407", course="C2"))

    ended(desk, one(desk), "refused", "AE")
    desk.work()

    assert (desk.queue(), desk.send()) == ([("refused", "AE")], [("CG", "77407", "2026-03-02", 1)])
    assert desk.standing() == [("PB", "77402", "2026-03-02", 1), ("PB", "77407", "2026-03-02", 1)]


def test_a_refused_line_is_said_anew_when_a_person_releases_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    first = one(desk)
    ended(desk, first, "refused", "AE")
    heard(desk, ft1("E9", "77402"), number=2)
    blocked = desk.send()

    desk.engine.decisions.release(desk.item("refused"), "ada", "the biller's table is mended")
    desk.work()
    said = desk.send()

    assert (blocked, said, desk.queue()) == ([], [("CG", "77402", "2026-03-02", 1), CHARGE], [])
    assert first.control_id not in {row[0] for row in desk.ledger.read("select control_id from send where number > 1")}


def test_a_refused_line_is_free_when_what_is_due_changes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    ended(desk, one(desk), "refused", "AE")

    heard(desk, ft1("E1", "77402", revision=1), number=2)

    assert (desk.queue(), desk.send()) == ([], [("CG", "77402", "2026-03-02", 1)])


def test_a_dismissed_refusal_stays_away_until_what_is_due_changes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))
    ended(desk, one(desk), "refused", "AE")

    desk.engine.decisions.dismiss(desk.item("refused"), "ada", "billed by hand")
    desk.work()
    said = desk.send()
    heard(desk, ft1("E1", revision=1, units=2), number=2)

    assert (said, desk.send()) == ([("CG", "77402", "2026-03-02", 1)], [("CG", "77412", "2026-03-02", 2)])


def test_no_credit_goes_before_its_charge_was_accepted(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    charge = one(desk)
    heard(desk, ft1("E1", revision=1, sign="CD"), number=2)

    meanwhile = desk.engine.take("PB", [0], 1)
    ended(desk, charge, "not_taken")
    first = desk.send()

    assert (meanwhile, first, desk.standing()) == ([], [CHARGE, CREDIT], [])


def test_a_refused_charge_takes_its_waiting_credit_with_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    charge = one(desk)
    heard(desk, ft1("E1", "77402", revision=1), number=2)

    ended(desk, charge, "refused", "AE")

    assert (
        desk.send(), desk.queue(), answers(desk),
    ) == ([("CG", "77402", "2026-03-02", 1)], [], ["refused", "withdrawn", "accepted"])  # fmt: skip


def test_a_silent_charge_that_never_arrived_takes_its_waiting_credit_with_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    ended(desk, one(desk), "silent")
    heard(desk, ft1("E1", revision=1, sign="CD"), number=2)

    waiting = desk.send()
    desk.engine.decisions.not_arrived(desk.item("unanswered"), "ada", "the biller says so")
    desk.work()

    assert (waiting, desk.send(), desk.standing(), desk.queue()) == ([], [], [], [])


def test_a_refused_credit_leaves_its_charge_standing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    desk.send()
    heard(desk, ft1("E1", "77402", revision=1), number=2)

    ended(desk, one(desk), "refused", "AE")
    desk.work()

    assert desk.standing() == [("PB", "77402", "2026-03-02", 1), ("PB", "77412", "2026-03-02", 1)]
    assert (desk.queue(), desk.send()) == ([("refused", "AE")], [])
    desk.engine.decisions.release(desk.item("refused"), "ada", "the account is open again")
    desk.work()
    assert sorted(desk.send()) == [CREDIT, ("CG", "77402", "2026-03-02", 1)]
    assert desk.standing() == [("PB", "77402", "2026-03-02", 1)]


def test_a_late_outcome_is_kept_and_has_no_effect(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", RESEND)
    heard(desk, ft1("E1"))
    first = one(desk)
    ended(desk, first, "silent")
    second = one(desk)

    ended(desk, first, "refused", "AE")
    ended(desk, second, "accepted")
    ended(desk, second, "refused", "AE")
    ended(desk, Send(99, "PB", 0, "", b"", 1), "refused", "AE")

    assert answers(desk) == ["silent", "late", "accepted", "late", "late"]
    assert (desk.standing(), desk.queue()) == ([("PB", "77412", "2026-03-02", 1)], [])


def test_an_attempt_without_an_outcome_is_silent_after_a_restart(tmp_path: Path) -> None:
    held, sent_again = Desk(tmp_path / "a.db"), Desk(tmp_path / "b.db", RESEND)
    for desk in (held, sent_again):
        heard(desk, ft1("E1"))
        one(desk)
        desk.crash()

    assert (held.queue(), held.send()) == ([("unanswered", "hold")], [])
    assert (sent_again.queue(), sent_again.send()) == ([], [CHARGE])


def test_paused_nothing_goes_out_and_charges_are_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.engine.decisions.set_destination("PB", "pause", "ada", "the biller is down")
    heard(desk, ft1("E1"))
    paused = desk.send()

    desk.engine.decisions.set_destination("PB", "resume", "ada", "the biller is up")

    assert (paused, desk.send()) == ([], [CHARGE])


def test_drained_what_waits_goes_out_and_nothing_new_is_computed(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    desk.engine.decisions.set_destination("PB", "drain", "ada", "the link is replaced")
    heard(desk, ft1("E2", "77402"), number=2)
    drained = desk.send()

    desk.engine.decisions.set_destination("PB", "live", "ada", "the new link is there")
    desk.work()

    assert (drained, desk.send()) == ([CHARGE], [("CG", "77402", "2026-03-02", 1)])


def test_what_waits_for_a_destination_costs_no_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", remembered_max=10)
    for i in range(60):
        heard(desk, ft1(f"E{i}"), patient=f"P{i}")

    assert (60, len(SITE.destinations)) == (len(desk.send()), 1)


def test_a_flood_of_credits_stops_for_a_second_person(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", credits_max=3)
    heard(desk, *(ft1(f"E{i}", f"7740{i}") for i in range(8)))
    desk.send()
    heard(desk, *(ft1(f"E{i}", f"7740{i}", revision=1, sign="CD") for i in range(8)), number=2)

    first = desk.send()
    desk.crash()
    paused = desk.send()
    waits = desk.queue()
    desk.engine.decisions.set_destination("PB", "resume", "eve", "the plan was cancelled, these credits are right")
    second = desk.send()
    desk.clock.now += timedelta(hours=1)
    desk.engine.decisions.set_destination("PB", "resume", "eve", "still right")
    third = desk.send()

    assert ([*map(len, (first, paused, second, third))], waits) == ([3, 0, 3, 2], [("credit_flood", "credit_flood")])
    assert (desk.queue(), desk.standing()) == ([], [])


def test_credits_spread_over_hours_are_no_flood(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", credits_max=1)
    heard(desk, *(ft1(f"E{i}", f"7740{i}") for i in range(3)))
    said = len(desk.send())
    for i in range(3):
        desk.clock.now += timedelta(hours=1)
        heard(desk, ft1(f"E{i}", f"7740{i}", revision=1, sign="CD"), number=2 + i)
        said += len(desk.send())

    assert (said, desk.queue()) == (6, [])


def test_silence_at_a_destination_that_was_taken_away_is_asked_about(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", RESEND)
    heard(desk, ft1("E1"))
    one(desk)
    desk.site = Site({"NEW": Destination(("global",))})

    desk.crash()

    assert desk.queue() == [("unanswered", "hold")]


def declined(desk: Desk, times: int) -> Send:
    for _ in range(times):
        send = one(desk)
        ended(desk, send, "not_taken", "AR")
    return send


def test_a_destination_that_does_not_take_a_message_ten_times_in_a_row_is_asked_about_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))

    declined(desk, 9)
    before = desk.queue()
    declined(desk, 1)
    after = desk.queue()
    desk.crash()
    declined(desk, 15)

    assert (before, after) == ([], [("not_taken", "AR")])
    assert desk.queue() == [("not_taken", "AR")]
    assert desk.ledger.read("select destination, note, place from open_item") == [
        ("PB", one(desk).control_id, "attempt 10")
    ]


def test_the_item_of_a_destination_closes_when_it_takes_the_message_and_stops_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))
    declined(desk, 10)
    desk.crash()

    said = desk.send()

    assert (said, desk.queue()) == ([CHARGE, ("CG", "77402", "2026-03-02", 1)], [])


def test_the_item_of_a_destination_closes_when_it_refuses_the_message(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"))
    last = declined(desk, 10)

    ended(desk, one(desk), "refused", "AE")

    assert (last.attempt, desk.queue()) == (10, [("refused", "AE")])


def test_what_is_not_taken_now_and_then_is_nobodys_work(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db", RESEND)
    heard(desk, ft1("E1"))

    declined(desk, 9)
    ended(desk, one(desk), "silent")
    declined(desk, 9)

    assert desk.queue() == []


def test_a_dismissed_item_of_a_destination_stays_away_while_the_same_message_is_not_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    heard(desk, ft1("E1"), ft1("E2", "77402"))
    declined(desk, 10)

    desk.engine.decisions.dismiss(desk.item("not_taken"), "ada", "their upgrade, until noon")
    declined(desk, 3)
    quiet = desk.queue()
    ended(desk, one(desk), "accepted")
    declined(desk, 10)

    assert (quiet, desk.queue()) == ([], [("not_taken", "AR")])
