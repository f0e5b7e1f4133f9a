"""Turns files, folders and archives of messages into messages, one at a time, with the bytes read so far."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

from fhir_radcharge.errors import ConfigError, MessageError
from fhir_radcharge.wire import batch

CHUNK = 1 << 20
MEMBER_BYTES_MAX = 16 << 30
"""A member that unpacks to more than this is refused: a year of a large site is below 10 GB."""

_BLANK = b"\xef\xbb\xbf \t\r\n"

Watch = Callable[[int], None]


class Found(NamedTuple):
    """One message of an archive, or a problem of its file."""

    file: str
    entry: batch.Entry


def size(paths: Sequence[Path]) -> int:
    """Return the bytes on disk of all files, for a progress bar."""
    return sum(path.stat().st_size for path in files(paths))


def files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of the paths, folders walked in the order of their names."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found.extend(sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")))
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"{path}: there is no such file or folder")
    return found


def messages(paths: Sequence[Path], watch: Watch) -> Iterator[Found]:
    """Yield every message of every file; a zip or tar is read member by member and never unpacked to disk."""
    for path in files(paths):
        if zipfile.is_zipfile(path):
            yield from _zip(path, watch)
        elif path.suffix in (".tar", ".tgz", ".gz", ".xz", ".bz2") and tarfile.is_tarfile(path):
            yield from _tar(path, watch)
        else:
            with path.open("rb") as file:
                yield from _of(path.name, file, watch)


def _of(name: str, file: IO[bytes], watch: Watch) -> Iterator[Found]:
    chunks = _chunks(file, watch)
    first = next(chunks, b"")
    entries = _json if first.lstrip(_BLANK).startswith(b"{") else batch.messages
    for entry in entries(chain((first,), chunks)):
        yield Found(name, entry)


def _json(chunks: Iterable[bytes]) -> Iterator[batch.Entry]:
    """Yield the FHIR resources of a file: one a line (NDJSON), or one for the whole file.

    A line that ends a resource ends with a brace, so a file that is laid out over several lines is one resource.
    """
    number, rest, lines = 0, b"", True
    for chunk in chunks:
        rest += chunk
        if lines and b"\n" in rest:
            *whole, rest = rest.split(b"\n")
            lines = number > 0 or _ends_a_resource(whole[0])
            if not lines:
                rest = b"\n".join([*whole, rest])
                continue
            for line in filter(None, (one.strip(_BLANK) for one in whole)):
                number += 1
                yield batch.Entry(number, line)
        if len(rest) > batch.MESSAGE_BYTES_MAX:
            problem = MessageError("body", "the resource is too long", "split the Bundle", "207")
            yield batch.Entry(number, b"", problem)
            return
    if rest.strip(_BLANK):
        yield batch.Entry(number + 1, rest.strip(_BLANK))


def _ends_a_resource(line: bytes) -> bool:
    found = line.strip(_BLANK)
    return found.endswith(b"}") and found.count(b"{") == found.count(b"}")


def _chunks(file: IO[bytes], watch: Watch) -> Iterator[bytes]:
    seen = 0
    while chunk := file.read(CHUNK):
        seen += len(chunk)
        if seen > MEMBER_BYTES_MAX:
            raise ConfigError(f"a file of the archive unpacks to more than {MEMBER_BYTES_MAX >> 30} GiB; split it")
        yield chunk
        watch(len(chunk))


def _zip(path: Path, watch: Watch) -> Iterator[Found]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda m: m.filename):
            if not member.is_dir():
                before = member.compress_size
                with archive.open(member) as file:
                    yield from _of(f"{path.name}/{member.filename}", file, lambda _: None)
                watch(before)


def _tar(path: Path, watch: Watch) -> Iterator[Found]:
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield from _of(f"{path.name}/{member.name}", file, watch)
