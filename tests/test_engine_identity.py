"""Two records become one patient, a session changes its visit, insurance comes later: from bytes to the biller's books."""

from __future__ import annotations

import sqlite3
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.engine.identity import Merge, standing_merges
from fhir_radcharge.ledger import Ledger, broken_promises, store, verify_chain
from fhir_radcharge.wire import ack, er7
from tests import engine_fakes as fakes
from tests.engine_fakes import ROOMS, Clock, Desk, Reading, dft, ft1
from tests.test_engine_rooms import site

DAYS = {"F1": "20260302", "F2": "20260303", "F3": "20260304"}


def session(event: str, patient: str, visit: str = "V1", plan: str = "MCARE", at: str = "0900") -> bytes:
    day = DAYS[event]
    lines = [
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{day}{at}||DFT^P03|{event}{patient}{visit}{at}|P|2.5.1",
        f"EVN|P03|{day}{at}", f"PID|1||{patient}||INVENTED^{patient}|||||||||||||{visit}", "PV1|1|O|RADONC",
        f"FT1|1|{event}||{day}0900||CG|FRACTION|||1||||||RADONC|||C44.311^^I10|1999999984^CURIE|1999999976^REFER",
        "OBX|1|ST|course||C1", "OBX|2|ST|technique||superficial", "OBX|3|NM|kv||100", f"IN1|1|{plan}|{plan}",
    ]  # fmt: skip
    return "\r".join([*lines, ""]).encode()


def merge(prior: str, survivor: str, at: str = "202603050800") -> bytes:
    return (
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{at}||ADT^A40|M{prior}{survivor}{at}|P|2.5.1\rEVN|A40|{at}\r"
        f"PID|1||{survivor}||INVENTED^{survivor}\rMRG|{prior}\r"
    ).encode()


def coverage(patient: str, plan: str, visit: str = "V1", at: str = "202603060800") -> bytes:
    return (
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{at}||ADT^A08|C{patient}{plan}{at}|P|2.5.1\rEVN|A08|{at}\r"
        f"PID|1||{patient}||INVENTED^{patient}|||||||||||||{visit}\rPV1|1|O|RADONC\rIN1|1|{plan}|{plan}\r"
    ).encode()


def visit(patient: str, prior: str, now: str, trigger: str = "A41", at: str = "202603070800") -> bytes:
    """An account that went into another one, by MRG-3 and PID-18, or a visit of another number, by MRG-5 and PV1-19."""
    account, pv1 = (now, "PV1|1|O|RADONC") if trigger == "A41" else ("", "PV1|1|O|RADONC" + "|" * 16 + now)
    mrg = f"MRG|{patient}||{prior}" if trigger == "A41" else f"MRG|{patient}||||{prior}"
    return (
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{at}||ADT^{trigger}|V{patient}{prior}{now}{at}|P|2.5.1\r"
        f"EVN|{trigger}|{at}\rPID|1||{patient}||INVENTED^{patient}|||||||||||||{account}\r{mrg}\r{pv1}\r"
    ).encode()


