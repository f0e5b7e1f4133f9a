"""Turns the beam records of a course into treatment sessions, each counted or held.

A session is patient in to patient out. Records of one course on one day are told apart by the first that fits:
the same start, plan and fraction number under another id is a probable duplicate; a record soon after the first
part of a session is a part of it; an ordered distinct session after the least gap is a session of its own; and
all else is held, because nothing shows the break. (CMS-MANUAL13, CMS-PM-A03, AAPC-BID)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple

from fhir_radcharge.model import TreatmentEvent

When = tuple[date, int]
END_OF_DAY = 24 * 60


class Session(NamedTuple):
    """One treatment session: its parts in the order of their start; a held one counts for nothing.

    `id` is the event id of the first part, `when` the start as something that sorts.
    """

    course: str
    id: str
    when: When
    day: date
    minute: int | None
    parts: tuple[TreatmentEvent, ...]
    hold: str | None = None


def _session(course: str, parts: Sequence[TreatmentEvent], hold: str | None = None) -> Session:
    first = parts[0]
    return Session(course, first.id, (first.day, first.minute or 0), first.day, first.minute, tuple(parts), hold)


def is_treatment(event: TreatmentEvent) -> bool:
    """Return whether a fraction treated the patient: not quality assurance, and the beam was on."""
    return (
        event.facts.get("purpose", "treatment") == "treatment" and event.facts.get("beam", True) is not False
    )


def sessions(course: str, fractions: Iterable[TreatmentEvent], knobs: Mapping[str, Any]) -> list[Session]:
    """Return the sessions of a course in the order of their start, held ones among them."""
    beams = sorted((f for f in fractions if is_treatment(f)), key=_order)
    found: list[Session] = []
    for _, records in groupby(beams, key=lambda f: f.day):
        found.extend(_of_day(course, list(records), knobs))
    return found


def _order(event: TreatmentEvent) -> tuple[Any, ...]:
    return event.day, event.minute or 0, event.facts.get("fraction_number") or 0, event.id


def _of_day(course: str, records: list[TreatmentEvent], knobs: Mapping[str, Any]) -> list[Session]:
    if len(records) == 1:
        return [_session(course, records)]
    kept, doubles = _without_doubles(records)
    clusters = _clusters(kept, knobs["same_session_max_gap_minutes"])
    ordered = 1 + sum(1 for cluster in clusters[1:] if cluster[0].facts.get("distinct_session"))
    gap = 60 * knobs["tid_min_gap_hours" if ordered >= 3 else "bid_min_gap_hours"]
    found: list[Session] = []
    before: TreatmentEvent | None = None
    for cluster in clusters:
        first = cluster[0]
        apart = before is None or (
            bool(first.facts.get("distinct_session")) and (first.minute or 0) - (before.minute or 0) >= gap
        )
        if apart:
            before = first
        hold = None if apart else "same_day_gap"
        found.append(_session(course, cluster, hold))
    found.extend(_session(course, [d], "probable_duplicate") for d in doubles)
    return found


def _without_doubles(records: Sequence[TreatmentEvent]) -> tuple[list[TreatmentEvent], list[TreatmentEvent]]:
    """Return the records of a day, and apart those that repeat start, plan and fraction number of another id."""
    seen: dict[tuple[Any, ...], TreatmentEvent] = {}
    doubles: list[TreatmentEvent] = []
    kept: list[TreatmentEvent] = []
    for record in sorted(records, key=lambda r: r.id):
        number = record.facts.get("fraction_number")
        if number is not None:
            key = (record.minute, record.facts.get("plan"), number, record.facts.get("site"))
            if key in seen:
                doubles.append(record)
                continue
            seen[key] = record
        kept.append(record)
    return sorted(kept, key=_order), doubles


def _clusters(records: Sequence[TreatmentEvent], max_gap: int) -> list[list[TreatmentEvent]]:
    """Return records that start together, each group one visit at most."""
    clusters: list[list[TreatmentEvent]] = []
    for record in records:
        cluster = clusters[-1] if clusters else None
        if (
            cluster
            and (record.minute or 0) - (cluster[0].minute or 0) < max_gap
            and not _numbers_differ(cluster, record)
        ):
            cluster.append(record)
        else:
            clusters.append([record])
    return clusters


def _numbers_differ(cluster: Sequence[TreatmentEvent], record: TreatmentEvent) -> bool:
    """Return whether a record without a time carries another fraction number of a plan of the group: a date
    alone cannot show the break between two sessions."""
    if record.minute is not None:
        return False
    number, plan, site = (record.facts.get(name) for name in ("fraction_number", "plan", "site"))
    return any(
        other.minute is None
        and number is not None
        and other.facts.get("fraction_number") not in (None, number)
        and other.facts.get("plan") == plan
        and other.facts.get("site") == site
        for other in cluster
    )
