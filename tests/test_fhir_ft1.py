"""FT1 and ChargeItem: there and back, what is lost, and what is refused rather than bent."""

import json
import random
from typing import Any

import fhir_kit as kit
import pytest
from fhir.resources.R4B import get_fhir_model_class as r4

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import er7
from fhir_radcharge.wire.fhir import own_extensions as own
from fhir_radcharge.wire.fhir.ft1_map import ROWS, Names, concept_maps
from fhir_radcharge.wire.fhir.ft1_read import chargeitem_from_ft1
from fhir_radcharge.wire.fhir.ft1_write import ft1_from_chargeitem
from fhir_radcharge.wire.fhir.strict_json import dumps

D = er7.STANDARD
NAMES = Names(
    "https://lakeside.example/id/charge", "https://lakeside.example/id/department", "https://lakeside.example/id/order",
    "https://lakeside.example/id/organization", "https://lakeside.example/id/person", kit.CHICAGO,
)  # fmt: skip
SUBJECT = {"identifier": {"system": "https://lakeside.example/mrn", "value": "RO0012345"}}
FULL = (
    "FT1|1|T918273-1|B77|20260312151404-0500^20260312152210-0500|20260312160045-0500|CG|ROTX^Beam^99LAKE|||2"
    "|250.00&USD|125.00&USD|RADONC|||LIN2^A^1|||C50.412^^I10~Z51.0^^I10|1999999984^^^^^^^^NPI|1888888885^^^^^^^^NPI"
    "||REC-17|CLERK1|77412^^C4|26^^C4~59^^C4|||12345^^NDC|||ORG1|ORG2"
)


def segment(text: str) -> list[str]:
    return text.split("|")


def item(text: str) -> Any:
    return chargeitem_from_ft1(segment(text), D, NAMES, SUBJECT)


def test_a_full_ft1_goes_there_and_back_unchanged() -> None:
    assert "|".join(ft1_from_chargeitem(item(FULL), D, NAMES)) == FULL


@pytest.mark.parametrize(
    "text",
    [
        "FT1|1|X||20260312||CG|77412^^C4|||1",
        "FT1|1|X||20260312||CD|77412^^C4|||1",
        "FT1|1|X||20260312^20260320||CG|77427^^C4|||5",
        "FT1|1|||20260312151404-0500||CG|77412^^C4|||1.00||||||||||||||||26~59",
        "FT1|1|a\\T\\b||20260312||CG|77412^x\\F\\y^C4|||1",
    ],
)
def test_short_forms_go_there_and_back_unchanged(text: str) -> None:
    found = item(text)

    assert r4("ChargeItem").model_validate(json.loads(dumps(found))) is not None
    assert "|".join(ft1_from_chargeitem(found, D, NAMES)) == text


def test_a_billing_code_beside_a_local_one_comes_back_in_ft1_25() -> None:
    found = item("FT1|1|||20260312||CG|A^B^99X^77412^D^C4|||1")

    assert "|".join(ft1_from_chargeitem(found, D, NAMES)) == "FT1|1|||20260312||CG|A^B^99X|||1|||||||||||||||77412^D^C4"


def test_a_full_ft1_is_a_valid_charge_item_with_its_parts_in_place() -> None:
    found = item(FULL)

    assert r4("ChargeItem").model_validate(json.loads(dumps(found))) is not None
    assert (found["status"], dumps(found["quantity"]), found["occurrencePeriod"]) == (
        "billable", b'{"value":2}', {"start": "2026-03-12T15:14:04-05:00", "end": "2026-03-12T15:22:10-05:00"},
    )  # fmt: skip
    assert [coding["code"] for coding in found["code"]["coding"]] == ["ROTX", "77412"]


def test_amounts_and_quantities_keep_their_digits() -> None:
    found = item("FT1|1|X||20260312||CG|77412^^C4|||1.00|250.10|125.050")

    assert b'"value":1.00' in dumps(found)
    assert b'"value":250.10' in dumps(found)
    assert ft1_from_chargeitem(found, D, NAMES)[10:13] == ["1.00", "250.10&USD", "125.050&USD"]


def test_a_credit_is_a_quantity_below_zero_and_back_again() -> None:
    found = item("FT1|1|X||20260312||CD|77412^^C4|||2")

    assert (found["status"], found["quantity"]["value"]) == ("billable", -2)
    assert ft1_from_chargeitem(found, D, NAMES)[6:11] == ["CD", "77412^^C4", "", "", "2"]


