"""Turns a reconciliation into one HTML page to be read and printed: coverage, lag, holds, and what to look at."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import NamedTuple

from fhir_radcharge import report_page
from fhir_radcharge.plural import number_of
from fhir_radcharge.reconciliation.account import STATES
from fhir_radcharge.reconciliation.report import Reconciliation
from fhir_radcharge.reconciliation.waits import age_bars, figures, lag_bars
from fhir_radcharge.report_page import Series

DAYS = 60
FINDINGS_MAX = 500
# What a day's bar is made of: four words instead of nine, the good one at the bottom.
PARTS = {
    "final": ("final", "nothing due", "shadow"),
    "held": ("held",),
    "on its way": ("queued", "unanswered"),
    "to look at": ("missing", "duplicate", "refused"),
}


def page(found: Reconciliation, site_name: str, zone: str) -> str:
    """Return the page; patients are the books' own numbers."""
    dates = str(found.first) if found.first == found.last else f"{found.first} to {found.last}"
    made = f"made {found.now:%Y-%m-%d %H:%M} UTC"
    lead = f"{site_name}; dates of treatment {dates} ({zone}); {made}. {sentence(found)}."
    counts = found.counts
    figured = [*_coverage(found), *_lag(found), *_holds(found)]
    parts = [
        report_page.facts([(counts.total(), "fractions"), *((counts[s], s) for s in STATES if counts[s])]),
        _bills(found),
        *(one.shown for one in figured),
        report_page.heading("To look at"),
        _findings(found),
        *_beside(found),
        report_page.heading("The figures behind the plots"),
        *(one.behind for one in figured if one.behind),
    ]
    return report_page.page("Fractions against charges", lead, parts)


class _Figured(NamedTuple):
    """A part of the page, and the table of its figures, which stands at the end."""

    shown: str
    behind: str = ""


def sentence(found: Reconciliation) -> str:
    """Return the result in one line."""
    counts = found.counts
    done = sum(counts[state] for state in PARTS["final"])
    told = [f"{counts[state]} {state}" for state in ("held", "missing", "duplicate", "refused", "unanswered", "queued")]
    return f"coverage {done}/{number_of(counts.total(), 'fraction')} final; " + ", ".join(told)


def _bills(found: Reconciliation) -> str:
    states = [state for state in STATES if any(counts[state] for counts in found.bills.values())]
    rows = [(bill, *(counts[state] for state in states), counts.total())
            for bill, counts in sorted(found.bills.items())]  # fmt: skip
    return report_page.table("Fractions by bill", ["bill", *states, "all"], rows, [*states, "all"])


def _findings(found: Reconciliation) -> str:
    rows = sorted(found.findings, key=lambda e: (STATES.index(e.state), e.day, e.patient, e.event, e.bill))
    more = len(rows) - FINDINGS_MAX
    columns = ["what", "date", "patient", "bill", "codes", "reason", "owner", "age, days"]
    told = report_page.table(
        "Fractions that are not final", columns,
        [(e.state, e.day, str(e.patient), e.bill, e.codes, e.reason.replace("_", " "), e.owner, e.age_days)
         for e in rows[:FINDINGS_MAX]], ["age, days"])  # fmt: skip
    return told + (report_page.note(f"{more:,} more stand in the CSV.") if more > 0 else "")


def _coverage(found: Reconciliation) -> list[_Figured]:
    if not found.days:
        return []
    start = max(min(found.days), found.last - timedelta(days=DAYS - 1))
    days = [date.fromordinal(n) for n in range(start.toordinal(), found.last.toordinal() + 1)]
    counts = {day: found.days.get(day, Counter[str]()) for day in days}
    values = {word: tuple(sum(counts[day][state] for state in states) for day in days)
              for word, states in PARTS.items()}  # fmt: skip
    rows = [(str(day), *(values[word][n] for word in PARTS)) for n, day in enumerate(days) if any(
        values[word][n] for word in PARTS)]  # fmt: skip
    plot = report_page.columns_plot(f"Fractions by day, to {found.last}", [f"{day:%m-%d}" for day in days],
                                    [Series(word, values[word]) for word in PARTS], "coverage")  # fmt: skip
    table = report_page.table("Fractions by day", ["day", *PARTS], rows, list(PARTS), "coverage")
    return [_Figured(report_page.heading("Coverage by day")), _Figured(plot, table)]


