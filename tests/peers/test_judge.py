"""HAPI's validator finds no error in anything that we say as FHIR: requests, answers, statements and exports.

What it knows: the R4 specification and, where npm can get the published package, the profiles of mCODE 4.0.0. Of CodeX
Radiation Therapy no package is published in a registry, so its profiles, which the fixtures name, go unjudged: of the
warnings, those of a profile that is not known must be of CodeX and of no other.

Nothing of what it says is suppressed. But there is no terminology server: CPT, HCPCS, ICD-10-CM and SNOMED CT are in none
of its code systems, and it says nothing of a code of theirs, right or wrong. Codes are the business of `check`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import fhir_kit as kit
from fhir_link_kit import Till, linked, settled
from http_kit import MAPPINGS, door, run
from java_kit import built, java, mcode, missing
from test_fhir_link import by_reference, oracle_site, told
from test_fhir_write import every_request

from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.simulate.fhir_peers import FhirBiller
from fhir_radcharge.tables.policy import load_sources
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.wire.fhir.definitions import charge_item_definitions
from fhir_radcharge.wire.fhir.ft1_map import concept_maps

RUN = run_of("torture", 11, date(2025, 11, 17), courses=8)
CALM = run_of("clinic", 5, date(2026, 1, 5), courses=6)._replace(oddities="none")

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "ready")


class Issue(NamedTuple):
    number: int
    severity: str
    rule: str
    place: str
    said: str


class Judge(NamedTuple):
    folder: Path
    packages: Sequence[str]

    def issues(self, resources: Sequence[bytes]) -> list[Issue]:
        """Return each warning and error; every resource must have been judged."""
        command, lines = java("Judge", *self.packages), b"\n".join(resources) + b"\n"
        done = subprocess.run(command, cwd=self.folder, input=lines, capture_output=True, check=True, timeout=300)
        *rows, last = done.stdout.decode().splitlines()
        assert last == f"judged\t{len(resources)}"
        return [Issue(int(row.split("\t")[0]), *row.split("\t")[1:]) for row in rows]  # type: ignore[arg-type]

    def errors(self, resources: Sequence[bytes]) -> list[Issue]:
        return [one for one in self.issues(resources) if one.severity != "warning"]


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest) -> Judge:
    folder = built(request)
    return Judge(folder, mcode(folder))


def one_line(resource: Any) -> bytes:
    return json.dumps(resource, separators=(",", ":")).encode()


def bodies_sent(folder: Path, name: str) -> list[bytes]:
    """Return every body of a run that a link has sent, credits among them; the operations credit some fractions more."""
    oracle, found = name == "oracle_like", []

    async def story() -> None:
        biller = FhirBiller(name)
        async with linked(folder, name, biller, site=oracle_site() if oracle else None) as till:
            await (told(till, CALM, by_reference) if oracle else told(till, RUN))
            if oracle:
                await take_back(till)
            kinds = {str(row[0]) for row in till.rows("select distinct kind from posting")}
            assert kinds == {"CHARGE", "CREDIT"}
            found.extend(biller.bodies)

    run(story)
    return found


async def take_back(till: Till) -> None:
    """Void three fractions."""
    for raw in [m.raw for m in messages(CALM, "fhir") if b'"1297069006"' in m.raw][:3]:
        said = json.loads(by_reference(raw))
        said["meta"] = {"versionId": "2", "lastUpdated": "2026-03-30T12:00:00-05:00"}
        till.hear_resource(one_line({**said, "status": "entered-in-error"}))
    till.turn()
    await settled(till)


@pytest.mark.parametrize("name", ["hospital_put", "office_transaction", "oracle_like", "redox_like"])
def test_every_request_of_a_run_is_valid(tmp_path: Path, judge: Judge, name: str) -> None:
    bodies = bodies_sent(tmp_path, name)

    assert judge.errors(bodies) == []
    assert len(bodies) > 20


def test_every_other_form_of_a_request_is_valid(judge: Judge) -> None:
    assert judge.errors([request.body for request in every_request()]) == []


def test_what_the_simulator_says_is_valid(judge: Judge) -> None:
    said = [message.raw for message in messages(RUN, "fhir")]

    assert judge.errors(said) == []
    assert any(b"radiotherapy-dose-delivered-to-volume" in one for one in said)


def test_the_fixtures_are_valid_and_nothing_but_the_profiles_of_codex_is_unknown(judge: Judge) -> None:
    files = [path for path in sorted(kit.FIXTURES.glob("*.json")) if "_r5" not in path.name]
    issues = judge.issues([one_line(kit.fixture(path.name)) for path in files])
    unknown = [one.said for one in issues if "Profile reference" in one.said]

    assert [one for one in issues if one.severity != "warning"] == []
    assert [said for said in unknown if "/us/codex-radiation-therapy/" not in said] == []


def test_the_maps_and_the_exported_tables_are_valid(judge: Judge) -> None:
    exported = charge_item_definitions(load_rulebook(MAPPINGS), load_sources(MAPPINGS / "sources.yaml"))
    resources = [*concept_maps().values(), *(resource for _, resource in exported)]

    assert judge.errors([one_line(one) for one in resources]) == []
    assert len(resources) > 50


def questions() -> Iterator[tuple[str, Any]]:
    """Yield requests of which each gets an answer of another form."""
    bundle = kit.fixture("bundle_charge_items.json")
    entries = [{**one, "request": {"method": "POST", "url": one["resource"]["resourceType"]}} for one in bundle["entry"]]
    broken = [{"resource": {"resourceType": "ChargeItem", "status": "paid"}, "request": {"method": "POST", "url": "ChargeItem"}}]
    header = {"resourceType": "MessageHeader", "id": "m1", "eventUri": "urn:x", "source": {"endpoint": "urn:x"}}
    message = {"resourceType": "Bundle", "type": "message", "timestamp": "2026-03-12T22:00:00Z"}
    yield "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    yield "", {"resourceType": "Bundle", "type": "batch", "entry": [*entries, *broken]}
    yield "", {"resourceType": "Bundle", "type": "transaction", "entry": [*entries, *broken]}
    yield "", {**message, "entry": [{"fullUrl": "urn:uuid:7a8d3f1e-6c58-4f0e-9f57-0c6a4a1f2b11", "resource": header}, *bundle["entry"]]}
    yield "", {**message, "entry": [{"resource": {**header, "id": "m2"}}, {"resource": broken[0]["resource"]}]}
    yield "/ChargeItem", b"{"
    yield "/ChargeItem", broken[0]["resource"]
    yield "/Patient/$everything", {"resourceType": "Parameters"}
    yield "/Medication", {"resourceType": "Medication"}


def test_the_answers_of_the_door_are_valid(tmp_path: Path, judge: Judge) -> None:
    answers: list[bytes] = []

    async def story() -> None:
        async with door(tmp_path) as client:
            found = [await client.get("/metadata"), await client.get("/ChargeItem/none")]
            found += [await client.post(path, body) for path, body in questions()]
            item = kit.fixture("charge_item.json")
            await client.put("/ChargeItem/one", {**item, "id": "one"})
            found.append(await client.put("/ChargeItem/one", {**item, "id": "one"}, If_Match='W/"9"'))
            found.append(await client.get("/ChargeItem/one"))
            answers.extend(one_line(one.body) for one in found if one.body is not None)

    run(story)
    seen = {json.loads(one)["resourceType"] for one in answers}

    assert judge.errors(answers) == []
    assert seen == {"CapabilityStatement", "OperationOutcome", "Bundle", "ChargeItem"}


def test_the_judge_sees_what_is_wrong_and_says_nothing_of_codes_that_it_does_not_know(judge: Judge) -> None:
    item = kit.fixture("charge_item.json")
    other = partial(dict, item)
    coding = {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "NOPE"}]}
    wrong = [other(status="paid"), other(quantity={"value": "1"}), {**item, "subject": None}, other(spare=1)]
    lines = [one_line({key: value for key, value in one.items() if value is not None}) for one in wrong]

    assert {one.number for one in judge.errors([*lines, one_line(other(code=coding))])} == {0, 1, 2, 3}
