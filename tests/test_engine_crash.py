"""The process dies at any commit, or the disk is full at any page: nothing is lost, nothing is said twice."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_radcharge.engine import Outcome
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.ledger import Ledger, broken_promises, verify_chain
from fhir_radcharge.wire import ack
from tests.engine_fakes import ROOMS, Desk, Destination, Site, dft, ft1, line_of

SITE = Site({"PB": Destination(("global",), "resend")})
STORY = (
    dft("1", "P1", ft1("E1"), ft1("E2", "77402")),
    dft("2", "P2", ft1("E3", units=3)),
    dft("3", "P1", ft1("E1", revision=1, sign="CD")),
    dft("4", "P2", ft1("E3", revision=1, units=2), ft1("E4", "UNREADABLE")),
    dft("5", "P1", ft1("E1", "77407", revision=2)),
)
EXPECTED = [("PB", "77402", "2026-03-02", 1), ("PB", "77407", "2026-03-02", 1), ("PB", "77412", "2026-03-02", 2)]


class Died(BaseException):
    """The process is gone."""


class Mortal(Ledger):
    """A ledger whose process dies before or after a commit."""

    commits = 0
    dies_at = 0
    dies_after = False

    def _commit(self, connection: sqlite3.Connection) -> None:
        Mortal.commits += 1
        now = Mortal.commits == Mortal.dies_at
        if now and not Mortal.dies_after:
            raise Died
        super()._commit(connection)
        if now:
            raise Died


class Story:
    """A sender that asks until it is answered, and a biller that drops what it has seen under the same id."""

    def __init__(self, desk: Desk, rescue: Callable[[Desk], None], padding: str = "") -> None:
        self.padding = padding
        self.patients_max: int | None = None
        self.desk = desk
        self.rescue = rescue
        self.seen: dict[str, bytes] = {}

    def run(self) -> None:
        for raw in STORY:
            assert self._answered(raw + self.padding.encode()) == "AA"
            self._until(self._step)
        self._until(self._step)

    def _until(self, step: Callable[[], bool]) -> None:
        for _ in range(300):
            try:
                if not step():
                    return
            except (Died, LedgerError):
                self.rescue(self.desk)
        raise AssertionError("the story does not end")

    def _answered(self, raw: bytes) -> str:
        codes: list[str] = []

        def ask() -> bool:
            (answer,) = self.desk.hear(raw)
            assert answer is not None
            codes.append(ack.read_answer(answer).code)
            return False

        self._until(ask)
        return codes[-1]

    def _step(self) -> bool:
        engine = self.desk.engine
        worked = engine.work(10, self.patients_max)
        sends = engine.take("PB", range(2), 2)
        for send in sends:
            # What leaves is seen by the biller, whatever becomes of us.
            assert self.seen.setdefault(send.control_id, send.body) == send.body
        engine.settle([Outcome(send.seq, send.attempt, "accepted", "AA", b"") for send in sends])
        return bool(worked or sends)

    def books(self) -> tuple[list[tuple[str, str, str, int]], list[tuple[str, int]], list[str], list[tuple[str, str]]]:
        net: dict[str, int] = {}
        for body in self.seen.values():
            sign, code, _, units = line_of(body)
            net[code] = net.get(code, 0) + (units if sign == "CG" else -units)
        biller = sorted((code, units) for code, units in net.items() if units)
        return self.desk.standing(), biller, broken_promises(self.desk.ledger.connection), self.desk.queue()


WHOLE = (EXPECTED, [("77402", 1), ("77407", 1), ("77412", 2)], [], [("unreadable", "103")])


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.engine_fakes.Ledger", Mortal)
    Mortal.commits = Mortal.dies_at = 0


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books with activated tables in which nothing was heard, in pages of 512 bytes so that there are many."""
    path = tmp_path_factory.mktemp("fresh") / "fresh.db"
    Desk(path, SITE).ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("pragma journal_mode = delete", "pragma page_size = 512", "vacuum"):
        connection.execute(statement)
    connection.close()
    return path


def copied(fresh: Path, to: Path) -> Path:
    for suffix in ("", ".secret"):
        shutil.copy(f"{fresh}{suffix}", f"{to}{suffix}")
    return to


