"""The verbs `diff` and `reconcile`: exit codes, files without patients, and comparisons without books."""

import csv
import json
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from project import MAPPINGS, ROOT
from report_kit import FIRST, Office, draft, shipped, simulated

from fhir_radcharge.cli import cli
from fhir_radcharge.ledger import reader
from fhir_radcharge.simulate import courses, messages, run_of

LEVEL = ("rules/level_codes.yaml", 'open: "2", level: [unknown, "2"],    code: "77407", rank: "2"',
         'open: "2", level: [unknown, "2"],    code: "77412", rank: "2"')  # fmt: skip
COUNT = 12
LAST = date(2026, 1, 16)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose books hold two weeks of twelve courses, all accepted."""
    folder = tmp_path_factory.mktemp("site")
    office = Office(folder / "north.db", shipped())
    office.activate()
    simulated(office, COUNT, LAST, lambda office, _: office.send())
    office.close()
    path = folder / "radcharge.toml"
    path.write_text(
        f'[site]\nname = "north"\ntimezone = "America/Chicago"\n[store]\npath = "{folder}/north.db"\n'
        f'[rules]\nmappings = "{MAPPINGS}"\n[[listen]]\nname = "rv"\nbind = "127.0.0.1:2575"\n'
        f'[control]\nsocket = "{folder}/c.sock"\n[credits]\nper_hour_before_pause = 100\n'
    )
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


class _Page(HTMLParser):
    """What a page would load from elsewhere, the anchors that it names, and those that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.named: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.anchors.add(told.get("id") or "")
        if tag == "a":
            self.named.add((told["href"] or "").lstrip("#"))
        elif tag in ("script", "link", "img", "iframe") or "src" in told:
            self.loads.append(tag)


def canaries() -> list[str]:
    """What names a patient of the simulated department: record number, names, account and course."""
    return [word for one in courses(run_of("clinic", 7, FIRST, courses=COUNT))
            for word in (*map(str, one.chart.patient), one.chart.account, one.chart.course) if len(word) > 4]  # fmt: skip


def test_diff_of_the_same_tables_exits_0(config: Path) -> None:
    result = run("diff", "--config", config, "--rules", MAPPINGS, "--json")

    assert (result.exit_code, json.loads(result.stdout)["effects"]) == (
        0, {"added": 0, "dropped": 0, "changed": 0, "held": 0, "released": 0})  # fmt: skip


NEXT_YEAR = (
    ("rules/particle.yaml", '{id: neutron,             technique: neutron,  ', '{id: neutron, technique: neutron, to: "2026-12-31",'),
    ("rules/particle.yaml", "rows:\n", 'rows:\n  - {id: neutron-2027, technique: neutron, from: "2027-01-01", code: "7742X",'
                                       ' rank: "4", source: [RVU25D]}\n'),
    ("codes.csv", "neutron session,2015-01-01,,", "neutron session,2015-01-01,2026-12-31,"),
    ("codes.csv", "77423,CPT", "7742X,CPT,particle,neutron session from 2027,2027-01-01,,technical,carrier_priced,billable,"
                               "not_billable,no,,per session,yes,RVU25D,medium,invented\n77423,CPT"),
    ("payers.yaml", "    values: [units, \"76\", \"59\"]", "    values: [units, \"76\", \"59\", XS]"),
    ("payers.yaml", "profiles:\n", "profiles:\n  lakeside: {who: a plan, based_on: medicare, rows: []}\n"),
    ("reasons.yaml", "reasons:\n", "reasons:\n  - {reason: asked_first, use: [flag], meaning: m, owner: coder, way_out: w}\n"),
)  # fmt: skip
CASE = """\
- id: NEXT
  title: Neutrons next year
  sources: [RVU25D]
  confidence: high
  payer: lakeside
  policy: {bid_second_session: XS}
  compare: [particle]
  course: {id: C1}
  events:
    - {kind: fraction, id: F1, at: "2027-02-02", technique: neutron, complexity: complex}
  expect:
    freestanding: ["7742X @ 2027-02-02", FLAG asked_first]
    hospital: ["7742X @ 2027-02-02"]
    physician: []
"""


def test_cases_may_name_what_only_the_draft_has(tmp_path: Path) -> None:
    """A code, a payer, a reason or a word of a knob of next year stands in no table of this year."""
    other = draft(tmp_path, *NEXT_YEAR)
    (tmp_path / "next.yaml").write_text(CASE, encoding="utf-8")

    for mappings, rules in ((MAPPINGS, other), (other, MAPPINGS)):
        result = run("diff", "--mappings", mappings, "--cases", tmp_path / "next.yaml", "--rules", rules, "--json")

        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert result.exit_code == 1
        # The same session is another code on two bills.
        assert sum(json.loads(result.stdout)["effects"].values()) >= 2


def test_cases_may_not_name_what_neither_side_has(tmp_path: Path) -> None:
    (tmp_path / "next.yaml").write_text(CASE, encoding="utf-8")

    result = run("diff", "--mappings", MAPPINGS, "--cases", tmp_path / "next.yaml", "--rules", MAPPINGS)

    for told in ("payer 'lakeside' has no profile", "7742X, which is not in the code catalogue", "found XS"):
        assert told in str(result.exception)


