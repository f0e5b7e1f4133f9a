"""The rule tables as ChargeItemDefinition: valid, one a code and span, each row in words with its sources."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fhir.resources.R4B.chargeitemdefinition import ChargeItemDefinition
from project import MAPPINGS

from fhir_radcharge.cli import cli
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.tables.policy import load_sources
from fhir_radcharge.wire.fhir.definitions import SOURCE, charge_item_definitions


@pytest.fixture(scope="module")
def written(rulebook: Rulebook) -> dict[str, dict[str, Any]]:
    return dict(charge_item_definitions(rulebook, load_sources(MAPPINGS / "sources.yaml")))


def test_each_is_a_valid_resource_that_says_what_it_was_given(written: dict[str, dict[str, Any]]) -> None:
    for name, resource in written.items():
        read = ChargeItemDefinition.model_validate(resource)

        assert json.loads(read.model_dump_json()) == resource
        assert name == resource["id"]
        assert not any("expression" in one or "language" in one for one in resource["applicability"])


def test_every_row_that_gives_a_code_is_told_once_for_each_of_its_spans(
    rulebook: Rulebook, written: dict[str, dict[str, Any]]
) -> None:
    told = Counter(
        one["description"].split(": ")[0] for resource in written.values() for one in resource["applicability"]
    )
    rows = {f"table {table.name}, row {row.id}" for table in rulebook.tables.values() for row in table.rows
            if row.text("code") is not None}  # fmt: skip
    counts = {f"count {rule.id}" for rule in rulebook.counting}

    assert rows | counts == {name for name in told if name.startswith(("table", "count"))}
    assert {code.code for code in rulebook.catalogue} >= {r["code"]["coding"][0]["code"] for r in written.values()}


def test_the_spans_of_a_code_follow_one_another_without_overlap(written: dict[str, dict[str, Any]]) -> None:
    spans: dict[str, list[tuple[str, str]]] = {}
    for resource in written.values():
        period = resource["effectivePeriod"]
        code = resource["code"]["coding"][0]["code"]
        spans.setdefault(code, []).append((period.get("start", "0001-01-01"), period.get("end", "9999-12-31")))

    for found in spans.values():
        ordered = sorted(found)
        assert all(before[1] < after[0] for before, after in pairwise(ordered))


def test_one_resource_reads_as_a_coder_would_say_it(written: dict[str, dict[str, Any]]) -> None:
    resource = written["G6015-2015-01-01"]

    assert {"start": "2015-01-01", "end": "2025-12-31"} == resource["effectivePeriod"]
    first = resource["applicability"][0]
    assert "table imrt, row imrt-g: code_set is g; technique is imrt" == first["description"]
    cited = [one["valueRelatedArtifact"] for one in first["extension"] if one["url"] == SOURCE]
    assert ["HCPCS2", "ASTRO-IGRT", "SEED-ASTRO"] == [artifact["label"] for artifact in cited]
    assert {"citation"} == {artifact["type"] for artifact in cited}


def test_the_verb_writes_one_file_each(tmp_path: Path, written: dict[str, dict[str, Any]]) -> None:
    config = tmp_path / "radcharge.toml"
    config.write_text(
        f'[site]\nname = "north"\ntimezone = "America/Chicago"\n[store]\npath = "books.db"\n[rules]\n'
        f'mappings = "{MAPPINGS}"\n[control]\nsocket = "sock"\n[credits]\nper_hour_before_pause = 40\n'
        '[[listen]]\nname = "rv"\nbind = "127.0.0.1:0"\n'
    )

    result = CliRunner().invoke(cli, ["rules", "export", "--fhir", str(tmp_path / "out"), "--config", str(config)])

    assert 0 == result.exit_code, result.output
    assert {f"{name}.json" for name in written} == {path.name for path in (tmp_path / "out").iterdir()}
    for path in (tmp_path / "out").iterdir():
        assert written[path.stem] == json.loads(path.read_text())


def test_nothing_is_told_of_a_computed_code_on_days_on_which_no_row_gives_it(rulebook: Rulebook) -> None:
    tables = {name: table for name, table in rulebook.tables.items() if name == "imrt"}
    only = dict(charge_item_definitions(_with(rulebook, tables), {}))

    assert {"77385", "77386", "G6015", "G6016"} == {
        name[:5] for name, r in only.items() if r["applicability"][0]["description"].startswith("table")
    }
    assert all(r["effectivePeriod"]["end"] <= "2025-12-31" for n, r in only.items() if n.startswith("G6015"))


def _with(rulebook: Rulebook, tables: Any) -> Rulebook:
    return replace(rulebook, tables=tables)
