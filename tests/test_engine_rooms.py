"""The engine with the real rooms: shipped tables, the plain sender, the practice's biller."""

import functools
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.ledger import Ledger, queries, verify_chain
from fhir_radcharge.site import load_site
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.wire import ack, er7
from tests.engine_fakes import Clock

MAPPINGS = Path(__file__).resolve().parents[1] / "mappings"
FACTS = {"technique": "imrt", "course": "C1", "prescribed_fractions": "30", "isocenters": "1", "motion": "none",
         "energy_mv": "6", "site": "prostate"}  # fmt: skip


@functools.cache
def site() -> Any:
    return replace(load_site(MAPPINGS), rulebook=load_rulebook(MAPPINGS))


def fraction(number: int, day: date, *, sign: str = "CG", revision: str = "0800") -> bytes:
    at = f"{day:%Y%m%d}{revision}"
    obx = [f"OBX|{i}|ST|{name}||{value}" for i, (name, value) in enumerate(FACTS.items(), 1)]
    lines = [
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{at}||DFT^P03|{number:04}{sign}{revision}|P|2.5.1",
        f"EVN|P03|{at}", "PID|1||TEST-0001||INVENTED^PATIENT", "PV1|1|O|RADONC",
        f"FT1|1|FX-{number}||{day:%Y%m%d}0900||{sign}|FRACTION|||1||||||RADONC|||C61|1234567893^DOC|1234567893^DOC",
        f"OBX|9|ST|fraction_number||{number}", *obx, "IN1|1|MCARE",
    ]  # fmt: skip
    return "\r".join([*lines, ""]).encode()


def settled(engine: Engine) -> list[tuple[str, str, str, str]]:
    """Send until nothing goes out; return control id, sign, code and date of service of each."""
    said = []
    while sends := engine.take("global_biller", range(2), 2):
        for send in sends:
            message = er7.read_message(send.body)
            ft1 = message.all("FT1")[0]
            said.append((message.segments[0][10], ft1[6], ft1[25].split("^")[0], ft1[4][:8]))
        engine.settle([Outcome(send.seq, send.attempt, "accepted", "AA", b"") for send in sends])
    return said


def test_a_week_of_treatment_is_charged_and_a_voided_fraction_is_credited(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    engine = Engine(ledger, site(), Clock())
    engine.decisions.activate(site().digest, "all", "ada", "shipped tables")
    days = [date(2026, 3, 2) + timedelta(days=i) for i in range(5)]

    with ledger.transaction():
        answers = engine.receive([Heard("mllp", "loopback", fraction(i, day)) for i, day in enumerate(days, 1)])
    while engine.work(100):
        pass
    said = settled(engine)
    with ledger.transaction():
        engine.receive([Heard("mllp", "loopback", fraction(3, days[2], sign="CD", revision="1700"))])
    while engine.work(100):
        pass
    undone = settled(engine)

    assert [ack.read_answer(answer).code for answer in answers if answer] == ["AA"] * 5
    delivered = [(sign, day) for _, sign, code, day in said if code.startswith("774") and code != "77427"]
    assert [("CG", f"{day:%Y%m%d}") for day in days] == delivered
    assert ("CD", f"{days[2]:%Y%m%d}") in [(sign, day) for _, sign, _, day in undone]
    assert len({name for name, *_ in said + undone}) == len(said + undone)
    assert verify_chain(ledger.connection).problem is None
    for row in queries.standing(ledger.connection, "global_biller"):
        why = queries.posting(ledger.connection, row["id"])
        assert why is not None
        assert (bool(why["why"]), bool(why["events"])) == (True, True)
    ledger.close()


def test_a_payer_who_wants_a_minus_sign_gets_it_on_credits_of_its_dates(tmp_path: Path) -> None:
    policy = load_rulebook(MAPPINGS).policy.overridden({"credit_quantity": "negative"})
    minus = replace(site(), rulebook=replace(load_rulebook(MAPPINGS), policy=policy))
    ledger = Ledger(tmp_path / "a.db")
    engine = Engine(ledger, minus, Clock())
    engine.decisions.activate(minus.digest, "all", "ada", "shipped tables")
    quantities = []
    for sign, revision in (("CG", "0800"), ("CD", "1700")):
        with ledger.transaction():
            engine.receive([Heard("mllp", "loopback", fraction(1, date(2026, 3, 2), sign=sign, revision=revision))])
        while engine.work(100):
            pass
        while sends := engine.take("global_biller", range(2), 2):
            quantities += [ft1[6::4][:2] for send in sends for ft1 in er7.read_message(send.body).all("FT1")]
            engine.settle([Outcome(send.seq, send.attempt, "accepted", "AA", b"") for send in sends])
    ledger.close()

    assert quantities == [["CG", "1"], ["CD", "-1"]]
