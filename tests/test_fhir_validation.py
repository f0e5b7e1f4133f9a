"""What is taken and what is refused, with its place; fhir.resources is the judge of what we must not let pass."""

import copy
import json
import random
import time
from typing import Any

import fhir_kit as kit
import pytest
from fhir.resources import get_fhir_model_class as r5
from fhir.resources.R4B import get_fhir_model_class as r4
from pydantic import ValidationError

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir import schema
from fhir_radcharge.wire.fhir.events import readings
from fhir_radcharge.wire.fhir.read import outcome_of, problems, read, release_of

FIXTURES = sorted(path.name for path in kit.FIXTURES.glob("*.json"))
MUTATIONS = 20_000


def _release(name: str) -> Any:
    return "R5" if "r5" in name else "R4"


@pytest.mark.parametrize("name", FIXTURES)
def test_every_fixture_is_taken_by_us_and_by_the_judge(name: str) -> None:
    resource = kit.fixture(name)
    model = (r5 if "r5" in name else r4)(resource["resourceType"])

    assert problems(kit.body(resource), _release(name)) == ()
    assert model.model_validate(resource) is not None


GOOD: dict[str, Any] = {
    "a date alone": {"occurrencePeriod": None, "occurrenceDateTime": "2026-03-12"},
    "a time in UTC": {"occurrencePeriod": None, "occurrenceDateTime": "2026-03-12T20:14:04Z"},
    "a leap second": {"occurrencePeriod": None, "occurrenceDateTime": "2016-12-31T23:59:60Z"},
    "parts of a second": {"occurrencePeriod": None, "occurrenceDateTime": "2026-03-12T20:14:04.123456789Z"},
    "a timing": {"occurrencePeriod": None, "occurrenceTiming": {"event": ["2026-03-12"]}},
    "a decimal quantity": {"quantity": {"value": 1.0}},
    "a subject by reference": {"subject": {"reference": "Patient/p1"}},
    "a subject elsewhere": {"subject": {"reference": "https://other.example/fhir/Patient/p1"}},
    "a product": {"productCodeableConcept": {"text": "seed"}},
    "a price": {"priceOverride": {"value": 100.50, "currency": "USD"}},
    "a note": {"note": [{"text": "as agreed"}]},
    "an extension of a primitive": {"_status": {"extension": [{"url": "https://a.example/x", "valueCode": "y"}]}},
    "a contained organisation": {
        "contained": [{"resourceType": "Organization", "id": "o"}],
        "performingOrganization": {"reference": "#o"},
    },
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_what_fhir_allows_is_taken(changes: dict[str, Any]) -> None:
    resource = kit.charge(**changes)

    assert problems(kit.body(resource)) == ()
    assert r4("ChargeItem").model_validate(resource) is not None


EXT = {"url": "https://a.example/x"}
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no status": ({"status": None}, "ChargeItem", "101"),
    "a status of its own": ({"status": "bogus"}, "ChargeItem.status", "103"),
    "a status in capitals": ({"status": "Billable"}, "ChargeItem.status", "103"),
    "an empty status": ({"status": ""}, "ChargeItem.status", "103"),
    "no code": ({"code": None}, "ChargeItem", "101"),
    "an empty code": ({"code": {}}, "ChargeItem.code", "102"),
    "a code that is a list": ({"code": [{"text": "x"}]}, "ChargeItem.code", "102"),
    "no subject": ({"subject": None}, "ChargeItem", "101"),
    "a subject of another type": ({"subject": {"reference": "Practitioner/1"}}, "ChargeItem.subject.reference", "102"),
    "a subject that is text": ({"subject": "Patient/1"}, "ChargeItem.subject", "102"),
    "an element of R5": ({"encounter": {"reference": "Encounter/1"}}, "ChargeItem", "207"),
    "an unknown element": ({"modifier": "26"}, "ChargeItem", "207"),
    "an unknown element deep down": ({"code": {"coding": [{"cod": "1"}]}}, "ChargeItem.code.coding[0]", "207"),
    "a quantity as text": ({"quantity": {"value": "1"}}, "ChargeItem.quantity.value", "102"),
    "a quantity that is a number": ({"quantity": 1}, "ChargeItem.quantity", "102"),
    "a day that does not exist": ({"enteredDate": "2026-02-30"}, "ChargeItem.enteredDate", "102"),
    "a time without zone": ({"enteredDate": "2026-02-03T10:00:00"}, "ChargeItem.enteredDate", "102"),
    "a time without seconds": ({"enteredDate": "2026-02-03T10:00Z"}, "ChargeItem.enteredDate", "102"),
    "the hour 24": ({"enteredDate": "2026-02-03T24:00:00Z"}, "ChargeItem.enteredDate", "102"),
    "an HL7 date": ({"enteredDate": "20260203"}, "ChargeItem.enteredDate", "102"),
    "a date as a number": ({"enteredDate": 20260203}, "ChargeItem.enteredDate", "102"),
    "an empty list": ({"account": []}, "ChargeItem.account", "102"),
    "a list that is an object": ({"identifier": {"value": "x"}}, "ChargeItem.identifier", "102"),
    "null": ({"account": [None]}, "ChargeItem.account[0]", "102"),
    "an extension without url": ({"extension": [{"valueCode": "x"}]}, "ChargeItem.extension[0]", "101"),
    "an extension with two values": (
        {"extension": [{**EXT, "valueCode": "x", "valueString": "y"}]}, "ChargeItem.extension[0].valueString", "207",
    ),
    "an extension of no type": ({"extension": [{**EXT, "valueThing": 1}]}, "ChargeItem.extension[0]", "207"),
    "a performer without actor": ({"performer": [{}]}, "ChargeItem.performer[0]", "102"),
    "an id with a space": ({"id": "a b"}, "ChargeItem.id", "102"),
    "an id that is too long": ({"id": "a" * 65}, "ChargeItem.id", "102"),
    "a uri with a space": ({"definitionUri": ["a b"]}, "ChargeItem.definitionUri[0]", "102"),
    "a version that is a number": ({"meta": {"versionId": 1}}, "ChargeItem.meta.versionId", "102"),
    "an instant that is a day": ({"meta": {"lastUpdated": "2026-03-12"}}, "ChargeItem.meta.lastUpdated", "102"),
    "a contained resource of no type": ({"contained": [{"id": "x"}]}, "ChargeItem.contained[0]", "101"),
    "a contained resource that is wrong": (
        {"contained": [{"resourceType": "Patient", "gender": "x"}]}, "ChargeItem.contained[0].gender", "103",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "place", "code"), BAD.values(), ids=BAD.keys())
