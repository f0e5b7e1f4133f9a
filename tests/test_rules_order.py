"""Same events, same books: neither order nor repetition nor the way there changes what is due."""

import base64
import hashlib
import random
from datetime import date

import pytest
from project import ROOT

from fhir_radcharge.cases.reading import load_cases
from fhir_radcharge.cases.runs import runs
from fhir_radcharge.model import Charge, Place, Standing, TreatmentEvent
from fhir_radcharge.reconcile import corrections, line_key, posting_id
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook

FILES = sorted((ROOT / "fixtures" / "cases").glob("*.yaml"))


@pytest.fixture(scope="module")
def stages(rulebook: Rulebook):
    cases = load_cases(FILES, rulebook.catalogue, rulebook.policy, rulebook.reasons)
    return [(case.id, run.assume, run.stages) for case in cases if not case.policy for run in runs(case)]


def test_any_order_of_the_events_makes_the_same_due(stages, rulebook: Rulebook) -> None:
    chance = random.Random(7)
    differing = []
    for name, assume, steps in stages:
        events = list(steps[-1].events)
        first = charges_due(events, rulebook, steps[-1].as_of, assume)
        chance.shuffle(events)
        again = charges_due(events, rulebook, steps[-1].as_of, assume)
        if sorted(first.charges, key=repr) != sorted(again.charges, key=repr) or set(first.flags) != set(again.flags):
            differing.append(name)

    assert differing == []


def _post(charge: Charge, units: int, number: int) -> Standing:
    return Standing(
        f"P{number}", charge.bill, charge.course, charge.code, charge.modifiers, charge.day, charge.end, units,
        charge.place_of_service, charge.provider, charge.packaged, charge.slot)  # fmt: skip


def _apply(standing: list[Standing], charges: list[Charge], number: int) -> list[Standing]:
    stands = {said.posting: said for said in standing}
    for correction in corrections(charges, standing).corrections:
        if correction.kind == "CREDIT":
            said = stands[correction.credits.posting]
            assert 0 < correction.units <= said.units
            stands[said.posting] = said._replace(units=said.units - correction.units)
        else:
            number += 1
            stands[f"P{number}"] = _post(correction.charge, correction.units, number)
    return [said for said in stands.values() if said.units]


def _sums(lines) -> dict[str, int]:
    found: dict[str, int] = {}
    for said in lines:
        found[line_key(said)] = found.get(line_key(said), 0) + said.units
    return found


def test_from_any_books_the_corrections_lead_to_what_is_due(stages, rulebook: Rulebook) -> None:
    chance = random.Random(11)
    dues = [
        list(charges_due(steps[-1].events, rulebook, steps[-1].as_of, assume).charges)
        for _, assume, steps in stages[::3]
    ]
    standing: list[Standing] = []
    for number, due in enumerate(chance.sample(dues, len(dues))):
        due = [charge for charge in due if charge.bill == "global"]
        wanted = _sums(charge for charge in due if charge.hold is None)

        standing = _apply(standing, due, 1000 * number)

        assert _sums(standing) == wanted or {k for k, v in _sums(standing).items() if wanted.get(k) != v} <= {
            line_key(charge)
            for charge in due
            if charge.hold in ("mue_edit", "ptp_edit", "frequency", "code_not_effective")
        }


def test_nothing_is_said_where_all_stands(stages, rulebook: Rulebook) -> None:
    for _, assume, steps in stages[::5]:
        due = [c for c in charges_due(steps[-1].events, rulebook, steps[-1].as_of, assume).charges if not c.hold]
        standing = [_post(charge, charge.units, number) for number, charge in enumerate(due)]

        assert corrections(due, standing).corrections == ()


