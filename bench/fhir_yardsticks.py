"""What the FHIR door and the bulk reading stand beside: an endpoint that only runs fhir.resources, and its models alone.

python -m bench.fhir_yardsticks: the bare endpoint stores nothing and understands nothing; it parses a body with the
model of fhir.resources and answers 201. Reading in bulk goes over an NDJSON file as `$export` writes it, each resource
proven whole and read into an event; fhir.resources only parses the same lines.
"""

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

import uvicorn
from fhir.resources.R4B.chargeitem import ChargeItem
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.fhir_bench import BODY, SITE, senders_process
from bench.stop_and_wait import Told
from fhir_radcharge import archive
from fhir_radcharge.gateway.http.guard import uvicorn_config
from fhir_radcharge.recoding import Hearing
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.simulate.dialects import FHIR

CONNECTIONS, MESSAGES, ROUNDS, BULK = 32, 8_000, 3, 20_000


async def _bare(request: Request) -> Response:
    item = ChargeItem.model_validate_json(await request.body())
    return Response(status_code=201, headers={"Location": f"ChargeItem/{item.identifier[0].value}"})


async def _rounds(pipe):
    app = Starlette(routes=[Route("/fhir/ChargeItem", _bare, methods=["POST"])])
    server = uvicorn.Server(uvicorn_config(app, 60))
    server.config.host, server.config.port = "127.0.0.1", 0
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = []
    for number in range(ROUNDS):
        pipe.send(Told(port, CONNECTIONS, MESSAGES, f"b{number}"))
        seconds, times = await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        times.sort()
        found.append((MESSAGES / seconds, 1e3 * times[int(len(times) * 0.99)]))
    server.should_exit = True
    await task
    return [statistics.median(column) for column in zip(*found, strict=True)]


def bare_endpoint():
    """Return (posts a second, p99 in ms) of the bare endpoint, with the senders of the door's benchmark."""
    here, there = multiprocessing.Pipe()
    senders = multiprocessing.get_context("spawn").Process(target=senders_process, args=(there,), daemon=True)
    senders.start()
    try:
        return asyncio.run(_rounds(here))
    finally:
        here.send(None)
        senders.join(5)


def bulk():
    """Return rows (what, resources a second): medians of the rounds, one process."""
    with tempfile.TemporaryDirectory(prefix="bulk-") as folder:
        path = Path(folder) / "ChargeItem.ndjson"
        path.write_text("".join(
            BODY.replace("@", f"n{n}").replace("#", f"n{n // 30}") + "\n" for n in range(BULK)))
        courses = Path(folder) / "courses.ndjson"
        courses.write_bytes(b"".join(
            said.raw + b"\n" for said in messages(run_of("clinic", 3, date(2026, 1, 5), courses=150), FHIR)))
        rows = []
        for what, file in (("charge items", path), ("whole courses, Procedures and ChargeItems", courses)):
            rates = []
            for _ in range(ROUNDS):
                hearing = Hearing(SITE, Path(folder), fhir_name="charge_items" if file == path else "rv_fhir")
                began = time.perf_counter()
                for name, entry in archive.messages([file], lambda _: None):
                    hearing.hear(name, entry.number, entry.raw)
                rates.append(hearing.counts["messages"] / (time.perf_counter() - began))
                assert not hearing.parked, hearing.parked[:3]
            rows.append((what, statistics.median(rates)))
        lines = path.read_bytes().splitlines()[:2_000]
        began = time.perf_counter()
        for line in lines:
            ChargeItem.model_validate_json(line)
        rows.append(("charge items, only parsed by fhir.resources", len(lines) / (time.perf_counter() - began)))
    return rows


def main():
    rate, p99_ms = bare_endpoint()
    print(f"bare endpoint of fhir.resources, {CONNECTIONS} connections: {rate:,.0f}/s, p99 {p99_ms:.1f} ms; stores nothing")
    for what, each in bulk():
        print(f"NDJSON, {what}: {each:,.0f} resources/s")


if __name__ == "__main__":
    main()
