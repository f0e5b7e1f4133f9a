"""What people decide: with who, when and why, and with its effect, or not at all."""

from datetime import date
from pathlib import Path

import pytest

from fhir_radcharge.engine import Opening
from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.ledger import queries
from fhir_radcharge.model import Charge, TreatmentEvent
from tests.engine_fakes import SITE, Desk, dft, ft1


def charge(event: str, code: str = "77412") -> Charge:
    return Charge(
        "global", "C1", code, (), date(2026, 3, 2), None, 1, "11", None, False, None, "service", "", event, (event,), ()
    )  # fmt: skip


def test_a_decision_is_written_with_who_and_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.engine.decisions.set_destination("PB", "pause", "ada", "the biller is down")

    told = queries.decisions(desk.ledger.connection)
    assert [(row["kind"], row["subject"], row["by"], row["why"]) for row in told] == [
        ("activate", "tables-1", "ada", "first tables"),
        ("pause", "destination/PB", "ada", "the biller is down"),
    ]


def test_what_cannot_be_decided_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", hold="no_order")))
    desk.work()
    decide, hold = desk.engine.decisions, desk.item("hold")

    for wrong in (
        lambda: decide.release("NOSUCHITEM", "ada", "why"),
        lambda: decide.arrived(hold, "ada", "why"),
        lambda: decide.set_destination("NOWHERE", "pause", "ada", "why"),
        lambda: decide.set_destination("PB", "stop", "ada", "why"),
        lambda: decide.activate("tables-1", "everything", "ada", "why"),
        lambda: decide.dismiss(hold, "", "why"),
        lambda: decide.dismiss(hold, "ada", ""),
    ):
        with pytest.raises(UnsafeError):
            wrong()

    assert desk.ledger.read("select count(*) from decision") == [(1,)]


def test_a_supplied_event_is_an_event_like_any_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", hold="no_order")))
    desk.work()
    facts = {"code": "77412", "bill": "global", "hold": "", "units": 1}

    desk.engine.decisions.supply(
        "P1",
        "V1",
        TreatmentEvent("RV", "E1", "service", date(2026, 3, 2), course="C1", facts=facts, revision=(5,)),
        "ada",
        "seen",
    )
    desk.work()

    assert (desk.queue(), desk.send()) == ([], [("CG", "77412", "2026-03-02", 1)])


def test_a_released_hold_is_charged_and_stays_released(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", hold="same_day_gap"), ft1("E2", "77402", hold="same_day_gap")))
    desk.work()
    key = desk.ledger.read("select key from open_item where place = 'global 77412 2026-03-02'")[0][0]

    desk.engine.decisions.release(key, "ada", "two sessions, seen in the chart")
    desk.work()
    said = desk.send()
    desk.hear(dft("2", "P1", ft1("E1", revision=1, hold="same_day_gap", units=2)))
    desk.work()

    assert (said, desk.send()) == ([("CG", "77412", "2026-03-02", 1)], [("CG", "77412", "2026-03-02", 1)])
    assert desk.queue() == [("hold", "same_day_gap")]
    assert [row[0] for row in desk.ledger.read("select source from event where kind = 'release'")] == ["person"]


def test_a_dismissed_flag_does_not_come_back_until_it_changes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", "FLAG")))
    desk.work()

    desk.engine.decisions.dismiss(desk.item("flag"), "ada", "looked")
    desk.hear(dft("2", "P1", ft1("E2")))
    desk.work()
    quiet = desk.queue()
    desk.hear(dft("3", "P1", ft1("E1", "FLAG", day="2026-03-03", revision=1)))
    desk.work()

    assert (quiet, desk.queue()) == ([], [("flag", "look")])


def test_what_an_old_system_charged_stands_and_is_not_said_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    rows = [
        Opening("P1", "PB", charge("E1"), 1, reference="old-1"),
        Opening("P1", "PB", charge("E2", "77402"), 1, reference="old-2"),
    ]

    counts = [desk.engine.decisions.open_with(rows, "ada", "going live") for _ in range(2)]
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()

    assert (counts, desk.send()) == ([2, 0], [("CD", "77402", "2026-03-02", 1)])
    assert desk.standing() == [("PB", "77412", "2026-03-02", 1)]


def test_a_shadow_computes_and_sends_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.engine.decisions.set_destination("PB", "shadow", "ada", "compare first")
    for number in (1, 2):
        desk.hear(dft(f"{number}", "P1", ft1("E1", revision=number)))
        desk.work()
    shadow = desk.ledger.read("select mode, kind, code from posting")
    sent = desk.send()

    desk.engine.decisions.set_destination("PB", "live", "ada", "it agrees")
    desk.work()

    assert (shadow, sent, desk.send()) == ([("shadow", "CHARGE", "77412")], [], [("CG", "77412", "2026-03-02", 1)])
    assert desk.standing() == [("PB", "77412", "2026-03-02", 1)]


def test_activated_tables_may_compute_the_past_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()
    desk.send()

    def doubled(events, rulebook, as_of=None):  # type: ignore[no-untyped-def]
        due = SITE_ROOMS.charges_due(events, rulebook, as_of)
        return due._replace(charges=tuple(line._replace(units=2) for line in due.charges))

    SITE_ROOMS = desk.rooms
    desk.ledger.close()
    desk.site, desk.rooms = SITE._replace(digest="tables-2"), SITE_ROOMS._replace(charges_due=doubled)
    desk.open()
    desk.work()
    before = desk.send()
    desk.engine.decisions.activate("tables-2", "all", "ada", "the diff was seen")
    desk.work()

    assert (before, desk.send()) == ([], [("CG", "77412", "2026-03-02", 1)])
    assert [
        row[0] for row in desk.ledger.read("select digest from edition order by number")
    ] == ["tables-1", "tables-2"]


def test_a_parked_message_is_read_again_when_it_is_released_and_when_tables_change(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1"), application="LATER"), dft("2", "P2", ft1("E2"), application="LATER"))
    desk.work()
    parked = desk.queue()
    desk.ledger.close()
    desk.site = SITE._replace(digest="tables-2", senders={**SITE.senders, "LATER": SITE.senders["RV"]})
    desk.open()

    desk.engine.decisions.activate("tables-2", "new", "ada", "a profile was added")
    desk.work()

    assert (parked, desk.queue()) == ([("unreadable", "207")] * 2, [])
    assert desk.send() == [("CG", "77412", "2026-03-02", 1)] * 2
