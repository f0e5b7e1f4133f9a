"""Editions: what was known when, what a new one changed, and what answers on a day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from official_files import (
    FILES,
    HOSPITAL_LIMITS,
    JUNE,
    MEDICAID_PAIRS,
    NEW_LIMITS,
    NEW_PAIRS,
    OLD_LIMITS,
    OLD_PAIRS,
    OUTPATIENT,
    SEPTEMBER,
    taken,
    written,
    zipped,
)

from fhir_radcharge.errors import LedgerError, TableError
from fhir_radcharge.official import tables as official_tables
from fhir_radcharge.official.changes import Change, Changes, Reevaluation, reevaluations
from fhir_radcharge.official.loading import import_file
from fhir_radcharge.official.lookup import ImportedTables
from fhir_radcharge.official.store import OfficialStore
from fhir_radcharge.official.tables import (
    InMemoryTables,
    OfficialTables,
    PairEdit,
    ScheduleRow,
    Source,
    UnitLimit,
)
from fhir_radcharge.official.telling import told

NOVEMBER = date(2026, 11, 2)


@pytest.fixture
def store(tmp_path: Path) -> OfficialStore:
    return OfficialStore(tmp_path / "official.db")


def view(store: OfficialStore, known_on: date | None = None, **options: str) -> ImportedTables:
    return ImportedTables(store.path, known_on, **options)  # type: ignore[arg-type]


def test_a_later_pair_edition_tells_what_it_changed(store: OfficialStore) -> None:
    first = taken(store, OLD_PAIRS, JUNE)
    second = taken(store, NEW_PAIRS)

    assert first.changes is None
    assert second.changes == Changes(
        since="ccipra-v322r0", added=1, ended=3, indicator=1, value=0, reaches_back=3,
        sample=(
            Change("added", "X3001", "X3002", "no edit", "indicator 1, 2026-10-01 to open"),
            Change("ended", "X1001", "X1003", "indicator 1, 2018-01-01 to open",
                   "indicator 1, 2018-01-01 to 2020-12-31"),
            Change("ended", "X2001", "X1001", "indicator 1, 2020-01-01 to open",
                   "indicator 1, 2020-01-01 to 2026-09-30"),
            Change("ended", "X1001", "X1002", "indicator 0, 2016-01-01 to open", "no edit"),
            Change("indicator", "X1001", "X1004", "indicator 1, 2022-01-01 to open",
                   "indicator 0, 2022-01-01 to open"),
        ),
    )


def test_a_deletion_with_a_date_in_the_past_asks_for_the_days_to_be_judged_again(store: OfficialStore) -> None:
    taken(store, OLD_PAIRS, JUNE)
    edition = taken(store, NEW_PAIRS).edition

    last = date(2026, 9, 14)
    assert list(reevaluations(store, edition)) == [
        Reevaluation("ptp_practitioner", "X1001", "X1003", date(2021, 1, 1), last,
                     "indicator 1, 2018-01-01 to open", "indicator 1, 2018-01-01 to 2020-12-31"),
        Reevaluation("ptp_practitioner", "X1001", "X1004", date(2022, 1, 1), last,
                     "indicator 1, 2022-01-01 to open", "indicator 0, 2022-01-01 to open"),
        Reevaluation("ptp_practitioner", "X1001", "X1002", date(2016, 1, 1), last,
                     "indicator 0, 2016-01-01 to open", "no edit"),
    ]


def test_an_edit_that_never_was_is_still_known_as_it_was_known_then(store: OfficialStore) -> None:
    taken(store, OLD_PAIRS, JUNE)
    taken(store, NEW_PAIRS)
    day = date(2026, 3, 2)

    assert [view(store, known).pair("X1002", "X1001", "practitioner", day) for known in (
        date(2026, 6, 14), JUNE, date(2026, 9, 14), SEPTEMBER, None
    )] == [
        None,
        PairEdit("X1001", "X1002", 0, Source("ccipra-v322r0", OLD_PAIRS, 7)),
        PairEdit("X1001", "X1002", 0, Source("ccipra-v322r0", OLD_PAIRS, 7)),
        None,
        None,
    ]


@pytest.mark.parametrize(("day", "indicator"), [
    (date(1995, 12, 31), None), (date(1996, 1, 1), 1), (date(2019, 12, 31), 1), (date(2020, 1, 1), None),
    (date(2021, 12, 31), None), (date(2022, 1, 1), 1),
])
def test_an_edit_holds_from_its_first_to_its_last_day(
    store: OfficialStore, day: date, indicator: int | None
) -> None:
    taken(store, OLD_PAIRS, JUNE)
    edit = view(store).pair("X1004", "X1001", "practitioner", day)

    assert (edit and edit.indicator) == indicator


def test_an_edit_names_its_first_code_in_whatever_order_it_is_asked(store: OfficialStore) -> None:
    taken(store, OLD_PAIRS, JUNE)
    tables = view(store)
    edit = PairEdit("X2001", "X1001", 1, Source("ccipra-v322r0", OLD_PAIRS, 11))

    assert tables.pair("X1001", "X2001", "practitioner", NOVEMBER) == edit
    assert tables.pair("X2001", "X1001", "practitioner", NOVEMBER) == edit
    assert str(edit.source) == "ccipra-v322r0 (ccipra-v322r0-f1.txt:11)"


def test_each_setting_and_each_programme_has_its_own_pairs(store: OfficialStore) -> None:
    taken(store, OLD_PAIRS)
    taken(store, "ccioph-v323r0-f1.txt")
    taken(store, MEDICAID_PAIRS)

    def found(seconds: str, bill: str, programme: str) -> bool:
        tables = view(store, programme=programme)
        return tables.pair("X1001", seconds, bill, NOVEMBER) is not None  # type: ignore[arg-type]

    asked = [(second, bill, programme) for second in ("X1002", "X1005", "X1006")
             for bill in ("practitioner", "hospital") for programme in ("medicare", "medicaid")]
    assert [question for question in asked if found(*question)] == [
        ("X1002", "practitioner", "medicare"), ("X1005", "hospital", "medicare"),
        ("X1006", "practitioner", "medicaid"),
    ]


def test_unit_limits_change_with_the_quarter_of_the_service(store: OfficialStore) -> None:
    taken(store, NEW_LIMITS)
    taken(store, OLD_LIMITS)
    taken(store, HOSPITAL_LIMITS)
    tables = view(store)

    assert [tables.unit_limit("X1002", "practitioner", day) for day in (
        date(2026, 6, 30), date(2026, 7, 1), date(2026, 9, 30), date(2026, 10, 1), date(2027, 3, 1)
    )] == [None, 2, 2, 1, 1]
    assert tables.unit_limit("X1001", "hospital", NOVEMBER) == 6
    assert tables.unit_limit("X1004", "practitioner", NOVEMBER) == 0
    assert tables.unit_limit("X7777", "practitioner", NOVEMBER) is None
    assert tables.limit_row("X1003", "practitioner", NOVEMBER) == UnitLimit(
        1, 3, Source("mue-practitioner-2026-10-01", NEW_LIMITS, 8)
    )


def test_medicares_limits_do_not_stand_in_for_medicaids(store: OfficialStore) -> None:
    taken(store, NEW_LIMITS)

    assert view(store, programme="medicaid").unit_limit("X1002", "practitioner", NOVEMBER) is None


def test_a_new_limit_edition_tells_what_it_changed(store: OfficialStore) -> None:
    taken(store, OLD_LIMITS, JUNE)

    assert taken(store, NEW_LIMITS).changes == Changes(
        since="mue-practitioner-2026-07-01", added=1, ended=0, indicator=1, value=1, reaches_back=0,
        sample=(
            Change("added", "X1005", "", "not listed", "MAI 3: 4"),
            Change("indicator", "X1003", "", "MAI 1: 1", "MAI 3: 1"),
            Change("value", "X1002", "", "MAI 2: 2", "MAI 2: 1"),
        ),
    )


def test_a_correction_that_is_known_late_asks_for_its_days_to_be_judged_again(
    store: OfficialStore, tmp_path: Path
) -> None:
    taken(store, NEW_LIMITS)
    text = (FILES / NEW_LIMITS).read_text().replace("X1002,1", "X1002,2").replace("X1005,4", "X1006,4")
    corrected = import_file(written(tmp_path, NEW_LIMITS, text), store, known_from=date(2026, 10, 20)).edition

    assert [(again.code, again.from_day, again.to_day, again.now) for again in reevaluations(store, corrected)] == [
        ("X1002", date(2026, 10, 1), date(2026, 10, 19), "MAI 2: 2"),
        ("X1006", date(2026, 10, 1), date(2026, 10, 19), "MAI 3: 4"),
        ("X1005", date(2026, 10, 1), date(2026, 10, 19), "not listed"),
    ]
    day = date(2026, 10, 5)
    assert view(store, date(2026, 10, 19)).unit_limit("X1002", "practitioner", day) == 1
    assert view(store, date(2026, 10, 20)).unit_limit("X1002", "practitioner", day) == 2


def test_a_schedule_answers_for_its_own_year_alone(store: OfficialStore) -> None:
    taken(store, "PPRRVU2025_Oct.csv")
    taken(store, "PPRRVU2026_Jul_nonQPP.csv")
    taken(store, OUTPATIENT)
    tables = view(store)
    days = (date(2025, 9, 30), date(2025, 10, 1), date(2025, 12, 31), date(2026, 1, 1), date(2026, 7, 1),
            date(2027, 1, 1))

    assert [tables.listed("X1003", "practitioner", day) for day in days] == [None, True, True, None, False, None]
    assert [tables.listed("X1003", "hospital", day) for day in days] == [None, None, None, None, True, None]
    assert [tables.listed(code, "hospital", days[4]) for code in ("X1002", "X1004", "X7777")] == [True, False, False]
    assert tables.schedule_edition("hospital", days[4]) == "opps-2026-07"
    assert tables.schedule_edition("hospital", days[3]) is None


def test_a_schedule_row_is_found_by_code_and_modifier(store: OfficialStore) -> None:
    taken(store, "PPRRVU2026_Jul_nonQPP.csv")
    tables = view(store)

    assert tables.schedule_row("X1001", "practitioner", NOVEMBER, "TC") == ScheduleRow(
        "X1001", "TC", "A", "1", "02", "", "0.75/0.75", Source("pfs-2026-07", "PPRRVU2026_Jul_nonQPP.csv", 13)
    )
    assert tables.schedule_row("X1002", "practitioner", NOVEMBER, "26") is None
    assert tables.schedule_row("X1002", "practitioner", date(2025, 1, 1)) is None


def test_the_quality_file_answers_only_where_the_usual_one_is_not_there(
    store: OfficialStore, tmp_path: Path
) -> None:
    content = (FILES / "PPRRVU2026_Jul_nonQPP.csv").read_bytes()
    taken(store, "PPRRVU2026_Jul_nonQPP.csv", JUNE)
    import_file(written(tmp_path, "PPRRVU2026_Jul_QPP.csv", content), store, known_from=SEPTEMBER)
    import_file(written(tmp_path, "PPRRVU2026_Jan_QPP.csv", content), store, known_from=SEPTEMBER)
    tables = view(store)

    assert [tables.schedule_edition("practitioner", date(2026, month, 5)) for month in (3, 9)] == [
        "pfs-qpp-2026-01", "pfs-2026-07"
    ]


def test_a_code_of_no_official_form_is_in_no_table(store: OfficialStore) -> None:
    taken(store, NEW_LIMITS)
    taken(store, OLD_PAIRS)
    taken(store, OUTPATIENT)
    tables = view(store)

    assert tables.unit_limit("OUR-CODE", "practitioner", NOVEMBER) is None
    assert tables.pair("OUR-CODE", "X1001", "practitioner", NOVEMBER) is None
    assert tables.pair("X1001", "X1001", "practitioner", NOVEMBER) is None
    assert tables.listed("", "hospital", NOVEMBER) is False


def test_an_edition_in_parts_answers_when_it_is_whole(store: OfficialStore, tmp_path: Path) -> None:
    heading = (FILES / OLD_PAIRS).read_text().split("X1001", 1)[0]
    other = heading + "X5001\tX5002\t\t20200101\t*\t1\tInvented\n"
    import_file(FILES / OLD_PAIRS, store, known_from=JUNE, parts=2)
    missing = [view(store).pair("X1001", "X1002", "practitioner", NOVEMBER)]
    summary = import_file(
        written(tmp_path, "ccipra-v322r0-f2.txt", other), store, known_from=date(2026, 6, 20), parts=2
    )

    assert missing == [None]
    assert (summary.edition.complete, summary.edition.rows, summary.edition.known_from) == (
        True, 6, date(2026, 6, 20)
    )
    tables = view(store)
    assert [edit and str(edit.source) for edit in (
        tables.pair("X1001", "X1002", "practitioner", NOVEMBER), tables.pair("X5001", "X5002", "practitioner", NOVEMBER)
    )] == ["ccipra-v322r0 (ccipra-v322r0-f1.txt:7)", "ccipra-v322r0 (ccipra-v322r0-f2.txt:7)"]


def test_medicares_four_parts_are_waited_for_and_may_come_in_one_archive(
    store: OfficialStore, tmp_path: Path
) -> None:
    waiting = import_file(FILES / OLD_PAIRS, store, known_from=JUNE)
    heading = (FILES / OLD_PAIRS).read_text().split("X1001", 1)[0]
    parts = {
        f"ccipra-v322r0-f{part}.txt": f"{heading}X{part}001\tX9002\t\t20200101\t*\t1\tInvented\n".encode()
        for part in (4, 3, 2)
    }
    whole = import_file(written(tmp_path, "parts.zip", zipped(parts)), store, known_from=JUNE)

    assert (waiting.missing, waiting.edition.complete, waiting.changes) == ((2, 3, 4), False, None)
    assert (whole.missing, whole.edition.complete, whole.rows, whole.files) == (
        (), True, 3, ("ccipra-v322r0-f2.txt", "ccipra-v322r0-f3.txt", "ccipra-v322r0-f4.txt")
    )


def test_a_corrected_part_waits_for_the_others_though_they_are_as_they_were(
    store: OfficialStore, tmp_path: Path
) -> None:
    old = (FILES / OLD_PAIRS).read_text()
    second = written(tmp_path, "ccipra-v322r0-f2.txt", old.replace("X1", "X5").replace("X2", "X6"))
    for path in (FILES / OLD_PAIRS, second):
        import_file(path, store, known_from=JUNE, parts=2)
    corrected = written(tmp_path, OLD_PAIRS, old.replace("X1002", "X1008"))
    waiting = import_file(corrected, store, known_from=SEPTEMBER, parts=2)
    again = import_file(corrected, store, known_from=SEPTEMBER, parts=2)
    whole = import_file(second, store, known_from=SEPTEMBER, parts=2)

    assert (waiting.missing, again.repeated, whole.repeated, whole.missing) == ((2,), True, False, ())
    assert whole.changes is not None
    assert whole.changes[:5] == ("ccipra-v322r0", 1, 1, 0, 0)


def test_an_import_that_is_stopped_leaves_nothing(store: OfficialStore) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taken(store, NEW_LIMITS, progress=stop)
    assert (store.editions(), taken(store, NEW_LIMITS).rows) == ((), 5)


def test_the_same_file_again_changes_nothing(store: OfficialStore) -> None:
    first = taken(store, NEW_LIMITS)
    again = taken(store, NEW_LIMITS, NOVEMBER)

    assert (again.repeated, again.rows, again.edition) == (True, 0, first.edition)
    assert len(store.editions()) == 1


def test_another_content_for_a_part_that_is_there_is_refused_while_parts_are_missing(
    store: OfficialStore, tmp_path: Path
) -> None:
    import_file(FILES / OLD_PAIRS, store, known_from=JUNE)
    other = written(tmp_path, OLD_PAIRS, (FILES / OLD_PAIRS).read_text().replace("X1002", "X1008"))

    with pytest.raises(TableError, match="part 1 of ccipra-v322r0 is there with other content"):
        import_file(other, store, known_from=JUNE)


def test_an_edition_that_lost_many_rows_is_refused_as_cut_short(store: OfficialStore, tmp_path: Path) -> None:
    taken(store, OLD_PAIRS, JUNE)
    text = "".join((FILES / NEW_PAIRS).read_text().splitlines(keepends=True)[:8])
    short = written(tmp_path, NEW_PAIRS, text)

    with pytest.raises(TableError, match="1 rows, where ccipra-v322r0 has 5; the file was cut short"):
        import_file(short, store, known_from=SEPTEMBER, parts=1)
    assert [edition.name for edition in store.editions()] == ["ccipra-v322r0"]
    assert import_file(short, store, known_from=SEPTEMBER, parts=1, least_share=0.1).rows == 1


def test_a_view_does_not_see_what_is_imported_after_it(store: OfficialStore) -> None:
    taken(store, OLD_LIMITS, JUNE)
    tables = view(store)
    digest = tables.digest
    taken(store, NEW_LIMITS)

    assert (tables.unit_limit("X1002", "practitioner", NOVEMBER), tables.digest) == (2, digest)
    assert view(store).unit_limit("X1002", "practitioner", NOVEMBER) == 1
    assert view(store).digest != digest
    assert view(store, JUNE).digest == digest


def test_the_digest_is_of_content_and_not_of_the_order_of_imports(store: OfficialStore, tmp_path: Path) -> None:
    other = OfficialStore(tmp_path / "other.db")
    for name in (OLD_LIMITS, NEW_LIMITS, OLD_PAIRS):
        taken(store, name)
    for name in (OLD_PAIRS, NEW_LIMITS, OLD_LIMITS):
        taken(other, name)

    assert view(store).digest == view(other).digest


def test_a_file_of_another_kind_is_no_store(tmp_path: Path) -> None:
    path = written(tmp_path, "official.db", b"not a database, but long enough to be looked at" * 30)

    with pytest.raises(LedgerError, match="the official tables cannot be opened"):
        OfficialStore(path)
    with pytest.raises(LedgerError, match="the official tables cannot be opened"):
        ImportedTables(tmp_path / "nothing.db")


def test_rows_handed_in_answer_like_imported_ones() -> None:
    tables: OfficialTables = InMemoryTables(
        mue={"77334": 10}, ptp=[("77301", "77280", 0)], absent=["77417"]
    )

    assert tables.unit_limit("77334", "hospital", NOVEMBER) == 10
    assert tables.unit_limit("77300", "hospital", NOVEMBER) is None
    assert tables.pair("77280", "77301", "practitioner", NOVEMBER) == PairEdit(
        "77301", "77280", 0, Source("case", "ptp", 1)
    )
    assert [tables.listed(code, "practitioner", NOVEMBER) for code in ("77417", "77336")] == [False, True]
    assert InMemoryTables().listed("77417", "practitioner", NOVEMBER) is None
    assert InMemoryTables(mue={"77334": 10}).digest != InMemoryTables(mue={"77334": 9}).digest


def test_imported_tables_are_what_the_rules_ask_for(store: OfficialStore) -> None:
    tables: OfficialTables = view(store)

    assert tables.pair("X1001", "X1002", "hospital", NOVEMBER) is None
    assert tables.listed("X1001", "hospital", NOVEMBER) is None


def test_an_import_is_told_in_plain_lines(store: OfficialStore) -> None:
    waiting = import_file(FILES / OLD_PAIRS, store, known_from=JUNE)
    taken(store, OLD_LIMITS, JUNE)
    second, again = taken(store, NEW_LIMITS), taken(store, NEW_LIMITS)

    assert told(waiting) == (
        "ccipra-v322r0 (ptp_practitioner): 5 rows, for services from 2026-07-01, known from 2026-06-15",
        "left out: 1 row with indicator 9, of an edit that never held",
        "NOT IN FORCE: part 2, 3, 4 of 4 missing; import the rest",
    )
    assert told(second) == (
        "mue-practitioner-2026-10-01 (mue_practitioner): 5 rows, for services from 2026-10-01,"
        " known from 2026-09-15",
        "since mue-practitioner-2026-07-01: 1 added, 0 ended, 1 with another indicator, 1 with another value",
        "  added X1005: not listed -> MAI 3: 4",
        "  indicator X1003: MAI 1: 1 -> MAI 3: 1",
        "  value X1002: MAI 2: 2 -> MAI 2: 1",
    )
    assert told(again) == (
        f"mue-practitioner-2026-10-01: {NEW_LIMITS} is already there; nothing was changed",
    )


def test_what_the_rules_import_does_no_input_or_output() -> None:
    source = Path(official_tables.__file__).read_text()
    imported = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}

    assert imported == {"__future__", "hashlib", "collections.abc", "datetime", "typing"}
