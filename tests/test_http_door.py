"""The FHIR door: what is answered, when it is durable, and what a repeat, a version and a condition come to."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import fhir_kit
import pytest
from fhir.resources import get_fhir_model_class
from fhir.resources.R4B import get_fhir_model_class as r4b_class
from http_kit import Client, Told, door, run

CHARGE = fhir_kit.charge()


def charge(**changes: Any) -> dict[str, Any]:
    """A charge whose versions are the server's to count."""
    found = {**CHARGE, "id": None, "meta": None, **changes}
    return {key: value for key, value in found.items() if value is not None}


def bundle(kind: str, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **more}


def entry(resource: dict[str, Any], method: str = "POST", **request: str) -> dict[str, Any]:
    url = resource["resourceType"] + (f"/{resource['id']}" if method == "PUT" else "")
    return {"resource": resource, "request": {"method": method, "url": url, **request}}


def numbered(number: int, **changes: Any) -> dict[str, Any]:
    return charge(identifier=[{"system": "https://lakeside.example/id/charge", "value": f"C{number}"}], **changes)


def statuses(told: Told) -> list[str]:
    return [one["response"]["status"][:3] for one in told.body["entry"]]


async def events(client: Client) -> list[tuple[str, int]]:
    client.keeping.work()
    return [tuple(row) for row in client.keeping.rows("select event_id, voided from event order by number")]


def stored(client: Client) -> list[str]:
    return [row[0] for row in client.keeping.rows("select disposition from message order by number")]


