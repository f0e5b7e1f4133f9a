"""A sender's ChargeItems: its own charge as evidence, its activity as what was done, and what takes them back."""

from datetime import date
from typing import Any

import fhir_kit as kit
import pytest

from fhir_radcharge.model import Reported

DAY = date(2026, 3, 12)
ONE = "ARIA:918273-1:1"
CPT = "http://www.ama-assn.org/go/cpt"
OFFSETS = "https://fhir-radcharge.example/StructureDefinition/charge-offsets"


def events(resource: Any, by: str = "charge_items", release: Any = "R4") -> Any:
    (reading,) = kit.said(resource, by, release)
    assert reading.problems == ()
    return reading.events


def refused(resource: Any, by: str = "charge_items") -> list[tuple[str, str]]:
    (reading,) = kit.said(resource, by)
    assert reading.events == ()
    return [(one.place, one.code) for one in reading.problems]


def activity(code: str, *extension: Any, **changes: Any) -> Any:
    coding = {"system": "https://lakeside.example/id/activity", "code": code}
    return kit.charge(code={"coding": [coding]}, extension=list(extension) or None, **changes)


@pytest.mark.parametrize(
    ("name", "event_id", "reported", "voided"),
    [
        ("charge_item.json", ONE, Reported("77412", (), 1), False),
        ("charge_item_modifiers.json", "ARIA:918273-2:1", Reported("77387", ("26", "59"), 1), False),
        ("charge_item_entered_in_error.json", ONE, None, True),
        ("charge_item_credit.json", ONE, Reported("77412", (), 1), True),
        ("charge_item_r5.json", "ARIA:918273-9:1", Reported("77412", (), 1), False),
    ],
)
def test_a_charge_item_is_evidence_under_its_own_id(name: str, event_id: str, reported: Any, voided: bool) -> None:
    (event,) = events(kit.fixture(name), release="R5" if "r5" in name else "R4")

    assert (event.kind, event.id, event.reported, event.voided, event.day, event.minute) == (
        "reported", event_id, reported, voided, DAY, 15 * 60 + 14,
    )  # fmt: skip


def test_a_bundle_of_charge_items_is_one_reading_of_its_patient_and_visit() -> None:
    (reading,) = kit.said(kit.fixture("bundle_charge_items.json"), "charge_items")

    assert (reading.patient, reading.account, [one.id for one in reading.events]) == (
        "RO0012345", "V2026000777", [ONE, "ARIA:918273-2:1"],
    )  # fmt: skip


def test_a_repeat_inside_one_bundle_is_one_event_and_a_contradiction_is_a_problem() -> None:
    def bundle(*items: Any) -> Any:
        return {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": item} for item in items]}

    (repeated,) = kit.said(bundle(kit.charge(), kit.charge()), "charge_items")
    (contradicted,) = kit.said(bundle(kit.charge(), kit.charge(quantity={"value": 2})), "charge_items")

    assert (len(repeated.events), repeated.problems, "line_repeated" in repeated.notices) == (1, (), True)
    assert [(one.place, one.code) for one in contradicted.problems] == [("Bundle.entry[1].resource.identifier", "207")]


@pytest.mark.parametrize(
    ("occurrence", "when"),
    [
        ({"occurrenceDateTime": "2026-03-12"}, (DAY, None)),
        ({"occurrenceDateTime": "2026-03-13T03:00:00Z"}, (DAY, 22 * 60)),
        ({"occurrencePeriod": {"start": "2026-03-12", "end": "2026-03-20"}}, (DAY, None)),
        ({"occurrenceTiming": {"event": ["2026-03-12T15:14:00-05:00"]}}, (DAY, 15 * 60 + 14)),
        ({"occurrenceTiming": {"repeat": {"boundsPeriod": {"start": "2026-03-12", "end": "2026-03-12"}}}}, (DAY, None)),
    ],
)
def test_the_date_of_service_is_read_from_each_form_of_the_occurrence(occurrence: Any, when: Any) -> None:
    (event,) = events(kit.charge(**{"occurrencePeriod": None, **occurrence}))

    assert (event.day, event.minute) == when


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"occurrencePeriod": None}, "ChargeItem.occurrence", "101"),
        ({"occurrencePeriod": {"end": "2026-03-12"}}, "ChargeItem.occurrence", "101"),
        ({"occurrencePeriod": {"start": "2026"}}, "ChargeItem.occurrencePeriod.start", "102"),
        ({"occurrencePeriod": None, "occurrenceTiming": {"event": ["2026-03-12", "2026-03-13"]}},
         "ChargeItem.occurrenceTiming", "207"),
        ({"quantity": {"value": 1.5}}, "ChargeItem.quantity", "102"),
        ({"quantity": {"value": 0}}, "ChargeItem.quantity", "102"),
        ({"quantity": {"unit": "each"}}, "ChargeItem.quantity", "102"),
        ({"quantity": {"value": 1, "comparator": ">"}}, "ChargeItem.quantity", "102"),
        ({"quantity": {"value": -1}}, "ChargeItem.partOf", "101"),
        ({"status": "not-billable"}, "ChargeItem.status", "103"),
        ({"code": {"text": "a fraction"}}, "ChargeItem.code", "103"),
        ({"code": {"coding": [{"system": "https://lakeside.example/x", "code": "77412"}]}}, "ChargeItem.code", "103"),
        ({"code": {"coding": [{"system": CPT, "code": "77412"}, {"system": CPT, "code": "77407"}]}},
         "ChargeItem.code", "103"),
        ({"identifier": None, "id": None}, "ChargeItem.identifier", "101"),
    ],
)  # fmt: skip
def test_a_charge_item_that_says_too_little_or_too_much_is_refused_with_its_place(
    changes: Any, place: str, code: str
) -> None:
    assert refused(kit.charge(**changes)) == [(place, code)]


