"""Treated fractions, sessions, phases and courses become the events that the rules ask about."""

import copy
from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any

import fhir_kit as kit
import pytest

from fhir_radcharge.errors import MessageError, TableError
from fhir_radcharge.model import Place
from fhir_radcharge.profiles.fhir import sender_from
from fhir_radcharge.tables.strict_yaml import parse
from fhir_radcharge.zones import zone_named

OID = "urn:oid:1.2.826.0.1.3680043.10.999"
SNOMED = "http://snomed.info/sct"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-"
DAY = date(2026, 3, 12)


def concept(code: str, system: str = SNOMED) -> Any:
    return {"coding": [{"system": system, "code": code}]}


def beam(modality: str, technique: str | None = None, energy: float | None = None, unit: str = "MV") -> Any:
    inner = [{"url": f"{MCODE}radiotherapy-modality", "valueCodeableConcept": concept(modality)}]
    if technique is not None:
        inner.append({"url": f"{MCODE}radiotherapy-technique", "valueCodeableConcept": concept(technique)})
    if energy is not None:
        quantity = {"value": energy, "unit": unit, "code": unit}
        inner.append({"url": f"{kit.CODEX}radiotherapy-energy-or-isotope", "valueQuantity": quantity})
    return {"url": f"{MCODE}radiotherapy-modality-and-technique", "extension": inner}


def image(code: str, unit: str | None = None, url: str = "image-guided-radiotherapy-modality", *more: Any) -> Any:
    inner = [{"url": "modality", "valueCodeableConcept": concept(code)}]
    if unit is not None:
        inner.append({"url": "energy", "valueCodeableConcept": concept(unit, "http://unitsofmeasure.org")})
    return {"url": f"{kit.CODEX}{url}", "extension": [*inner, *more]}


def dose(value: float, unit: str = "cGy") -> Any:
    return {"url": f"{MCODE}radiotherapy-dose-delivered-to-volume", "extension": [
        {"url": "volume", "valueReference": {"reference": "BodyStructure/v"}},
        {"url": "totalDoseDelivered", "valueQuantity": {"value": value, "code": unit}},
    ]}  # fmt: skip


def fact(name: str, **value: Any) -> Any:
    return {"url": kit.FACT + name, **value}


def events(resource: Any) -> Any:
    (reading,) = kit.said(resource, "codex_rt")
    assert reading.problems == ()
    return reading.events


def facts(*extension: Any, **changes: Any) -> dict[str, Any]:
    return dict(events(kit.fraction(extension=list(extension), **changes))[0].facts)


def refused(resource: Any) -> list[tuple[str, str]]:
    (reading,) = kit.said(resource, "codex_rt")
    assert reading.events == ()
    return [(one.place, one.code) for one in reading.problems]


def test_a_session_with_its_fraction_plan_phase_and_course_becomes_a_fraction_and_its_guidance() -> None:
    (reading,) = kit.said(kit.fixture("codex_prostate_session.json"), "codex_rt")
    told = [
        (event.kind, event.id, event.day, event.minute, event.course, dict(event.facts)) for event in reading.events
    ]

    assert (reading.patient, reading.account, reading.problems) == ("RO0012345", "V2026000777", ())
    assert told == [
        ("prescription", f"{OID}.1.12/prescription", date(2026, 3, 1), None, "C1-Prostate",
         {"prescribed_fractions": 25}),
        ("fraction", f"{OID}.1.4.2", DAY, 14 * 60 + 12, "C1-Prostate", {
            "fraction_number": 2, "session": f"{OID}.1.2", "plan": "Prostate-A", "phase": "Prostate-Phase1",
            "site": "prostate", "energy_mv": 18, "technique": "3d",
        }),
        ("guidance", f"{OID}.1.4.2/ct", DAY, 14 * 60 + 12, "C1-Prostate",
         {"modality": "ct", "fraction": f"{OID}.1.4.2"}),
    ]  # fmt: skip
    assert {(event.place, event.patient_class, event.provider) for event in reading.events[1:]} == {
        (Place("hospital"), "outpatient", "1999999984")
    }


