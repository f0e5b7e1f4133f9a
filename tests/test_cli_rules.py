"""`rules`: what computes is known by its digest, and what was heard can be read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.site import digest_of
from tests.cli_desk import Desk, course_messages


def change(desk: Desk, file: str, old: str, new: str) -> None:
    path = desk.folder / "mappings" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_computes_until_tables_are_activated(tmp_path: Path) -> None:
    desk = Desk(tmp_path, activate=False)
    desk.hear_all(*course_messages("bone_2d", seed=3))
    desk.close()
    before = desk.run("rules", "status")

    result = desk.run("rules", "activate", "--scope", "all", "--by", "ada", "--why", "first tables")

    assert (1, 0) == (before.exit_code, result.exit_code)
    assert "active  none: nothing is computed until tables are activated" in before.output
    assert f"{desk.site.digest[:16]} computes now, scope all; patients computed again: 0" in result.output
    assert "messages that wait for it: 19; what they make due is computed at once" in result.output
    assert int(str(desk.one("select count(*) from posting"))) > 0, "what was stored is worked through"
    after = desk.run("rules", "status")
    assert (0, "no file differs from those that compute") == (after.exit_code, after.output.splitlines()[-1])


def test_status_and_activation_say_which_files_changed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, activate=False).close()
    desk.run("rules", "activate", "--by", "ada", "--why", "first tables")
    change(desk, "settings.yaml", "zone: America/Chicago", "zone: America/Chicago  # the clock on the wall")

    status = desk.run("rules", "status", "--json")
    result = desk.run("rules", "activate", "--by", "bob", "--why", "a comment")

    told = json.loads(status.output)
    assert (1, {"new": [], "changed": ["settings.yaml"], "gone": []}) == (status.exit_code, told["changed"])
    assert result.output.startswith("changed settings.yaml\n")
    rows = desk.rows("select by, substr(scope, 1, 4) from activation order by number")
    assert [("ada", "new"), ("bob", "new ")] == rows, "the first decides all dates of service, and says no day"
    assert digest_of(desk.folder / "mappings") == desk.one("select digest from activation order by number desc limit 1")


def test_tables_with_findings_are_not_activated(tmp_path: Path) -> None:
    desk = Desk(tmp_path).close()
    change(desk, "rules/levels.yaml", "source: [UHCPA26, HCN26]", "source: [HEARSAY]")

    result = desk.run("rules", "activate", "--by", "ada", "--why", "new year")

    assert isinstance(result.exception, UnsafeError)
    assert "findings in mappings" in str(result.exception)
    assert 1 == desk.one("select count(*) from activation")


def test_messages_that_say_the_same_differ_in_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("prostate_imrt", size="torture"))
    desk.close()

    result = desk.run("rules", "reread")

    assert (0, "every message says what the books have\n") == (result.exit_code, result.output.lstrip("\n"))


@pytest.fixture
def misread(tmp_path: Path) -> Desk:
    """Books of a sender whose profile did not know the isocenters, and now the profile that does."""
    desk = Desk(tmp_path, activate=False).close()
    change(desk, "senders/plain.yaml", 'from: ["OBX:isocenters"]', 'from: ["OBX:fields"]')
    desk.run("rules", "activate", "--by", "ada", "--why", "first tables")
    from fhir_radcharge.site import load_site

    desk.site = load_site(desk.folder / "mappings")
    desk.open()
    desk.hear_all(*course_messages("prostate_imrt", seed=3))
    desk.send()
    desk.close()
    change(desk, "senders/plain.yaml", 'from: ["OBX:fields"]', 'from: ["OBX:isocenters"]')
    return desk


def test_a_mended_profile_is_shown_what_it_reads_otherwise_and_changes_nothing(misread: Desk) -> None:
    events = misread.one("select count(*) from event")

    told = json.loads(misread.run("rules", "reread", "--json").output)

    fractions = misread.one("select count(*) from event where kind = 'fraction'")
    assert ({"changed": fractions}, False) == (told["counts"], told["applied"])
    assert ["isocenters: not stated -> 1"] == told["samples"][0]["changes"]
    assert events == misread.one("select count(*) from event")


def test_what_is_read_otherwise_is_appended_once_and_ranks_above_what_was_said(misread: Desk) -> None:
    misread.run("rules", "activate", "--by", "ada", "--why", "the profile is mended")
    fractions = int(str(misread.one("select count(*) from event where kind = 'fraction'")))

    first = misread.run("rules", "reread", "--apply", "ada", "the profile is mended")
    again = misread.run("rules", "reread", "--apply", "ada", "once more")

    assert "appended; what is due is computed anew" in first.output
    assert (0, "every message says what the books have\n") == (again.exit_code, again.output.lstrip("\n"))
    assert 2 * fractions == misread.one("select count(*) from event where kind = 'fraction'")
    assert "stated_level" not in [reason for (reason,) in misread.rows("select reason from open_item")]
    assert 0 == misread.run("books").exit_code