def test_a_quantity_written_as_a_decimal_counts_whole_units() -> None:
    (event,) = events(kit.charge(quantity={"value": 3.0}))

    assert event.reported == Reported("77412", (), 3)


@pytest.mark.parametrize(
    "link",
    [
        {"partOf": [{"reference": "ChargeItem/ci1"}]},
        {"extension": [{"url": OFFSETS, "valueReference": {"identifier": {"value": "ChargeItem/ci1"}}}]},
    ],
)
def test_a_negative_quantity_voids_the_item_that_it_names(link: Any) -> None:
    (event,) = events(kit.charge(quantity={"value": -2}, id="credit", identifier=None, **link))

    assert (event.id, event.voided, event.reported) == ("ChargeItem/ci1", True, Reported("77412", (), 2))


def test_a_credit_is_later_than_the_charge_whatever_their_versions() -> None:
    charge = events(kit.charge(meta={"versionId": "9", "lastUpdated": "2026-03-12T16:00:00Z"}))[0]
    credit = kit.fixture("charge_item_credit.json")
    credit["meta"] = {"versionId": "1", "lastUpdated": "2026-03-12T16:00:01Z"}

    assert events(credit)[0].revision > charge.revision


def test_a_credit_that_does_not_say_when_is_refused() -> None:
    credit = {
        key: value
        for key, value in kit.fixture("charge_item_credit.json").items()
        if key not in ("meta", "enteredDate")
    }

    assert refused(credit) == [("ChargeItem.enteredDate", "101")]


def test_the_time_of_a_bundle_orders_items_that_have_neither_version_nor_time() -> None:
    def revision(timestamp: str, **meta: Any) -> Any:
        item = kit.charge(meta=meta or None)
        bundle = {"resourceType": "Bundle", "type": "batch", "timestamp": timestamp, "entry": [{"resource": item}]}
        return events(bundle)[0].revision

    assert revision("2026-03-12T10:00:00Z") < revision("2026-03-12T11:00:00Z")
    assert revision("2026-03-12T10:00:00Z", versionId="1") == revision("2026-03-12T11:00:00Z", versionId="1")


