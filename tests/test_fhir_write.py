"""Postings as FHIR requests: valid for the judge, the same bytes every time, and what the answers mean."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import fhir_kit as kit
import pytest
from fhir.resources import get_fhir_model_class as r5
from fhir.resources.R4B import get_fhir_model_class as r4

from fhir_radcharge.errors import TableError, UnsafeError
from fhir_radcharge.model import Charge, Posting
from fhir_radcharge.profiles.fhir import destination_from
from fhir_radcharge.tables.strict_yaml import parse
from fhir_radcharge.wire.fhir.answers import differences, outcome, retry_after_s, sent
from fhir_radcharge.wire.fhir.operations import oracle_modify, request_for, transaction_id
from fhir_radcharge.wire.fhir.read import problems
from fhir_radcharge.wire.fhir.write import Carried, Line, Sent, SiteCode, charge_item, put, transaction

AT = "2026-03-12T22:00:00Z"
CARRIED = Carried("RO0012345", "V2026000777", "A77", ("C50.412", "Z51.0"), "ARIA-0000918273", "urn:oid:1.2.3")
SITE = SiteCode("40077412", "RADONC", "0333", Decimal("1250.00"))
OWN = CARRIED._replace(patient="Patient/12782842", visit="Encounter/98019577")
NAMES = ("hospital_put", "office_transaction", "oracle_like", "redox_like")


def charge(**changes: Any) -> Charge:
    values: dict[str, Any] = {
        "bill": "professional", "course": "C1", "code": "77387", "modifiers": ("26", "59"), "day": date(2026, 3, 12),
        "end": None, "units": 2, "place_of_service": "22", "provider": "1999999984", "packaged": False, "hold": None,
        "family": "guidance", "slot": "", "dated_by": "F1", "events": ("F1",), "why": (),
    }  # fmt: skip
    return Charge(**{**values, **changes})


def line(kind: Any = "CHARGE", units: int = 2, sent: Any = None, **changes: Any) -> Line:
    own = "ABCDEFGHJKMN" if kind == "CHARGE" else "CREDIT234567"
    credits = None if kind == "CHARGE" else "ABCDEFGHJKMN"
    posting = Posting(own, kind, "d", charge(**changes), units, credits, 7, date(2026, 3, 13))
    return Line(posting, CARRIED, SITE, sent)


def own(made: Line) -> Line:
    """The same line with the references that a host gave out itself."""
    return made._replace(carried=OWN)


def judged(resource: Any) -> Any:
    # The judge takes version 4 alone for a uuid; FHIR takes any, and ours is derived and so of version 5.
    for one in resource.get("parameter", ()):
        if "valueUuid" in one:
            one["valueUuid"] = "urn:uuid:7a8d3f1e-6c58-4f0e-9f57-0c6a4a1f2b11"
    return r4(resource["resourceType"]).model_validate(resource)


def resources(body: Any) -> list[Any]:
    found = [body]
    for entry in body.get("entry", ()):
        found.append(entry["resource"])
    for one in body.get("parameter", ()):
        found += [one["resource"]] if "resource" in one else []
    return found


def every_request() -> list[Any]:
    found = []
    for name in NAMES:
        target = kit.destination(name)
        for made in (line(), line(code="G6002", modifiers=(), bill="global"), line(end=date(2026, 3, 20)),
                     line(packaged=True, place_of_service="", provider=None)):  # fmt: skip
            found.append(request_for(own(made) if target.oracle else made, target, AT))
        found.append(request_for(own(line("CREDIT", sent=Sent("2180632343", "1"))), target, AT))
    return found


def test_every_resource_that_is_sent_is_valid_for_the_judge_and_for_our_own_door() -> None:
    for request in every_request():
        body = json.loads(request.body)
        for resource in resources(body):
            assert judged(resource) is not None
        assert problems(request.body) == ()


def test_an_r5_destination_gets_r5_elements() -> None:
    target = kit.destination("hospital_put").model_copy(update={"release": "R5"})
    item = charge_item(line(), target)

    assert r5("ChargeItem").model_validate(json.loads(put(line(), target).body)) is not None
    assert ("encounter" in item, "context" in item) == (True, False)


def test_the_same_posting_is_the_same_bytes() -> None:
    assert every_request() == every_request()


def test_a_charge_is_put_under_its_own_id_with_all_that_the_bill_needs() -> None:
    request = put(line(), kit.destination("hospital_put"))
    item = json.loads(request.body)
    own = "https://fhir-radcharge.example/StructureDefinition/"

    assert (request.method, request.path, request.expects) == ("PUT", "ChargeItem/ABCDEFGHJKMN", (200, 201))
    assert item == {
        "resourceType": "ChargeItem",
        "id": "ABCDEFGHJKMN",
        "extension": [
            *({"url": f"{own}charge-modifier", "extension": [
                {"url": "code", "valueCodeableConcept": {"coding": [
                    {"system": "http://www.ama-assn.org/go/cpt", "code": code}]}},
                {"url": "priority", "valueUnsignedInt": number}]} for number, code in ((1, "26"), (2, "59"))),
            {"url": f"{own}bill", "valueCode": "professional"},
            {"url": f"{own}place-of-service", "valueCoding": {
                "system": "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set",
                "code": "22"}},
            {"url": f"{own}revenue-code", "valueCodeableConcept": {"coding": [
                {"system": "https://www.nubc.org/CodeSystem/RevenueCodes", "code": "0333"}]}},
            {"url": f"{own}department-code", "valueString": "RADONC"},
            {"url": f"{own}unit-price", "valueMoney": {"value": 1250.0, "currency": "USD"}},
        ],
        "identifier": [{"system": "https://fhir-radcharge.example/id/posting", "value": "ABCDEFGHJKMN"}],
        "status": "billable",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "77387"},
                            {"system": "https://lakeside.example/id/charge-code", "code": "40077412"}]},
        "subject": {"identifier": {"system": "https://lakeside.example/mrn", "value": "RO0012345"}},
        "context": {"identifier": {"system": "https://lakeside.example/visit", "value": "V2026000777"}},
        "occurrenceDateTime": "2026-03-12",
        "performer": [{"actor": {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1999999984"}}}],
        "performingOrganization": {"identifier": {
            "system": "https://lakeside.example/id/organization", "value": "LAKESIDE-PHYSICIANS"}},
        "quantity": {"value": 2},
        "enteredDate": "2026-03-13",
        "reason": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": code}]}
                   for code in ("C50.412", "Z51.0")],
        "service": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}}],
        "account": [{"identifier": {"system": "https://lakeside.example/account", "value": "A77"}}],
    }  # fmt: skip


def test_a_price_is_written_with_its_cents() -> None:
    assert b'"value":1250.00' in put(line(), kit.destination("hospital_put")).body


def test_a_patient_that_the_sender_names_by_reference_stays_a_reference() -> None:
    item = charge_item(line()._replace(carried=Carried("Patient/p1", "Encounter/e1")), kit.destination("hospital_put"))

    assert (item["subject"], item["context"]) == ({"reference": "Patient/p1"}, {"reference": "Encounter/e1"})


def test_an_offsetting_credit_is_a_new_item_below_zero_that_names_the_charge() -> None:
    request = transaction([line("CREDIT")], kit.destination("office_transaction"), AT)
    item, origin = (entry["resource"] for entry in json.loads(request.body)["entry"])

    assert (item["id"], item["status"], item["quantity"]) == ("CREDIT234567", "billable", {"value": -2})
    assert item["extension"][-1]["valueReference"]["reference"] == "ChargeItem/ABCDEFGHJKMN"
    assert (origin["activity"]["coding"][0]["code"], origin["target"]) == (
        "UPDATE", [{"reference": "ChargeItem/CREDIT234567"}],
    )  # fmt: skip


def test_a_credit_by_status_writes_the_charge_again_as_entered_in_error_at_its_version() -> None:
    request = put(line("CREDIT", sent=Sent("ABCDEFGHJKMN", "3")), kit.destination("hospital_put"))
    item = json.loads(request.body)

    assert (request.path, dict(request.headers)["If-Match"]) == ("ChargeItem/ABCDEFGHJKMN", 'W/"3"')
    assert (item["id"], item["status"], item["quantity"]) == ("ABCDEFGHJKMN", "entered-in-error", {"value": 2})


def test_a_credit_of_a_part_is_never_said_by_a_status_or_an_operation_that_takes_all() -> None:
    for name in ("hospital_put", "oracle_like"):
        with pytest.raises(UnsafeError):
            request_for(line("CREDIT", units=1, sent=Sent("1", "1")), kit.destination(name), AT)


def test_a_transaction_puts_its_lines_and_their_provenance_so_that_a_repeat_changes_nothing() -> None:
    two = line()._replace(posting=line().posting._replace(id="SECOND234567"))
    body = json.loads(transaction([line(), two], kit.destination("office_transaction"), AT).body)

    assert [entry["request"] for entry in body["entry"]] == [
        {"method": "PUT", "url": "ChargeItem/ABCDEFGHJKMN"},
        {"method": "PUT", "url": "ChargeItem/SECOND234567"},
        {"method": "PUT", "url": "Provenance/provenance-ABCDEFGHJKMN"},
    ]
    assert body["entry"][2]["resource"]["entity"][0]["what"]["identifier"]["value"] == "ARIA-0000918273"


def test_an_oracle_charge_is_created_with_status_unknown_one_coding_and_a_transaction_of_its_own() -> None:
    request = request_for(own(line(end=date(2026, 3, 20))), kit.destination("oracle_like"), AT)
    body = json.loads(request.body)
    item = body["parameter"][1]["resource"]

    assert (request.method, request.path) == ("POST", "ChargeItem/$create")
    assert body["parameter"][0] == {"name": "transactionId", "valueUuid": f"urn:uuid:{transaction_id('ABCDEFGHJKMN')}"}
    assert (item["status"], len(item["code"]["coding"]), item["occurrenceDateTime"], "id" in item) == (
        "unknown", 1, "2026-03-12", False,
    )  # fmt: skip


def test_an_oracle_credit_names_the_hosts_own_item_and_version_or_is_not_made() -> None:
    target = kit.destination("oracle_like")
    request = request_for(own(line("CREDIT", sent=Sent("2180632343", "4"))), target, AT)
    names = [one["name"] for one in json.loads(request.body)["parameter"]]

    assert request.path == "ChargeItem/2180632343/$credit"
    assert names == ["transactionId", "versionId", "subject", "context"]
    with pytest.raises(UnsafeError, match="read it first"):
        request_for(own(line("CREDIT")), target, AT)
    with pytest.raises(UnsafeError, match="look it up first"):
        request_for(line("CREDIT", sent=Sent("2180632343", "4")), target, AT)


def test_an_oracle_modification_says_which_version_it_replaces() -> None:
    request = oracle_modify(own(line(sent=Sent("2180632343", "4"))), kit.destination("oracle_like"))
    item = json.loads(request.body)["parameter"][1]["resource"]

    assert item["extension"][-1]["valueReference"] == {"reference": "ChargeItem/2180632343/_history/4"}
    assert judged(json.loads(request.body)) is not None


def test_a_transaction_id_is_of_the_posting_and_of_nothing_else() -> None:
    assert transaction_id("ABCDEFGHJKMN") == transaction_id("ABCDEFGHJKMN")
    assert len({transaction_id(f"POSTING{n:05d}") for n in range(1000)}) == 1000


def test_a_redox_message_carries_header_item_and_patient() -> None:
    body = json.loads(request_for(line(), kit.destination("redox_like"), AT).body)

    assert [entry["resource"]["resourceType"] for entry in body["entry"]] == ["MessageHeader", "ChargeItem", "Patient"]
    assert body["entry"][0]["resource"]["focus"] == [{"reference": "ChargeItem/ABCDEFGHJKMN"}]
    assert body["identifier"]["value"] == "ABCDEFGHJKMN"


ISSUE = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"duplicate","diagnostics":"Testpatient"}]}'
)
FINE = b'{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational"}]}'


def _answered(*statuses: str) -> bytes:
    entries = [{"response": {"status": status}} for status in statuses]
    return json.dumps({"resourceType": "Bundle", "type": "transaction-response", "entry": entries}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", ("accepted", "200")),
        (201, b'{"resourceType":"ChargeItem"}', ("accepted", "201")),
        (204, b"", ("accepted", "204")),
        (200, FINE, ("accepted", "200")),
        (200, ISSUE, ("refused", "200 OperationOutcome")),
        (200, b"<html>please log in</html>", ("silent", "200 not FHIR")),
        (302, b"", ("refused", "302")),
        (400, ISSUE, ("refused", "400 duplicate")),
        (401, b"", ("not_taken", "401")),
        (404, b"", ("refused", "404")),
        (408, b"", ("silent", "408")),
        (409, ISSUE, ("not_taken", "409 duplicate")),
        (412, b"", ("refused", "412")),
        (422, ISSUE, ("refused", "422 duplicate")),
        (429, b"", ("not_taken", "429")),
        (500, b"oops", ("not_taken", "500")),
        (503, b"", ("not_taken", "503")),
        (None, b"", ("silent", "lost")),
        (200, _answered("201 Created", "200 OK"), ("accepted", "201")),
        (200, _answered("201 Created", "422 Unprocessable"), ("refused", "422")),
        (200, _answered("201", "503"), ("not_taken", "503")),
        (99, b"", ("silent", "99")),
    ],
)
def test_an_answer_means_what_the_destination_declares(status: Any, body: bytes, expected: Any) -> None:
    found = outcome(status, {}, body, kit.destination("office_transaction"))

    assert found[0] == expected[0]
    assert found[1].split()[0] == expected[1].split()[0]
    assert "Testpatient" not in found[1]


def test_an_operation_that_a_server_may_have_done_before_it_failed_counts_as_sent() -> None:
    assert [outcome(500, {}, b"", kit.destination(name))[0] for name in NAMES] == [
        "not_taken", "not_taken", "silent", "silent",
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"entry":1}', b'{"issue":{}}', b"[" * 9999, b"\xff"])
def test_no_answer_is_strange_enough_to_crash(body: bytes) -> None:
    for status in (200, 201, 400, 422, 500):
        assert outcome(status, {}, body, kit.destination("office_transaction"))[0] in (
            "silent",
            "refused",
            "not_taken",
            "accepted",
        )
    assert sent({}, body) is None


def test_the_receivers_id_and_version_are_read_from_its_headers_or_its_body() -> None:
    where = "https://ehr.example/r4/x/ChargeItem/2180632343"

    assert sent({"Location": where, "ETag": 'W/"0"'}, b"") == Sent("2180632343", "0")
    assert sent({"location": f"{where}/_history/5"}, b"") == Sent("2180632343", "5")
    assert sent({}, b'{"resourceType":"ChargeItem","id":"7","meta":{"versionId":"2"}}') == Sent("7", "2")
    assert sent({"Location": "https://ehr.example/r4/x/ChargeItem/$create"}, b"") is None


def test_the_wait_that_a_receiver_asks_for_is_read_and_bounded() -> None:
    said = [retry_after_s({"Retry-After": value}) for value in ("30", "999999999", "Fri, 13 Mar 2026 10:00:00 GMT", "")]

    assert said == [30, 86_400, None, None]


def test_what_a_receiver_left_out_is_found_by_reading_it_back() -> None:
    request = put(line(), kit.destination("hospital_put"))
    kept = json.loads(request.body)
    del kept["reason"]
    kept["quantity"] = {"value": 1}
    kept["extension"] = kept["extension"][1:]
    kept["meta"] = {"versionId": "1"}

    assert differences(request, json.dumps(kept).encode()) == (
        "ChargeItem.extension[0]", "ChargeItem.quantity.value", "ChargeItem.reason",
    )  # fmt: skip
    assert differences(request, request.body) == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"422": refused, ', "", "does not say what '422' means"),
        ("lost: silent", "lost: accepted", "neither yes nor no"),
        ("style: transaction", "style: redox", "needs the section redox"),
        ("credit: offset", "credit: operation", "belongs to style oracle"),
        ("credit: offset", "credit: offsets", "Input should be"),
    ],
)
def test_a_destination_that_leaves_money_open_is_refused_with_its_line(old: str, new: str, problem: str) -> None:
    path = kit.ROOT / "mappings/fhir/destinations/office_transaction.yaml"
    text = path.read_text(encoding="utf-8").replace(old, new)

    with pytest.raises(TableError, match=rf"x.yaml:\d+.*{problem}"):
        destination_from(parse(text, "x.yaml"), "x.yaml")