def test_a_charge_is_stored_and_read_back_as_it_was_said(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            told = await client.post("/ChargeItem", charge())
            location = told.headers["Location"].removeprefix("/fhir")
            seen = await client.get(location)

            assert (told.status, told.headers["ETag"], seen.status) == (201, 'W/"1"', 200)
            assert {**seen.body, "id": None, "meta": None} == {**charge(), "id": None, "meta": None}
            assert seen.body["meta"]["versionId"] == "1"
            assert seen.body["id"] == location.split("/")[2]
            assert await events(client) == [("ARIA:918273-1:1", 0)]

    run(story)


def test_a_repeat_gets_the_first_answer_and_leaves_no_trace(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            first = await client.post("/ChargeItem", charge())
            second = await client.post("/ChargeItem", charge())

            assert (first.status, first.headers) == (second.status, second.headers)
            assert stored(client) == ["taken"]

    run(story)


def test_the_same_identifier_with_other_content_is_the_next_version(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            first = await client.post("/ChargeItem", charge())
            second = await client.post("/ChargeItem", charge(status="entered-in-error"))
            path = first.headers["Location"].removeprefix("/fhir").partition("/_history")[0]

            assert (second.status, second.headers["ETag"]) == (200, 'W/"2"')
            assert [(await client.get(f"{path}/_history/{n}")).body["status"] for n in (1, 2)] == [
                "billable", "entered-in-error"]  # fmt: skip
            assert (await client.get(path)).body["status"] == "entered-in-error"
            assert (await client.get(f"{path}/_history/3")).status == 404
            assert await events(client) == [("ARIA:918273-1:1", 0), ("ARIA:918273-1:1", 1)]

    run(story)


def test_versions_that_the_server_counts_order_what_the_sender_says(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            for status in ("billable", "entered-in-error", "billable"):
                await client.put("/ChargeItem/a", charge(id="a", status=status))
            client.keeping.work()

            rows = client.keeping.rows("select revision, voided from event order by number")
            assert [tuple(row) for row in rows] == [("[0,1]", 0), ("[0,2]", 1), ("[0,3]", 0)]

    run(story)


def test_put_creates_updates_and_repeats_under_its_own_id(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            one, two = charge(id="a"), charge(id="a", quantity={"value": 2})
            told = [await client.put("/ChargeItem/a", each) for each in (one, two, two)]

            assert [(one.status, one.headers["ETag"]) for one in told] == [
                (201, 'W/"1"'), (200, 'W/"2"'), (200, 'W/"2"')]  # fmt: skip
            assert stored(client) == ["taken", "taken"]

    run(story)


def test_an_old_version_in_if_match_is_refused_and_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            await client.put("/ChargeItem/a", charge(id="a"))
            await client.put("/ChargeItem/a", charge(id="a", quantity={"value": 2}), If_Match='W/"1"')
            stale = await client.put("/ChargeItem/a", charge(id="a", quantity={"value": 3}), If_Match='W/"1"')
            fresh = await client.put("/ChargeItem/a", charge(id="a", quantity={"value": 3}), If_Match='W/"2"')
            again = await client.put("/ChargeItem/a", charge(id="a", quantity={"value": 3}), If_Match='W/"2"')

            assert [one.status for one in (stale, fresh, again)] == [412, 200, 200]
            assert stored(client) == ["taken", "taken", "refused", "taken"]

    run(story)


def test_a_conditional_create_finds_what_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            asked = "identifier=https://lakeside.example/id/charge|ARIA:918273-1:1"
            first = await client.post("/ChargeItem", charge(), If_None_Exist=asked)
            second = await client.post("/ChargeItem", charge(quantity={"value": 5}), If_None_Exist=asked)
            more = await client.post("/ChargeItem", charge(), If_None_Exist="patient=7&code=1")

            assert (first.status, second.status, second.headers["Location"]) == (201, 200, first.headers["Location"])
            assert more.status == 422
            assert await events(client) == [("ARIA:918273-1:1", 0)]

    run(story)


def test_a_transaction_is_done_whole_or_not_at_all(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            good = await client.post("", bundle("transaction", entry(numbered(1)), entry(numbered(2))))
            bad = await client.post("", bundle("transaction", entry(numbered(3)), entry(numbered(4, status="x"))))
            stale = await client.post(
                "", bundle("transaction", entry(numbered(5)), entry(charge(id="a"), "PUT", ifMatch='W/"4"'))
            )

            assert (good.status, statuses(good), good.body["type"]) == (200, ["201", "201"], "transaction-response")
            assert (bad.status, bad.places) == (400, ["Bundle.entry[1].resource.status"])
            assert (stale.status, stale.places) == (412, ["Bundle.entry[1].resource"])
            assert await events(client) == [("C1", 0), ("C2", 0)]

    run(story)


def test_a_batch_answers_for_each_of_its_entries(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            reading = {"request": {"method": "GET", "url": "ChargeItem/a"}}
            told = await client.post(
                "", bundle("batch", entry(numbered(1)), entry(numbered(2, status="x")), reading, entry(numbered(3)))
            )

            assert statuses(told) == ["201", "400", "422", "201"]
            assert await events(client) == [("C1", 0), ("C3", 0)]

    run(story)


def test_a_bundle_is_repeated_by_its_identifier(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            named = {"identifier": {"system": "urn:sender", "value": "B1"}}
            first = await client.post("", bundle("transaction", entry(numbered(1)), **named))
            again = await client.post("", bundle("transaction", entry(numbered(1)), **named))
            other = await client.post("", bundle("transaction", entry(numbered(2)), **named))
            client.keeping.work()

            assert (first.body, first.status, other.status) == (again.body, 200, 200)
            assert stored(client) == ["taken", "reused"]
            assert await events(client) == [("C1", 0)]
            held = client.keeping.rows("select category, reason, place from open_item where category = 'reused'")
            assert [tuple(row) for row in held] == [("reused", "control_id_reused", "Bundle.identifier")]

    run(story)


def test_a_message_is_answered_by_a_message_that_names_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            header = {
                "resourceType": "MessageHeader", "id": "m1", "eventUri": "urn:charge",
                "source": {"endpoint": "urn:rv"}, "focus": [{"reference": "ChargeItem/a"}],
            }  # fmt: skip
            entries = [{"fullUrl": "https://rv.example/MessageHeader/m1", "resource": header},
                       {"fullUrl": "https://rv.example/ChargeItem/a", "resource": charge(id="a")}]  # fmt: skip
            message = bundle("message", *entries, timestamp="2026-03-12T16:00:45-05:00")
            told = [await client.post(path, message) for path in ("/$process-message", "")]

            answer = told[0].body
            assert [one.status for one in told] == [200, 200]
            assert answer["entry"][0]["resource"]["response"] == {"identifier": "m1", "code": "ok"}
            assert (answer["type"], answer["entry"][0]["resource"]["eventUri"]) == ("message", "urn:charge")
            assert await events(client) == [("ARIA:918273-1:1", 0)]
            r4b_class("Bundle").model_validate(answer)

    run(story)


def test_a_collection_is_kept_entry_by_entry(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            told = await client.post("", bundle("collection", {"resource": numbered(1)}, {"resource": numbered(2)}))

            assert statuses(told) == ["201", "201"]
            assert await events(client) == [("C1", 0), ("C2", 0)]

    run(story)


def test_r5_is_read_where_the_request_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            headers = {"Content-Type": "application/fhir+json; fhirVersion=5.0"}
            told = await client.ask("POST", "/ChargeItem", fhir_kit.fixture("charge_item_r5.json"), headers)

            assert told.status == 201
            assert len(await events(client)) == 1

    run(story)


def test_what_is_wrong_is_told_by_paths_and_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            wrong = charge(status="bogus", quantity={"value": "two"})
            told = [await client.post("/ChargeItem", wrong) for _ in range(2)]
            nameless = await client.post("/ChargeItem", charge(identifier=None))

            assert [one.status for one in told] == [400, 400]
            assert told[0].places == ["ChargeItem.quantity.value", "ChargeItem.status"]
            assert (nameless.status, nameless.places) == (422, ["ChargeItem.identifier"])
            assert stored(client) == ["refused", "refused"]
            assert await events(client) == []

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/Observation", 404), ("GET", "/ChargeItem/none", 404), ("GET", "/ChargeItem?patient=1", 405),
     ("DELETE", "/ChargeItem/a", 405), ("GET", "/nowhere/at/all/there", 404), ("PUT", "/ChargeItem/a b", 400),
     ("GET", "/Bundle/a", 404), ("GET", "/ChargeItem/a/_history/x", 404)],
)  # fmt: skip
def test_what_is_not_done_here_is_said_as_an_outcome(tmp_path: Path, method: str, path: str, status: int) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            told = await client.ask(method, path, charge() if method in ("POST", "PUT") else None)

            assert (told.status, told.body["resourceType"]) == (status, "OperationOutcome")

    run(story)


def test_a_body_that_is_not_what_its_address_says_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            told = [
                await client.post("/Procedure", charge()),
                await client.put("/ChargeItem/b", charge(id="a")),
                await client.post("", charge()),
                await client.post("/$process-message", bundle("batch", entry(charge()))),
                await client.post("", bundle("searchset", {"resource": charge()})),
            ]

            assert [one.status for one in told] == [400, 400, 422, 422, 422]

    run(story)


def test_books_that_cannot_keep_give_no_positive_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            client.keeping.broken = True
            failed = await client.post("/ChargeItem", charge())
            client.keeping.broken = False
            kept = await client.post("/ChargeItem", charge())

            assert (failed.status, failed.headers["Retry-After"], kept.status) == (503, "1", 201)

    run(story)


def test_the_resource_comes_back_where_it_is_preferred(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            told = await client.post("/ChargeItem", charge(), Prefer="return=representation")

            assert (told.status, told.body["code"], told.body["meta"]) == (201, CHARGE["code"], {"versionId": "1"})

    run(story)


@pytest.mark.parametrize(("sender", "version"), [("charge_items", "4.0.1")])
def test_the_capability_statement_is_one_and_true(tmp_path: Path, sender: str, version: str) -> None:
    async def story() -> None:
        async with door(tmp_path, sender) as client:
            told = await client.get("/metadata")
            api = await client.get("/openapi.json")

            r4b_class("CapabilityStatement").model_validate(told.body)
            rest = told.body["rest"][0]
            writes = {one["type"] for one in rest["resource"] if {"code": "create"} in one["interaction"]}
            assert (told.body["fhirVersion"], writes) == (version, {"ChargeItem", "Procedure"})
            assert sorted(api.body["paths"]) == [
                "/fhir", "/fhir/$process-message", "/fhir/metadata", "/fhir/{type}", "/fhir/{type}/{id}",
                "/fhir/{type}/{id}/_history/{version}"]  # fmt: skip

    run(story)


def test_the_statement_of_an_r5_door_is_r5() -> None:
    from fhir_radcharge.gateway.http.capability import capability_statement

    get_fhir_model_class("CapabilityStatement").model_validate(capability_statement("R5"))


def test_no_answer_of_a_refusal_quotes_what_was_sent(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            wrong = charge(status="TESTPATIENT^ELM", subject={"display": 7, "identifier": {"value": "ZZSIM1"}})
            told = await client.post("/ChargeItem", wrong)

            assert told.status == 400
            assert not any(word in json.dumps(told.body) for word in ("TESTPATIENT", "ZZSIM1"))

    run(story)


def test_an_image_of_no_known_modality_is_flagged_and_stops_nothing_else(tmp_path: Path) -> None:
    imaging = {
        "url": f"{fhir_kit.CODEX}image-guided-radiotherapy-modality",
        "extension": [{"url": "modality", "valueCodeableConcept": {
            "coding": [{"system": "http://snomed.info/sct", "code": "168537006"}]}}],
    }  # fmt: skip

    async def story() -> None:
        async with door(tmp_path, "codex_rt") as client:
            found = fhir_kit.fraction()
            kept = [one for one in found["extension"] if "image-guided" not in one["url"]]
            told = await client.post("/Procedure", {**found, "id": None, "extension": [*kept, imaging]} | {"id": "fx"})
            client.keeping.work()
            items = client.keeping.rows("select category, reason from open_item where category in ('flag', 'defect')")

            assert told.status == 201
            assert ("flag", "insufficient_facts") in [tuple(item) for item in items]
            assert not any(item[0] == "defect" for item in items)

    run(story)


def test_no_reference_is_ever_fetched_and_nothing_of_a_body_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        visitors: list[Any] = []
        server = await asyncio.start_server(lambda *one: visitors.append(one), "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/fhir"
        async with door(tmp_path) as client:
            subject = {"reference": f"{base}/Patient/TESTPATIENT", "display": "TESTPATIENT ELM"}
            told = await client.post("/ChargeItem", charge(subject=subject, service=[{"reference": f"{base}/Procedure/1"}]))
            await client.post("/ChargeItem", b"TESTPATIENT")
            await events(client)
        server.close()

        assert told.status == 201
        assert visitors == []

    with caplog.at_level(logging.DEBUG):
        run(story)
    assert "TESTPATIENT" not in caplog.text