def test_a_time_without_offset_is_the_facilitys_and_gets_its_offset() -> None:
    winter = item("FT1|1|X||20260212151404||CG|77412^^C4|||1")
    summer = item("FT1|1|X||202607121514||CG|77412^^C4|||1")

    assert winter["occurrenceDateTime"] == "2026-02-12T15:14:04-06:00"
    assert summer["occurrenceDateTime"] == "2026-07-12T15:14:00-05:00"


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("FT1|1|X||20260312||PY|77412^^C4|||1", "FT1-6", "103"),
        ("FT1|1|X||20260312||CR|77412^^C4|||1", "FT1-6", "103"),
        ("FT1|1|X||20260312|||77412^^C4|||1", "FT1-6", "103"),
        ("FT1|1|X||20260312||CG|77412^^C4", "FT1-10", "101"),
        ("FT1|1|X||20260312||CG|77412^^C4|||0", "FT1-10", "101"),
        ("FT1|1|X||20260312||CG|77412^^C4|||-1", "FT1-10", "101"),
        ("FT1|1|X||20260312||CG|77412^^C4|||one", "FT1-10", "102"),
        ("FT1|1|X||||CG|77412^^C4|||1", "FT1-4", "101"),
        ("FT1|1|X||20260230||CG|77412^^C4|||1", "FT1-4.1", "102"),
        ("FT1|1|X||20260308023000||CG|77412^^C4|||1", "FT1-4.1", "102"),
        ("FT1|1|X||20260312||CG||||1", "FT1-7", "101"),
        ("FT1|1|X||20260312||CG|77412^^C4|||1|||||||||||||||77407^^C4", "FT1-25", "207"),
        ("PID|1", "segment", "100"),
    ],
)
def test_what_is_no_charge_or_does_not_say_how_much_is_refused(text: str, place: str, code: str) -> None:
    with pytest.raises(MessageError) as refused:
        item(text)

    assert (refused.value.place, refused.value.code) == (place, code)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"status": "entered-in-error"}, "ChargeItem.status"),
        ({"status": "planned"}, "ChargeItem.status"),
        ({"quantity": {"unit": "x"}}, "ChargeItem.quantity"),
        ({"occurrencePeriod": {"start": "2026"}}, "ChargeItem.occurrencePeriod.start"),
        ({"occurrencePeriod": None}, "ChargeItem.occurrence"),
        ({"code": {"text": "x"}}, "ChargeItem.code"),
        ({"extension": [{"url": own.DIRECTION, "valueCode": "CD"}]}, "ChargeItem.quantity"),
    ],
)  # fmt: skip
def test_a_charge_item_that_ft1_would_say_otherwise_is_refused(changes: Any, place: str) -> None:
    with pytest.raises(MessageError) as refused:
        ft1_from_chargeitem(kit.charge(**changes), D, NAMES)

    assert refused.value.place == place


@pytest.mark.parametrize("name", ["charge_item.json", "charge_item_credit.json"])
def test_a_fixture_keeps_its_meaning_through_ft1(name: str) -> None:
    first = kit.fixture(name)
    again = chargeitem_from_ft1(ft1_from_chargeitem(first, D, NAMES), D, NAMES, first["subject"])

    kept = ("status", "subject", "occurrencePeriod", "quantity", "enteredDate", "performer", "reason", "identifier")
    assert {key: again[key] for key in kept} == {key: first[key] for key in kept}
    assert again["code"] == first["code"]


def test_no_text_can_add_a_field_or_a_segment() -> None:
    hostile = "x|y^z~a\\F\\&\r\nFT1|9"
    found = kit.charge(
        identifier=[{"system": NAMES.charge, "value": hostile}],
        code={"coding": [{"system": "https://a.example/x|y", "code": "A", "display": hostile}]},
    )
    built = ft1_from_chargeitem(found, D, NAMES)

    assert len("|".join(built).split("|")) == len(built)
    assert not any(mark in "|".join(built) for mark in "\r\n")


def test_mutated_segments_are_mapped_or_refused_and_never_crash() -> None:
    chance = random.Random(3)
    junk = ["", "^", "~", "&", '""', "\\X0D\\", "1", "CD", "20260308", "2026030802", "^^^", "\\F\\", "9" * 40]
    for _ in range(5_000):
        fields = segment(FULL)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(1, len(fields))
            fields[at] = chance.choice([*junk, fields[at][1:], fields[at] * 2])
        try:
            found = chargeitem_from_ft1(fields, D, NAMES, SUBJECT)
            built = ft1_from_chargeitem(found, D, NAMES)
        except MessageError:
            continue
        assert built[0] == "FT1"


def test_the_concept_maps_in_the_repository_are_those_of_the_table_and_valid() -> None:
    folder = kit.FIXTURES / "conceptmaps"
    written = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}

    assert written == concept_maps()
    assert all(r4("ConceptMap").model_validate(one) is not None for one in written.values())


def test_the_page_about_the_map_names_every_row_and_both_losses() -> None:
    page = (kit.ROOT / "docs" / "ft1-chargeitem.md").read_text(encoding="utf-8")

    missing = [
        row.field for row in ROWS for text in (row.element, row.lost_to_fhir, row.lost_to_v2) if text not in page
    ]
    assert missing == []
