"""`make bench`: every figure of the product, as tables; ratios side by side in one run, medians of several rounds.

python -m bench [part ...]: reading reckoning replay receive whole diff official fhir fhir-whole fhir-yardsticks growth; without a
part, all but growth (a million messages, about half an hour).
"""

import subprocess
import sys

from rich.console import Console
from rich.table import Table

from bench import reading, reckoning, replaying

CONSOLE = Console(width=110, highlight=False)
PROGRAMS = {
    "receive": ["bench.mllp_bench", "--connections", "1", "8", "64", "--rounds", "3"],
    "whole": ["bench.whole_way", "1000", "3"],
    "diff": ["bench.diff_bench", "100000"],
    "official": ["bench.official_bench"],
    "fhir": ["bench.fhir_bench"],
    "fhir-whole": ["bench.fhir_bench", "--engine"],
    "fhir-yardsticks": ["bench.fhir_yardsticks"],
    "growth": ["bench.engine_bench", "1000000"],
}


def _table(title, columns, rows):
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*map(str, row))
    CONSOLE.print(table)


def show_reading():
    size, us = reading.measured()
    ours = us["ours"]
    _table(f"Reading a DFT of {size} bytes with three FT1", ["reader", "us a message", "times ours", "goal"], [
        ("ours, into treatment events", f"{ours:.1f}", "1", ""),
        ("python-hl7, bare parse", f"{us['python-hl7']:.0f}", f"{us['python-hl7'] / ours:.1f}", "above 1"),
        ("hl7apy, bare parse", f"{us['hl7apy']:.0f}", f"{us['hl7apy'] / ours:.0f}", "at least 20"),
    ])


def show_reckoning():
    _table("Recomputing a course whole", ["course", "events", "us", "goal"], [
        (what, events, f"{us:.0f}", "below 2000" if "rich" in what else "") for what, events, us in reckoning.measured()])


def show_replay():
    count, rate, units = replaying.measured()
    _table("Replaying an archive, one process", ["archive", "messages a second", "units due", "goal"], [
        (f"{count:,} messages", f"{rate:,.0f}", f"{units:,}", "at least 20,000")])


def main():
    own = {"reading": show_reading, "reckoning": show_reckoning, "replay": show_replay}
    asked = sys.argv[1:] or [*own, *(name for name in PROGRAMS if name != "growth")]
    for name in asked:
        CONSOLE.rule(name)
        if name in own:
            own[name]()
        else:
            subprocess.run([sys.executable, "-m", *PROGRAMS[name]], check=False)


if __name__ == "__main__":
    main()
