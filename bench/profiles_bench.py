"""What it costs to read a charge message by its sender's profile, and to write one for its destination.

    python -m bench.profiles_bench

The least of many short rounds is shown: on a shared machine the rest is other people's work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from timeit import repeat

from fhir_radcharge.model import Charge, Posting
from fhir_radcharge.site import load_site
from fhir_radcharge.wire.dft import read_dft
from fhir_radcharge.wire.er7 import read_message
from fhir_radcharge.wire.outbound import message_for

ROOT = Path(__file__).resolve().parent.parent
CALLS = 150
ROUNDS = 150
MESSAGES = (
    ("mosaiq_like", "session", 45),
    ("mosaiq_like", "session_revised", 20),
    ("aria_like", "session", 45),
    ("aria_like", "session_revised", 20),
    ("plain", "session", 45),
)
LINE = Charge(
    "global", "C1", "77407", ("26",), date(2026, 3, 12), None, 1, "11", "1999999984", False, None, "delivery", "s",
    "884512^1", ("884512^1",), (),
)  # fmt: skip
POSTED = Posting("ABCDEFGHIJKL", "CHARGE", "global_biller", LINE, 1, None, 1, date(2026, 3, 13))


def microseconds(work: Callable[[], object]) -> float:
    """Return what one call costs at best."""
    return min(repeat(work, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def main() -> None:
    """Print what reading and writing cost, beside what they should."""
    site = load_site(ROOT / "mappings")
    for dialect, name, target in MESSAGES:
        raw = (ROOT / "fixtures" / "messages" / dialect / f"{name}.hl7").read_bytes()
        sender = site.senders[dialect]
        lines = raw.count(b"\nFT1|")
        cost = microseconds(lambda: read_dft(read_message(raw), sender, site, 1))  # noqa: B023 -- called at once
        print(f"read  {dialect:12} {name:16} {len(raw):5} bytes {lines} FT1  {cost:6.1f} us (target {target})")
    heard = read_message((ROOT / "fixtures" / "messages" / "mosaiq_like" / "session_revised.hl7").read_bytes())
    for destination in site.destinations.values():
        cost = microseconds(lambda: message_for((POSTED,), destination, heard, "C", "20260313", site))  # noqa: B023
        print(f"write {destination.name:29} HL7 {destination.version:5}        {cost:6.1f} us (target 25)")


if __name__ == "__main__":
    main()
