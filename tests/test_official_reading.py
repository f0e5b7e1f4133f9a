"""What each published form says, and how a row that is wrong is refused."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest
from official_files import (
    FILES,
    HOSPITAL_LIMITS,
    MEDICAID_PAIRS,
    NEW_LIMITS,
    OLD_PAIRS,
    OUTPATIENT,
    SEPTEMBER,
    taken,
    workbook,
    written,
    zipped,
)

from fhir_radcharge.errors import TableError
from fhir_radcharge.official.loading import import_file
from fhir_radcharge.official.names import recognised
from fhir_radcharge.official.store import OfficialStore


@pytest.fixture
def store() -> OfficialStore:
    return OfficialStore(":memory:")


def rows(store: OfficialStore, table: str) -> list[tuple[object, ...]]:
    return store.database.execute(f"select * from {table}").fetchall()


@pytest.mark.parametrize(("name", "said"), [
    ("ccipra-v323r0-f2.txt", ("ptp_practitioner", "ccipra-v323r0", date(2026, 10, 1), 2, "txt")),
    ("ccioph-v320r1-f4 (1).TXT", ("ptp_hospital", "ccioph-v320r1", date(2026, 1, 1), 4, "txt")),
    (MEDICAID_PAIRS, ("ptp_medicaid_practitioner", "ptp-medicaid-practitioner-2026q4",
                      date(2026, 10, 1), 1, "txt")),
    (HOSPITAL_LIMITS, ("mue_hospital", "mue-hospital-2026-10-01", date(2026, 10, 1), 1, "csv")),
    ("PPRRVU2026_Jul_nonQPP.csv", ("pfs", "pfs-2026-07", date(2026, 7, 1), 1, "csv")),
    ("PPRRVU2026_Jul_QPP.csv", ("pfs_qpp", "pfs-qpp-2026-07", date(2026, 7, 1), 1, "csv")),
    ("PPRRVU25_JAN.txt", ("pfs", "pfs-2025-01", date(2025, 1, 1), 1, "txt")),
    ("January 2020 Addendum B CORRECTION.02042020.xlsx",
     ("opps", "opps-2020-01", date(2020, 1, 1), 1, "xlsx")),
    (OUTPATIENT, ("opps", "opps-2026-07", date(2026, 7, 1), 1, "csv")),
    ("MCR_MUE_PractitionerServices_Eff_13-01-2026.csv", None),
    ("ccipra-v323r0-f1.xlsx", None),
    ("January 2026 Addendum A.csv", None),
    ("notes.txt", None),
])
def test_a_published_name_says_what_a_file_is(name: str, said: tuple[object, ...] | None) -> None:
    assert recognised(name) == said


def test_a_pair_file_is_read_and_its_tombstones_are_left_out(store: OfficialStore) -> None:
    summary = taken(store, OLD_PAIRS)

    assert (summary.rows, summary.tombstones, summary.bad_rows, summary.missing) == (5, 1, 0, ())
    assert rows(store, "ptp")[0][4:] == (None, 0, 1, 7)


def test_medicaid_pairs_have_six_columns_and_may_leave_the_deletion_blank(store: OfficialStore) -> None:
    taken(store, MEDICAID_PAIRS)

    assert [row[3:] for row in rows(store, "ptp")] == [
        (date(2020, 1, 1).toordinal(), None, 1, 1, 4),
        (date(2020, 1, 1).toordinal(), date(2023, 12, 31).toordinal(), 0, 1, 5),
    ]


def test_a_unit_limit_file_with_a_long_notice_and_a_broken_heading_is_read(store: OfficialStore) -> None:
    taken(store, NEW_LIMITS)

    assert [row[2:] for row in rows(store, "mue")] == [
        (10, 3, 6), (1, 2, 7), (1, 3, 8), (0, 2, 9), (4, 3, 10)
    ]


@pytest.mark.parametrize(("name", "found"), [
    ("PPRRVU2025_Oct.csv", [
        ("", "A", "1", "09", "", "1.25/1.25", 11), ("26", "A", "1", "09", "", "0.50/0.50", 12),
        ("TC", "A", "1", "02", "", "0.75/0.75", 13), ("", "A", "3", "01", "", "0.36/0.36", 14),
        ("", "A", "0", "09", "", "9.99/9.99", 15)]),
    ("PPRRVU2026_Jul_nonQPP.csv", [
        ("", "A", "1", "09", "", "1.25/1.25", 11), ("26", "A", "1", "09", "", "0.50/0.50", 12),
        ("TC", "A", "1", "02", "", "0.75/0.75", 13), ("", "B", "3", "01", "", "0.36/0.36", 14),
        ("", "D", "9", "09", "", "0.00/0.00", 15)]),
    ("PPRRVU25_OCT.txt", [
        ("", "A", "1", "09", "", "1.25/1.25", 2), ("26", "A", "1", "09", "", "0.50/0.50", 3),
        ("", "A", "3", "01", "", "123.45/100.36", 4)]),
    (OUTPATIENT, [("", "S", "", "", "5611", "1132.75", 4), ("", "N", "", "", "", "", 5),
                  ("", "J1", "", "", "5627", "7.00", 6), ("", "D", "", "", "", "", 7)]),
])
def test_a_fee_schedule_is_read_without_its_descriptors(
    store: OfficialStore, name: str, found: list[tuple[object, ...]]
) -> None:
    taken(store, name)

    assert [row[2:] for row in rows(store, "schedule")] == found
    assert b"Invented, short" not in store.database.serialize()


def test_the_additional_column_of_2026_is_allowed_for_in_the_fixed_width_file(
    store: OfficialStore, tmp_path: Path
) -> None:
    text = (FILES / "PPRRVU25_OCT.txt").read_text().replace("99999 ", "999999 ")
    import_file(written(tmp_path, "PPRRVU2026_JAN.txt", text), store, known_from=SEPTEMBER)

    assert [row[5] for row in rows(store, "schedule")] == ["09", "09", "01"]


def test_addendum_b_reads_alike_from_a_workbook_and_from_csv(store: OfficialStore, tmp_path: Path) -> None:
    with (FILES / OUTPATIENT).open(newline="") as stream:
        book = workbook(list(csv.reader(stream)))
    taken(store, OUTPATIENT)
    expected = [row[1:] for row in rows(store, "schedule")]
    other = OfficialStore(":memory:")
    content = zipped({"July 2026 Web Addendum B.06.30.26.xlsx": book})
    import_file(written(tmp_path, "2026_Jul_Addendum_B.zip", content), other, known_from=SEPTEMBER)

    assert [row[1:] for row in rows(other, "schedule")] == expected


@pytest.mark.parametrize(
    "name", [OLD_PAIRS, NEW_LIMITS, "PPRRVU2025_Oct.csv", OUTPATIENT, "PPRRVU25_OCT.txt"]
)
def test_line_ends_and_a_byte_order_mark_change_nothing(
    store: OfficialStore, tmp_path: Path, name: str
) -> None:
    content = b"\xef\xbb\xbf" + (FILES / name).read_bytes().replace(b"\n", b"\r\n").rstrip(b"\r\n")
    import_file(written(tmp_path, name, content), store, known_from=SEPTEMBER, parts=1)
    other = OfficialStore(":memory:")
    taken(other, name)

    assert [rows(store, table) for table in ("ptp", "mue", "schedule")] == [
        rows(other, table) for table in ("ptp", "mue", "schedule")
    ]


BAD_ROWS = [
    (OLD_PAIRS, "\t20180101\t", "\t20180231\t", ":8: '20180231' is not a day of the calendar"),
    (OLD_PAIRS, "\t20180101\t", "\t01/01/18\t", ":8: '01/01/18' is not a date yyyymmdd or *"),
    (OLD_PAIRS, "\t20180101\t", "\t*\t", ":8: an edit without an effective date"),
    (OLD_PAIRS, "20191231", "19951231", ":9: deleted before it took effect"),
    (OLD_PAIRS, "X1003", "X1001", ":8: an edit of a code with itself"),
    (OLD_PAIRS, "X1003", "X100", ":8: 'X100' is not a five-character code"),
    (OLD_PAIRS, "X1003", "x1003", ":8: 'x1003' is not a five-character code"),
    (OLD_PAIRS, "X1003", "X1_03", ":8: 'X1_03' is not a five-character code"),
    (OLD_PAIRS, "*\t1\tInvented", "*\t2\tInvented", ":8: indicator '2' is not 0, 1 or 9"),
    (OLD_PAIRS, "\t20180101\t*\t1\tInvented reason", "\t20180101",
     ":8: 4 columns, not 7; the line was cut short"),
    (OLD_PAIRS, "X1003\t\t20180101", "X1002\t\t20160101",
     ":8: the pair X1001, X1002 from 2016-01-01 is there twice"),
    (NEW_LIMITS, "X1002", "X1001", ":7: the code X1001 is there twice"),
    (NEW_LIMITS, "X1002,1", "X1002,-1", ":7: unit limit '-1' is not a whole number up to 1000000"),
    (NEW_LIMITS, "2 Date of", "4 Date of",
     ":7: adjudication indicator '4 Date of Service Ed' is not 1, 2 or 3"),
    ("PPRRVU2025_Oct.csv", "X1002,,", "X1002,99,", ":14: modifier '99' is none of 26, TC and 53"),
    ("PPRRVU2025_Oct.csv", "9.99,9.99,", "9.99,", ":15: 30 columns, not 31"),
    ("PPRRVU2025_Oct.csv", "X1002,,", "X1001,,", ":14: the code X1001 is there twice"),
    ("PPRRVU25_OCT.txt", "X1002  ", "X1002 ", ":4: not a line of the fixed-width layout"),
    (OUTPATIENT, "Invented,J1", "Invented,J10", ":6: status indicator 'J10' is not a letter"),
    (OUTPATIENT, "$7.00", "$7.0.0", ":6: payment rate '$7.0.0' is not an amount"),
]


@pytest.mark.parametrize(("name", "old", "new", "problem"), BAD_ROWS)
def test_a_bad_row_refuses_the_file_with_its_line(
    store: OfficialStore, tmp_path: Path, name: str, old: str, new: str, problem: str
) -> None:
    text = (FILES / name).read_text()
    assert old in text
    path = written(tmp_path, name, text.replace(old, new, 1))

    with pytest.raises(TableError) as refused:
        import_file(path, store, known_from=SEPTEMBER, parts=1)

    assert str(refused.value).startswith(name + problem)
    assert "take the file as published" in str(refused.value)
    assert store.editions() == ()


@pytest.mark.parametrize(("name", "old", "new", "problem"), BAD_ROWS)
def test_a_tolerated_row_is_left_out_and_counted(
    store: OfficialStore, tmp_path: Path, name: str, old: str, new: str, problem: str
) -> None:
    text = (FILES / name).read_text()
    path = written(tmp_path, name, text.replace(old, new, 1))
    summary = import_file(path, store, known_from=SEPTEMBER, parts=1, tolerate=1)

    assert (summary.bad_rows, [place[:len(name + problem)] for place in summary.bad]) == (1, [name + problem])


@pytest.mark.parametrize(("name", "content", "problem"), [
    (OLD_PAIRS, "X1001\tX1002\t\t20160101\t*\t0\tx\n", ":1: no line with 'Column 1' and 'Column 2'"),
    (OLD_PAIRS, "", ":1: no line with 'Column 1' and 'Column 2'"),
    (OLD_PAIRS, "Column 1\tColumn 2\t*=in existence\tEffective\tDeletion\tModifier\tWhy\n",
     ":0: no row in it"),
    (OLD_PAIRS, b"\xff\xfeC\0o\0", ":1: UTF-16 text"),
    (OLD_PAIRS, b"\0" * 400_000, ":1: a line of more than 65536 bytes"),
    (NEW_LIMITS, "HCPCS/CPT Code,Outpatient Hospital Services MUE Values,MUE Adjudication Indicator\n",
     ":1: the heading is of another table than the name says"),
    (NEW_LIMITS, '"a notice' + " that never ends\n" * 3, ":3: unexpected end of data"),
    (NEW_LIMITS, "code,value\n" * 40, ":1: no heading with HCPCS/CPT Code and MUE Values"),
    ("PPRRVU2025_Oct.csv", "HCPCS,MOD,DESCRIPTION,CODE\n", ":1: the columns are not of a known PPRRVU"),
    ("PPRRVU2025_Oct.csv", "nothing\n", ":1: no heading that begins with HCPCS, MOD"),
    ("PPRRVU25_OCT.txt", "HDR only\n", ":1: no row in it"),
    (OUTPATIENT, "HCPCS Code,Short Descriptor\n", ":1: no heading with HCPCS Code, SI, APC and Payment"),
    ("notes.txt", "x", ":0: not a name of an official file"),
])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    store: OfficialStore, tmp_path: Path, name: str, content: bytes | str, problem: str
) -> None:
    with pytest.raises(TableError) as refused:
        import_file(written(tmp_path, name, content), store, known_from=SEPTEMBER, parts=1, tolerate=5)

    assert str(refused.value).startswith(name + problem)


def test_a_renamed_file_is_read_when_its_kind_and_day_are_stated(
    store: OfficialStore, tmp_path: Path
) -> None:
    path = written(tmp_path, "limits.csv", (FILES / NEW_LIMITS).read_bytes())
    summary = import_file(
        path, store, known_from=SEPTEMBER, kind="mue_practitioner", as_of=date(2026, 10, 1)
    )

    assert (summary.edition.name, summary.rows) == ("mue-practitioner-2026-10-01", 5)


def test_a_file_that_is_not_there_is_refused(store: OfficialStore, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"ccipra-v322r0-f1\.txt:0: cannot be read"):
        import_file(tmp_path / OLD_PAIRS, store, known_from=SEPTEMBER)


def test_progress_hears_every_byte(store: OfficialStore) -> None:
    heard: list[tuple[int, int | None]] = []
    taken(store, OLD_PAIRS, progress=lambda done, total: heard.append((done, total)))

    size = (FILES / OLD_PAIRS).stat().st_size
    assert heard == [(size, size), (size, size)]
