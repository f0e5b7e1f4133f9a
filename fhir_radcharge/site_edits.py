"""Turns the imported official tables and the site's charge master into what a patient's lines are edited by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from fhir_radcharge.model import Charge, Due, TreatmentEvent
from fhir_radcharge.official.lookup import ImportedTables
from fhir_radcharge.official.tables import BillKind, InMemoryTables, OfficialTables, PairEdit
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.site import Site

MAI_PER_LINE = 1


class SiteEdits:
    """The edits of one site: official tables where they were imported, and rows that its charge master lacks."""

    def __init__(self, official: OfficialTables | None, site: Site) -> None:
        self._official: OfficialTables = official if official is not None else InMemoryTables()
        self._site = site
        self._needing = [d for d in site.destinations.values() if d.needs_charge_code]

    @property
    def digest(self) -> str:
        """Name the content of the official tables in view."""
        return self._official.digest

    def unit_limit(self, code: str, bill_kind: BillKind, day: date) -> int | None:
        """Return the units a day may carry; a limit that is per line limits no day (MAI 1, NCCI-NOTES26)."""
        row = self._official.limit_row(code, bill_kind, day)
        return None if row is None or row.mai == MAI_PER_LINE else row.units

    def pair(self, code1: str, code2: str, bill_kind: BillKind, day: date) -> PairEdit | None:
        """Return the pair edit between two codes, None where there is none."""
        return self._official.pair(code1, code2, bill_kind, day)

    def listed(self, code: str, bill_kind: BillKind, day: date) -> bool | None:
        """Return whether the fee schedule lists the code; None: no schedule for that day."""
        return self._official.listed(code, bill_kind, day)

    def lacks_charge_code(self, charge: Charge) -> bool:
        """Return whether a destination of the line's bill needs a charge code that its charge master lacks."""
        if not self._needing:
            return False
        master = self._site.on(charge.day).chargemaster
        return any(
            charge.bill in destination.bills
            and master.row(destination.name, charge.code, charge.modifiers, charge.day) is None
            for destination in self._needing)  # fmt: skip


def site_edits(site: Site, official_db: Path | None) -> SiteEdits:
    """Return the edits of a site; the official tables only where they were imported."""
    imported = ImportedTables(official_db) if official_db is not None and official_db.exists() else None
    return SiteEdits(imported, site)


class EditedDue:
    """`charges_due` with a site's edits in it, as the engine asks it; the edits may be replaced between two answers."""

    def __init__(self, edits: SiteEdits) -> None:
        self.edits = edits

    def __call__(
        self, events: Sequence[TreatmentEvent], rulebook: Rulebook, as_of: date | None = None, **named: Any
    ) -> Due:
        """Return what is due, edited."""
        return charges_due(events, rulebook, as_of, tables=self.edits, **named)


def edited_charges_due(edits: SiteEdits) -> EditedDue:
    """Return `charges_due` with a site's edits in it."""
    return EditedDue(edits)
