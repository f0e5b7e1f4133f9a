"""A number agrees with its noun."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from fhir_radcharge.cli import cli
from fhir_radcharge.plural import number_of


def test_one_is_one() -> None:
    assert ["0 items", "1 item", "1,200 items", "1 entry", "2 entries"] == [
        number_of(0, "item"), number_of(1, "item"), number_of(1200, "item"),
        number_of(1, "entry", "entries"), number_of(2, "entry", "entries"),
    ]  # fmt: skip


def test_no_verb_says_one_findings(tmp_path: Path) -> None:
    draft = tmp_path / "mappings"
    draft.mkdir()

    told = CliRunner().invoke(cli, ["check", "--mappings", str(draft)]).output
    linted = tmp_path / "one.hl7"
    linted.write_bytes(b"MSH|^~\\&|A|B|||20260302||DFT^P03|1|P|2.5.1\rEVN||20260302\rPID|1||P\rFT1|1|||||CG\r")
    counts = re.findall(r"^\d+ \w+$", told + CliRunner().invoke(cli, ["lint", str(linted)]).output, re.M)

    assert counts
    assert [] == [said for said in counts if said.startswith("1 ") == said.endswith("s")]
