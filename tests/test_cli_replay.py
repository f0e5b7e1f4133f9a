"""An analyst's archive: what it makes due, read by another profile, and said to a listener."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fhir_radcharge.cli import cli
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.simulate import messages, run_of
from tests.cli_desk import ROOT
from tests.test_cli_simulate import listener


def replay(*words: object) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, words), "--mappings", str(ROOT / "mappings")])


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, list[bytes]]:
    said = [one.raw for one in messages(run_of("smoke", 3, date(2026, 1, 5), "breast_3d_boost", 1), "plain")]
    path = tmp_path / "archive.hl7"
    path.write_bytes(b"\n".join(said))
    return path, said


def test_a_report_says_what_is_due_and_sends_nothing(archive: tuple[Path, list[bytes]]) -> None:
    path, said = archive

    told = replay(path)

    assert (told.exit_code, f"{len(said)} messages" in told.output, "Nothing was sent." in told.output) == (0, True, True)
    assert "77407" in told.output


def test_messages_of_a_stranger_are_read_by_the_profile_that_is_named(archive: tuple[Path, list[bytes]]) -> None:
    path, _ = archive
    path.write_bytes(path.read_bytes().replace(b"|PLAIN|", b"|STRANGER|"))

    assert replay(path).exit_code == 1
    assert (replay(path, "--sender", "plain").exit_code, "77407" in replay(path, "--sender", "plain").output) == (0, True)
    refused = replay(path, "--sender", "plian").exception
    assert isinstance(refused, ConfigError)
    assert "plian" in str(refused)


def test_told_to_send_it_says_each_message_as_it_is(archive: tuple[Path, list[bytes]]) -> None:
    path, said = archive
    with listener() as (port, heard):
        told = replay(path, "--send", f"mllp://127.0.0.1:{port}")

    assert told.exit_code == 0, told.output
    assert [raw.rstrip() for raw in heard] == [raw.rstrip() for raw in said]
    assert f"answered AA {len(said)} times" in told.output


def test_an_answer_that_is_no_acceptance_and_a_resource_for_mllp_are_findings(
    archive: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    path, _ = archive
    with listener("AE") as (port, _):
        assert replay(path, "--send", f"mllp://127.0.0.1:{port}").exit_code == 1
    resource = tmp_path / "one.json"
    resource.write_text('{"resourceType": "Procedure"}')
    with listener() as (port, heard):
        told = replay(resource, "--send", f"mllp://127.0.0.1:{port}")

    assert (told.exit_code, heard, "is not spoken over mllp" in told.output) == (1, [], True)