def test_what_fhir_forbids_is_refused_with_its_place(changes: dict[str, Any], place: str, code: str) -> None:
    found = problems(kit.body(kit.charge(**changes)))

    assert (place, code) in [(one.place, one.code) for one in found]


def test_two_times_of_service_are_refused() -> None:
    found = problems(kit.body(kit.charge(occurrenceDateTime="2026-03-12")))

    assert {one.problem for one in found} == {"two of one choice are said"}


@pytest.mark.parametrize(
    ("resource", "place", "code"),
    [
        ([], "body", "207"),
        ("Patient", "body", "207"),
        ({}, "body.resourceType", "101"),
        ({"resourceType": 1}, "body.resourceType", "101"),
        ({"resourceType": "Chargeitem"}, "body.resourceType", "103"),
        ({"resourceType": "../../etc/passwd"}, "body.resourceType", "103"),
        ({"resourceType": "Element"}, "body.resourceType", "103"),
        ({"resourceType": "Observation"}, "body", "200"),
        ({"resourceType": "Bundle"}, "Bundle", "101"),
        ({"resourceType": "Bundle", "type": "parcel"}, "Bundle.type", "103"),
    ],
)
def test_what_is_no_resource_of_ours_is_refused(resource: Any, place: str, code: str) -> None:
    with pytest.raises(MessageError) as refused:
        read(kit.body(resource))

    assert (refused.value.place, refused.value.code) == (place, code)


def _bundle(kind: str, *resources: Any) -> Any:
    entries = [{"fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{n}", "resource": one}
               for n, one in enumerate(resources)]  # fmt: skip
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def test_an_unknown_type_in_a_batch_is_a_problem_with_its_place_and_the_rest_goes_on() -> None:
    found = read(kit.body(_bundle("batch", kit.charge(), {"resourceType": "Chargeitem"}, {"resourceType": "Basic"})))

    assert [one.place for one in found.problems] == ["Bundle.entry[1].resource.resourceType"]
    assert [one.place for one in found.entries] == ["Bundle.entry[0].resource", "Bundle.entry[2].resource"]


def test_a_transaction_with_one_fault_is_refused_whole() -> None:
    with pytest.raises(MessageError) as refused:
        read(kit.body(_bundle("transaction", kit.charge(), kit.charge(status="bogus"))))

    assert refused.value.place == "Bundle.entry[1].resource.status"


def test_a_deletion_is_not_read_because_it_does_not_say_what_it_takes_back() -> None:
    bundle = _bundle("transaction", kit.charge())
    bundle["entry"].append({"request": {"method": "DELETE", "url": "ChargeItem/ci1"}})

    with pytest.raises(MessageError, match="deletion"):
        read(kit.body(bundle))


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("urn:uuid:00000000-0000-4000-8000-000000000001", []),
        ("urn:uuid:00000000-0000-4000-8000-000000000009", ["Bundle.entry[0].resource.subject.reference"]),
        ("#p", ["Bundle.entry[0].resource.subject.reference"]),
        ("Patient/elsewhere", []),
        ("https://evil.example/Patient/1", []),
    ],
)
def test_a_reference_that_only_the_bundle_could_resolve_must_be_there(reference: str, found: list[str]) -> None:
    patient = {"resourceType": "Patient", "id": "p1"}
    bundle = _bundle("collection", kit.charge(subject={"reference": reference}), patient)

    assert [one.place for one in problems(kit.body(bundle))] == found