def test_diff_exits_1_and_its_three_answers_agree(config: Path, tmp_path: Path) -> None:
    other = draft(tmp_path, LEVEL)
    result = run("diff", "--config", config, "--rules", other, "--json", "--csv", tmp_path / "d.csv",
                 "--html", tmp_path / "d.html")  # fmt: skip
    told = json.loads(result.stdout)
    with (tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    page = (tmp_path / "d.html").read_text()

    assert result.exit_code == 1
    assert sum(row["what"] == "line" for row in rows) == told["effects"]["changed"] > 0
    assert [row["posting"] for row in rows if row["what"] == "correction"] == [one["id"] for one in told["corrections"]]
    assert f"<b>{told['effects']['changed']:,}</b>changed" in page
    assert "Nothing was sent" in page


def test_the_page_of_a_diff_names_no_patient_and_loads_nothing(config: Path, tmp_path: Path) -> None:
    run("diff", "--config", config, "--rules", draft(tmp_path, LEVEL), "--html", tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text()
    read = _Page(page)

    assert [word for word in canaries() if word in page] == []
    assert (read.loads, read.named - read.anchors) == ([], set())


def test_diff_writes_nothing_into_the_books(config: Path, tmp_path: Path) -> None:
    books = config.with_name("north.db")
    before = books.read_bytes()
    run("diff", "--config", config, "--rules", draft(tmp_path, LEVEL))

    assert books.read_bytes() == before


def test_diff_over_an_archive_finds_what_the_books_find(config: Path, tmp_path: Path) -> None:
    other = draft(tmp_path, LEVEL)
    archive = tmp_path / "year.hl7"
    archive.write_bytes(b"".join(
        m.raw + b"\r" for m in messages(run_of("clinic", 7, FIRST, courses=COUNT), "plain") if m.at.date() <= LAST))
    connection = reader(config.with_name("north.db"))
    ((last_day,),) = connection.execute("select max(day) from day")
    connection.close()
    by_books = json.loads(run("diff", "--config", config, "--rules", other, "--json").stdout)
    result = run("diff", "--mappings", MAPPINGS, "--archive", archive, "--as-of", last_day, "--rules", other, "--json")
    by_archive = json.loads(result.stdout)

    assert result.exit_code == 1
    assert by_archive["by_code"] == by_books["by_code"]
    assert [{**g, "samples": 0} for g in by_archive["groups"]] == [{**g, "samples": 0} for g in by_books["groups"]]


def test_diff_over_the_shipped_cases_names_the_cases(tmp_path: Path) -> None:
    result = run("diff", "--mappings", MAPPINGS, "--cases", ROOT / "fixtures" / "cases", "--rules",
                 draft(tmp_path, LEVEL), "--json")  # fmt: skip
    told = json.loads(result.stdout)
    same = run("diff", "--mappings", MAPPINGS, "--cases", ROOT / "fixtures" / "cases", "--rules", MAPPINGS)

    assert (result.exit_code, same.exit_code) == (1, 0)
    assert {group["decided_before"] for group in told["groups"]} >= {"level_codes/level-2"}


def test_diff_without_books_says_what_to_do_instead(config: Path, tmp_path: Path) -> None:
    moved = tmp_path / "radcharge.toml"
    moved.write_text(config.read_text().replace("north.db", "south.db"))
    result = run("diff", "--config", moved, "--rules", MAPPINGS)

    assert "there are no books yet; compare with --archive or --cases" in str(result.exception)


def test_reconcile_exits_1_on_findings_and_0_on_a_clean_day(config: Path) -> None:
    found = run("reconcile", "--config", config, "--from", FIRST, "--to", LAST, "--json")
    told = json.loads(found.stdout)
    held = {entry["day"] for entry in told["findings"]}
    clean = next(day for day in sorted(told["days"]) if day not in held)
    result = run("reconcile", "--config", config, "--date", clean)

    assert (found.exit_code, told["clean"], result.exit_code) == (1, False, 0)
    assert "0 held, 0 missing, 0 duplicate, 0 refused, 0 unanswered, 0 queued" in result.stdout


def test_the_files_of_a_reconciliation_agree_and_load_nothing(config: Path, tmp_path: Path) -> None:
    result = run("reconcile", "--config", config, "--from", FIRST, "--to", LAST, "--json", "--csv", tmp_path / "r.csv",
                 "--html", tmp_path / "r.html")  # fmt: skip
    told = json.loads(result.stdout)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    page = (tmp_path / "r.html").read_text()
    read = _Page(page)

    assert len(rows) == sum(n for counts in told["bills"].values() for n in counts.values())
    assert len({row["event"] for row in rows}) == sum(told["fractions"].values())
    assert [word for word in canaries() if word in page] == []
    assert (read.loads, read.named - read.anchors, {"coverage", "lags"} - read.anchors) == ([], set(), set())