class Office:
    """The engine over real books, and a biller that adds up what it was sent."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.engine = Engine(self.ledger, site(), Clock())
        self.engine.decisions.activate(site().digest, "all", "ada", "shipped tables")
        self.books: Counter[tuple[str, str, str, str, str]] = Counter()
        self.said: list[tuple[str, str, str]] = []

    def hear(self, *raws: bytes, send: bool = True) -> list[str]:
        with self.ledger.transaction():
            answers = self.engine.receive([Heard("rv", "loopback", raw) for raw in raws])
        while self.engine.work(10):
            pass
        if send:
            self.send()
        return [ack.read_answer(answer).code for answer in answers if answer]

    def send(self) -> None:
        while sends := self.engine.take("global_biller", range(4), 4):
            for each in sends:
                message = er7.read_message(each.body)
                (ft1,) = message.all("FT1")
                pid, in1 = message.first("PID"), message.first("IN1")
                account = pid[3], (pid + [""] * 20)[18], in1[3] if in1 else ""
                units = int(ft1[10]) * (1 if ft1[6] == "CG" else -1)
                self.books[(*account, ft1[25].split("^")[0], ft1[4][:8])] += units
                self.said.append((ft1[6], pid[3], ft1[4][:8]))
            self.engine.settle([Outcome(each.seq, each.attempt, "accepted", "AA", b"") for each in sends])

    def net(self) -> list[tuple[str, str, str, str]]:
        """What the biller has in the end: patient, visit, plan and date of each charge of a session."""
        assert broken_promises(self.ledger.connection) == []
        assert min(self.books.values(), default=0) >= 0
        return sorted((*key[:3], key[4]) for key, units in self.books.items() if units and key[3].startswith("77"))


def test_a_merged_patients_charges_are_credited_there_and_made_here(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"), session("F2", "B"))
    assert office.net() == [("A", "V1", "MCARE", "20260302"), ("B", "V1", "MCARE", "20260303")]
    before = len(office.said)

    assert office.hear(merge("A", "B")) == ["AA"]

    assert office.net() == [("B", "V1", "MCARE", "20260302"), ("B", "V1", "MCARE", "20260303")]
    assert office.said[before:] == [("CD", "A", "20260302"), ("CG", "B", "20260302")]
    causes = office.ledger.read("select cause from posting order by number")[-2:]
    assert causes == [("account",), ("account",)]
    assert office.hear(merge("A", "B"), merge("A", "B", "202603050900"))
    assert len(office.said) == before + 2


STORY = (session("F1", "A"), session("F2", "B"), session("F3", "C"), merge("A", "B"), merge("B", "C", "202603060800"))


@pytest.mark.parametrize("first", range(5))
def test_chains_of_merges_end_alike_in_any_order(tmp_path: Path, first: int) -> None:
    for number, order in enumerate(order for order in permutations(range(5)) if order[0] == first and order[1] % 2):
        office = Office(tmp_path / f"{number}.db")
        for step in order:
            office.hear(STORY[step], send=step % 2 == 0)
        office.send()
        assert (order, office.net()) == (order, [("C", "V1", "MCARE", day) for day in DAYS.values()])
        office.ledger.close()


def test_a_charge_that_waits_is_said_before_the_credit_of_its_merge(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"), session("F2", "B"), send=False)
    office.hear(merge("A", "B"), send=False)
    office.send()

    ours = [(sign, patient) for sign, patient, day in office.said if day == "20260302"]
    assert ours == [("CG", "A"), ("CD", "A"), ("CG", "B")]


def test_a_session_that_changes_its_visit_moves_its_charge(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"), session("F2", "A"))
    office.hear(session("F1", "A", visit="V2", at="1000"))

    assert office.net() == [("A", "V1", "MCARE", "20260303"), ("A", "V2", "MCARE", "20260302")]
    assert office.ledger.read("select kind, cause from posting order by number")[-2:] == [
        ("CREDIT", "account"), ("CHARGE", "account"),
    ]  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_later_coverage_makes_the_charges_of_its_visit_anew(tmp_path: Path, order: tuple[int, ...]) -> None:
    story = session("F1", "A"), session("F2", "A", visit="V2"), coverage("A", "AETNA")
    office = Office(tmp_path / "a.db")
    for step in order:
        office.hear(story[step])

    payers = {row[0] for row in office.ledger.read("select payer from identity")}
    assert len(payers) == 1
    if "unmapped" in payers:
        assert office.net() == [("A", "V2", "MCARE", "20260303")]
    else:
        assert office.net() == [("A", "V1", "AETNA", "20260302"), ("A", "V2", "MCARE", "20260303")]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_greatest_coverage_of_a_merged_visit_stands(tmp_path: Path, order: tuple[int, ...]) -> None:
    story = (
        session("F1", "A"), merge("A", "B"), coverage("A", "MCARE-RG", at="202603060800"),
        coverage("B", "MCARE", at="202603070800"),
    )  # fmt: skip
    office = Office(tmp_path / "a.db")
    for step in order:
        office.hear(story[step])

    assert office.net() == [("B", "V1", "MCARE", "20260302")]


@pytest.mark.parametrize("trigger", ["A41", "A50"])
def test_a_visit_that_became_another_moves_its_charges(tmp_path: Path, trigger: str) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"), session("F2", "A", visit="V2"))
    before = len(office.said)

    assert office.hear(visit("A", "V1", "V3", trigger)) == ["AA"]

    assert office.net() == [("A", "V2", "MCARE", "20260303"), ("A", "V3", "MCARE", "20260302")]
    assert office.said[before:] == [("CD", "A", "20260302"), ("CG", "A", "20260302")]
    office.hear(visit("A", "V1", "V3", trigger), visit("A", "V1", "V3", trigger, "202603070900"))
    assert len(office.said) == before + 2


VISITS = (
    session("F1", "A"), visit("A", "V1", "V2"), visit("A", "V2", "V3", "A50", "202603080800"),
    coverage("A", "MCARE-RG", visit="V2"), merge("A", "B"),
)  # fmt: skip


@pytest.mark.parametrize("first", range(5))
def test_visits_merges_and_coverage_end_alike_in_any_order(tmp_path: Path, first: int) -> None:
    for number, order in enumerate(order for order in permutations(range(5)) if order[0] == first):
        office = Office(tmp_path / f"{number}.db")
        for step in order:
            office.hear(VISITS[step], send=step % 2 == 0)
        office.send()
        assert (order, office.net()) == (order, [("B", "V3", "MCARE-RG", "20260302")])
        office.ledger.close()


def test_the_greatest_revision_says_what_a_visit_became(tmp_path: Path) -> None:
    story = visit("A", "V1", "V2", at="202603090800"), session("F1", "A"), visit("A", "V1", "V3", at="202603080800")
    for number, order in enumerate(permutations(story)):
        office = Office(tmp_path / f"{number}.db")
        for message in order:
            office.hear(message)
        assert office.net() == [("A", "V2", "MCARE", "20260302")]
        office.ledger.close()


@pytest.mark.parametrize(
    "lacking", [visit("A", "", "V2"), visit("A", "V1", "")], ids=["no prior visit", "no visit"]
)
def test_a_change_of_visit_that_does_not_say_both_waits_for_a_person(tmp_path: Path, lacking: bytes) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"), lacking)

    assert office.net() == [("A", "V1", "MCARE", "20260302")]
    assert office.ledger.read("select category, reason from open_item") == [("unreadable", "101")]


def test_books_that_knew_no_changed_visits_are_brought_up_and_stay_insert_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(store, "MIGRATIONS", store.MIGRATIONS[:4])
        office = Office(tmp_path / "a.db")
        office.hear(session("F1", "A"), merge("A", "B"))
        office.ledger.close()
    books = Counter(office.books)

    office = Office(tmp_path / "a.db")
    office.books = books
    office.hear(visit("B", "V1", "V2"))

    assert office.net() == [("B", "V2", "MCARE", "20260302")]
    assert verify_chain(office.ledger.connection).problem is None
    for statement in ("update identity set kind = 'merge'", "delete from identity"):
        with pytest.raises(sqlite3.IntegrityError, match="insert only"):
            office.ledger.connection.execute(statement)


def test_coverage_that_says_what_is_known_moves_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"))
    before = list(office.said)
    office.hear(coverage("A", "MCARE"))

    assert office.said == before


def test_a_merged_session_that_is_voided_is_credited_where_it_was_charged(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A"), session("F2", "B"), merge("A", "B"))
    office.hear(session("F1", "A", at="1100").replace(b"|CG|", b"|CD|"))

    assert office.net() == [("B", "V1", "MCARE", "20260303")]


def test_one_id_of_two_senders_on_two_visits_is_charged_once_each_and_stays(tmp_path: Path) -> None:
    def read_dft(message: er7.Message, sender: object, site: object, number: int) -> Reading:
        found = fakes.read_dft(message, sender, site, number)  # type: ignore[arg-type]
        source = er7.text(message, message.segments[0], 3)
        return found._replace(events=tuple(event._replace(source=source) for event in found.events))

    desk = Desk(tmp_path / "a.db", rooms=ROOMS._replace(read_dft=read_dft))
    desk.hear(
        dft("1", "P1", ft1("E1", day="2026-03-02"), account="V1"),
        dft("2", "P1", ft1("E1", day="2026-03-03"), account="V2", application="LOOSE"),
    )
    desk.work()
    first = desk.send()
    desk.hear(dft("3", "P1", ft1("E9", day="2026-03-04"), account="V1"))
    desk.work()

    assert [(sign, day) for sign, _, day, _ in first] == [("CG", "2026-03-02"), ("CG", "2026-03-03")]
    assert [(sign, day) for sign, _, day, _ in desk.send()] == [("CG", "2026-03-04")]


def test_an_adt_message_that_no_profile_takes_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")

    assert office.hear(merge("A", "B").replace(b"ADT^A40", b"ADT^A44")) == ["AR"]


def test_merges_stand_alike_in_any_order_without_a_circle() -> None:
    merges = [Merge((3, b"a"), 1, 2), Merge((5, b"b"), 2, 1), Merge((4, b"c"), 1, 3), Merge((1, b"d"), 3, 1)]

    found = {tuple(sorted(standing_merges(order).items())) for order in permutations(merges)}

    assert found == {((1, 3), (2, 1))}
