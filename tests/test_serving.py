"""What a server says at its start of what is no mistake and may surprise."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_radcharge.config import load
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.gateway.control import ControlSocket
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.serving import books_folder, lacking
from tests.cli_desk import ROOT, Desk

LINKS = "".join(
    f'[[send]]\nname = "{name}"\nto = "127.0.0.1:2600"\n'
    for name in ("global_biller", "facility_biller", "professional_biller")
)


def said(desk: Desk) -> list[tuple[str, str]]:
    config = load(desk.folder / "radcharge.toml")
    ledger = Ledger(desk.folder / "books.db")
    found = [(word, fields.get("destination", "")) for word, fields in lacking(config, desk.site, ledger)]
    ledger.close()
    return found


def test_a_start_without_tables_links_and_edits_says_so(tmp_path: Path) -> None:
    assert said(Desk(tmp_path, activate=False).close()) == [
        ("not_activated", ""), ("not_linked", "facility_biller"), ("not_linked", "global_biller"),
        ("not_linked", "professional_biller"), ("no_official_edits", ""),
    ]  # fmt: skip


def test_a_start_that_lacks_nothing_is_silent(tmp_path: Path) -> None:
    desk = Desk(tmp_path).close()
    (desk.folder / "radcharge.toml").write_text((desk.folder / "radcharge.toml").read_text() + LINKS)
    (desk.folder / "official.db").touch()

    assert said(desk) == []


def test_a_folder_that_cannot_be_made_is_told_as_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"^store\.path: Not a directory; name a folder"):
        books_folder(tmp_path / "file" / "var" / "books.db")
    with pytest.raises(ConfigError, match=r"^control\.socket: Not a directory; name a folder"):
        asyncio.run(ControlSocket(tmp_path / "file" / "var" / "c.sock", lambda *_: None).open())  # type: ignore[arg-type, return-value]


def test_a_server_whose_standard_streams_are_closed_gives_their_numbers_to_nothing_else(tmp_path: Path) -> None:
    """What a library says to number 2 must not get into the books, or between the two processes."""
    desk = Desk(tmp_path).close()
    serve = f"exec {sys.executable} -m fhir_radcharge serve --config {desk.config} <&- 2>&-"
    process = subprocess.Popen(["/bin/sh", "-c", serve], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        (books,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        taken = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for pid in (process.pid, books) for number in (0, 2)}
        assert taken == {"/dev/null"}
    finally:
        process.terminate()
        process.wait(20)
        process.communicate()
    assert process.returncode == 0
