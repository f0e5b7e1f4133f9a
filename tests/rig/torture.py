"""Long runs of the simulated world: `python tests/rig/torture.py SEEDS`, or one again by `--seed` and `--kind`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rig.engines import shipped_site  # noqa: E402
from rig.faults import KINDS  # noqa: E402
from rig.running import run_story  # noqa: E402


def main() -> int:
    """Run every kind of fault over the seeds asked for; return 1 if a promise was broken."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("seeds", nargs="?", type=int, default=1_000, help="how many seeds, each in every kind")
    asked.add_argument("--first", type=int, default=0, help="the first seed")
    asked.add_argument("--seed", type=int, help="this seed alone")
    asked.add_argument("--kind", choices=sorted(KINDS), help="this kind of fault alone")
    asked.add_argument("--courses", type=int, default=3, help="at most so many courses in a run")
    args = asked.parse_args()
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    site, begin, steps, runs, broken = shipped_site(), perf_counter(), 0, 0, 0
    for seed in seeds:
        for kind in [args.kind] if args.kind else sorted(KINDS):
            ended = run_story(seed, kind, site, args.courses)
            runs, steps = runs + 1, steps + ended.steps
            if ended.broken:
                broken += 1
                print(f"seed {seed} {kind}: {ended.broken}", flush=True)
    print(f"{runs} runs, {steps} steps, {broken} broken, {perf_counter() - begin:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
