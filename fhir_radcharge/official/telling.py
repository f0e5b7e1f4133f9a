"""The outcome of an import in plain lines, for a terminal or a page."""

from __future__ import annotations

from fhir_radcharge.plural import number_of

from .changes import Change, Changes
from .loading import Summary


def told(summary: Summary) -> tuple[str, ...]:
    """Return what an import did, one fact a line: what is there now, what was left out, what changed."""
    edition = summary.edition
    times = f"for services from {edition.as_of}, known from {edition.known_from}"
    if summary.repeated:
        return (f"{edition.name}: {', '.join(summary.files)} is already there; nothing was changed",)
    lines = [f"{edition.name} ({edition.kind}): {number_of(summary.rows, 'row')}, {times}"]
    if summary.tombstones:
        lines.append(f"left out: {number_of(summary.tombstones, 'row')} with indicator 9, of an edit that never held")
    if summary.bad_rows:
        lines.append(f"{number_of(summary.bad_rows, 'bad row')} tolerated and left out")
        lines += [f"  {place}" for place in summary.bad]
    if summary.aside:
        lines.append(f"not read: {', '.join(summary.aside)}")
    if summary.missing:
        parts = ", ".join(str(part) for part in summary.missing)
        lines.append(f"NOT IN FORCE: part {parts} of {edition.parts} missing; import the rest")
    elif summary.changes is None:
        lines.append("first edition of its kind: nothing to compare with")
    else:
        lines += _changes(summary.changes)
    return tuple(lines)


def _changes(changes: Changes) -> list[str]:
    lines = [
        f"since {changes.since}: {changes.added:,} added, {changes.ended:,} ended,"
        f" {changes.indicator:,} with another indicator, {changes.value:,} with another value"
    ]
    if changes.reaches_back:
        lines.append(f"{changes.reaches_back:,} of them change the answer for days already past: judge these again")
    return lines + [f"  {_change(change)}" for change in changes.sample]


def _change(change: Change) -> str:
    codes = f"{change.code} {change.other}".strip()
    return f"{change.what} {codes}: {change.was} -> {change.now}"
