"""The FHIR door against those who mean harm or know no better: every limit answers quickly, and none with a 5xx."""

import asyncio
import gzip
import json
import random
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import fhir_kit
import pytest
from http_kit import Client, Told, door, run

from fhir_radcharge.gateway.http.body import BodyError, inflated
from fhir_radcharge.gateway.lobby import Limits

CHARGE = fhir_kit.charge()
GZIP = {"Content-Encoding": "gzip"}
QUICKLY_S = 0.1


async def timed(client: Client, body: bytes, **headers: str) -> tuple[Told, float]:
    began = time.perf_counter()
    told = await client.post("/ChargeItem", body, **headers)
    return told, time.perf_counter() - began


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes; a connection that was reset brings nothing."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def deep(levels: int) -> bytes:
    return b'{"resourceType":"ChargeItem","extension":' + b'[{"extension":' * levels + b"1" + b"}]" * levels + b"}"


HOSTILE = {
    "depth": (deep(10_000), 400),
    "depth that the parser takes": (deep(40), 400),
    "same key twice": (b'{"resourceType":"ChargeItem","status":"billable","status":"planned"}', 400),
    "not a number": (b'{"resourceType":"ChargeItem","quantity":{"value":NaN}}', 400),
    "endless number": (b'{"resourceType":"ChargeItem","quantity":{"value":' + b"9" * 100_000 + b"}}", 400),
    "huge exponent": (b'{"resourceType":"ChargeItem","quantity":{"value":1e999999999}}', 400),
    "many lists": (b'{"resourceType":"ChargeItem","extension":' + b"[" * 1_000_000 + b"}", 400),
    "many members": (b"[" + b"0," * 1_000_000 + b"0]", 400),
    "nothing": (b"", 400),
    "no JSON": (b"MSH|^~\\&|RV", 400),
    "no UTF-8": (b'{"resourceType":"ChargeItem","id":"\xff\xfe"}', 400),
    "half a surrogate": (b'{"resourceType":"ChargeItem","id":"\\ud800","status":"billable"}', 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_quickly(tmp_path: Path, name: str) -> None:
    body, status = HOSTILE[name]

    async def story() -> None:
        async with door(tmp_path) as client:
            await client.post("/ChargeItem", CHARGE)
            told, took_s = await timed(client, body)

            assert (told.status, told.body["resourceType"]) == (status, "OperationOutcome")
            assert took_s < QUICKLY_S * 5  # the promise is for a quiet machine; the bench measures it there

    run(story)


def test_a_body_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, body_bytes_max=10_000) as client:
            told, _ = await timed(client, b"x" * 20_000)

            assert (told.status, told.body["issue"][0]["code"]) == (413, "too-long")
            assert client.keeping.rows("select count(*) from message")[0][0] == 0

    run(story)


def test_a_sender_of_far_too_much_hears_why_and_no_reset(tmp_path: Path) -> None:
    def posted(port: int) -> tuple[int, bytes]:
        channel = HTTPConnection("127.0.0.1", port, timeout=10)
        channel.request("POST", "/fhir/ChargeItem", b"x" * 5_000_000, {"Content-Type": "application/fhir+json"})
        answer = channel.getresponse()
        return answer.status, answer.read()

    async def story() -> None:
        async with door(tmp_path, body_bytes_max=10_000) as client:
            status, body = await asyncio.to_thread(posted, client.port)

            assert status == 413
            assert b"longer than" in body

    run(story)


def test_a_chunked_body_over_the_limit_is_refused_at_the_first_byte_too_many(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, body_bytes_max=10_000) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(_head(b"Transfer-Encoding: chunked"))
            for _ in range(3):
                writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            answer = await reader.read()
            writer.close()

            assert answer.startswith(b"HTTP/1.1 413")

    run(story)


def test_a_gzip_body_is_read_and_a_bomb_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            good, _ = await timed(client, gzip.compress(json.dumps(CHARGE).encode()), Content_Encoding="gzip")
            bomb, took_s = await timed(client, gzip.compress(b" " * 200_000_000), Content_Encoding="gzip")
            other, _ = await timed(client, b"x", Content_Encoding="br")
            cut, _ = await timed(client, gzip.compress(json.dumps(CHARGE).encode())[:-20], Content_Encoding="gzip")
            none, _ = await timed(client, b"{}", Content_Encoding="gzip")

            assert [one.status for one in (good, bomb, other, cut, none)] == [201, 413, 415, 400, 400]
            assert took_s < QUICKLY_S * 5

    run(story)


def test_a_small_body_may_grow_a_lot_and_a_large_one_may_not() -> None:
    assert len(inflated(gzip.compress(b" " * 1_000_000), "gzip", 4 << 20)) == 1_000_000
    with pytest.raises(BodyError, match="unpacks to more than"):
        inflated(gzip.compress(b" " * 2_000_000), "gzip", 4 << 20)


def _head(*more: bytes) -> bytes:
    lines = [b"POST /fhir/ChargeItem HTTP/1.1", b"Host: a", b"Content-Type: application/fhir+json", *more]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/9.9\r\n\r\n", b"\x0bMSH|^~\\&|RV\r\x1c\r", b"\x16\x03\x01\x02\x00\x01\x00", _head(b"X: " + b"y" * 70_000),
     b"GET /" + b"z" * 70_000, _head(*(b"X%d: y" % n for n in range(2_000))), b"POST /fhir HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_or_too_much_of_it_is_answered_and_closed(tmp_path: Path, sent: bytes) -> None:
    async def story() -> None:
        async with door(tmp_path, limits=Limits(frame_s=0.2)) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(sent)
            answer = await reader.read()
            writer.close()

            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")) or answer == b""
            assert (await client.post("/ChargeItem", CHARGE)).status == 201

    run(story)


def test_a_header_that_dribbles_is_cut_off(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, limits=Limits(frame_s=0.05)) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(b"POST /fhir")

            assert await rest(reader) == b""
            writer.close()

    run(story)


def test_a_body_that_dribbles_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, body_s=0.05) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(_head(b"Content-Length: 100") + b"{")
            answer = await reader.read()
            writer.close()

            assert answer.startswith(b"HTTP/1.1 408")

    run(story)


