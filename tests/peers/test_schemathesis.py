"""Schemathesis makes requests of what the FHIR door says of itself; none gets a 5xx or an answer that is not described.

It is no dependency of the project: it is heavy, and wants its own place. Install it anywhere on the PATH
(`pipx install schemathesis`) and run `RADCHARGE_PEERS=1 pytest tests/peers`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from http_kit import door, run

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


def _missing() -> str:
    if os.environ.get("CI"):
        return "peers are never run in CI"
    if shutil.which("schemathesis") is None:
        return "no schemathesis on this machine"
    return "" if os.environ.get("RADCHARGE_PEERS") else "set RADCHARGE_PEERS=1 to let schemathesis ask the FHIR door"


@pytest.mark.skipif(bool(_missing()), reason=_missing() or "ready")
def test_every_answer_is_one_that_the_door_describes(tmp_path: Path) -> None:
    async def story() -> None:
        async with door(tmp_path) as client:
            asked = ["run", f"http://127.0.0.1:{client.port}/fhir/openapi.json", "--url", f"http://127.0.0.1:{client.port}",
                     "--checks", CHECKS, "--max-examples", "40", "--seed", "1", "--no-color"]  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                "schemathesis", *asked, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
            told, _ = await process.communicate()

        assert process.returncode == 0, told.decode()

    run(story)
