"""What the books answer when they are asked."""

import pytest

from fhir_radcharge.engine import Outcome
from fhir_radcharge.ledger import queries, reader
from tests.engine_fakes import Desk, dft, ft1


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Patient one: charged, then credited. Two: refused, with one waiting. Three: unanswered. Four: parked."""
    desk = Desk(tmp_path_factory.mktemp("books") / "a.db")
    desk.hear(dft("1", "P1", ft1("E1", day="2026-03-01")))
    desk.work()
    desk.send()
    desk.hear(dft("2", "P1", ft1("E1", "77402", day="2026-03-01", revision=1)))
    desk.work()
    desk.send()
    for number, kind, lines in (
        (3, "refused", (ft1("E3"), ft1("E4", "77407"))),
        (4, "silent", (ft1("E5", units=2),)),
    ):
        desk.hear(dft(f"{number}", f"P{number}", *lines))
        desk.work()
        (send,) = desk.engine.take("PB", range(4), 4)
        desk.engine.settle([Outcome(send.seq, send.attempt, kind, "AE", b"raw")])  # type: ignore[arg-type]
    desk.hear(dft("5", "P5", ft1("E6", "UNREADABLE")), dft("6", "P6", ft1("E7"), processing="T"), b"junk")
    desk.work()
    desk.hear(dft("8", "P8", ft1("E8")))
    return desk


def test_messages_say_what_became_of_them(desk: Desk) -> None:
    found = [queries.message(desk.ledger.connection, number) for number in range(1, 10)]

    assert [row["state"] if row else None for row in found] == [
        "processed", "processed", "processed", "processed", "held", "test", "refused", "stored", None,
    ]  # fmt: skip
    assert queries.raw(desk.ledger.connection, 7) == b"junk"
    assert queries.raw(desk.ledger.connection, 99) is None


def test_postings_say_how_they_stand(desk: Desk) -> None:
    connection = desk.ledger.connection
    rows = [row for number in (1, 2, 3) for row in queries.postings_of_patient(connection, number)]
    found = [(row["kind"], row["code"], row["state"]) for row in rows]

    assert sorted(found) == sorted(
        [
            ("CHARGE", "77412", "accepted"), ("CREDIT", "77412", "accepted"), ("CHARGE", "77402", "accepted"),
            ("CHARGE", "77412", "struck"), ("CHARGE", "77407", "blocked"), ("CHARGE", "77412", "unanswered"),
        ]
    )  # fmt: skip
    assert queries.posting(connection, "NOSUCHID") is None
    assert queries.postings_of_patient(connection, 1, "C9") == []


def test_an_outbound_message_is_found_by_its_control_id(desk: Desk) -> None:
    connection = desk.ledger.connection
    refused = next(row for row in queries.postings_of_patient(connection, 2) if row["state"] == "struck")

    send = queries.send_of(connection, refused["id"])

    assert send is not None
    assert [(a["attempt"], a["kind"], a["code"], a["raw"]) for a in send["answers"]] == [(1, "refused", "AE", b"raw")]
    assert refused["id"].encode() in (queries.body(connection, send["number"]) or b"")
    assert queries.send_of(connection, "NOSUCHID") is None


def test_the_queue_is_what_waits_for_a_person(desk: Desk) -> None:
    found = [(row["category"], row["reason"]) for row in queries.queue(desk.ledger.connection)]

    assert sorted(found) == [("refused", "AE"), ("unanswered", "hold"), ("unreadable", "103")]
    assert [row["category"] for row in queries.queue(desk.ledger.connection, message=5)] == ["unreadable"]
    assert [row["category"] for row in queries.queue(desk.ledger.connection, "unanswered", patient=3)] == ["unanswered"]


def test_what_waits_is_counted_and_the_oldest_named(desk: Desk) -> None:
    waits = [(row["destination"], row["state"], row["count"]) for row in queries.waiting(desk.ledger.connection)]
    oldest = queries.oldest_unsent(desk.ledger.connection)

    assert waits == [("PB", "unanswered", 1), ("PB", "blocked", 1)]
    assert (oldest or {}).get("state") == "blocked"


def test_reports_count_what_stands(desk: Desk) -> None:
    rows = queries.charges_by_code(desk.ledger.connection, "PB", "2026-03-01", "2026-03-31")

    assert [(row["code"], row["units"]) for row in rows] == [("77402", 1), ("77407", 1), ("77412", 2)]
    assert len(queries.standing(desk.ledger.connection, "PB")) == 3
    assert queries.standing(desk.ledger.connection, "NOWHERE") == []


def test_a_patient_is_found_by_the_keyed_hash_alone(desk: Desk) -> None:
    connection = desk.ledger.connection

    assert queries.patient_number(connection, desk.ledger.key("P1")) == 1
    assert queries.patient_number(connection, desk.ledger.key("P9")) is None
    assert {row["event_id"] for row in queries.events_of_patient(connection, 1)} == {"E1"}
    assert [row["revision"] for row in queries.revisions(connection, "RV", "E1")] == ["[0]", "[1]"]


def test_a_console_asks_beside_the_running_engine(desk: Desk) -> None:
    beside = reader(desk.path)

    assert len(queries.queue(beside)) == 3
    beside.close()
