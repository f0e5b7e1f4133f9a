"""Reckoning: a course of 40 fractions with images, approvals, ports, services, examinations and checks, recomputed whole."""

import statistics
import time
from datetime import date, timedelta
from pathlib import Path

from fhir_radcharge.model import Place, Reported, TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.tables.rulebook import load_rulebook

MAPPINGS = Path(__file__).resolve().parent.parent / "mappings"
PLACE = Place("hospital", "on", "single")


def _event(kind, name, day, minute, facts, reported=None):
    return TreatmentEvent("bench", name, kind, day, minute, "C1", facts, PLACE, "outpatient", "medicare", reported)


def course(fractions, rich=True):
    """The events of a course; a rich one has about five a fraction."""
    found, day, number = [], date(2025, 9, 1), 0
    while number < fractions:
        day += timedelta(days=1)
        if day.weekday() > 4:
            continue
        number += 1
        found.append(_event("fraction", f"F{number}", day, 540, {
            "technique": "imrt", "isocenters": 1, "fraction_number": number, "site": "lung", "plan": "P1"}, Reported("77386")))
        if not rich:
            continue
        found.append(_event("guidance", f"G{number}", day, 535, {"modality": "ct"}))
        found.append(_event("approval", f"A{number}", day, 1000, {"of": f"G{number}", "approver": "physician"}))
        found.append(_event("port_image", f"P{number}", day, 530, {"gantry_angles": [0, 90]}))
        found.append(_event("service", f"S{number}", day, 530, {"plan": "P1"}, Reported("77300", (), 1)))
        if number % 5 == 3:
            found.append(_event("exam", f"E{number}", day, 600, {"by": "physician"}))
            found.append(_event("physics_check", f"K{number}", day, 600, {}))
    return found


def measured():
    """Return rows (what, events, microseconds): medians of rounds."""
    rulebook = load_rulebook(MAPPINGS)
    rows = []
    for what, events in (("15 fractions", course(15, False)), ("30 fractions", course(30, False)), ("40 fractions, rich", course(40))):
        charges_due(events, rulebook)
        rounds = []
        for _ in range(7):
            begun = time.perf_counter()
            for _ in range(30):
                charges_due(events, rulebook)
            rounds.append((time.perf_counter() - begun) / 30 * 1e6)
        rows.append((what, len(events), statistics.median(rounds)))
    return rows
