"""The door: stored before it is understood, and answered once it is stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_radcharge.engine import Heard
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.wire import ack
from tests.engine_fakes import Desk, dft, ft1


def dispositions(desk: Desk) -> list[str]:
    return [row[0] for row in desk.ledger.read("select disposition from message order by number")]


def test_answers_say_whether_a_message_is_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    codes = desk.codes(
        dft("1", "P1", ft1("E1")),
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
        dft("2", "P1", ft1("E2"), kind="ORU^R01"),
        dft("3", "P1", ft1("E2"), version="3.0"),
        dft("4", "P1"),
        dft("5", "P1", ft1("E3"), processing="T"),
        dft("6", "P1", ft1("E3"), processing="D"),
        dft("7", "P1", ft1("E4", "UNREADABLE")),
        dft("8", "P1", ft1("E5"), application="NOBODY"),
    )

    assert codes == ["AA", "AR", "AR", "AR", "AR", "AE", "AA", "AA", "AA", "AA"]
    assert dispositions(desk) == [
        "taken", "refused", "refused", "refused", "refused", "unusable", "test", "test", "taken", "taken",
    ]  # fmt: skip


def test_bytes_are_kept_as_they_came_also_if_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    raws = [dft("1", "P1", ft1("E1")), bytes(range(256)), b"MSH", dft("2", "P1", ft1("E1"), kind="ADT^A08")]

    desk.hear(*raws)

    assert raws == [row[0] for row in desk.ledger.read("select raw from message order by number")]


def test_the_same_message_gets_the_stored_answer_and_leaves_no_trace(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    raw = dft("1", "P1", ft1("E1"))

    first, second = desk.hear(raw, raw)
    desk.work()
    desk.crash()
    (third,) = desk.hear(raw)
    desk.work()

    assert first == second == third
    assert desk.ledger.read("select count(*) from message") == [(1,)]
    assert desk.send() == [("CG", "77412", "2026-03-02", 1)]


def test_a_refused_message_that_is_repeated_gets_its_refusal_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    answers = desk.hear(b"junk", b"junk", b"other junk")

    assert (answers[0], 2) == (answers[1], len(dispositions(desk)))


def test_a_reused_control_id_is_stored_flagged_and_held(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    codes = desk.codes(dft("1", "P1", ft1("E1")), dft("1", "P1", ft1("E2", "77402")))
    desk.work()

    assert (codes, dispositions(desk)) == (["AA", "AA"], ["taken", "reused"])
    assert (desk.queue(), desk.send()) == ([("reused", "control_id_reused")], [("CG", "77412", "2026-03-02", 1)])
    desk.engine.decisions.release(desk.item("reused"), "ada", "it is a message of its own")
    desk.work()
    assert (desk.queue(), desk.send()) == ([], [("CG", "77402", "2026-03-02", 1)])


def test_a_refused_message_may_come_again_mended_under_its_control_id(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    codes = desk.codes(dft("1", "P1"), dft("1", "P1", ft1("E1")), dft("1", "P1"))
    desk.work()

    assert (codes, desk.queue()) == (["AE", "AA", "AE"], [])
    assert desk.send() == [("CG", "77412", "2026-03-02", 1)]


def test_a_defect_of_ours_refuses_one_message_and_no_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    header = desk.rooms.header

    def broken(raw: bytes):  # type: ignore[no-untyped-def]
        if b"POISON" in raw:
            raise ZeroDivisionError
        return header(raw)

    desk.engine._intake._rooms = desk.rooms._replace(header=broken)
    codes = desk.codes(dft("1", "POISON", ft1("E1")), dft("2", "P1", ft1("E2")))

    assert (codes, desk.queue()) == (["AR", "AA"], [("defect", "ZeroDivisionError")])


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(st.binary(max_size=60), st.tuples(st.integers(0, 200), st.binary(max_size=6)))))
def test_whatever_is_heard_is_kept_and_nothing_stops(fuzzed: Desk, said: list[bytes | tuple[int, bytes]]) -> None:
    whole = dft("1", "P1", ft1("E1"), accept="AL", application="ENH")
    raws = [each if isinstance(each, bytes) else whole[: each[0]] + each[1] + whole[each[0] :] for each in said]

    fuzzed.hear(*raws)
    fuzzed.work()

    kept = {row[0] for row in fuzzed.ledger.read("select raw from message")}
    assert (set(), []) == (set(raws) - kept, fuzzed.ledger.read("select * from open_item where category = 'defect'"))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("fuzzed") / "a.db")
    yield desk
    desk.ledger.close()


def test_a_profile_may_say_that_control_ids_are_reused(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(*(dft("1", "P1", ft1(f"E{i}", f"7740{i}"), application="LOOSE") for i in (1, 2)))
    desk.work()

    assert (desk.queue(), [code for _, code, _, _ in desk.send()]) == ([], ["77401", "77402"])


def test_control_ids_of_two_senders_do_not_meet(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1")), dft("1", "P1", ft1("E2"), application="ENH"))

    assert dispositions(desk) == ["taken", "taken"]


def test_a_message_without_a_control_id_is_refused_kept_and_waits_for_a_person(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    raws = [dft("", "P1", ft1("E1")), dft('""', "P1", ft1("E2", "77402")), dft("", "P1", ft1("E1"))]

    answers = [ack.read_answer(answer) for answer in desk.hear(*raws) if answer]
    desk.work()

    assert [("AE", ""), ("AE", '""'), ("AE", "")] == [(answer.code, answer.control_id) for answer in answers]
    assert {("MSH[1]-10", "101")} == {(error.place, error.code) for answer in answers for error in answer.errors}
    assert (desk.queue(), dispositions(desk)) == ([("nonconforming", "101")] * 2, ["unusable"] * 2)
    assert raws[:2] == [raw for (raw,) in desk.ledger.read("select raw from message order by number")]
    assert desk.send() == []


def test_a_message_without_a_control_id_is_read_when_a_person_releases_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("", "P1", ft1("E1")))

    desk.engine.decisions.release(desk.item("nonconforming"), "ada", "their engine cannot be mended before Monday")
    desk.work()

    assert (desk.send(), desk.queue()) == ([("CG", "77412", "2026-03-02", 1)], [])


def test_enhanced_mode_is_answered_as_asked(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    def asked(number: int, accept: str, application: str = "ENH") -> list[str]:
        return desk.codes(dft(f"C{number}", "P1", ft1(f"E{number}"), accept=accept, application=application))

    assert [
        asked(1, "AL"), asked(2, "NE"), asked(3, "ER"), asked(4, "SU"), asked(5, "AL", "RV"),
    ] == [["CA"], [""], [""], ["CA"], ["AA"]]  # fmt: skip


def test_test_messages_are_never_charged(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    desk.hear(dft("1", "P1", ft1("E1"), processing="T"), dft("2", "P1", ft1("E1"), processing="D"))
    desk.work()

    assert (desk.send(), desk.ledger.read("select count(*) from event")) == ([], [(0,)])


def test_no_answer_where_storage_fails(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    ledger = desk.ledger
    ledger.close()
    pages = (tmp_path / "a.db").stat().st_size // 4096
    desk.open(pages_max=pages + 1)
    answers: list[bytes | None] = []

    with pytest.raises(LedgerError), desk.ledger.transaction():
        answers = desk.engine.receive([Heard("rv", "p", dft(f"{i}", "P1", ft1(f"E{i}"), "Z" * 4000)) for i in range(9)])

    assert (answers if desk.ledger.read("select 1 from message") else [], dispositions(desk)) == ([], [])


def test_an_answer_names_the_message_that_it_answers(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    (answer,) = desk.hear(dft("CTL-77", "P1", ft1("E1")))

    assert answer is not None
    assert b"\rMSA|AA|CTL-77\r" in answer
