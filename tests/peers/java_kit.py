"""Builds the Java peers once, from tests/peers/hapi: whether they can run here, and where their classes are."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "hapi"
MCODE = "hl7.fhir.us.mcode", "4.0.0"


def missing() -> str:
    """Return why the peers do not run here, or nothing."""
    if os.environ.get("CI"):
        return "peers are never run in CI"
    absent = [name for name in ("java", "javac", "mvn") if shutil.which(name) is None]
    if absent:
        return f"no {absent[0]} on this machine"
    return "" if os.environ.get("RADCHARGE_PEERS") else "set RADCHARGE_PEERS=1 to build and run the HAPI FHIR peers"


def built(request: pytest.FixtureRequest) -> Path:
    """Return the folder of the built classes, built anew where a source has changed."""
    folder = Path(request.config.cache.mkdir("hapi"))  # type: ignore[union-attr]
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    stamp = folder / "target" / "built"
    sources = str(zlib.crc32(b"".join(path.read_bytes() for path in sorted(SOURCES.rglob("*.*")) if path.is_file())))
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != sources:
        build = ["mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"]
        subprocess.run(build, cwd=folder, check=True, timeout=600)
        stamp.write_text(sources, encoding="utf-8")
    return folder


def java(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a class, in the folder of `built`."""
    return ["java", "-Xmx1g", "-cp", "target/classes:target/lib/*", name, *arguments]


def mcode(folder: Path) -> tuple[str, ...]:
    """Return the published mCODE package as a name on the class path; nothing where npm cannot get it."""
    name, version = MCODE
    file = folder / "target" / "classes" / f"{name}-{version}.tgz"
    if not file.is_file() and shutil.which("npm") is not None:
        subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=file.parent, check=False, timeout=120)
    return (file.name,) if file.is_file() else ()