@pytest.mark.parametrize("patients_max", [None, 1], ids=["together", "in_turn"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_any_commit_loses_nothing_and_says_nothing_twice(
    tmp_path: Path, fresh: Path, mortal: None, after: bool, patients_max: int | None
) -> None:
    whole = Story(Desk(copied(fresh, tmp_path / "whole.db"), SITE), lambda desk: desk.crash())
    whole.patients_max = patients_max
    begun = Mortal.commits
    whole.run()
    last = Mortal.commits - begun
    assert whole.books() == WHOLE

    for death in range(1, last + 1):
        Mortal.dies_at = 0
        story = Story(Desk(copied(fresh, tmp_path / f"{death}.db"), SITE), lambda desk: desk.crash())
        story.patients_max = patients_max
        Mortal.dies_at, Mortal.dies_after = Mortal.commits + death, after
        story.run()
        assert (death, story.books()) == (death, WHOLE)
        assert len(story.seen) <= len(whole.seen) + 1
        story.desk.ledger.close()
    assert last > 20


def test_a_full_disk_at_any_page_loses_nothing_and_says_nothing_twice(tmp_path: Path, fresh: Path) -> None:
    # Large messages on both sides, so that every step needs pages of its own.
    padding = "ZZZ|" + "x" * 4_500 + "\r"
    large = ROOMS._replace(message_for=lambda *asked: ROOMS.message_for(*asked) + padding.encode())
    base, full = fresh.stat().st_size // 512, 0
    for pages in range(1, 121):
        failures = 0

        def space_again(desk: Desk) -> None:
            nonlocal failures
            failures += 1
            if failures > 3:
                desk.crash()

        desk = Desk(copied(fresh, tmp_path / f"{pages}.db"), SITE, rooms=large, pages_max=base + pages)
        story = Story(desk, space_again, padding)
        story.run()
        full += failures > 0
        assert (pages, story.books()) == (pages, WHOLE)
        desk.ledger.close()
    assert full > 90


class Killed(BaseException):
    """What a segmentation fault or the kernel's memory killer does to the process."""


def test_a_message_that_stops_the_program_is_put_aside_at_the_third_start(tmp_path: Path) -> None:
    starts = 0

    def read_dft(message, sender, site, number):  # type: ignore[no-untyped-def]
        nonlocal starts
        if number == 2:
            starts += 1
            raise Killed
        return ROOMS.read_dft(message, sender, site, number)

    desk = Desk(tmp_path / "a.db", rooms=ROOMS._replace(read_dft=read_dft))
    desk.hear(dft("1", "P1", ft1("E1")), dft("2", "P2", ft1("E2")), dft("3", "P3", ft1("E3")))
    for _ in range(10):
        try:
            desk.work()
            break
        except Killed:
            desk.crash()

    assert (starts, desk.queue()) == (2, [("quarantined", "quarantined")])
    assert len(desk.send()) == 2
    desk.engine.decisions.release(desk.item("quarantined"), "ada", "try again")
    for _ in range(10):
        try:
            desk.work()
            break
        except Killed:
            desk.crash()
    assert (starts, desk.queue()) == (4, [("quarantined", "quarantined")])


def test_an_end_in_order_between_count_and_work_counts_for_no_message(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")), dft("2", "P2", ft1("E2")))
    for _ in range(5):
        desk.crash()
        desk.engine.work(10)
        with desk.ledger.transaction():
            desk.engine.rest()
    desk.crash()
    desk.work()

    assert desk.queue() == []
    assert len(desk.send()) == 2
    assert desk.ledger.read("select name from cursor where name like 'starts/%'") == []


def test_an_end_in_order_does_not_forget_a_start_at_which_the_process_ended(tmp_path: Path) -> None:
    def read_dft(message, sender, site, number):  # type: ignore[no-untyped-def]
        raise Killed

    desk = Desk(tmp_path / "a.db", rooms=ROOMS._replace(read_dft=read_dft))
    desk.hear(dft("1", "P1", ft1("E1")))
    for _ in range(2):
        with pytest.raises(Killed):
            desk.work()
        desk.crash()
    with desk.ledger.transaction():
        desk.engine.rest()
    desk.crash()
    desk.work()

    assert desk.queue() == [("quarantined", "quarantined")]


def test_what_is_undone_between_count_and_work_counts_no_second_start(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.crash()
    for _ in range(3):
        desk.engine.work(10)
        with pytest.raises(ZeroDivisionError), desk.ledger.transaction():  # noqa: PT012
            desk.engine.work(10)
            raise ZeroDivisionError
    desk.work()

    assert desk.queue() == []
    assert len(desk.send()) == 1


def test_a_rollback_is_forgotten_by_the_memory_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    desk.work()
    desk.hear(dft("2", "P1", ft1("E2", "77402")))

    with pytest.raises(ZeroDivisionError), desk.ledger.transaction():  # noqa: PT012
        desk.engine.work(10)
        desk.engine.take("PB", [0], 1)
        raise ZeroDivisionError
    desk.work()

    assert sorted(code for _, code, _, _ in desk.send()) == ["77402", "77412"]
    assert verify_chain(desk.ledger.connection).problem is None


def test_killed_for_real_nothing_acknowledged_is_lost_and_nothing_is_said_twice(tmp_path: Path) -> None:
    """A child process hears, works and sends with all its might; it is killed; what it told us is compared."""
    told: dict[str, str] = {}
    answered = 0
    for kill in range(6):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.engine_child", str(tmp_path / "a.db"), str(answered)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        assert child.stdout is not None
        for count, line in enumerate(child.stdout):
            word, _, rest = line.strip().partition(" ")
            if word == "AA":
                answered = max(answered, int(rest) + 1)
            elif word == "SAID":
                name, _, body = rest.partition(" ")
                assert told.setdefault(name, body) == body
            if count > 60 + 37 * kill:
                child.kill()
        child.wait()
    desk = Desk(tmp_path / "a.db", SITE)
    desk.work()
    while sends := desk.engine.take("PB", range(4), 4):
        for send in sends:
            assert told.setdefault(send.control_id, send.body.hex()) == send.body.hex()
        desk.engine.settle([Outcome(send.seq, send.attempt, "accepted", "AA", b"") for send in sends])

    events = {row[0] for row in desk.ledger.read("select event_id from event")}
    assert answered > 100
    assert {f"E{number}" for number in range(answered)} - events == set()
    assert len(told) == len(events) == len(desk.ledger.read("select 1 from posting"))
    assert broken_promises(desk.ledger.connection) == []
    desk.ledger.close()