def test_a_course_of_two_phases_is_read_by_phase_and_closed_when_it_is_complete() -> None:
    (reading,) = kit.said(kit.fixture("codex_breast_phases.json"), "codex_rt")
    names = ("phase", "technique", "energy_mv", "motion", "fraction_number")
    told = [tuple(event.facts.get(name) for name in names) for event in reading.events[1:]]
    closing = reading.events[0]

    assert told == [
        ("Left tangents", "3d", 6, "active", 1), ("Left tangents", "3d", 6, "active", 2),
        ("Left tangents", "3d", 6, "active", 3), ("Boost", "electron", 9, None, 1), ("Boost", "electron", 9, None, 2),
    ]  # fmt: skip
    assert (closing.kind, closing.day, closing.course, dict(closing.facts), closing.voided) == (
        "course_closed", date(2026, 4, 11), "C1_Both_Breast", {"reason": "completed"}, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "technique", "notices"),
    [
        ("codex_brain_two_courses_first.json", None, 5),  # 5 times 5 Gy may be radiosurgery or not
        ("codex_brain_two_courses_second.json", "imrt", 0),  # 4 Gy is not
        ("codex_brain_radiosurgery.json", "sbrt", 0),  # 5 times 7 Gy is
    ],
)
def test_five_fractions_to_a_brain_are_told_apart_by_dose_or_left_open(name: str, technique: Any, notices: int) -> None:
    (reading,) = kit.said(kit.fixture(name), "codex_rt")
    fractions = [event for event in reading.events if event.kind == "fraction"]

    assert [event.facts.get("technique") for event in fractions] == [technique] * 5
    assert len([one for one in reading.notices if "undecided" in one]) == notices


@pytest.mark.parametrize(
    ("said", "given"),
    [
        (beam("1156506007", "441799006", 6), {"technique": "imrt", "energy_mv": 6}),
        (beam("1156506007", "1156530009", 10), {"technique": "imrt", "energy_mv": 10}),
        (beam("1156506007", "1162782007", 15.5), {"technique": "3d", "energy_mv": 15.5}),
        (beam("1156506007", "1156526006"), {"technique": "2d"}),
        (beam("1156506007", "1156526006", 100, "kV"), {"technique": "superficial", "kv": 100}),
        (beam("1156506007", "441799006", 100, "kV"), {"kv": 100}),
        (beam("1156506007", "168524008"), {"technique": "iort_xray"}),
        (beam("1156506007", "1163157007"), {}),
        (beam("1156506007"), {}),
        (beam("45643008", "1162782007", 9, "MeV"), {"technique": "electron", "energy_mv": 9}),
        (beam("45643008", "168524008"), {"technique": "iort_electron"}),
        (beam("10611004", "1156528007"), {"technique": "proton"}),
        (beam("80347004"), {"technique": "neutron"}),
        (beam("80347004", "169317000"), {}),
        (beam("1156505006"), {}),
        (beam("394902000", "384692006"), {"technique": "hdr", "route": "intracavitary"}),
        (beam("394902000", "113120007"), {"technique": "hdr", "route": "interstitial"}),
        (beam("438629002", "14473006"), {"technique": "electronic_brachy", "route": "skin"}),
        (beam("169359004"), {"technique": "ldr", "route": "interstitial"}),
        (beam("1156384006"), {}),
        (beam("440252007"), {}),
        (beam("999"), {}),
    ],
)
def test_modality_technique_and_energy_give_the_technique_of_the_rules_or_none(said: Any, given: Any) -> None:
    assert facts(said, dose(180), bodySite=None) == given


def test_two_modalities_on_one_fraction_decide_nothing() -> None:
    assert facts(beam("1156506007", "1162782007"), beam("45643008"), bodySite=None) == {}


def test_two_techniques_that_are_one_of_ours_are_one() -> None:
    said = beam("1156506007", "441799006", 6)
    said["extension"].append({"url": f"{MCODE}radiotherapy-technique", "valueCodeableConcept": concept("1156530009")})

    assert facts(said, dose(180), bodySite=None) == {"technique": "imrt", "energy_mv": 6}


@pytest.mark.parametrize(
    ("codes", "motion"),
    [
        (("721031000124102",), "none"),
        (("721051000124109",), "active"),
        (("721071000124104", "721061000124106"), "active"),
        (("721071000124104", "1286801002"), "active"),
        (("721071000124104", "721081000124101"), "passive"),
        (("721071000124104",), "none"),
        (("999",), None),
        ((), None),
    ],
)
def test_motion_is_active_where_the_beam_is_gated_or_held(codes: tuple[str, ...], motion: str | None) -> None:
    urls = ("radiotherapy-respiratory-motion-management", "radiotherapy-free-breathing-motion-mgmt-technique")
    extension = [
        {"url": kit.CODEX + url, "valueCodeableConcept": concept(code)} for url, code in zip(urls, codes, strict=False)
    ]

    assert facts(*extension, bodySite=None).get("motion") == motion


