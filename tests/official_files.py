"""Invented official files: the ones under fixtures/, and archives and workbooks made of them."""

from __future__ import annotations

import zipfile
from datetime import date
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

from fhir_radcharge.official.loading import Summary, import_file
from fhir_radcharge.official.store import OfficialStore

FILES = Path(__file__).parents[1] / "fixtures" / "official"
OLD_PAIRS = "ccipra-v322r0-f1.txt"
NEW_PAIRS = "ccipra-v323r0-f1.txt"
MEDICAID_PAIRS = "medicaid-ncci-q4-2026-ptp-edits-practitioner-services.txt"
OLD_LIMITS = "MCR_MUE_PractitionerServices_Eff_07-01-2026.csv"
NEW_LIMITS = "MCR_MUE_PractitionerServices_Eff_10-01-2026.csv"
HOSPITAL_LIMITS = "MCR_MUE_OutpatientHospitalServices_Eff_10-01-2026.csv"
OUTPATIENT = "OPPS_AddendumB_2026_Jul.csv"
JUNE, SEPTEMBER = date(2026, 6, 15), date(2026, 9, 15)


def taken(store: OfficialStore, name: str, known_from: date = SEPTEMBER, **options: object) -> Summary:
    """Import a fixture; pair tables are whole in one part."""
    return import_file(FILES / name, store, known_from=known_from, parts=1, **options)  # type: ignore[arg-type]


def written(folder: Path, name: str, content: bytes | str) -> Path:
    """Write a file under its published name."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of these members."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


def workbook(rows: list[list[str]], before: str = "") -> bytes:
    """Return a minimal workbook with these rows, texts shared and whole numbers in place."""
    texts = sorted({cell for row in rows for cell in row if not cell.isdigit()})
    cells = "".join(
        f'<row r="{at}">' + "".join(_cell(cell, at, column, texts) for column, cell in enumerate(row) if cell)
        + "</row>"
        for at, row in enumerate(rows, 1)
    )
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    return zipped({
        "xl/sharedStrings.xml": f"<?xml version='1.0'?>{before}<sst {space}>{strings}</sst>".encode(),
        "xl/worksheets/sheet1.xml":
            f"<?xml version='1.0'?><worksheet {space}><sheetData>{cells}</sheetData></worksheet>".encode(),
    })


def _cell(cell: str, row: int, column: int, texts: list[str]) -> str:
    place = f'r="{chr(65 + column)}{row}"'
    if cell.isdigit():
        return f"<c {place}><v>{cell}</v></c>"
    return f'<c {place} t="s"><v>{texts.index(cell)}</v></c>'
