"""Measure the import of millions of invented pair edits, and look-ups in them.

    python bench/official_bench.py [--rows 4000000]

Four files in the published form are made from a seed, imported in a process of their own (for its peak of
memory), and then a second edition with a few changes. All codes are invented.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from fhir_radcharge.official.loading import import_file
from fhir_radcharge.official.lookup import ImportedTables
from fhir_radcharge.official.store import OfficialStore

HEADING = (
    "Invented rows for a measurement.\t\t\t\t\t\t\r\nColumn1/Column2 Edits\t\t\t\t\t\t\r\n"
    "Column 1\tColumn 2\t*=in existence\tEffective\tDeletion\tModifier\tPTP Edit Rationale\r\n"
    "\t\tprior to 1996\tDate\tDate\t0=not allowed\t\r\n\t\t\t\t*=no data\t1=allowed\t\r\n"
    "\t\t\t\t\t9=not applicable\t\r\n"
)
PAIRS_OF_A_CODE = 200


def written(folder: Path, version: str, rows: int, seed: int) -> list[tuple[str, str]]:
    """Write four parts of about `rows` edits together and return every thousandth pair."""
    chance = random.Random(seed)
    codes = [f"{number:05d}" for number in range(10_000, 30_000)]
    firsts = chance.sample(codes, rows // PAIRS_OF_A_CODE)
    firsts.sort()
    size = -(-len(firsts) // 4)
    sample = []
    for part in range(4):
        path = folder / f"ccipra-{version}-f{part + 1}.txt"
        with path.open("w", newline="") as out:
            out.write(HEADING)
            for first in firsts[part * size:(part + 1) * size]:
                for second in sorted(chance.sample(codes, PAIRS_OF_A_CODE)):
                    if second == first:
                        continue
                    year = chance.randrange(1996, 2026)
                    dice = chance.random()
                    end = "*" if dice < 0.55 else f"{year + 1}1231" if dice < 0.95 else f"{year}0101"
                    mark = "9" if dice >= 0.95 else chance.choice("01")
                    out.write(f"{first}\t{second}\t\t{year}0101\t{end}\t{mark}\tInvented reason\r\n")
                    if chance.random() < 0.001:
                        sample.append((first, second))
    return sample


def imported(folder: Path, version: str, known_from: date) -> dict[str, object]:
    """Import the four parts and return what it took."""
    store = OfficialStore(folder / "official.db")
    begun = time.perf_counter()
    for part in range(1, 5):
        summary = import_file(folder / f"ccipra-{version}-f{part}.txt", store, known_from=known_from)
    seconds = time.perf_counter() - begun
    changes = summary.changes
    took = {
        "seconds": round(seconds, 1),
        "rows": summary.edition.rows,
        "tombstones": sum(part.tombstones for part in store.parts(summary.edition.id)),
        "peak_mib": peak_mib(),
        "changes": changes and {key: value for key, value in changes._asdict().items() if key != "sample"},
    }
    store.close()
    return took


def peak_mib() -> int:
    """Return the peak of resident memory of this program alone (getrusage counts its parent's before exec)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def looked_up(path: Path, sample: list[tuple[str, str]]) -> dict[str, float]:
    """Return microseconds a look-up: found and missed, never seen before and seen before."""
    tables = ImportedTables(path)
    day = date(2026, 11, 2)
    chance = random.Random(7)
    pairs = chance.sample(sample, min(3_000, len(sample)))
    strangers = [(f"A{number:04d}", f"B{number:04d}") for number in range(3_000)]
    tables.pair("00000", "00001", "practitioner", day)
    return {
        name: _microseconds(tables, of, day)
        for name, of in (("first_found", pairs), ("first_missed", strangers), ("again_found", pairs),
                         ("again_missed", strangers))
    }


def _microseconds(tables: ImportedTables, pairs: list[tuple[str, str]], day: date) -> float:
    begun = time.perf_counter()
    for first, second in pairs:
        tables.pair(second, first, "practitioner", day)
    return round((time.perf_counter() - begun) / len(pairs) * 1e6, 2)


def main() -> None:
    """Write, import and look up, and print one line of figures each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--import-from", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--version", default="v322r0", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.import_from:
        known = {"v322r0": date(2026, 6, 15), "v323r0": date(2026, 9, 15)}[arguments.version]
        print(json.dumps(imported(arguments.import_from, arguments.version, known)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = written(folder, "v322r0", arguments.rows, seed=1)
        for path in sorted(folder.glob("*v322r0*")):
            text = path.read_text()
            # A later edition: the first open edit of every part ends, a few hundred others change.
            changed = text.replace("\t20230101\t*\t1\t", "\t20230101\t20260930\t1\t", 200)
            (folder / path.name.replace("v322", "v323")).write_text(changed, newline="")
        for version in ("v322r0", "v323r0"):
            command = [sys.executable, __file__, "--import-from", str(folder), "--version", version]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(version, done.stdout.strip())
        size = (folder / "official.db").stat().st_size // (1 << 20)
        print("file of two editions, MiB:", size)
        print("look-up, microseconds:", looked_up(folder / "official.db", sample))


if __name__ == "__main__":
    main()