@pytest.mark.parametrize(
    ("said", "kind", "slot", "modality"),
    [
        (image("717193008"), "guidance", "ct", "ct"),
        (image("77477000"), "guidance", "ct", "ct"),
        (image("16310003"), "guidance", "ultrasound", "ultrasound"),
        (image("1297350006"), "guidance", "surface_tracking", "surface_tracking"),
        (image("168537006", "MV"), "port_image", "port_image", None),
        (image("168537006", "kV"), "guidance", "undecided", None),
        (image("113091000"), "guidance", "undecided", None),
        (image("999"), "guidance", "undecided", None),
        (image("1332089004", None, "intrafraction-verification"), "guidance", "intrafraction_tracking",
         "intrafraction_tracking"),
    ],
)  # fmt: skip
def test_an_image_becomes_an_event_of_its_kind_with_its_modality_where_it_is_one(
    said: Any, kind: str, slot: str, modality: str | None
) -> None:
    found = events(kit.fraction(extension=[said]))[1]

    assert (found.kind, found.id, found.facts.get("modality"), found.voided) == (
        kind, f"{OID}.1.4.2/{slot}", modality, False,
    )  # fmt: skip


def test_verification_by_a_picture_while_the_beam_is_on_is_no_tracking() -> None:
    assert len(events(kit.fraction(extension=[image("16310003", None, "intrafraction-verification")]))) == 1


def test_an_approval_and_its_approver_travel_with_the_image() -> None:
    approved = fact("approved-at", valueDateTime="2026-03-12T22:05:00Z")
    approver = fact("approver", valueCode="physician")
    said = image("717193008", None, "image-guided-radiotherapy-modality", approved, approver)

    assert events(kit.fraction(extension=[said]))[1].facts == {
        "modality": "ct", "fraction": f"{OID}.1.4.2", "approved_at": "2026-03-12T17:05", "approver": "physician",
    }  # fmt: skip


def test_our_extensions_say_what_codex_has_no_element_for() -> None:
    given = facts(
        beam("1156506007", "441799006"), fact("isocenters", valuePositiveInt=2), fact("level", valuePositiveInt=3),
        fact("motion-documented", valueBoolean=True), fact("complexity", valueCode="complex"),
        fact("technique", valueCode="sbrt"), fact("diameter-cm", valueDecimal=1.5), fact("group", valueString="G1"),
        fact("distinct-session", valueBoolean=True), bodySite=None,
    )  # fmt: skip

    assert given == {
        "technique": "sbrt", "isocenters": 2, "level": 3, "motion_documented": True, "complexity": "complex",
        "diameter_cm": 1.5, "group": "G1", "distinct_session": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        fact("isocentres", valuePositiveInt=2), fact("isocenters", valueString="two"),
        fact("isocenters", valueDecimal=1.5), fact("technique", valueCode="vmat"),
        fact("motion-documented", valueString="yes"), fact("energy-mv", valueBoolean=True),
        fact("isocenters"), fact("level", valuePositiveInt=10_000_000),
    ],
)  # fmt: skip
def test_a_fact_that_no_rule_knows_or_takes_is_refused_and_not_dropped(said: Any) -> None:
    assert refused(kit.fraction(extension=[said])) == [("Procedure.extension[0]", "103")]


@pytest.mark.parametrize(
    ("status", "extension", "voided", "beam_on"),
    [
        ("completed", [], False, None), ("stopped", [dose(90)], False, True), ("stopped", [dose(0)], False, False),
        ("not-done", [], True, None), ("entered-in-error", [], True, None), ("in-progress", [], True, None),
        ("on-hold", [], True, None), ("preparation", [], True, None),
    ],
)  # fmt: skip
def test_the_status_says_whether_the_fraction_stands(status: str, extension: Any, voided: bool, beam_on: Any) -> None:
    found = events(kit.fraction(status=status, extension=extension))[0]

    assert (found.kind, found.voided, found.facts.get("beam")) == ("fraction", voided, beam_on)


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"status": "unknown"}, "Procedure.status", "103"),
        ({"status": "stopped", "extension": None}, "Procedure.extension", "101"),
        ({"performedPeriod": None}, "Procedure.performedPeriod.start", "101"),
        ({"performedPeriod": {"start": "2026-03"}}, "Procedure.performedPeriod.start", "102"),
        ({"identifier": None, "id": None}, "Procedure.identifier", "101"),
    ],
)
def test_a_fraction_that_says_too_little_is_refused_with_its_place(changes: Any, place: str, code: str) -> None:
    assert refused(kit.fraction(**changes)) == [(place, code)]


