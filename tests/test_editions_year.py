"""A coder's new year, walked with the verbs: draft, check, case, verify, diff, activate, and what is then said."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fhir_radcharge.cli import cli
from fhir_radcharge.config import load
from fhir_radcharge.control import books as opened
from fhir_radcharge.engine import Heard
from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.site import load_site
from tests.cli_desk import Desk

NEW_YEAR = date(2027, 1, 1)
CASE = """
- id: YC01
  title: level 2 before and after the turn of the year
  sources: [UHCPA26]
  confidence: medium
  compare: [delivery]
  course: {id: C1, site: breast, prescribed_fractions: 15}
  events:
    - {kind: fraction, id: F1, at: "2026-12-31", technique: 3d, energy_mv: 6, isocenters: 1, motion: none}
    - {kind: fraction, id: F2, at: "2027-01-04", technique: 3d, energy_mv: 6, isocenters: 1, motion: none}
  expect:
    freestanding: ["77407 @ 2026-12-31", "77408 @ 2027-01-04"]
    hospital: ["77407 @ 2026-12-31", "77408 @ 2027-01-04"]
    physician: []
"""


def heard(folder: Path) -> Desk:
    """Return closed books of three courses over the turn of the year, everything accepted."""
    desk = Desk(folder)
    for said in [said.raw for said in messages(run_of("smoke", 3, date(2026, 12, 14), "breast_3d_boost", 3), "plain")]:
        desk.hear_all(said)
        desk.send()
    return desk.close()


def drafted(desk: Desk) -> Path:
    """Return a copy of the tables in which a code of level 2 is ended and followed from 2027 on."""
    draft = desk.folder / "draft/mappings"
    shutil.copytree(desk.folder / "mappings", draft)
    rules, codes = draft / "rules/level_codes.yaml", draft / "codes.csv"
    lines = []
    for line in rules.read_text().splitlines(keepends=True):
        if 'code: "77407"' in line:
            start = line.index("{id: ") + 5
            stop = line.index(",", start)
            name = line[start:stop]
            lines.append(line.replace(f"id: {name},", f'id: {name}, to: "2026-12-31",'))
            line = line.replace(f"id: {name},", f'id: {name}-2027, from: "2027-01-01",').replace('"77407"', '"77408"')
        lines.append(line)
    rules.write_text("".join(lines))
    old = next(one for one in codes.read_text().splitlines() if one.startswith("77407") and "2026-01-01" in one)
    new = old.replace("77407", "77408").replace("2026-01-01", "2027-01-01").replace("level 2 of 3", "level 2 from 2027")
    codes.write_text(codes.read_text().rstrip("\n") + f"\n{new}\n")
    (desk.folder / "draft/year.yaml").write_text(CASE.lstrip())
    return draft


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def brought(desk: Desk, draft: Path) -> None:
    """Bring the site's folder up to the draft."""
    shutil.rmtree(desk.folder / "mappings")
    shutil.copytree(draft, desk.folder / "mappings")


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return heard(tmp_path_factory.mktemp("north"))


@pytest.fixture
def desk(books: Desk, tmp_path: Path) -> Desk:
    shutil.copytree(books.folder, tmp_path / "copy")
    twin = object.__new__(Desk)
    twin.folder, twin.config = tmp_path / "copy", tmp_path / "copy/radcharge.toml"
    twin.site, twin.clock = books.site, books.clock
    return twin


def test_a_new_year_is_drafted_proved_compared_and_activated_for_its_own_dates(desk: Desk) -> None:
    draft = drafted(desk)
    before = desk.rows("select id, edition from posting order by number")
    rules = ("diff", "--rules", str(draft), "--config", str(desk.config))

    assert (0, "no findings") == ((check := run("check", "--mappings", str(draft))).exit_code, check.output[-12:-1])
    case = (str(draft.parent / "year.yaml"), "--mappings", str(draft))
    assert (0, "YC01  ok\n1 case, all ok\n") == ((verify := run("verify", *case)).exit_code, verify.output)
    assert 1 == run("verify", str(draft.parent / "year.yaml"), "--mappings", str(desk.folder / "mappings")).exit_code
    assert (0, []) == ((old := run(*rules, "--to", "2026-12-31", "--json")).exit_code, json.loads(old.output)["groups"])
    shown = json.loads(run(*rules, "--json").output)
    assert {"77407", "77408"} == {one["code"] for one in shown["by_code"] if one["change"]}
    brought(desk, draft)
    told = desk.run("rules", "activate", "--from", "2027-01-01", "--second-person", "bob", "--by", "ada", "--why", "2027")

    assert 0 == told.exit_code
    assert "computes now, scope new 2027-01-01; patients computed again: 3" in told.output
    assert f"dates of service from 2027-01-01: {len(shown['corrections']) // 2} lines differ" in told.output
    after = desk.rows("select id, kind, units, day, edition from posting order by number")[len(before) :]
    emitted = {(name, kind, units, day) for name, kind, units, day, _ in after}
    assert {(one["id"], one["kind"], one["units"], one["day"]) for one in shown["corrections"]} == emitted
    assert len(after) == len(shown["corrections"]) > 0
    assert {2} == {edition for *_, edition in after}, "posted by the tables that decided"
    assert NEW_YEAR.isoformat() <= min(str(day) for _, _, _, day, _ in after)
    assert 0 == desk.run("books").exit_code
    assert 0 == desk.run("diff", "--rules", str(desk.folder / "mappings"), "--to", "2026-12-31").exit_code


