"""The whole way: DFT in over 64 connections, coded DFT out, acknowledged by a fake biller; everything in processes.

One FT1 a message, one line a session, courses of 30 sessions, each patient on one connection. The clock runs from
the first byte sent to the last answer of the biller; the server's own user and system time, which a busy machine changes least, is
printed beside it. Run: python -m bench.whole_way [courses] [rounds]
"""

import asyncio
import json
import multiprocessing as mp
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from fhir_radcharge.config import load
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.serving import engine_of, site_of
from fhir_radcharge.simulate.peers import Biller, speak

CONNECTIONS, SESSIONS = 64, 30
MAPPINGS = Path(__file__).resolve().parent.parent / "mappings"

TOML = """
[site]
name = "bench"
timezone = "America/Chicago"
[store]
path = "radcharge.db"
[rules]
mappings = "{mappings}"
[control]
socket = "c.sock"
[credits]
per_hour_before_pause = 1000000
[work]
log_level = "error"
[[listen]]
name = "rv"
bind = "127.0.0.1:0"
senders = ["plain"]
[[send]]
name = "global_biller"
to = "127.0.0.1:{port}"
connections = {links}
on_ambiguous = "resend"
"""


def days(count):
    day, found = date(2026, 1, 5), []
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day)
        day += timedelta(days=1)
    return found


def payload(patient, session, day):
    at = day.strftime("%Y%m%d")
    return (
        f"MSH|^~\\&|PLAIN|LAKESIDE|RADCHARGE|LAKESIDE|{at}120000||DFT^P03^DFT_P03|M{patient:06}{session:03}|P|2.5.1|||||||UNICODE UTF-8\r"
        f"EVN|P03|{at}120000\r"
        f"PID|1||ZZ{patient:07}^^^LAKESIDE^MR||TESTPATIENT^BENCH^{patient}||19500101|F|||1 SAMPLE WAY^^EXAMPLETOWN^WI^53000|||||||V{patient:07}\r"
        f"PV1|1|O|RADONC^LINAC1^^LAKESIDE||||1999999984^CURIE^MARIA|1999999976^REFER^RALPH|||||||||||V{patient:07}\r"
        f"FT1|1|F{patient:06}{session:03}||{at}090000|{at}|CG|FRACTION|||1||||||RADONC|||C44.311^^I10|1999999984^CURIE^MARIA|1999999976^REFER^RALPH||S{patient:06}{session:03}\r"
        f"OBX|1|ST|course||C{patient}||||||F\rOBX|2|ST|technique||superficial||||||F\rOBX|3|NM|kv||100||||||F\r"
        f"IN1|1|MCARE|MCARE|MEDICARE\r"
    ).encode()


def biller_process(queue, wanted):
    async def main():
        biller = Biller("bench")
        queue.put(await biller.open())
        done = asyncio.Event()
        biller.heard = lambda: done.set() if biller.messages >= wanted else None
        await asyncio.wait_for(done.wait(), 600)
        queue.put((time.monotonic(), biller.messages, biller.repeats))
        await asyncio.sleep(0.5)

    asyncio.run(main())


def family(pid):
    """Return a process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cpu_s(pid):
    """Return the seconds of user and of system time that a process and its children have taken."""
    took = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13] for one in family(pid)]
    return tuple(sum(map(int, words)) / os.sysconf("SC_CLK_TCK") for words in zip(*took, strict=True))


def memory_mib(pid):
    """Return the memory of a process and its children: what they share is counted once."""
    pss = 0
    for one in family(pid):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        pss += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return pss // 1024


def round_of(courses, links):
    with tempfile.TemporaryDirectory(prefix="whole-") as folder:
        folder = Path(folder)
        queue = mp.Queue()
        biller = mp.Process(target=biller_process, args=(queue, courses * SESSIONS))
        biller.start()
        config = folder / "radcharge.toml"
        config.write_text(TOML.format(mappings=MAPPINGS, port=queue.get(timeout=20), links=links))
        loaded = load(config)
        site = site_of(loaded)
        ledger = Ledger(Path(loaded.store.path))
        engine_of(loaded, site, ledger).decisions.activate(site.digest, "all", "bench", "bench")
        ledger.close()
        server = subprocess.Popen(
            [sys.executable, "-m", "fhir_radcharge", "serve", "--config", str(config)], stdout=subprocess.PIPE
        )
        try:
            port = int(
                next(w for w in server.stdout.readline().decode().split() if w.startswith("rv=")).rpartition(":")[2]
            )
            calendar = days(SESSIONS)
            streams = [
                [
                    payload(patient, session, calendar[session])
                    for patient in range(lane, courses, CONNECTIONS)
                    for session in range(SESSIONS)
                ]
                for lane in range(CONNECTIONS)
            ]

            async def send():
                await asyncio.gather(*(speak(port, stream) for stream in streams if stream))

            idle, begun = cpu_s(server.pid), time.monotonic()
            asyncio.run(send())
            heard = time.monotonic()
            ended, booked, repeats = queue.get(timeout=600)
            memory = memory_mib(server.pid)
            user, system = (now - then for now, then in zip(cpu_s(server.pid), idle, strict=True))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
            biller.join(10)
        count = courses * SESSIONS
        return {
            "messages": count,
            "in_per_s": round(count / (heard - begun)),
            "whole_per_s": round(count / (ended - begun)),
            "server_cpu_us": round((user + system) / count * 1e6),
            "of_it_system_us": round(system / count * 1e6),
            "booked": booked,
            "repeats": repeats,
            "memory_mib": memory,
        }


def main():
    courses = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    found = [round_of(courses, 64) for _ in range(rounds)]
    for one in found:
        print(json.dumps(one))
    for what, unit in (("whole_per_s", "messages/s"), ("server_cpu_us", "us of the server's processor a message")):
        print("median:", statistics.median(one[what] for one in found), unit)


if __name__ == "__main__":
    main()