def test_a_problem_becomes_an_operation_outcome_that_quotes_no_value() -> None:
    found = problems(kit.body(kit.charge(status="Testpatient Alder", account=[])))
    outcome = outcome_of(found)

    assert r4("OperationOutcome").model_validate(outcome) is not None
    assert [(one["code"], one["expression"]) for one in outcome["issue"]] == [
        ("value", ["ChargeItem.account"]),
        ("code-invalid", ["ChargeItem.status"]),
    ]
    assert "Testpatient" not in json.dumps(outcome)


def test_the_release_is_chosen_by_the_version_that_is_said() -> None:
    assert [release_of(one) for one in (None, "4.0", "4.3", "5.0")] == ["R4", "R4", "R4", "R5"]
    with pytest.raises(MessageError):
        release_of("3.0")


def test_every_enumerated_status_is_taken_from_the_models() -> None:
    for kind in ("ChargeItem", "Procedure"):
        values = r4(kind).model_fields["status"].json_schema_extra["enum_values"]
        properties = schema.schema_of(kind, "R4")["$defs"][kind]["properties"]
        assert properties["status"] == {"enum": values}


JUNK: list[Any] = [
    None, "", "x", " ", 0, -1, 1.5, 10**15, True, [], {}, [None], [[]], {"a": 1}, "2026-02-30", "Patient/1", "é",
    "\u202e", {"reference": "#x"}, {"value": "x"}, [{"url": "x"}], "urn:uuid:1", {"coding": [{}]},
    "entered-in-error",
]  # fmt: skip


def _mutated(resource: Any, chance: random.Random) -> Any:
    """One to three changes anywhere: a value replaced, taken out, doubled, renamed or moved."""
    found = copy.deepcopy(resource)
    for _ in range(chance.randint(1, 3)):
        nodes: list[Any] = []
        waiting: list[Any] = [found]
        while waiting:
            node = waiting.pop()
            nodes.append(node)
            waiting += [
                one for one in (node.values() if isinstance(node, dict) else node) if isinstance(one, dict | list)
            ]
        node = chance.choice(nodes)
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            continue
        key, what = chance.choice(keys), chance.randrange(5)
        if what == 0:
            node[key] = copy.deepcopy(chance.choice(JUNK))
        elif what == 1:
            del node[key]
        elif what == 2 and isinstance(node, dict):
            node[f"{key}{chance.choice('xs_')}"] = node[key]
        elif what == 3 and isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        elif isinstance(node[key], str):
            node[key] = node[key][: chance.randint(0, len(node[key]))] + chance.choice("é\n|^&0 ")
        else:
            node[key] = [node[key]]
    return found


def _seeds() -> list[tuple[str, Any]]:
    brief = [("codex_rt", kit.fraction())]
    brief += [
        ("charge_items", kit.fixture(name)) for name in FIXTURES if name.startswith("charge_item") and "r5" not in name
    ]
    return [*brief, ("charge_items", kit.fixture("bundle_charge_items.json"))]


def test_twenty_thousand_mutated_resources_are_read_or_refused_and_never_crash_or_dally() -> None:
    chance, seeds, slowest, taken = random.Random(20260312), _seeds(), 0.0, 0
    for _ in range(MUTATIONS):
        name, seed = chance.choice(seeds)
        raw = kit.body(_mutated(seed, chance))
        started = time.process_time()
        try:
            found = readings(read(raw), kit.sender(name), kit.tables(), kit.PLACES, 1)
        except MessageError:
            continue
        finally:
            slowest = max(slowest, time.process_time() - started)
        taken += sum(len(one.events) for one in found)

    assert slowest < 0.25
    assert 0 < taken < MUTATIONS * 5


def test_whole_bundles_with_mutations_are_read_or_refused() -> None:
    chance = random.Random(7)
    seeds = [kit.fixture(name) for name in FIXTURES if name.startswith("codex")]
    for _ in range(400):
        try:
            body = read(kit.body(_mutated(chance.choice(seeds), chance)))
        except MessageError:
            continue
        readings(body, kit.sender("codex_rt"), kit.tables(), kit.PLACES, 1)


def test_nothing_that_the_judge_refuses_is_let_pass() -> None:
    chance, laxer = random.Random(11), []
    seeds = [("ChargeItem", seed) for name, seed in _seeds() if seed["resourceType"] == "ChargeItem"]
    seeds.append(("Procedure", kit.fraction()))
    for _ in range(1_500):
        kind, seed = chance.choice(seeds)
        resource = _mutated(seed, chance)
        if problems(kit.body(resource)):
            continue
        try:
            r4(kind).model_validate(resource)
        except ValidationError as error:
            laxer.append((resource, str(error)))

    assert laxer == []
