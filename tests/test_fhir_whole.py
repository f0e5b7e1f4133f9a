"""From a FHIR body to what is due and back to FHIR: the whole pure way, and its bounds."""

import copy
import json
import time
from typing import Any

import fhir_kit as kit

from fhir_radcharge.model import Posting, TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.wire import er7
from fhir_radcharge.wire.fhir.carried import carried_from_body, carried_from_message
from fhir_radcharge.wire.fhir.events import readings
from fhir_radcharge.wire.fhir.heard import Heard, around
from fhir_radcharge.wire.fhir.operations import request_for
from fhir_radcharge.wire.fhir.read import problems, read
from fhir_radcharge.wire.fhir.write import Carried, Line


def due(bundle: Any) -> Any:
    (reading,) = kit.said(bundle, "codex_rt")
    events = [_placed(event) for event in reading.events if not event.voided]
    return charges_due(events, load_rulebook(kit.ROOT / "mappings")).charges


def _placed(event: TreatmentEvent) -> TreatmentEvent:
    place = kit.PLACES.settings.place("LINAC-1", event.day)
    assert place is not None
    return event._replace(place=place)


def approved_prostate() -> Any:
    bundle = kit.fixture("codex_prostate_session.json")
    fraction = next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["id"] == "fx2")
    fraction["extension"].append({"url": f"{kit.FACT}isocenters", "valuePositiveInt": 1})
    fraction["extension"][1]["extension"] += [
        {"url": f"{kit.FACT}approved-at", "valueDateTime": "2026-03-12T22:00:00Z"},
        {"url": f"{kit.FACT}approver", "valueCode": "physician"},
    ]
    return bundle


def test_a_fraction_with_an_approved_image_is_charged_on_both_bills() -> None:
    told = [(line.bill, line.code, line.modifiers, line.hold) for line in due(approved_prostate())]

    assert told == [("facility", "77407", (), None), ("professional", "77387", ("26",), None)]


def test_five_fractions_of_radiosurgery_are_five_stereotactic_sessions_and_one_management() -> None:
    told = [
        (line.bill, line.code, line.day.day)
        for line in due(kit.fixture("codex_brain_radiosurgery.json"))
        if not line.hold
    ]

    assert told == [*(("facility", "77373", day) for day in range(4, 9)), ("professional", "77435", 8)]


def test_what_is_due_leaves_as_charge_items_with_the_patient_and_visit_of_its_session() -> None:
    bundle = approved_prostate()
    body = read(kit.body(bundle))
    heard = Heard(body, kit.sender("codex_rt"), kit.tables(), kit.PLACES, 7, [], around(body))
    sent = []
    for line in due(bundle):
        carried = carried_from_body(heard, line.dated_by)
        assert carried is not None
        posting = Posting(f"POSTING{len(sent)}2345", "CHARGE", "hospital_put", line, line.units, None, 7, line.day)
        request = request_for(Line(posting, carried), kit.destination("hospital_put"), "2026-03-13T00:00:00Z")
        assert problems(request.body) == ()
        sent.append(json.loads(request.body))

    assert [(one["code"]["coding"][0]["code"], one["context"]["identifier"]["value"]) for one in sent] == [
        ("77407", "V2026000777"), ("77387", "V2026000777"),
    ]  # fmt: skip
    assert {one["reason"][0]["coding"][0]["code"] for one in sent} == {"C61"}


def test_an_event_that_the_body_does_not_have_carries_nothing() -> None:
    body = read(kit.body(kit.charge()))
    heard = Heard(body, kit.sender("charge_items"), kit.tables(), kit.PLACES, 7, [], around(body))

    assert carried_from_body(heard, "another") is None


def test_a_dft_carries_its_identifiers_to_a_fhir_destination() -> None:
    message = er7.read_message(
        b"MSH|^~\\&|RV|RO|BILL|B|20260312||DFT^P03|ID7|P|2.5.1\rEVN||20260312\rPID|||M1^^^A^MR||Testpatient^Alder\r"
        b"PV1||O|||||||||||||||||V7\rFT1|1|X||20260312||CG|77412^^C4|||1|||||||||C50.412^^I10~Z51.0^^I10\rDG1|1||C61^^I10\r"
    )

    assert carried_from_message(message) == Carried("M1", "V7", "", ("C50.412", "Z51.0"), "ID7")


def test_the_same_body_is_read_the_same_twice() -> None:
    bundle = kit.fixture("codex_prostate_session.json")

    assert kit.said(bundle, "codex_rt") == kit.said(copy.deepcopy(bundle), "codex_rt")


def test_a_bundle_made_to_be_slow_is_read_in_bounded_time() -> None:
    fraction = kit.fraction()
    ancestor = {
        **copy.deepcopy(fraction),
        "id": "up",
        "bodySite": [{"text": "x"}] * 256,
        "extension": [{"url": "u"}] * 256,
    }
    many = [
        {
            "resource": {
                **fraction,
                "id": f"f{n}",
                "identifier": [{"use": "usual", "value": f"F{n}"}],
                "partOf": [{"reference": "Procedure/up"}],
            }
        }
        for n in range(800)
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": ancestor}, *many]}
    raw = kit.body(bundle)
    started = time.process_time()
    found = readings(read(raw), kit.sender("codex_rt"), kit.tables(), kit.PLACES, 1)

    assert time.process_time() - started < 3
    assert len(found[0].events) > 800


def test_five_thousand_charge_items_a_second_are_proven_on_one_core() -> None:
    raw = kit.body(kit.charge())
    read(raw)
    best = 9e9
    for _ in range(5):
        started = time.process_time()
        for _ in range(200):
            read(raw)
        best = min(best, (time.process_time() - started) / 200)

    assert best < 1 / 5_000