def test_cover_and_class_of_the_visit_are_read_from_the_bundle() -> None:
    coverage = {
        "resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": {"reference": "Patient/p1"},
        "payor": [{"identifier": {"system": "https://lakeside.example/id/payer", "value": "COM"}}],
    }  # fmt: skip
    visit = {
        "resourceType": "Encounter", "id": "v", "status": "in-progress", "subject": {"reference": "Patient/p1"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "identifier": [{"system": "https://lakeside.example/visit", "value": "V9"}],
        "location": [{"location": {"reference": "Location/l"}}],
    }  # fmt: skip
    place = {"resourceType": "Location", "id": "l", "identifier": [{"use": "usual", "value": "LINAC-1"}]}
    item = kit.charge(context={"reference": "Encounter/v"})
    entries = [{"resource": one} for one in (coverage, visit, place, item)]

    (reading,) = kit.said({"resourceType": "Bundle", "type": "collection", "entry": entries}, "charge_items")
    (event,) = reading.events

    assert (reading.account, event.payer, event.patient_class, event.place.setting) == (
        "V9", "cpt_set", "inpatient", "hospital",
    )  # fmt: skip


def test_a_cover_that_the_profile_does_not_know_is_unmapped_and_not_the_default() -> None:
    coverage = {"resourceType": "Coverage", "status": "active", "beneficiary": {"reference": "Patient/p1"},
                "payor": [{"display": "Somebody"}]}  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": coverage}, {"resource": kit.charge()}]}

    assert events(bundle)[0].payer == "unmapped"
    assert events(kit.charge())[0].payer == "medicare"


def _cover(patient: str, payer: str) -> Any:
    return {
        "resourceType": "Coverage", "status": "active", "beneficiary": {"reference": patient},
        "payor": [{"identifier": {"system": "https://lakeside.example/id/payer", "value": payer}}],
    }  # fmt: skip


def test_each_patient_of_a_bundle_has_the_own_payer_and_never_anothers() -> None:
    def payers(*covers: Any) -> list[Any]:
        one = kit.charge(subject={"reference": "Patient/1"})
        two = kit.charge(subject={"reference": "Patient/2"}, id="other", identifier=None)
        entries = [{"resource": resource} for resource in (*covers, one, two)]
        found = kit.said({"resourceType": "Bundle", "type": "batch", "entry": entries}, "charge_items")
        return [reading.events[0].payer for reading in found]

    assert payers() == ["medicare", "medicare"]
    assert payers(_cover("Patient/2", "COM")) == ["medicare", "cpt_set"]
    assert payers(_cover("Patient/1", "MCR"), _cover("Patient/2", "COM")) == ["medicare", "cpt_set"]
    assert payers(_cover("Patient/3", "COM")) == ["unmapped", "unmapped"]


def test_what_a_line_must_carry_and_does_not_is_said() -> None:
    assert events(kit.charge(reason=None, performer=None))[0].lacks == frozenset({"diagnosis", "rendering_npi"})


@pytest.mark.parametrize(
    ("code", "kind", "facts"),
    [
        ("ROTX-IMRT", "fraction", {"technique": "imrt"}),
        ("ROIG-CBCT", "guidance", {"modality": "ct"}),
        ("ROPORT", "port_image", {}),
        ("ROOTV", "exam", {"by": "physician"}),
        ("ROPHYS", "physics_check", {}),
    ],
)
def test_an_activity_says_what_was_done(code: str, kind: str, facts: Any) -> None:
    (event,) = events(activity(code), "activities")

    assert (event.kind, dict(event.facts), event.reported) == (kind, facts, None)


def test_an_activity_that_is_a_service_carries_its_code_units_and_modifiers() -> None:
    (event,) = events(activity("RODEVC", quantity={"value": 2}), "activities")

    assert (event.kind, dict(event.facts), event.reported) == ("service", {}, Reported("77334", (), 2))


def test_our_extensions_complete_an_activity() -> None:
    (event,) = events(activity("ROTX-3D", {"url": f"{kit.FACT}energy-mv", "valueDecimal": 6}), "activities")

    assert event.facts == {"technique": "3d", "energy_mv": 6}


def test_several_units_of_one_fraction_are_refused() -> None:
    assert refused(activity("ROTX-3D", quantity={"value": 2}), "activities") == [("ChargeItem.quantity", "207")]


@pytest.mark.parametrize("changes", [{"occurrencePeriod": None}, {"quantity": {"value": 1.5}}, {"code": {"text": "x"}}])
def test_a_void_is_not_lost_for_what_else_is_wrong_with_it(changes: Any) -> None:
    (event,) = events(kit.charge(status="entered-in-error", **changes))

    assert (event.id, event.voided, event.day) == (ONE, True, DAY)


def test_what_says_that_it_is_for_testing_is_never_an_event() -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}

    (reading,) = kit.said(kit.charge(meta={"security": [label]}), "charge_items")

    assert (reading.events, reading.problems, reading.notices) == ((), (), ("not_production: HTEST",))


def test_an_activity_that_the_profile_does_not_know_is_refused() -> None:
    assert refused(activity("ROTX-NEW"), "activities") == [("ChargeItem.code", "103")]


def test_a_sender_that_sends_no_charge_items_has_them_refused() -> None:
    assert refused(kit.charge(), "codex_rt") == [("ChargeItem", "200")]


def test_the_course_of_a_charge_is_that_of_the_treatment_which_it_names() -> None:
    bundle = kit.fixture("codex_prostate_session.json")
    item = kit.charge(service=[{"reference": "Procedure/fx2"}], subject={"reference": "Patient/p1"})
    bundle["entry"].append({"resource": item})

    found = [one for reading in kit.said(bundle, "charge_items") for one in reading.events if one.kind == "reported"]

    assert [one.course for one in found] == ["C1-Prostate"]
