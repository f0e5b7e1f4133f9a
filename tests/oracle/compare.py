"""Compare the engine's counting with the oracle over many random courses: `python tests/oracle/compare.py 100000`."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fhir_radcharge.tables.rulebook import load_rulebook  # noqa: E402
from oracle.comparing import differences, engine_lines  # noqa: E402


def main(courses: int, first: int = 0) -> int:
    """Print what differs, at most twenty courses, and return 1 if anything does."""
    lines = engine_lines(load_rulebook(ROOT / "mappings"))
    begin = perf_counter()
    told = [one for one in (differences(seed, lines) for seed in range(first, first + courses)) if one]
    for one in told[:20]:
        print(one)
    print(f"{courses} courses, {len(told)} differ, {perf_counter() - begin:.1f} s")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:] or ["100000"])))
