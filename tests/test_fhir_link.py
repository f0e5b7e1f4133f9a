"""FHIR links against a server that keeps books: its books are what is due, whatever it does to the answers."""

import asyncio
import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fhir_link_kit import Till, kinds, linked, settled
from http_kit import run, site_sending, whole_site
from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_radcharge.engine import Heard
from fhir_radcharge.gateway.smart import Client
from fhir_radcharge.ledger.promises import broken_promises
from fhir_radcharge.simulate import courses, messages, run_of, truth
from fhir_radcharge.simulate.fhir_peers import FhirBiller
from fhir_radcharge.site import Site

AS_OF = date(2026, 3, 31)
RUN = run_of("torture", 5, date(2025, 11, 17), courses=6)
FEW = run_of("smoke", 7, date(2026, 1, 5), courses=1, pathway="bone_single")
STYLES = {"hospital_put": "facility", "office_transaction": "global", "redox_like": "professional"}


def wanted(of: Any, bill: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for one in courses(of):
        for line in truth(one, AS_OF):
            if line.bill == bill and not line.hold:
                found[line.code, line.day.isoformat()] += line.units
    return found


async def told(till: Till, of: Any = RUN, say: Any = lambda raw: raw) -> None:
    for message in messages(of, "fhir"):
        till.hear_resource(say(message.raw))
        till.turn()
        await asyncio.sleep(0)
    await settled(till)


STANDING = """
    select course, bill, code, modifiers, day, end_day, sum(units * (1 - 2 * (kind = 'CREDIT'))) as left
      from posting group by 1, 2, 3, 4, 5, 6 having left order by 1, 2, 3, 4, 5, 6
"""


def notices(till: Till) -> list[tuple[str, str]]:
    sql = "select reason, place from open_item where reason = 'left_out' order by place"
    return [tuple(row) for row in till.rows(sql)]


@pytest.mark.parametrize("name", STYLES)
def test_each_style_brings_the_books_that_are_due(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        biller = FhirBiller(name)
        async with linked(tmp_path, name, biller) as till:
            await told(till)

            assert biller.units() == wanted(RUN, STYLES[name])
            assert set(kinds(till)) == {"accepted"}
            assert broken_promises(till.ledger.connection) == []

    run(story)


@pytest.mark.parametrize("name", ["hospital_put", "office_transaction"])
def test_lost_answers_and_busy_servers_leave_no_duplicate(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        biller = FhirBiller(name)
        biller.faults.extend([503, 429, *["lose", 0, "lose", 409, 500] * 6])
        async with linked(tmp_path, name, biller, on_ambiguous="resend") as till:
            await told(till)

            assert biller.units() == wanted(RUN, STYLES[name])
            assert kinds(till)["silent"] == 12
            assert biller.repeats >= 12
            assert broken_promises(till.ledger.connection) == []

    run(story)


def test_the_same_bytes_go_out_at_every_attempt(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put")
        biller.faults.extend([500, "lose", 500])
        async with linked(tmp_path, "hospital_put", biller, lanes=1) as till:
            await told(till, FEW)

            assert len(set(biller.bodies[:4])) == 1

    run(story)


@pytest.mark.parametrize(("status", "kind"), [(412, "refused"), (422, "refused"), (404, "refused"), (301, "refused")])
def test_a_refusal_goes_to_a_person_and_stands_for_nothing(tmp_path: Path, status: int, kind: str) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put")
        biller.faults.append(status)
        async with linked(tmp_path, "hospital_put", biller, lanes=1) as till:
            for message in messages(FEW, "fhir"):
                till.hear_resource(message.raw)
            till.work()
            while kind not in kinds(till):
                till.turn()
                await asyncio.sleep(0.001)

            items = till.rows("select category, reason from open_item where category = 'refused'")
            assert (items[0][0], items[0][1].split(" ")[0]) == ("refused", str(status))

    run(story)


def test_a_lost_answer_is_asked_after_where_the_destination_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put")
        biller.faults.extend(["lose"])
        async with linked(tmp_path, "hospital_put", biller, lanes=1, on_ambiguous="query") as till:
            await told(till, FEW)

            assert biller.repeats == 0
            assert till.answers()[0] == ("accepted", "lost, read 200")
            assert biller.units() == wanted(FEW, "facility")

    run(story)


def test_an_unanswered_operation_is_held_for_a_person(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("redox_like")
        biller.faults.append("lose")
        async with linked(tmp_path, "redox_like", biller, lanes=1) as till:
            for message in messages(FEW, "fhir"):
                till.hear_resource(message.raw)
            till.turn()
            while "silent" not in kinds(till):
                till.turn()
                await asyncio.sleep(0.001)

            assert [row[0] for row in till.rows("select reason from open_item where category = 'unanswered'")] == ["hold"]

    run(story)


def test_what_a_server_leaves_out_is_seen_by_reading_back(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put", ignores=["extension", "reason"])
        async with linked(tmp_path, "hospital_put", biller, read_back=True) as till:
            await told(till, FEW)

            assert notices(till) == [("left_out", "ChargeItem.extension"), ("left_out", "ChargeItem.reason")]
            assert {code for _, code in till.answers()} == {"201 left out 2"}

    run(story)


def oracle_site() -> Site:
    """A site whose record-and-verify system names patient and visit by the host's own references."""
    site = site_sending("oracle_like")
    sender = site.fhir.senders["rv_fhir"]
    patient = sender.profile.patient.model_copy(update={"reference": True})
    profile = sender.profile.model_copy(update={"patient": patient})
    senders = {**site.fhir.senders, "rv_fhir": sender._replace(profile=profile)}
    return replace(site, fhir=site.fhir._replace(senders=senders))


def by_reference(raw: bytes) -> bytes:
    said = json.loads(raw)
    said["subject"] = {"reference": f"Patient/{said['subject']['identifier']['value']}"}
    key = "encounter" if "encounter" in said else "context"
    said[key] = {"reference": f"Encounter/{said[key]['identifier']['value']}"}
    del said["contained"]
    return json.dumps(said, separators=(",", ":")).encode()


def test_the_operations_credit_by_the_hosts_own_id_and_version(tmp_path: Path) -> None:
    of = run_of("clinic", 5, date(2026, 1, 5), courses=6)._replace(oddities="none")

    async def story() -> None:
        biller = FhirBiller("oracle_like")
        async with linked(tmp_path, "oracle_like", biller, site=oracle_site()) as till:
            await told(till, of, by_reference)
            fractions = [m.raw for m in messages(of, "fhir") if b'"1297069006"' in m.raw]
            for raw in fractions[:3]:
                said = json.loads(by_reference(raw))
                said["meta"] = {"versionId": "2", "lastUpdated": "2026-03-30T12:00:00-05:00"}
                said["status"] = "entered-in-error"
                till.hear_resource(json.dumps(said, separators=(",", ":")).encode())
            till.turn()
            await settled(till)

            credits = [path for method, path in biller.seen if path.endswith("$credit")]
            standing = Counter()
            for code, day, units in till.rows(
                "select code, day, case kind when 'CHARGE' then units else -units end from posting"
            ):
                standing[code, day] += units
            assert credits
            assert all(path.split("/")[2].isdigit() for path in credits)
            assert biller.units() == Counter({key: units for key, units in standing.items() if units})
            assert set(kinds(till)) == {"accepted"}

    run(story)


def test_a_charge_heard_as_dft_leaves_as_a_charge_item(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put")
        async with linked(tmp_path, "hospital_put", biller) as till:
            for message in messages(RUN, "plain"):
                with till.ledger.transaction():
                    till.engine.receive([Heard("rv", "here", message.raw)])
            till.turn()
            await settled(till)

            assert biller.units() == wanted(RUN, "facility")
            item = next(iter(biller.resources.values()))[-1].resource
            assert item["subject"]["identifier"]["value"].startswith("ZZSIM")

    run(story)


def test_the_same_facts_said_as_dft_and_as_fhir_give_the_same_books(tmp_path: Path) -> None:
    destinations = {"professional_biller": whole_site().destinations["professional_biller"]}
    site = replace(whole_site(), destinations=destinations)
    books = []
    for dialect in ("plain", "fhir"):
        folder = tmp_path / dialect
        folder.mkdir()
        till = Till(folder, site)
        for message in messages(RUN._replace(courses=12), dialect):
            if dialect == "fhir":
                till.hear_resource(message.raw)
            else:
                with till.ledger.transaction():
                    till.engine.receive([Heard("rv", "here", message.raw)])
        till.work()
        books.append([tuple(row) for row in till.rows(STANDING)])
        bodies = [row[0] for row in till.rows("select body from send")]
        assert all(body.startswith(b"MSH|") and b"\rPID|1||ZZSIM" in body for body in bodies)
        till.close()

    assert books[0] == books[1]
    assert len(books[0]) > 40


KEY = ECKey.generate_key("P-384")
CLIENT = Client("", "radcharge", KEY, "k1", "ES384", "system/ChargeItem.cru")


def test_tokens_are_asked_for_with_a_signed_assertion_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put", token="secret-of-the-test-")
        async with linked(tmp_path, "hospital_put", biller, client=CLIENT) as till:
            await told(till, FEW)

            claims = jwt.decode(biller.assertions[0], KEY, algorithms=["ES384"]).claims
            assert (claims["iss"], claims["sub"]) == ("radcharge", "radcharge")
            assert claims["aud"].endswith("/token")
            assert claims["exp"] - claims["iat"] <= 300
            assert biller.tokens_given == 1
            assert biller.units() == wanted(FEW, "facility")

    with caplog.at_level(logging.DEBUG):
        run(story)
    assert "secret-of-the-test" not in caplog.text
    assert "eyJ" not in caplog.text


def test_a_refused_token_is_replaced_and_the_request_said_once_more(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put", token="t-")
        async with linked(tmp_path, "hospital_put", biller, client=CLIENT, lanes=1) as till:
            half = list(messages(FEW, "fhir"))
            till.hear_resource(half[0].raw)
            till.turn()
            await settled(till)
            biller.tokens_given += 1  # somebody else was given one, and ours is no longer good
            await told(till, FEW)

            assert biller.units() == wanted(FEW, "facility")
            assert set(kinds(till)) == {"accepted"}

    run(story)


def test_a_server_that_is_away_costs_no_attempt(tmp_path: Path) -> None:
    async def story() -> None:
        biller = FhirBiller("hospital_put")
        async with linked(tmp_path, "hospital_put", biller, lanes=1) as till:
            await settled(till)
            while till.link is None:
                await asyncio.sleep(0.001)
            link = till.link
            await biller.close()
            for message in messages(FEW, "fhir"):
                till.hear_resource(message.raw)
            till.turn()
            while link.state()["state"] != "unreachable":
                await asyncio.sleep(0.001)
            tried = len(till.answers())
            for _ in range(20):
                await asyncio.sleep(0.001)

            assert tried == len(till.answers()) == 1
            assert till.answers()[0] == ("not_taken", "not_sent")

    run(story)
