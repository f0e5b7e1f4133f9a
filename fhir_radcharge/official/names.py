"""A published file's name into what it holds: the kind of table, the edition, its date and its part."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "ptp_practitioner", "ptp_hospital",
    "ptp_medicaid_practitioner", "ptp_medicaid_hospital", "ptp_medicaid_dme",
    "mue_practitioner", "mue_hospital", "mue_dme",
    "pfs", "pfs_qpp", "opps",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Medicare publishes each pair table in four parts; all others come whole.
PARTS: dict[Kind, int] = {"ptp_practitioner": 4, "ptp_hospital": 4}


class Recognised(NamedTuple):
    """What a file name says: `as_of` is the first day that the edition is for, `part` counts from 1."""

    kind: Kind
    edition: str
    as_of: date
    part: int
    extension: str


def recognised(name: str) -> Recognised | None:
    """Read the kind, edition, date and part from a published file name; None for any other name."""
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    stem, _, extension = base.rpartition(".")
    for pattern, extensions, read in _PATTERNS:
        found = pattern.search(stem)
        if found and extension in extensions:
            try:
                kind, edition, as_of, part = read(found, stem)
            except ValueError:
                return None
            return Recognised(kind, edition, as_of, part, extension)
    return None


_Read = tuple[Kind, str, date, int]
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = "(" + "|".join(_MONTHS) + ")"


def _medicare_pairs(found: re.Match[str], stem: str) -> _Read:
    table, year, quarter, revision, part = found.groups()
    # Versions count years, then quarters from 0: 22.0 was January 2016, 32.3 is October 2026.
    as_of = date(1994 + int(year), 3 * int(quarter) + 1, 1)
    kind: Kind = "ptp_practitioner" if table == "pra" else "ptp_hospital"
    return kind, f"cci{table}-v{year}{quarter}r{revision}", as_of, int(part)


def _medicaid_pairs(found: re.Match[str], stem: str) -> _Read:
    quarter = re.search(r"(20\d\d)[-_ ]?q([1-4])", stem)
    turned = re.search(r"q([1-4])[-_ ]?(20\d\d)", stem)
    if quarter:
        year, number = quarter.groups()
    elif turned:
        number, year = turned.groups()
    else:
        raise ValueError("no quarter in the name")
    services: dict[str, Kind] = {
        "pra": "ptp_medicaid_practitioner", "out": "ptp_medicaid_hospital", "dur": "ptp_medicaid_dme",
        "dme": "ptp_medicaid_dme",
    }
    kind = services[found[1][:3]]
    return kind, f"{kind.replace('_', '-')}-{year}q{number}", date(int(year), 3 * int(number) - 2, 1), 1


def _limits(found: re.Match[str], stem: str) -> _Read:
    service, month, day, year = found.groups()
    kinds: dict[str, Kind] = {
        "practitioner": "mue_practitioner", "outpatienthospital": "mue_hospital", "dmesupplier": "mue_dme",
    }
    kind = kinds[service]
    as_of = date(int(year), int(month), int(day))
    return kind, f"{kind.replace('_', '-')}-{as_of}", as_of, 1


def _physician(found: re.Match[str], stem: str) -> _Read:
    year, month, split = found.groups()
    as_of = date(int(year) + (2000 if len(year) == 2 else 0), _MONTHS.index(month) + 1, 1)
    kind: Kind = "pfs_qpp" if split == "qpp" else "pfs"
    return kind, f"{kind.replace('_', '-')}-{as_of:%Y-%m}", as_of, 1


def _outpatient(found: re.Match[str], stem: str) -> _Read:
    year = re.search(r"(?<!\d)(20\d\d)(?!\d)", stem)
    month = re.search(rf"(?<![a-z]){_MONTH}(?:[a-z]*)(?![a-z])", stem)
    if not (year and month):
        raise ValueError("no month and year in the name")
    as_of = date(int(year[1]), _MONTHS.index(month[1]) + 1, 1)
    return "opps", f"opps-{as_of:%Y-%m}", as_of, 1


_PATTERNS = (
    (re.compile(r"cci(pra|oph)[-_]v(\d\d)([0-3])r(\d)[-_]f([1-9])(?!\d)"), ("txt",), _medicare_pairs),
    (re.compile(r"(?:medicaid|mcd).*ptp.*(practitioner|outpatient|durable|dme)"), ("txt",), _medicaid_pairs),
    (re.compile(r"mcr_mue_(practitioner|outpatienthospital|dmesupplier)services?_eff_(\d\d)-(\d\d)-(\d{4})"),
     ("csv",), _limits),
    (re.compile(rf"pprrvu(20\d\d|\d\d)_{_MONTH}[a-z]*(?:_(nonqpp|qpp))?"), ("csv", "txt"), _physician),
    (re.compile(r"addendum[ _.-]*b(?![a-z])"), ("csv", "xlsx"), _outpatient),
)