def test_a_fraction_whose_patient_is_not_named_is_in_a_reading_of_nobody() -> None:
    (reading,) = kit.said(kit.fraction(subject={"display": "Testpatient"}), "codex_rt")

    assert (reading.patient, [one.place for one in reading.problems]) == ("", ["Procedure.subject"])
    assert "Testpatient" not in str(reading.problems[0])


def test_a_revision_takes_back_the_image_that_it_no_longer_states() -> None:
    first, second = kit.fraction(), kit.fraction(extension=None)
    second["meta"] = {"versionId": "2", "lastUpdated": "2026-03-13T08:00:00-05:00"}
    before, after = events(first), events(second)

    assert [event.id.rpartition("/")[2] for event in before[1:]] == ["ct"]
    assert {event.id.rpartition("/")[2]: event.voided for event in after[1:]} == {
        "ct": True, "intrafraction_tracking": True, "port_image": True, "surface_tracking": True, "ultrasound": True,
        "undecided": True,
    }  # fmt: skip
    assert before[0].revision < after[0].revision


def test_a_fraction_that_was_never_begun_is_voided_on_the_day_on_which_it_was_said() -> None:
    found = events(kit.fraction(status="not-done", performedPeriod=None))[0]

    assert (found.voided, found.day) == (True, DAY)


def test_a_fraction_that_did_not_happen_takes_its_images_with_it() -> None:
    wrong = kit.fraction(status="entered-in-error", meta={"versionId": "2", "lastUpdated": "2026-03-13T08:00:00Z"})

    assert {event.voided for event in events(wrong)} == {True}


def test_revisions_are_ordered_by_what_the_sender_says_and_never_by_arrival() -> None:
    def revision(**meta: Any) -> Any:
        return events(kit.fraction(meta=meta))[0].revision

    rising = [
        revision(versionId="1", lastUpdated="2026-03-12T14:00:00-05:00"),
        revision(versionId="1", lastUpdated="2026-03-12T20:00:00Z"),
        revision(versionId="2", lastUpdated="2026-03-12T20:00:00Z"),
        revision(versionId="10", lastUpdated="2026-03-12T20:00:00Z"),
        revision(versionId="3", lastUpdated="2026-03-12T20:00:00.001Z"),
    ]

    assert rising == sorted(rising)
    assert revision(versionId="2") == revision(versionId="2")
    assert revision(versionId="abc") == (0, 0)


def test_the_day_is_the_facilitys_day() -> None:
    def when(start: str) -> Any:
        found = events(kit.fraction(performedPeriod={"start": start}))[0]
        return found.day, found.minute

    assert when("2026-03-13T04:30:00Z") == (date(2026, 3, 12), 23 * 60 + 30)
    assert when("2026-03-08T07:59:00Z") == (date(2026, 3, 8), 1 * 60 + 59)  # the clock is put forward
    assert when("2026-03-08T08:00:00Z") == (date(2026, 3, 8), 3 * 60)
    assert when("2026-03-12") == (DAY, None)


def test_a_course_summary_closes_reopens_and_stops_its_course() -> None:
    course = next(entry["resource"] for entry in kit.fixture("codex_breast_phases.json")["entry"]
                  if entry["resource"]["id"] == "course")  # fmt: skip

    def told(**changes: Any) -> Any:
        found = events({**copy.deepcopy(course), **changes})
        return [(event.kind, event.voided, dict(event.facts), event.day) for event in found]

    first = {"versionId": "1", "lastUpdated": "2026-04-06T09:00:00-05:00"}
    assert told() == [("course_closed", False, {"reason": "completed"}, date(2026, 4, 11))]
    assert told(status="stopped") == [("course_closed", False, {"reason": "stopped"}, date(2026, 4, 11))]
    assert told(status="in-progress") == [("course_closed", True, {}, date(2026, 4, 6))]
    assert told(status="in-progress", meta=first) == []


def test_several_phases_are_not_added_up_to_a_prescription() -> None:
    bundle = kit.fixture("codex_prostate_session.json")
    phase = next(entry for entry in bundle["entry"] if entry["resource"]["id"] == "phase-rx")
    other = copy.deepcopy(phase)
    other["resource"]["id"], other["fullUrl"] = "phase-rx-2", phase["fullUrl"] + "-2"
    bundle["entry"].append(other)

    (reading,) = kit.said(bundle, "codex_rt")

    assert [event.kind for event in reading.events] == ["fraction", "guidance"]


