"""A process for the crash tests: it hears, works and sends without end, and tells what it said to the world."""

import sys
from pathlib import Path

from fhir_radcharge.engine import Outcome
from tests.engine_fakes import Desk, Destination, Site, dft, ft1

SITE = Site({"PB": Destination(("global",), "resend")})


def main() -> None:
    desk = Desk(Path(sys.argv[1]), SITE)
    number = int(sys.argv[2])
    while number < 100_000:
        batch = range(number, number + 1 + number % 4)
        codes = desk.codes(*(dft(f"{i}", f"P{i % 9}", ft1(f"E{i}", day=f"2026-03-{1 + i % 28:02}")) for i in batch))
        for i, code in zip(batch, codes, strict=True):
            print(code, i, flush=True)
        number += len(batch)
        desk.engine.work(50)
        sends = desk.engine.take("PB", range(4), 4)
        for send in sends:
            print("SAID", send.control_id, send.body.hex(), flush=True)
        desk.engine.settle([Outcome(send.seq, send.attempt, "accepted", "AA", b"") for send in sends])


if __name__ == "__main__":
    main()
