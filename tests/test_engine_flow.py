"""From bytes to what a biller was told."""

from pathlib import Path

from engine_fakes import Desk, dft, ft1

from fhir_radcharge.ledger import verify_chain


def test_a_session_is_charged_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")

    answers = desk.codes(dft("1", "P1", ft1("E1")))
    desk.work()
    said = desk.send()

    assert (["AA"], [("CG", "77412", "2026-03-02", 1)]) == (answers, said)
    assert [("PB", "77412", "2026-03-02", 1)] == desk.standing()
    assert verify_chain(desk.ledger.connection).problem is None


def test_a_voided_fraction_is_credited_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()
    desk.send()

    desk.hear(dft("2", "P1", ft1("E1", revision=1, sign="CD")), dft("3", "P1", ft1("E1", revision=1, sign="CD")))
    desk.work()

    assert [("CD", "77412", "2026-03-02", 1)] == desk.send()
    assert [] == desk.standing()
