"""The code catalogue: one row at most for a code on a day, and mistakes in the file told with their line."""

from datetime import date
from pathlib import Path

import pytest

from fhir_radcharge.errors import TableError
from fhir_radcharge.rules.catalogue import FAMILIES, Catalogue
from fhir_radcharge.tables.policy import COLUMNS, load_catalogue, load_sources

MAPPINGS = Path(__file__).parent.parent / "mappings"
SERVICES = {"77370", "77399", "77436", "77439", "77469", "77470", "77499", "77750", "77790", "77799"}
GOOD = (
    "77427,CPT,management,units of five,2015-01-01,,professional,billable,not_billable,billable,"
    "no,1,per five fractions,yes,CMS-MANUAL13,high,"
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(MAPPINGS / "codes.csv")


def test_the_date_of_service_chooses_the_row(catalogue: Catalogue) -> None:
    before = catalogue.row("77387", date(2025, 12, 31))
    after = catalogue.row("77387", date(2026, 1, 1))

    assert before is not None
    assert after is not None
    assert (before.component, after.component) == ("split", "professional")


def test_a_code_has_no_row_outside_its_span(catalogue: Catalogue) -> None:
    assert catalogue.row("G6015", date(2026, 1, 1)) is None
    assert catalogue.row("77436", date(2025, 12, 31)) is None
    assert catalogue.row("99999", date(2025, 1, 1)) is None


def test_a_code_has_ended_once_all_of_its_rows_lie_before_the_day(catalogue: Catalogue) -> None:
    asked = [("G6015", date(2025, 12, 31)), ("G6015", date(2026, 1, 1)), ("77403", date(2015, 1, 1))]
    asked += [("77436", date(2025, 1, 1)), ("77402", date(2030, 1, 1)), ("99999", date(2030, 1, 1))]

    assert [catalogue.ended(code, day) for code, day in asked] == [False, True, True, False, False, False]


def test_a_family_holds_for_every_row_of_a_code(catalogue: Catalogue) -> None:
    assert catalogue.family("77014") == "guidance"
    assert catalogue.family("99999") is None
    assert {row.family for row in catalogue} == set(FAMILIES)


def test_codes_of_the_counted_families_are_computed_except_the_listed_services(catalogue: Catalogue) -> None:
    computed = {row.code for row in catalogue if row.family not in ("planning", "device")} - SERVICES

    assert {row.code for row in catalogue if catalogue.computed(row.code)} == computed
    assert catalogue.known("77427")
    assert not catalogue.known("99999")


def test_every_row_is_in_the_file_and_cites_a_source_that_exists(catalogue: Catalogue) -> None:
    cited = {key for row in catalogue for key in row.sources}

    assert len(catalogue) == 115
    assert cited - load_sources(MAPPINGS / "sources.yaml").keys() == set()


def test_a_label_is_ours_and_short(catalogue: Catalogue) -> None:
    assert [row.code for row in catalogue if not 0 < len(row.label) <= 64] == []


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (GOOD.replace("77427", "7742"), ":2: code '7742' is not five capitals and digits"),
        (GOOD.replace("CPT", "cpt"), ":2: system is 'cpt'; write one of CPT, HCPCS"),
        (GOOD.replace("management", "care"), ":2: family is 'care'; write one of delivery"),
        (GOOD.replace("professional", "both"), ":2: component is 'both'"),
        (GOOD.replace("2015-01-01", "2015-1-1"), ":2: valid_from is '2015-1-1'; write a date"),
        (GOOD.replace("2015-01-01", "2015-02-30"), ":2: valid_from is '2015-02-30'; write a date"),
        (GOOD.replace("2015-01-01,", "2015-01-01,2014-01-01"), ":2: 77427 ends on 2014-01-01, before"),
        (GOOD.replace(",no,1,", ",maybe,1,"), ":2: modifier_26 is 'maybe'; write one of yes, no"),
        (GOOD.replace(",no,1,", ",no,one,"), ":2: mue_per_day is 'one'; write a whole number"),
        (GOOD.replace("CMS-MANUAL13", ""), ":2: 77427 has no label or no source"),
        (GOOD.replace("high", "sure"), ":2: confidence is 'sure'"),
        (GOOD + ",x", ":2: has 18 cells, not 17; quote a cell with a comma"),
        (GOOD + "\n" + GOOD, ":3: 77427 overlaps its row at"),
        (
            GOOD.replace("2015-01-01,", "2015-01-01,2015-12-31")
            + "\n"
            + GOOD.replace("2015-01-01", "2016-01-01").replace("management", "physics"),
            ":3: 77427 differs in family or computed from its row at",
        ),
        ('"', ":2: is not CSV"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(tmp_path: Path, row: str, told: str) -> None:
    path = tmp_path / "codes.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{row}\n")

    with pytest.raises(TableError) as caught:
        load_catalogue(path)

    assert f"{path}{told}" in str(caught.value)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("code,label\n")

    with pytest.raises(TableError, match=r":1: the columns must be code,system,family"):
        load_catalogue(path)