def test_a_credit_goes_before_its_charge_within_a_unit(stages, rulebook: Rulebook) -> None:
    _, assume, steps = next(found for found in stages if found[0] == "CO28")
    before = [c for c in charges_due(steps[0].events, rulebook, None, assume).charges if c.bill == "global"]
    after = [c for c in charges_due(steps[1].events, rulebook, None, assume).charges if c.bill == "global"]
    standing = [_post(charge, charge.units, number) for number, charge in enumerate(before)]

    said = [
        (c.kind, (c.charge or c.credits).code, c.cause)
        for c in corrections(after, standing).corrections
        if (c.charge or c.credits).code == "77427"
    ]

    assert said == [("CREDIT", "77427", "moved"), ("CHARGE", "77427", "moved")]


def test_a_posting_id_is_made_of_content_and_of_the_posting_before() -> None:
    first = posting_id("biller", "line", "CHARGE", None)

    assert first == posting_id("biller", "line", "CHARGE", None)
    assert (
        len(
            {
                first,
                posting_id("biller", "line", "CREDIT", None),
                posting_id("other", "line", "CHARGE", None),
                posting_id("biller", "line", "CHARGE", first),
                posting_id("biller", "line2", "CHARGE", None),
            }
        )
        == 5
    )
    spelled = hashlib.sha256(b"biller\x1fline\x1fCHARGE\x1f").digest()
    assert first == base64.b32encode(spelled).decode()[:12]
    assert first.upper() == first


def test_another_account_takes_the_charge_back_there_and_makes_it_here(stages, rulebook: Rulebook) -> None:
    _, assume, steps = next(found for found in stages if found[0] == "B01")
    due = [c for c in charges_due(steps[0].events, rulebook, None, assume).charges if c.bill == "global"]
    standing = [_post(c, c.units, n)._replace(account="old") for n, c in enumerate(due)]
    accounts = {c.dated_by: "new" for c in due}

    said = [(c.kind, (c.charge or c.credits).code, c.cause) for c in corrections(due, standing, accounts).corrections]

    assert corrections(due, standing, {c.dated_by: "old" for c in due}).corrections == ()
    assert sorted(said) == [
        ("CHARGE", "77014", "account"),
        ("CHARGE", "G6015", "account"),
        ("CREDIT", "77014", "account"),
        ("CREDIT", "G6015", "account"),
    ]


def test_two_units_that_a_later_limit_halves_stay_and_nothing_is_said_again(stages, rulebook: Rulebook) -> None:
    _, assume, steps = next(found for found in stages if found[0] == "A12")
    due = [c for c in charges_due(steps[0].events, rulebook, None, assume).charges if c.bill == "global"]
    (line,) = due
    standing = [_post(line, 2, 1)]
    edited = [line._replace(units=1), line._replace(units=1, hold="mue_edit")]

    found = corrections(edited, standing)

    assert (found.corrections, [flag.reason for flag in found.flags]) == ((), ["mue_edit"])


def test_events_of_two_senders_with_one_id_stay_two(rulebook: Rulebook) -> None:
    at = Place("freestanding", "on", "single")

    def treated(source: str, name: str, day: int, technique: str) -> list[TreatmentEvent]:
        on = date(2025, 3, day)
        return [
            TreatmentEvent(source, name, "fraction", on, 540, "C1", {"technique": technique, "isocenters": 1}, at),
            TreatmentEvent(source, f"G{name}", "guidance", on, 535, "C1", {"modality": "ct", "fraction": name}, at),
            TreatmentEvent(source, f"A{name}", "approval", on, 600, "C1", {"of": f"G{name}", "by": "physician"}, at),
        ]

    told = [*treated("new", "1", 3, "imrt"), *treated("old", "1", 4, "3d")]
    apart = [*treated("new", "1", 3, "imrt"), *treated("old", "2", 4, "3d")]

    found, wanted = charges_due(told, rulebook), charges_due(apart, rulebook)

    lines = [(charge.code, charge.modifiers, charge.day, charge.hold) for charge in found.charges]
    assert lines == [(charge.code, charge.modifiers, charge.day, charge.hold) for charge in wanted.charges]
    assert {day for _, _, day, _ in lines} == {date(2025, 3, 3), date(2025, 3, 4)}
    assert {name for charge in found.charges for name in charge.events} <= {"1", "G1", "A1"}
