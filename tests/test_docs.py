"""The documents are true: their commands parse and run, their cases verify, their names and links exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from fhir_radcharge.cli import cli, exit_code
from fhir_radcharge.config import Config
from fhir_radcharge.engine import Outcome
from fhir_radcharge.errors import RadchargeError, TableError
from fhir_radcharge.explain.words import _CATEGORIES
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.tables.policy import load_policy
from fhir_radcharge.tables.rulebook import load_rulebook, problems
from fhir_radcharge.verify import verify
from tests.cli_desk import ROOT, Desk, copied, course_messages
from tests.docs_kit import (
    DOCS,
    MADE,
    PAGE,
    PROGRAM,
    anchors,
    blocks,
    command,
    commands,
    edited,
    every_verb,
    inline,
    links,
    missing,
    parsed,
    prose,
    verb_of,
    with_made_tables,
    wrong_choices,
)

MAPPINGS = ROOT / "mappings"
NAMES = [path.name for path in DOCS]
EVERY_WORD = "\n".join(path.read_text(encoding="utf-8") for path in DOCS)
EXAMPLE = (ROOT / "docs" / "radcharge.example.toml").read_text(encoding="utf-8")


# -- what is said of the command line --------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_every_command_in_a_block_parses_and_is_complete(path: Path) -> None:
    wrong = [(one.written, missing(one.words), wrong_choices(one.words)) for one in commands(path)]

    assert [] == [row for row in wrong if row[1] or row[2]]


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_every_command_in_the_prose_parses(path: Path) -> None:
    for words in inline(path):
        parsed(words)


@pytest.mark.parametrize("table", MADE)
def test_a_made_table_is_current(table: str) -> None:
    assert f"<!-- {table}: begin -->\n{MADE[table]()}\n<!-- {table}: end -->" in PAGE.read_text(encoding="utf-8"), (
        "write it anew: python -m tests.test_docs"
    )


def test_every_verb_and_option_is_named() -> None:
    verbs = [name for name, _ in every_verb() if f"`{name}" not in EVERY_WORD and f"{PROGRAM} {name}" not in EVERY_WORD]
    options = {
        max(param.opts, key=len)
        for _, verb in every_verb()
        for param in verb.params
        if isinstance(param, click.Option)
    }

    assert ([], []) == (verbs, sorted(option for option in options if option not in EVERY_WORD))


def test_every_category_of_the_work_queue_is_told() -> None:
    told = PAGE.read_text(encoding="utf-8")

    assert [] == [name for name in _CATEGORIES if f"`{name}`" not in told]


# -- what is said of the configuration -------------------------------------------------------------------------


def keys(section: type[BaseModel], trail: str = "") -> Iterator[str]:
    """Yield every key that a configuration may have, with its tables before it."""
    for name, field in section.model_fields.items():
        below = next((one for one in kinds(field.annotation) if issubclass(one, BaseModel)), None)
        yield from keys(below, f"{trail}{name}.") if below else [f"{trail}{name}"]


def kinds(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from kinds(part)


def test_every_key_of_the_configuration_is_explained_and_exemplified() -> None:
    explained = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert [] == [key for key in keys(Config) if f"`{key}`" not in explained]
    assert [] == [key for key in keys(Config) if not re.search(rf"^(# )?{key.rpartition('.')[2]} = ", EXAMPLE, re.M)]


# -- what is said of files -------------------------------------------------------------------------------------

# What a site has and this repository has not.
OF_A_SITE = re.compile(
    r"radcharge\.toml|site_payers\.yaml|mappings/site_payers\.yaml|official\.db|.*\.html|FILE\.csv|FILE"
    r"|cases/2027\.yaml|draft/.*|var/.*|(ccipra|ccioph|MCR_MUE|PPRRVU).*"
)
# A path that begins at the root is a URL's.
FILE = re.compile(r"`([\w.*-][\w.*/-]*\.(?:py|yaml|csv|toml|md|hl7|json|txt|db|lock))`")
PLACES = [ROOT / p for p in (".", "docs", "mappings", "mappings/rules", "mappings/fhir", "fhir_radcharge", "fixtures",
                             "fixtures/fhir/conceptmaps")]  # fmt: skip


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_no_document_names_a_file_that_does_not_exist(path: Path) -> None:
    named = [name for name in FILE.findall(prose(path)) if not OF_A_SITE.fullmatch(name)]

    assert [] == [name for name in named if not any(list(place.glob(name)) for place in PLACES)]


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_every_link_leads_somewhere(path: Path) -> None:
    lost = []
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)

    assert [] == lost


def test_every_document_is_on_the_map() -> None:
    mapped = {link.partition("#")[0] for link in links(ROOT / "docs" / "index.md")}

    assert set() == {path.name for path in DOCS} - {"README.md", "index.md", "bench.md"} - mapped


def test_the_design_names_the_room_of_every_module() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    package = ROOT / "fhir_radcharge"
    rooms = [f"{path.parent.relative_to(package).as_posix()}/" for path in sorted(package.rglob("*/__init__.py"))]
    modules = [path.name for path in sorted(package.glob("*.py")) if path.name != "__init__.py"]
    told = re.findall(r"`([\w/*]+(?:/|\.py))`", design)

    assert [] == [name for name in (*rooms, *modules) if not any(fnmatch(name, pattern) for pattern in told)]
    assert [] == [name for name in modules_told(design) if not list(package.rglob(f"{name}.py"))]


def modules_told(design: str) -> list[str]:
    """Return the modules that stand behind the rooms."""
    rooms = design[design.index("## The rooms") : design.index("## The words")]
    cells = [row.split("|")[3] for row in rooms.splitlines() if row.startswith("|") and row.count("|") == 4]
    return [name for cell in cells[2:] for name in re.findall(r"\w+", re.sub(r"\(.*?\)", "", cell))]


# -- cases, profiles, messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCS, ids=NAMES)
def test_every_case_verifies(path: Path, tmp_path: Path, rulebook: Rulebook) -> None:
    found = [block.text for block in blocks(path) if (block.language, block.words) == ("yaml", ("case",))]
    (tmp_path / "cases.yaml").write_text("\n".join(found) or "[]", encoding="utf-8")

    results = list(verify([tmp_path / "cases.yaml"], rulebook, charges_due))

    assert [] == [result for result in results if not result.ok]


def test_a_difference_reads_as_it_is_told(tmp_path: Path) -> None:
    page = ROOT / "docs" / "cases.md"
    first = next(block.text for block in blocks(page) if block.words == ("case",))
    told = next(block.text for block in blocks(page) if "DIFFERS" in block.text)
    wrong = first.replace('freestanding: ["77407', 'freestanding: ["77412')
    (tmp_path / "wrong.yaml").write_text(wrong, encoding="utf-8")

    result = CliRunner().invoke(cli, ["verify", str(tmp_path / "wrong.yaml")])

    assert (1, told) == (result.exit_code, result.output)


def test_a_payers_file_of_a_site_loads_as_it_is_written(tmp_path: Path) -> None:
    written = next(block for block in blocks(ROOT / "docs" / "tables.md") if block.words[:1] == ("write",))
    (tmp_path / "site_payers.yaml").write_text(written.text, encoding="utf-8")

    policy = load_policy([MAPPINGS / "payers.yaml", tmp_path / "site_payers.yaml"])

    assert policy.known("lakeside_health")


ROW = '  - {id: neutron,             technique: neutron,                                code: "77423", rank: "4", source: [RVU25D, OPPS26]}'
NEUTRON = "technique: neutron,                                code"
PARTICLE, CODES, PAYERS, COUNTING = "rules/particle.yaml", "codes.csv", "payers.yaml", "rules/counting.yaml"
# As the page tells it, as `check` says it here (empty: the same), and the change of a file that makes it so.
MISTAKES = [
    ("no row on 2027-01-01 for technique=neutron", "", PARTICLE, NEUTRON, 'technique: neutron, to: "2026-12-31", code'),
    ("rows A and B both answer on ...", "both answer on", PARTICLE, ROW, ROW + "\n" + ROW.replace("id: neutron,", "id: again,")),
    ("row A can never answer; an earlier row takes all of its cases", "can never answer; an earlier row takes all of its cases", "rules/geometry.yaml", "{id: geo-electrons,", "{id: geo-first, flag: no_code, source: [HCPCS2]}\n  - {id: geo-electrons,"),
    ("takes a, b; found c", "takes proton, neutron; found neutrons", PARTICLE, NEUTRON, "technique: neutrons, code"),
    ("is neither asked nor given by table T", "is neither asked nor given by table particle", PARTICLE, NEUTRON, "technique: neutron, colour: red, code"),
    ("declares neither values nor bands", "", PARTICLE, "complexity: {values: [simple, simple_compensated, intermediate, complex], absent: unknown}", "complexity: {absent: unknown}"),
    ("row id A stands twice", "row id neutron stands twice", PARTICLE, ROW, ROW + "\n" + ROW),
    ("cites no source; every row cites one", "", PARTICLE, 'code: "77423", rank: "4", source: [RVU25D, OPPS26]', 'code: "77423", rank: "4"'),
    ("source KEY is not in sources.yaml", "source HEARSAY is not in sources.yaml", PARTICLE, 'rank: "4", source: [RVU25D, OPPS26]}', 'rank: "4", source: [HEARSAY]}'),
    ("hold W is not in reasons.yaml", "hold whim is not in reasons.yaml", "rules/energies.yaml", "hold: mixed_energy", "hold: whim"),
    ("flag W is not in reasons.yaml", "flag whim is not in reasons.yaml", "rules/energies.yaml", "flag: mixed_energy", "flag: whim"),
    ("next table T does not answer from D to E", "next table nowhere does not answer from", "rules/delivery.yaml", "next: particle", "next: nowhere"),
    ("code C is not valid from D to E; see codes.csv", "code 77423 is not valid from 2015-01-01 to 9999-12-31; see codes.csv", CODES, "neutron session,2015-01-01,,", "neutron session,2015-01-01,2026-12-31,"),
    ("C is computed from facts, and no table gives it", "77423 is computed from facts, and no table gives it", PARTICLE, NEUTRON + ': "77423"', NEUTRON + ': "77525"'),
    ("asks the knob K, which payers.yaml does not declare", "asks the knob mood, which payers.yaml does not declare", "rules/energies.yaml", "  energies: [one, several]", "  energies: [one, several]\n  knob.mood: [good, bad]"),
    ("write the code C in quotes", "write the code 77423 in quotes", PARTICLE, 'code: "77423"', "code: 77423"),
    ("is not a date yyyy-mm-dd", "", PARTICLE, NEUTRON, 'technique: neutron, to: "2026-02-30", code'),
    ("has two values from D on", "has two values from 2015-01-01 on", PAYERS, "      - {knob: robotic_set, from: 2015-01-01, value: cpt, sources: [RVU25D, OPPS26]}", "      - {knob: robotic_set, from: 2015-01-01, value: cpt, sources: [RVU25D, OPPS26]}\n      - {knob: robotic_set, from: 2015-01-01, value: g, sources: [OPPS26]}"),
    ("gives K no value on D", "gives robotic_set no value on 2027-01-01", PAYERS, "{knob: robotic_set, from: 2015-01-01, value: cpt,", "{knob: robotic_set, from: 2015-01-01, to: 2026-12-31, value: cpt,"),
    ("C overlaps its row at ...", "77423 overlaps its row at", CODES, "77423,CPT,particle,neutron session,2015-01-01,,", "77423,CPT,particle,neutron session,2015-01-01,,technical,carrier_priced,billable,not_billable,no,1,per session,yes,RVU25D,high,\n77423,CPT,particle,neutron session,2016-01-01,,"),
    ("gives C, which nothing reads", "gives frm, which nothing reads; did you mean 'form'?", "rules/placement.yaml", "gives: [form]", "gives: [form, frm]"),
    ("counts C is no counter of techniques.yaml", "counts managment is no counter of techniques.yaml", COUNTING, "counts: management", "counts: managment"),
    ("way W needs C", "way once needs total_max", COUNTING, 'way: once, total_max: "1"', "way: once"),
    ("way W does not read C", "way once does not read size", COUNTING, "way: once,", 'way: once, size: "5",'),
    ("row A is the last and does not take the rest", "row site-other is the last and does not take the rest", "rules/sites.yaml", "{id: site-other,          words: []", "{id: site-other,          words: [other]"),
    ("key 'k' stands twice", "key 'rank' stands twice", PARTICLE, 'code: "77423", rank: "4"', 'code: "77423", rank: "4", rank: "5"'),
    ("has no value; write null", "", PARTICLE, 'code: "77423", rank: "4"', 'code: "77423", rank: '),
]  # fmt: skip


def findings(mappings: Path) -> list[str]:
    """Return what `check` finds in the deciding tables."""
    try:
        return problems(load_rulebook(mappings), mappings)
    except TableError as error:
        return str(error).splitlines()


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the shipped tables."""
    return Path(shutil.copytree(MAPPINGS, tmp_path_factory.mktemp("draft") / "mappings"))