def _lag(found: Reconciliation) -> list[_Figured]:
    said = figures(found.lags)
    parts = [_Figured(report_page.heading("From heard to accepted", f"{lag_sentence(found)}."))]
    if said.accepted:
        bars = lag_bars(found.lags)
        plot = report_page.columns_plot("Accepted charges by lag, up to", [word for word, _ in bars],
                                        [Series("charges", tuple(n for _, n in bars))], "lags")  # fmt: skip
        table = report_page.table("Accepted charges by lag", ["lag up to", "charges"], bars, ["charges"], "lags")
        parts.append(_Figured(plot, table))
    return parts


def lag_sentence(found: Reconciliation) -> str:
    """Return the lag in one line."""
    said = figures(found.lags)
    if not said.accepted:
        return "no charge of these dates has been accepted"
    return (f"{number_of(said.accepted, 'charge')} accepted: median {duration(said.median)}, "
            f"95 % within {duration(said.p95)}, longest {duration(said.most)}")  # fmt: skip


def unread_sentence(found: Reconciliation) -> str:
    """Return how many messages were stored and not yet worked through."""
    one, more = "stored message is not yet worked through", "stored messages are not yet worked through"
    return number_of(found.unread, one, more)


def duration(seconds: float) -> str:
    """Return a duration in the unit in which one says it."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _holds(found: Reconciliation) -> list[_Figured]:
    held = [e for e in found.findings if e.state == "held" and e.age_days is not None]
    parts = [_Figured(report_page.heading("How long holds wait"))]
    if not held:
        return [*parts, _Figured(report_page.note("Nothing is held."))]
    bars = age_bars([e.age_days for e in held if e.age_days is not None])
    reasons = sorted({(e.reason, e.owner) for e in held})
    rows = []
    for reason, owner in reasons:
        ages = [e.age_days for e in held if e.reason == reason and e.age_days is not None]
        rows.append((reason.replace("_", " "), owner, len(ages), max(ages)))
    plot = report_page.columns_plot("Held by age", [word for word, _ in bars],
                                    [Series("held", tuple(n for _, n in bars))], "ages")  # fmt: skip
    numbers = ["held", "oldest, days"]
    reasons_told = report_page.table("Held by reason", ["reason", "owner", *numbers], rows, numbers)
    table = report_page.table("Held by age", ["age", "held"], bars, ["held"], "ages")
    return [*parts, _Figured(plot, table), _Figured(reasons_told)]


def _beside(found: Reconciliation) -> list[str]:
    parts = [report_page.heading("Beside the fractions")]
    if found.unread:
        parts.append(report_page.note(f"{unread_sentence(found)}."))
    if found.silent_days:
        parts.append(report_page.note(f"No fraction on {', '.join(map(str, found.silent_days))}, a business day."))
    parts.append(report_page.table(
        "Credits that wait", ["destination", "posting", "code", "date", "state", "age, days"],
        [(*credit[:3], credit.day, credit.state, credit.age_days) for credit in found.credits], ["age, days"]))
    parts.append(report_page.table("Messages put aside", ["message", "heard", "what", "reason", "place"],
                                   [(str(p.message), *p[1:]) for p in found.parked]))
    parts.append(report_page.table(
        "Fraction numbers that nobody has told of", ["patient", "numbers", "before"],
        [(str(gap.patient), ", ".join(map(str, gap.missing)), gap.before) for gap in found.gaps]))
    if found.failed:
        parts.append(report_page.table("Not reckoned", ["patient", "why"], [(str(n), why) for n, why in found.failed]))
    return parts  # fmt: skip
