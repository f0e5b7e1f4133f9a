"""Reading runs ahead of computing: what arrives while a patient waits is computed once, and nobody waits for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fhir_radcharge.ledger import broken_promises
from tests.engine_fakes import ROOMS, Desk, dft, ft1


class Counting:
    """Charges due as ever, and how many events each computation was asked about."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, events: Any, rulebook: Any, as_of: Any = None) -> Any:
        self.asked.append(tuple(event.id for event in events))
        return ROOMS.charges_due(events, rulebook, as_of)


def test_what_arrives_while_a_patient_waits_is_computed_once(tmp_path: Path) -> None:
    counting = Counting()
    desk = Desk(tmp_path / "a.db", rooms=ROOMS._replace(charges_due=counting))
    desk.hear(dft("1", "P1", ft1("A1")), dft("2", "P2", ft1("B1")))
    assert desk.engine.work(8, 1) == 1
    desk.hear(dft("3", "P1", ft1("A2")), dft("4", "P2", ft1("B2")), dft("5", "P2", ft1("B3")))
    while desk.engine.work(8, 1):
        pass

    # Both waited from the beginning; the number of a patient is given in the order of the keyed hashes.
    first, second = sorted(counting.asked[:2], key=len)
    assert len(first) == 1
    assert (len(second), len(counting.asked)) in {(2, 3), (3, 3)}
    assert len(desk.send()) == 5
    assert broken_promises(desk.ledger.connection) == []


def test_who_was_touched_first_is_computed_first_however_busy_the_others_are(tmp_path: Path) -> None:
    counting = Counting()
    desk = Desk(tmp_path / "a.db", rooms=ROOMS._replace(charges_due=counting))
    for number in range(5):
        desk.hear(dft(f"{number}", f"P{number}", ft1(f"E{number}-0")))
        desk.engine.work(1, 0)
    for round_ in range(1, 6):
        desk.hear(*(dft(f"{number}/{round_}", f"P{number}", ft1(f"E{number}-{round_}")) for number in range(3)))
        desk.engine.work(3, 1)

    assert [events[0].split("-")[0] for events in counting.asked] == ["E0", "E1", "E2", "E3", "E4"]


def test_a_message_alone_goes_through_in_one_slice(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))

    assert [desk.engine.work(8, 1), desk.engine.work(8, 1)] == [1, 0]
    assert len(desk.send()) == 1


def test_those_who_wait_are_computed_after_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(*(dft(f"{number}", f"P{number}", ft1(f"E{number}")) for number in range(4)))
    desk.engine.work(4, 1)
    desk.crash()
    desk.work()

    assert len(desk.send()) == 4


class Killed(BaseException):
    """What a segmentation fault or the kernel's memory killer does to the process."""


def test_a_patient_who_stops_the_program_is_put_aside_at_the_third_start_and_the_others_go_on(tmp_path: Path) -> None:
    starts = 0
    mended = False

    def charges_due(events: Any, rulebook: Any, as_of: Any = None) -> Any:
        nonlocal starts
        if events[0].id.startswith("BAD") and not mended:
            starts += 1
            raise Killed
        return ROOMS.charges_due(events, rulebook, as_of)

    def through() -> None:
        for _ in range(10):
            try:
                while desk.engine.work(8, 1):
                    pass
                return
            except Killed:
                desk.crash()
        raise AssertionError("the program is stopped for ever")

    desk = Desk(tmp_path / "a.db", rooms=ROOMS._replace(charges_due=charges_due))
    desk.hear(dft("1", "P1", ft1("BAD1")), dft("2", "P2", ft1("E2")), dft("3", "P3", ft1("E3")))
    desk.engine.work(8, 0)
    through()
    assert (starts, desk.queue(), len(desk.send())) == (2, [("quarantined", "quarantined")], 2)

    desk.hear(dft("4", "P1", ft1("BAD2")))
    through()
    assert (starts, len(desk.send())) == (2, 0)

    mended = True
    desk.engine.decisions.release(desk.item("quarantined"), "ada", "the program was mended")
    through()
    assert (desk.queue(), len(desk.send())) == ([], 2)