@pytest.mark.parametrize(("told", "said", "file", "old", "new"), MISTAKES, ids=[row[0][:40] for row in MISTAKES])
def test_check_says_what_the_tables_page_promises(
    draft: Path, told: str, said: str, file: str, old: str, new: str
) -> None:
    text = (MAPPINGS / file).read_text(encoding="utf-8")
    assert old in text
    (draft / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        found = findings(draft)
    finally:
        (draft / file).write_text(text, encoding="utf-8")

    assert (said or told) in "\n".join(found)


def test_the_tables_page_tells_the_messages_that_are_tried_and_no_others() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    table = page[page.index("| `check` says") :].partition("\n\n")[0]
    first_cells = [row.split(" | ")[0] for row in table.splitlines()[2:]]

    assert [row[0] for row in MISTAKES] == [told for cell in first_cells for told in re.findall("`([^`]+)`", cell)]


# -- what is run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a site like that of the demo: courses heard, some lines accepted, some refused, some unanswered."""
    desk = Desk(tmp_path_factory.mktemp("site"), activate=False).close()
    # As a person does it, so that the books keep the tables.
    assert 0 == desk.run("rules", "activate", "--by", "ada", "--why", "first tables").exit_code
    desk.open()
    desk.hear_all(*course_messages("breast_3d_boost", courses=3, seed=3, size="torture"))
    desk.day(desk.clock.now.date())
    doubtful = [name for name, one in desk.site.destinations.items() if one.on_ambiguous != "resend"]
    for name in desk.site.destinations:
        silent = 2 if name in doubtful else 0
        while sends := desk.engine.take(name, range(2), 2):
            kinds: list[Any] = ["silent" if n < silent else "accepted" for n in range(len(sends))]
            silent -= len(sends)
            desk.engine.settle([Outcome(s.seq, s.attempt, kind, "", b"") for s, kind in zip(sends, kinds, strict=True)])
    return desk.close()


def names_of(desk: Desk) -> dict[str, str]:
    """Return what the capitals in a page stand for in the books of the test."""

    def keys_of(where: str) -> list[str]:
        return [str(key) for (key,) in desk.rows(f"select key from open_item where {where} order by key")]

    held = keys_of("category = 'hold' and course != '' and reason not in ('course_unknown', 'no_destination')")
    unanswered = keys_of("category = 'unanswered'")
    return {
        "HOLD": held[0],
        "LACKING": held[1],
        "NOTICE": keys_of("category = 'notice'")[0],
        "POSTING": str(desk.one("select id from posting where kind = 'CHARGE' order by number limit 1")),
        "COURSE": str(desk.one("select course from posting order by number limit 1")),
        "MESSAGE": "#1",
        **{f"UNANSWERED{n}": key for n, key in enumerate(unanswered, 1)},
    }


def lay_out(folder: Path) -> None:
    """Put beside a site what the pages suppose there."""
    shutil.copytree(ROOT / "fixtures" / "cases", folder / "fixtures" / "cases")
    for name in ("captured", "cases", "ask"):
        (folder / name).mkdir()
    for number, raw in enumerate(course_messages("bone_2d")):
        (folder / "captured" / f"{number}.hl7").write_bytes(raw)
    (folder / "opening.csv").write_text(
        "patient,destination,course,bill,code,modifiers,date,end,units,place_of_service,provider,packaged,unit,account,"
        "reference\nP1,global_biller,C1,global,77407,,2026-01-05,,1,11,DR1,,,A1,OLD-1\n"
    )


def play(path: Path, folder: Path, names: dict[str, str]) -> list[str]:
    """Do what a page says, block by block; return each line that did not end as the page says."""
    wrong, said = [], ""
    for block in blocks(path):
        if block.words[:1] == ("edit",):
            target = folder / block.words[1]
            target.write_text(edited(target.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        elif block.language == "yaml" and len(block.words) > 1:
            (folder / block.words[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "text" and said:
            wrong += [f"{path.name}:{block.line}: {line}" for line in block.text.splitlines() if line not in said]
        said = ""
        if block.words == ("run",):
            for line in block.text.splitlines():
                code, said = run(line, folder, names)
                wanted = told.exit_code if (told := command(line)) else 0
                if code != wanted:
                    wrong.append(f"{path.name}:{block.line}: {line}: exit {code}\n{said}")
    return wrong


def run(line: str, folder: Path, names: dict[str, str]) -> tuple[int, str]:
    """Run a line of a page; return how it ended and what it said."""
    told = command(line)
    if told is None:
        done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr
    words = [one for word in told.words for one in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    result = CliRunner().invoke(cli, [names.get(word, word) for word in words])
    if isinstance(result.exception, RadchargeError):
        return exit_code(result.exception), f"{result.output}{result.exception}"
    if isinstance(result.exception, click.ClickException):
        return result.exception.exit_code, result.exception.format_message()
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ["tables.md", "cases.md", "operations.md"])
def test_a_page_can_be_played(name: str, books: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = copied(books, tmp_path)
    lay_out(desk.folder)
    monkeypatch.chdir(desk.folder)

    wrong = play(ROOT / "docs" / name, desk.folder, names_of(desk))

    assert [] == wrong, "\n".join(wrong)


def test_every_verb_of_the_pages_is_a_verb_of_the_program() -> None:
    assert "serve" == verb_of(("serve",))[0].name


if __name__ == "__main__":
    PAGE.write_text(with_made_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written anew\n")