def test_two_patients_in_one_bundle_are_two_readings() -> None:
    one, two = kit.fraction(), kit.fraction(subject={"reference": "Patient/p2"}, id="other")
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": one}, {"resource": two}]}

    assert [(found.patient, len(found.events)) for found in kit.said(bundle, "codex_rt")] == [
        ("Patient/p1", 2), ("Patient/p2", 2),
    ]  # fmt: skip


def test_another_procedure_is_a_notice_and_no_event() -> None:
    (reading,) = kit.said(kit.fraction(code=concept("80146002")), "codex_rt")

    assert (reading.events, reading.problems, len(reading.notices)) == ((), (), 1)


def test_an_r5_procedure_is_read_by_its_own_element_names() -> None:
    found = kit.fraction()
    found["occurrencePeriod"] = found.pop("performedPeriod")
    found["reason"] = [{"concept": concept("C61", "http://hl7.org/fhir/sid/icd-10-cm")}]
    del found["reasonCode"]
    found["category"] = [found["category"]]

    (reading,) = kit.said(found, "codex_rt", "R5")

    assert [(event.kind, event.day, event.lacks) for event in reading.events] == [
        ("fraction", DAY, frozenset()), ("guidance", DAY, frozenset()),
    ]  # fmt: skip


def test_a_line_without_a_diagnosis_says_that_it_lacks_one() -> None:
    assert events(kit.fraction(reasonCode=None))[0].lacks == frozenset({"diagnosis"})


def test_the_site_rule_answers_every_combination_and_leaves_what_it_does_not_know_undecided() -> None:
    table = kit.tables()
    doses = [None, *(Decimal(cgy) for cgy in (0, 180, 499, 500, 600, 899, 900, 1200, 5000))]
    every = product(("2d", "3d", "imrt"), ("cranial", "body", "unknown"), (None, 1, 2, 5, 6, 40), doses)
    given = {(technique, region, count, cgy): table.stereotaxy(technique, region, count, cgy).gives  # type: ignore[arg-type]
             for technique, region, count, cgy in every}  # fmt: skip

    assert given["imrt", "cranial", 1, Decimal(1200)] == "srs_linac"
    assert given["imrt", "cranial", 5, Decimal(600)] == "sbrt"
    assert given["imrt", "body", 5, Decimal(900)] == "sbrt"
    assert given["3d", "body", 1, Decimal(899)] == "undecided"
    assert {gives for (technique, _, count, cgy), gives in given.items()
            if technique != "2d" and cgy is None and (count or 0) < 6} == {"undecided"}  # fmt: skip
    assert {gives for (_, region, _, cgy), gives in given.items()
            if region == "unknown" and cgy is not None and cgy >= 500} == {"as_stated", "undecided"}  # fmt: skip


def test_a_reading_quotes_no_patient_in_problems_or_notices() -> None:
    bundle = kit.fixture("codex_brain_two_courses_first.json")
    bundle["entry"].append({"resource": kit.fraction(status="unknown", subject={"reference": "Patient/p1"})})
    text = "\n".join(str(one) for found in kit.said(bundle, "codex_rt") for one in (*found.problems, *found.notices))

    assert text
    assert [word for word in ("Testpatient", "Alder", "RO0012345", "1960-01-01", "V2026000777") if word in text] == []


def test_a_profile_that_leaves_a_status_open_is_refused_with_its_line() -> None:
    path = kit.ROOT / "mappings/fhir/senders/codex_rt.yaml"
    text = path.read_text(encoding="utf-8")
    cut, moved = text.replace(", unknown: refuse}", "}", 1), text.replace("America/Chicago", "Moon/Base")

    with pytest.raises(TableError, match=r"x.yaml:\d+: procedure_status does not say what 'unknown' means; add it"):
        sender_from(parse(cut, "x.yaml"), "x.yaml", zone_named)
    with pytest.raises(TableError, match=r"x.yaml:\d+: there is no time zone"):
        sender_from(parse(moved, "x.yaml"), "x.yaml", zone_named)


def test_message_errors_are_the_only_errors_of_a_reading() -> None:
    (reading,) = kit.said(kit.fraction(status="unknown"), "codex_rt")

    assert {type(one) for one in reading.problems} == {MessageError}
