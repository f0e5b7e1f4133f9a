"""The tables are proved, and the proof sees what is wrong."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from project import MAPPINGS

from fhir_radcharge.errors import RuleError, TableError
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.tables.rulebook import load_rulebook, problems


def test_the_shipped_tables_are_proved(rulebook: Rulebook) -> None:
    assert problems(rulebook, MAPPINGS) == []


def test_every_combination_of_every_table_finds_its_row_on_every_day_that_changes_an_answer(rulebook: Rulebook) -> None:
    """The walk that proves is checked by plain counting over a small table."""
    table = rulebook.tables["level_codes"]
    asked = [(a, b) for a in table.asks[0].values for b in table.asks[1].values]

    codes = {
        pair: table.answer(
            dict(zip(("open", "level"), pair, strict=True)) | ({} if pair[1] != "unknown" else {"level": None}),
            {},
            date(2026, 1, 1),
        ).row.text("code")
        for pair in asked
    }

    assert len(codes) == 20
    assert {pair for pair, code in codes.items() if code is None} == {("1or3", "unknown"), ("2or3", "unknown")}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    shutil.copytree(MAPPINGS, tmp_path / "mappings")
    return tmp_path / "mappings"


def _edit(site: Path, table: str, old: str, new: str) -> None:
    path = site / "rules" / f"{table}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


FAULTS = [
    (
        "particle",
        '  - {id: proton-complex,      technique: proton, complexity: complex,            code: "77525", rank: "4", source: [RVU25D, OPPS26, A55315]}\n',
        "",
        "particle: no row on 2015-01-01 for technique=proton, complexity=complex",
    ),
    ("particle", "technique: neutron,                                code", "code", "both answer on 2015-01-01"),
    (
        "geometry",
        "  - {id: geo-areas-3, ",
        "  - {id: geo-dead, areas: more, technique: electron, geometry: simple, next: stated_complexity, source: [HCPCS2]}\n  - {id: geo-areas-3, ",
        "row geo-dead can never answer",
    ),
    ("imrt", "flag: insufficient_facts", "flag: no_such_reason", "flag no_such_reason is not in reasons.yaml"),
    ("imrt", "[HCPCS2, ASTRO-IGRT, SEED-ASTRO]", "[NOT-A-SOURCE]", "source NOT-A-SOURCE is not in sources.yaml"),
    ("delivery", "next: imrt,", "next: levels,", "next table levels does not answer from 2015-01-01 to 2025-12-31"),
    ("hdr", 'code: "77770"', 'code: "77401"', "code 77401 is not valid"),
]


@pytest.mark.parametrize(("table", "old", "new", "told"), FAULTS, ids=[f"{f[0]}-{n}" for n, f in enumerate(FAULTS)])
def test_a_fault_in_a_table_is_found_with_its_place(site: Path, table: str, old: str, new: str, told: str) -> None:
    _edit(site, table, old, new)

    found = problems(load_rulebook(site), site)

    assert any(told in line for line in found), found


MISTAKES = [
    ("imrt", "technique: imrt,  ", "technique: imrtt, ", "technique takes imrt, imrt_compensator; found imrtt"),
    ("imrt", "source: [CA77385, UNVERIFIED]", "source: []", "cites no source"),
    ("imrt", 'code: "G6015"', "code: 0333", "would be changed by YAML"),
    ("particle", 'code: "77520"', "code: 77520", "write the code 77520 in quotes"),
    ("imrt", "rank:", "rnak:", "rnak is neither asked nor given by table imrt"),
    ("imrt", "id: imrt-g-comp", "id: imrt-g", "row id imrt-g stands twice"),
]


@pytest.mark.parametrize(("table", "old", "new", "told"), MISTAKES, ids=[f"{m[0]}-{n}" for n, m in enumerate(MISTAKES)])
def test_a_mistake_of_form_is_refused_with_file_and_line(site: Path, table: str, old: str, new: str, told: str) -> None:
    _edit(site, table, old, new)

    with pytest.raises(TableError, match=rf"{table}.yaml:\d+") as caught:
        load_rulebook(site)
    assert told in str(caught.value)


def test_a_code_of_the_catalogue_that_no_table_gives_is_found(site: Path) -> None:
    with (site / "codes.csv").open("a") as file:
        file.write(
            "77999,CPT,delivery,made up,2027-01-01,,technical,billable,billable,not_billable,no,,per session,yes,UNVERIFIED,low,\n"
        )

    found = problems(load_rulebook(site), site)

    assert [line for line in found if "77999" in line] == found != []


def test_a_table_answers_only_for_its_days(rulebook: Rulebook) -> None:
    with pytest.raises(RuleError, match="answers from 2015-01-01 to 2025-12-31, asked for 2026-01-01"):
        rulebook.tables["imrt"].answer({}, {}, date(2026, 1, 1))


def test_the_digest_names_the_content(site: Path, rulebook: Rulebook) -> None:
    same = load_rulebook(site).digest
    _edit(site, "imrt", "[CA77385]", "[CA77385, ASTRO-IGRT]")

    assert same == rulebook.digest
    assert load_rulebook(site).digest != same


def test_a_coder_changes_a_code_of_next_year_in_one_table(site: Path) -> None:
    """End one row, follow it with another, list the new code: the proof holds, and each date finds its code."""
    _edit(
        site,
        "particle",
        '  - {id: neutron,             technique: neutron,                                code: "77423", rank: "4", source: [RVU25D, OPPS26]}',
        '  - {id: neutron, technique: neutron, to: "2026-12-31", code: "77423", rank: "4", source: [RVU25D, OPPS26]}\n'
        '  - {id: neutron-2027, technique: neutron, from: "2027-01-01", code: "77499", rank: "4", source: [UNVERIFIED]}',
    )
    changed = load_rulebook(site)

    codes = [
        changed.tables["particle"].answer({"technique": "neutron"}, {}, day).row.text("code")
        for day in (date(2026, 12, 31), date(2027, 1, 1))
    ]

    assert problems(changed, site) == []
    assert codes == ["77423", "77499"]
    assert replace(changed, digest="") != changed