def test_one_address_gets_so_many_connections_and_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, limits=Limits(connections_per_peer_max=2)) as client:
            some = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(2)]
            for _, writer in some:
                writer.write(b"GET /fhir/metadata HTTP/1.1\r\nHost: a\r\n\r\n")
            for reader, _ in some:
                assert (await reader.read(12)).startswith(b"HTTP/1.1 200")
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(b"GET /fhir/metadata HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await rest(reader) == b""
            for _, each in [*some, (reader, writer)]:
                each.close()

    run(story)


def test_all_bodies_together_hold_no_more_than_granted(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, buffer_bytes_max=100) as client:
            told = await client.post("/ChargeItem", CHARGE)

            assert told.status == 503

    run(story)


def test_a_door_with_a_token_opens_to_it_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path, token=b"a-token-for-the-test") as client:
            told = [
                await client.post("/ChargeItem", CHARGE),
                await client.post("/ChargeItem", CHARGE, Authorization="Bearer other"),
                await client.post("/ChargeItem", CHARGE, Authorization="Bearer a-token-for-the-test"),
                await client.get("/metadata"),
            ]

            assert [one.status for one in told] == [401, 401, 201, 200]
            assert b"a-token" not in client.keeping.rows("select raw from message")[0][0]

    run(story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Type": "application/fhir+xml"}, 415), ({"Content-Type": "text/plain"}, 415), ({"Content-Type": ""}, 415),
     ({"Content-Type": "application/json; charset=latin-1"}, 415), ({"Content-Type": "application/json"}, 201),
     ({"Content-Type": "application/fhir+json; fhirVersion=3.0"}, 415), ({"Accept": "application/fhir+xml"}, 406),
     ({"Accept": "application/fhir+json"}, 201), ({"If-Match": "1"}, 400)],
)  # fmt: skip
def test_only_json_is_spoken(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            assert (await client.ask("POST", "/ChargeItem", CHARGE, headers)).status == status

    run(story)


def _mutated(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """One value changed somewhere in it, by chance."""
    junk: list[Any] = [None, "", [], {}, -1, 1e300, "x" * 50, True, ["a"], {"a": 1}, "\ud7ff", "urn:uuid:1", "#a"]
    if depth > 12 or chance.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return chance.choice(junk)
    if isinstance(value, dict):
        key = chance.choice(list(value))
        if chance.random() < 0.2:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: _mutated(value[key], chance, depth + 1)}
    place = chance.randrange(len(value))
    return [*value[:place], _mutated(value[place], chance, depth + 1), *value[place + 1 :]]


def test_mutated_bodies_find_no_5xx(tmp_path: Path) -> None:
    chance = random.Random(20260312)
    seeds = [("/ChargeItem", CHARGE), ("/ChargeItem", fhir_kit.fixture("charge_item_modifiers.json")),
             ("/Procedure", fhir_kit.fraction()), ("", fhir_kit.fixture("bundle_charge_items.json")),
             ("", fhir_kit.fixture("codex_prostate_session.json"))]  # fmt: skip

    async def story() -> None:
        async with door(tmp_path, "charge_items") as client:
            found: dict[int, int] = {}
            for _ in range(600):
                path, seed = chance.choice(seeds)
                told = await client.post(path, json.dumps(_mutated(seed, chance)).encode())
                found[told.status] = found.get(told.status, 0) + 1
            client.keeping.work()

            assert set(found) <= {200, 201, 400, 404, 412, 422}
            assert client.keeping.rows("select * from open_item where category = 'defect'") == []

    run(story)
