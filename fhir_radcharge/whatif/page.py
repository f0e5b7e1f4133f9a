"""Turns a comparison of tables into one HTML page for a committee: counts, codes and rows, and no patient."""

from __future__ import annotations

from typing import NamedTuple

from fhir_radcharge import report_page
from fhir_radcharge.whatif.answers import EFFECTS, Cause, Group, Tally
from fhir_radcharge.whatif.books import Totals

CODES_MAX = 20
GROUPS_MAX = 200


class Title(NamedTuple):
    """What was compared: the two digests, what was read, and within which dates of service."""

    base: str
    draft: str
    source: str
    dates: str
    warnings: tuple[str, ...] = ()


def page(title: Title, tally: Tally, totals: Totals) -> str:
    """Return the page."""
    lead = f"{title.base} against {title.draft}; {title.source}; {title.dates}. Nothing was sent."
    parts = [report_page.note(f"Note: {warning}.") for warning in title.warnings]
    parts.append(report_page.facts([
        (tally.events, "events"), (tally.patients, "patients"), (tally.unchanged, "lines unchanged"),
        *((tally.effects[effect], effect) for effect in EFFECTS),
        *([(tally.failed.total(), "patients not reckoned")] if tally.failed else []),
    ]))  # fmt: skip
    parts += _codes(tally)
    parts.append(report_page.heading("By cause", "Lines that the same two rows decided, changed in the same way."))
    parts.append(_groups(tally))
    parts.append(report_page.heading("By row"))
    parts.append(report_page.table("Lines that differ, by the row that decided", ["row", *EFFECTS], row_rows(tally),
                                   EFFECTS))  # fmt: skip
    if totals.counts:
        parts.append(report_page.heading(
            "What an activation for the past too would send",
            "A credit takes back a charge that has been said; what became of that charge stands beside it."))
        parts.append(report_page.table("Corrections", ["destination", "kind", "the charge was", "postings", "units"],
                                       total_rows(totals), ["postings", "units"]))  # fmt: skip
        if totals.pending:
            parts.append(report_page.note(f"{totals.pending:,} of these are due under the tables of today too."))
    if totals.unsendable:
        parts.append(report_page.table("Corrections that could not be put into a message",
                                       ["destination", "reason", "corrections"], unsendable_rows(totals),
                                       ["corrections"]))  # fmt: skip
    if tally.flags or tally.failed:
        counts = ["raised", "gone"]
        parts.append(report_page.table("Work items", ["reason", *counts], flag_rows(tally), counts))
        parts.append(report_page.table("Not reckoned", ["side", "why", "patients"], failed_rows(tally), ["patients"]))
    parts += [report_page.heading("All codes"), _all_codes(tally)]
    return report_page.page("What other tables would change", lead, parts)


def _codes(tally: Tally) -> list[str]:
    rows = code_rows(tally)
    differing = [(f"{bill} {code}", before, after) for bill, code, before, after, change in rows if change]
    if not differing:
        return []
    parts = [report_page.heading("By code")]
    shown = sorted(differing, key=lambda row: -abs(row[2] - row[1]))[:CODES_MAX]
    parts.append(report_page.pairs_plot(
        "Units due by code, where they differ", shown, ("before", "after"), "codes"))  # fmt: skip
    if len(differing) > len(shown):
        parts.append(report_page.note(f"The plot shows the {len(shown)} largest differences; the table shows all."))
    return parts


def _all_codes(tally: Tally) -> str:
    numbers = ["before", "after", "change"]
    rows = [(*row[:4], f"{row[4]:+,}" if row[4] else "") for row in code_rows(tally)]
    return report_page.table("Units due by code", ["bill", "code", *numbers], rows, numbers, "codes")


def _groups(tally: Tally) -> str:
    folded = tally.folded()
    rows = [
        (letter(n), cause.effect, told(cause), group.lines, group.courses, codes_told(group),
         " ".join(dict.fromkeys(patient for patient, _ in group.samples)))
        for n, (cause, group) in enumerate(folded[:GROUPS_MAX])
    ]  # fmt: skip
    caption = "Groups" if len(folded) <= GROUPS_MAX else f"The {GROUPS_MAX} largest of {len(folded):,} groups"
    return report_page.table(caption, ["", "effect", "cause", "lines", "courses", "codes", "for example"], rows,
                             ["lines", "courses"])  # fmt: skip


def letter(number: int) -> str:
    """Return the name of a group: A to Z, then AA, AB, ..."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(65 + rest) + name
    return name


def told(cause: Cause) -> str:
    """Return a cause as one reads it."""
    if cause.decided_before == cause.decided_after:
        said = f"{cause.decided_after}, the same row"
    else:
        said = f"{cause.decided_before} → {cause.decided_after}"
    what = f" ({', '.join(cause.columns)})" if cause.columns else ""
    return f"{said}{what}{f'; {cause.reason}' if cause.reason else ''}"


def codes_told(group: Group, most: int = 4) -> str:
    """Return which codes became which, the most frequent first."""
    rows = sorted(group.codes.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{bill} {_pair(before, after)} ×{count:,}" for (bill, before, after), count in rows[:most]]
    return "; ".join(said) + (f"; {len(rows) - most} more" if len(rows) > most else "")


def _pair(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def code_rows(tally: Tally) -> list[tuple[str, str, int, int, int]]:
    """Return for each bill and code the units before and after."""
    return [(bill, code, n[0], n[1], n[1] - n[0]) for (bill, code), n in sorted(tally.by_code.items())]


def row_rows(tally: Tally) -> list[tuple[object, ...]]:
    """Return for each deciding row how many lines it added, dropped, changed, held and released."""
    rows = sorted(tally.by_row.items(), key=lambda item: (-item[1].total(), item[0]))
    return [(row, *(counts[effect] for effect in EFFECTS)) for row, counts in rows]


def total_rows(totals: Totals) -> list[tuple[str, str, str, int, int]]:
    """Return the corrections by destination, kind and what became of the charge."""
    return [(*key, count, totals.units[key]) for key, count in sorted(totals.counts.items())]


def unsendable_rows(totals: Totals) -> list[tuple[str, str, int]]:
    """Return how many corrections each destination could not be told, and why."""
    return [(*key, count) for key, count in sorted(totals.unsendable.items())]


def flag_rows(tally: Tally) -> list[tuple[str, int, int]]:
    """Return how many work items of each reason are raised and go."""
    return [(reason, tally.flags[reason, "raised"], tally.flags[reason, "gone"])
            for reason in sorted({reason for reason, _ in tally.flags})]  # fmt: skip


def failed_rows(tally: Tally) -> list[tuple[str, str, int]]:
    """Return what could not be reckoned, before and after."""
    return [(side, why, count) for (side, why), count in sorted(tally.failed.items())]
