"""Reading: a 1 KB DFT with three FT1 into treatment events, against the bare parse of hl7apy and of python-hl7.

The three are timed in turn on the same messages, several rounds; the medians and their ratios are printed.
"""

import statistics
import time
from datetime import date
from pathlib import Path

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from fhir_radcharge.site import load_site
from fhir_radcharge.wire.ack import header
from fhir_radcharge.wire.dft import read_dft
from fhir_radcharge.wire.er7 import read_message

MAPPINGS = Path(__file__).resolve().parent.parent / "mappings"
ROUNDS = 5


def sample(number):
    """A message of the dialect mosaiq_like with three FT1, each with its ZCH, about 1.1 KB."""
    lines = [
        f"MSH|^~\\&|MOSAIQ|LAKESIDE_RO|RADCHARGE|LAKESIDE|20260312153012||DFT^P03|MQ{number:08}|P|2.3|||AL|NE",
        "EVN|P03|20260312153012",
        f"PID|1||ZZ{number:07}^^^LAKESIDE^MR||TESTPATIENT^ALDER||19580214|F|||1 SAMPLE WAY^^EXAMPLETOWN^WI^53000|||||||V{number:07}",
        "PV1|1|O|RADONC^LINAC2^^LAKESIDE||||1999999984^CURIE^MARIA|||||||||||||V0000001",
    ]
    for n, (code, activity, tail) in enumerate(
        (
            ("77412", "RO-TX-3", "TECHNIQUE=3D|ISO=1|MOTION=ACTIVE|MOTDOC=Y"),
            ("77387", "RO-IGRT-P", "MODALITY=CT|APPROVED=20260312170000|APPROVER=MD"),
            ("77336", "RO-PHYS", "STATUS=COMPLETE"),
        ),
        1,
    ):
        lines.append(
            f"FT1|{n}|{number}^{n}||20260312|20260312|CG|{code}^X^C4|X||1||||||RADONC^LINAC2|||C50.412^^I10|1999999984^CURIE^MARIA|1999999984^CURIE^MARIA||FX-{number}||{code}^X^C4"
        )
        lines.append(f"ZCH|{n}|TECH|{activity}|FX17/25|SITE=L BREAST|COURSE=C1|PLAN=P1|START=20260312151404|{tail}")
    return "\r".join(lines).encode() + b"\r"


def _timed(work, items):
    begun = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - begun) / len(items) * 1e6


def measured():
    """Return microseconds a message: ours into events, python-hl7's and hl7apy's bare parse; medians of the rounds."""
    site = load_site(MAPPINGS)
    raws = [sample(n) for n in range(1, 2001)]
    texts = [raw.decode() for raw in raws]
    sender = site.sender_for(header(raws[0]))

    def ours(raw):
        return read_dft(read_message(raw, sender.charset), sender, site, 1)

    first = ours(raws[0])
    assert len(first.events) == 3, (first.problems, first.notices)
    assert first.events[0].day == date(2026, 3, 12)
    found = {"ours": [], "python-hl7": [], "hl7apy": []}
    for _ in range(ROUNDS):
        found["ours"].append(_timed(ours, raws))
        found["python-hl7"].append(_timed(hl7.parse, texts[:150]))
        found["hl7apy"].append(
            _timed(lambda t: parse_message(t, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False), texts[:8])
        )
    return len(raws[0]), {name: statistics.median(times) for name, times in found.items()}
