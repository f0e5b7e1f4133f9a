"""Replay: an archive of simulated courses through `replay`'s rooms in one process."""

import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

from fhir_radcharge import archive
from fhir_radcharge.recoding import Hearing
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.site import load_site
from fhir_radcharge.wire.mllp import frame

MAPPINGS = Path(__file__).resolve().parent.parent / "mappings"


def measured(courses=500, rounds=3):
    """Return (messages, messages a second, units due): the median of the rounds."""
    site = load_site(MAPPINGS)
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        path = Path(folder) / "archive.mllp"
        with path.open("wb") as file:
            for said in messages(run_of("clinic", 3, date(2025, 9, 1), courses=courses), "plain"):
                file.write(frame(said.raw))
        rates = []
        for number in range(rounds):
            parts = Path(folder) / str(number)
            parts.mkdir()
            begun = time.perf_counter()
            hearing = Hearing(site, parts)
            for name, entry in archive.messages([path], lambda _: None):
                hearing.hear(name, entry.number, entry.raw)
            units = sum(c.units for patient in hearing.patients(date(2026, 12, 31), None) for c in patient.due.charges)
            rates.append(hearing.counts["messages"] / (time.perf_counter() - begun))
    return hearing.counts["messages"], statistics.median(rates), units
