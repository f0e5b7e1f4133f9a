"""What was answered is on disk, whenever the process is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from gateway_peers import Sender, control_id_of
from test_gateway_server import configured

from fhir_radcharge.ledger import Ledger, reader
from fhir_radcharge.wire.ack import read_answer

CHILD = Path(__file__).parent / "gateway_child.py"
ROOT = str(Path(__file__).parent.parent)
LINES = b"PID|1||X-1\rPV1|1|O\rFT1|1|1||20260302|20260302|CG|RV1\r"


def charge(name: str) -> bytes:
    return f"MSH|^~\\&|RV|NORTH|RC|NORTH|20260302101500||DFT^P03|{name}|P|2.5.1\r".encode() + LINES


async def child(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start a gateway and return it with its port, when it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(folder / "radcharge.toml"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 15.0)).decode()
    assert line.startswith("ready "), (await process.stderr.read()).decode()
    return process, int(line.split(" rv=127.0.0.1:")[1].split()[0])


async def say(port: int, names: list[str], answered: dict[str, bytes], enough: asyncio.Event, limit: int) -> None:
    """Send one message after another until the connection dies; write down each answer."""
    sender = await Sender.connect(port)
    for name in names:
        sender.send(charge(name))
        answer = await sender.answer()
        if not answer:
            return
        answered[name] = answer
        if len(answered) >= limit:
            enough.set()


VICTIMS = (("gateway", "books"), ("books",), ("gateway",))
"""Who is killed: both processes of a server, or one, which ends the other."""


def kill(gateway: int, victims: tuple[str, ...]) -> None:
    (books,) = map(int, Path(f"/proc/{gateway}/task/{gateway}/children").read_text().split())
    for name, pid in (("books", books), ("gateway", gateway)):
        if name in victims:
            os.kill(pid, signal.SIGKILL)


def kept(folder: Path) -> dict[str, bytes]:
    with_answers = reader(folder / "radcharge.db")
    rows = with_answers.execute("select raw, answer from message").fetchall()
    with_answers.close()
    assert len({raw for raw, _ in rows}) == len(rows)
    return {control_id_of(raw): answer for raw, answer in rows}


def test_a_kill_at_any_moment_loses_no_answered_message(tmp_path: Path) -> None:
    async def story() -> None:
        chance = random.Random(3)
        configured(tmp_path)
        answered: dict[str, bytes] = {}
        for turn in range(6):
            process, port = await child(tmp_path)
            enough, limit = asyncio.Event(), len(answered) + chance.randrange(20, 400)
            lanes = [[f"M{turn}-{lane}-{n}" for n in range(2_000)] for lane in range(8)]
            saying = [asyncio.ensure_future(say(port, names, answered, enough, limit)) for names in lanes]
            await asyncio.wait_for(enough.wait(), 15.0)
            kill(process.pid, VICTIMS[turn % len(VICTIMS)])
            await process.communicate()  # returns when both have ended
            await asyncio.gather(*saying)
            Ledger(tmp_path / "radcharge.db").close()
            books = kept(tmp_path)

            assert answered.items() <= books.items()
            assert {read_answer(answer).code for answer in answered.values()} == {"AA"}

        process, port = await child(tmp_path)
        sender = await Sender.connect(port)
        for name in chance.sample(sorted(kept(tmp_path)), 50):
            sender.send(charge(name))
            assert await sender.answer() == kept(tmp_path)[name]
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 10.0)

        assert process.returncode == 0
        assert b'"event": "stopped"' in log

    asyncio.run(asyncio.wait_for(story(), 60.0))