def test_the_year_before_goes_on_by_its_own_tables_also_without_their_files(desk: Desk, tmp_path: Path) -> None:
    draft = drafted(desk)
    # The draft also changes the past, which an activation for new dates leaves alone.
    rules = draft / "rules/level_codes.yaml"
    rules.write_text(rules.read_text().replace('code: "77407"', 'code: "77412"'))
    brought(desk, draft)
    desk.run("rules", "activate", "--from", "2027-01-01", "--second-person", "bob", "--by", "ada", "--why", "2027")
    known = len(desk.rows("select number from posting"))
    run_late = run_of("smoke", 9, date(2026, 12, 14), "breast_3d_boost", 5)
    late = [said.raw for said in messages(run_late, "plain") if b"ZZSIM0000005" in said.raw]

    hear(desk, late)

    rows = desk.rows("select distinct day < '2027', code, e.number, e.digest from posting p join edition e"
                     f" on e.number = p.edition where p.number > {known} and family = 'delivery' order by 1 desc, 2")  # fmt: skip
    old, new = desk.site.digest, load_site(desk.folder / "mappings").digest
    assert [(1, "77407", 1, old), (0, "77402", 2, new), (0, "77408", 2, new)] == rows
    assert 0 == desk.run("books").exit_code
    name = desk.one(f"select id from posting where number > {known} and code = '77407' limit 1")
    text = desk.run("explain", str(name)).output
    assert f"{old[:12]}, which compute now" in text
    assert "not in the tables that are loaded" not in text


def hear(desk: Desk, raws: list[bytes]) -> None:
    """Let the configured engine, as a server has it, hear and work."""
    with opened(load(desk.config)) as engine:
        with engine.ledger.transaction():
            engine.receive([Heard("rv", "127.0.0.1", raw) for raw in raws])
        while engine.work(100):
            pass


def test_the_tables_of_before_are_written_out_byte_for_byte(desk: Desk, tmp_path: Path) -> None:
    draft = drafted(desk)
    first = {path.relative_to(desk.folder / "mappings"): path.read_bytes()
             for path in (desk.folder / "mappings").rglob("*") if path.is_file()}  # fmt: skip
    brought(desk, draft)
    desk.run("rules", "activate", "--from", "2027-01-01", "--second-person", "bob", "--by", "ada", "--why", "2027")

    result = desk.run("rules", "export", desk.site.digest[:8], str(tmp_path / "out"))

    assert (0, f"{len(first)} files written to {tmp_path / 'out'}\n") == (result.exit_code, result.output)
    assert first == {path.relative_to(tmp_path / "out"): path.read_bytes()
                     for path in (tmp_path / "out").rglob("*") if path.is_file()}  # fmt: skip
    assert load_site(tmp_path / "out").digest == desk.site.digest
    assert 0 == desk.run("books").exit_code


def test_the_past_changes_only_with_a_word_and_many_credits_only_with_a_second_person(desk: Desk) -> None:
    draft = drafted(desk)
    rules = draft / "rules/level_codes.yaml"
    rules.write_text(rules.read_text().replace('code: "77407"', 'code: "77412"'))
    brought(desk, draft)
    found = run("check", "--mappings", str(desk.folder / "mappings"))
    words = ("rules", "activate", "--scope", "all", "--by", "ada", "--why", "level 2 was wrong")

    results = [desk.run(*words), desk.run(*words, "--second-person", "bob"),
               desk.run(*words, "--second-person", "Ada", "--yes"),
               desk.run(*words, "--from", "2027-01-01", "--yes")]  # fmt: skip

    assert 0 == found.exit_code, found.output
    assert [UnsafeError] * 4 == [type(result.exception) for result in results]
    said = [str(result.exception) for result in results]
    assert "may go unasked (credits.per_hour_before_pause); name who else agreed with --second-person" in said[0]
    assert "lines of the past would change" in said[1]
    assert "'Ada' decides already; the second person is another" in said[2]
    assert "--scope all decides every date" in said[3]
    assert 1 == desk.one("select count(*) from activation")
    last = desk.run(*words, "--second-person", "bob", "--yes")
    assert 0 == last.exit_code, last.output
    detail = json.loads(str(desk.one("select detail from decision where kind = 'activate' order by number desc limit 1")))
    assert {"scope": "all", "second": "bob"} == detail
    assert 0 == desk.run("books").exit_code
