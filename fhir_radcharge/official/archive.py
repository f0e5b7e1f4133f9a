"""A file or a .zip as the user downloaded it into readable members, without trusting a name or a size in it.

Nothing is ever unpacked to disk: a member is read by name, only if its name is one that we know, and never
beyond what the limits allow.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import TableError

FILE_BYTES_MAX = 1 << 30      # the greatest published pair file has about 150 MB
ARCHIVE_BYTES_MAX = 1 << 29
DIRECTORY_BYTES_MAX = 1 << 18
MEMBERS_MAX = 200
WORKBOOK_BYTES_MAX = 1 << 27
RATIO_MAX = 100               # published files shrink 8 to 25 times
LINE_BYTES_MAX = 1 << 16
BLOCK_BYTES = 1 << 18

NESTED = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".zst", ".exe")

# What zipfile raises on damaged archives, by experiment.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError,
    struct.error,
)


class Member(NamedTuple):
    """One readable file: its own name without folders, its size, and a way to open it again."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


@contextmanager
def opened(path: Path) -> Iterator[list[Member]]:
    """Yield the members of a zip, or the file itself; raise TableError where the file cannot be trusted."""
    with ExitStack() as open_files:
        try:
            members = _opened(path, open_files)
        except OSError as error:
            raise TableError(f"{path.name}:0: cannot be read ({error.strerror}); name a file") from None
        except _DAMAGE as error:
            raise _broken(path.name, error) from None
        yield members


def _opened(path: Path, open_files: ExitStack) -> list[Member]:
    size = path.stat().st_size
    stream = open_files.enter_context(path.open("rb"))
    if stream.read(2) != b"PK" or path.suffix.lower() == ".xlsx":
        check_size(path.name, size)
        return [Member(path.name, size, lambda: path.open("rb"))]
    _check_end(stream, path.name, size)
    return _members(open_files.enter_context(zipfile.ZipFile(stream)), path.name)


def check_size(name: str, size: int) -> None:
    """Refuse a file that is greater than any published one."""
    if size > FILE_BYTES_MAX:
        raise TableError(f"{name}:0: {size} bytes, more than {FILE_BYTES_MAX}; is it as published?")


def workbook_parts(stream: IO[bytes], name: str, size: int, wanted: Sequence[str]) -> dict[str, bytes]:
    """Return the wanted parts that a workbook has, under the same limits as any other archive."""
    try:
        _check_end(stream, name, size)
        with zipfile.ZipFile(stream) as book:
            for info in book.infolist():
                _check_member(info, name)
            sizes = {info.filename: info.file_size for info in book.infolist()}
            if sum(sizes.get(part, 0) for part in wanted) > WORKBOOK_BYTES_MAX:
                raise TableError(f"{name}:0: more than {WORKBOOK_BYTES_MAX} bytes unpacked; take the CSV")
            return {part: book.read(part) for part in wanted if part in sizes}
    except (OSError, *_DAMAGE) as error:
        raise _broken(name, error) from None


def content_hash(member: Member) -> str:
    """Return the SHA-256 of a member; reading it whole also proves a zip member's own checksum."""
    digest = hashlib.sha256()
    try:
        with member.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
    except (OSError, *_DAMAGE) as error:
        raise _broken(member.name, error) from None
    return digest.hexdigest()


def line_blocks(
    stream: IO[bytes], name: str, progress: Callable[[int], None]
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the number of a first line and the lines that follow, LF or CRLF, without their ends."""
    number, read, rest = 1, 0, b""
    while block := stream.read(BLOCK_BYTES):
        if not read:
            block = _without_bom(block, name)
        read += len(block)
        data = rest + block
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if len(rest) > LINE_BYTES_MAX:
            raise TableError(f"{name}:{number}: a line of more than {LINE_BYTES_MAX} bytes; is it text?")
        if cut:
            lines = data[:cut].replace(b"\r\n", b"\n").split(b"\n")
            lines.pop()
            yield number, lines
            number += len(lines)
        progress(read)
    if rest:
        yield number, [rest.rstrip(b"\r")]


def text_lines(stream: IO[bytes], name: str, progress: Callable[[int], None]) -> Iterator[str]:
    """Yield lines as text with their ends. Latin-1 never fails; what is kept must be ASCII in any case."""
    for _, lines in line_blocks(stream, name, progress):
        for line in lines:
            yield line.decode("latin-1") + "\n"


def _without_bom(block: bytes, name: str) -> bytes:
    if block[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(f"{name}:1: UTF-16 text; take the file as published, or save it as UTF-8")
    return block.removeprefix(b"\xef\xbb\xbf")


def _members(archive: zipfile.ZipFile, name: str) -> list[Member]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    for info in infos:
        _check_member(info, name)
    names = [_base(info) for info in infos]
    if len(set(names)) != len(names):
        raise TableError(f"{name}:0: two members have one name; repack or take the archive as published")
    return [
        Member(base, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]
        for base, info in zip(names, infos, strict=True)
    ]


def _check_member(info: zipfile.ZipInfo, name: str) -> None:
    problem = _member_problem(info)
    if problem:
        raise TableError(f"{name}:0: member {info.filename[:80]!r} {problem}; take the archive as published")


def _member_problem(info: zipfile.ZipInfo) -> str | None:
    path = info.orig_filename
    steps = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or ".." in steps or ":" in path or "\0" in path:
        return "has a path that leads out of the archive"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "uses an unknown compression"
    if path.lower().endswith(NESTED):
        return "is an archive in an archive"
    if info.file_size > FILE_BYTES_MAX:
        return f"is greater than {FILE_BYTES_MAX} bytes"
    if info.file_size > RATIO_MAX * max(info.compress_size, 64):
        return f"grows more than {RATIO_MAX} times"
    return None


def _check_end(stream: IO[bytes], name: str, size: int) -> None:
    """Look at the archive's last record before anything believes its counts."""
    if size > ARCHIVE_BYTES_MAX:
        raise TableError(f"{name}:0: an archive of more than {ARCHIVE_BYTES_MAX} bytes; is it as published?")
    stream.seek(max(0, size - 65_557))
    tail = stream.read(65_557)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise TableError(f"{name}:0: the archive has no end, it was cut short; download it again")
    entries = int.from_bytes(tail[end + 10:end + 12], "little")
    directory = int.from_bytes(tail[end + 12:end + 16], "little")
    is_zip64 = b"PK\x06\x07" in tail[max(0, end - 20):end]
    if entries > MEMBERS_MAX or directory > DIRECTORY_BYTES_MAX or is_zip64:
        raise TableError(f"{name}:0: more than {MEMBERS_MAX} members; take the archive as published")
    stream.seek(0)


def _base(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/").rpartition("/")[2]


def _broken(name: str, error: Exception) -> TableError:
    return TableError(f"{name}:0: the archive is damaged ({type(error).__name__}); download it again")
