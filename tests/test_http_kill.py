"""A FHIR door that is killed: whatever was answered 2xx is in the books of the next life."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from pathlib import Path

import fhir_kit
from http_kit import JSON, MAPPINGS, run

CONFIG = """
[site]
name = "north"
timezone = "America/Chicago"
[store]
path = "radcharge.db"
[rules]
mappings = "{mappings}"
[control]
socket = "radcharge.sock"
[credits]
per_hour_before_pause = 1000
[[fhir_listen]]
name = "rv"
bind = "127.0.0.1:0"
sender = "charge_items"
"""


def test_a_killed_door_has_lost_nothing_that_it_answered(tmp_path: Path) -> None:
    (tmp_path / "radcharge.toml").write_text(CONFIG.format(mappings=MAPPINGS), encoding="utf-8")
    answered: list[str] = []

    async def post(port: int, lane: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for number in range(10_000):
                name = f"{lane}-{number}"
                named = [{"system": "https://lakeside.example/id/charge", "value": name}]
                body = json.dumps(fhir_kit.charge(id=None, identifier=named)).encode()
                head = f"POST /fhir/ChargeItem HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON['Content-Type']}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 201")
                answered.append(name)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def story() -> None:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fhir_radcharge", "serve", "--config", str(tmp_path / "radcharge.toml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        assert server.stdout is not None
        line = (await server.stdout.readline()).decode()
        port = int(line.split(" rv=127.0.0.1:")[1].split()[0])
        senders = [asyncio.ensure_future(post(port, lane)) for lane in range(8)]
        while len(answered) < 300:
            await asyncio.sleep(0.005)
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.gather(*senders)
        await server.communicate()  # returns when the process of the books has ended too

    run(story)
    books = sqlite3.connect(tmp_path / "radcharge.db")
    kept = {json.loads(raw.partition(b"\r\n\r\n")[2])["identifier"][0]["value"]
            for (raw,) in books.execute("select raw from message")}  # fmt: skip
    books.close()

    assert len(answered) >= 300
    assert set(answered) <= kept
