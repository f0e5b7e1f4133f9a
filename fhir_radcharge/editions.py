"""Turns a folder of tables into what the books keep of it and back, and activations into the tables in force."""

from __future__ import annotations

import hashlib
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from fhir_radcharge.engine.activation import Span, spans_of
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.site import Site, contents, load_site, spelled

Read = Callable[..., Sequence[Any]]
"""A question to the books: `Ledger.read`, or that of a connection that only reads."""

# A folder of tables is a few hundred kilobytes; more than this is no folder of tables.
BYTES_MAX = 64 << 20
_HEAD = re.compile(rb"(\d{1,9}):")
_DAY = timedelta(days=1)


def packed(mappings: Path) -> tuple[str, bytes]:
    """Return the digest of a folder's files and what the books keep of them, from one look at the folder."""
    whole = b"".join(spelled(name, content) for name, content in contents(mappings))
    return hashlib.sha256(whole).hexdigest(), zlib.compress(whole, 9)


def unpacked(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each file of a kept edition."""
    opener = zlib.decompressobj()
    whole = opener.decompress(body, BYTES_MAX)
    if not opener.eof:
        raise LedgerError("a kept edition is longer than a folder of tables can be, or cut short")
    at = 0
    while at < len(whole):
        name, at = _part(whole, at, b":")
        content, at = _part(whole, at, b"")
        yield name.decode(), content


def written(body: bytes, folder: Path) -> int:
    """Write the files of a kept edition, byte for byte, into a folder; return how many."""
    count = 0
    for name, content in unpacked(body):
        parts = PurePosixPath(name).parts
        if ".." in parts or PurePosixPath(name).is_absolute():
            raise LedgerError("a kept edition names a file outside its folder")
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        count += 1
    return count


def kept(read: Read, digest: str) -> bytes | None:
    """Return what the books keep of the tables with a digest; None: they were activated before books kept any."""
    rows = read("select body from edition_files where digest = ?", (digest,)) if _keeps(read) else ()
    return bytes(rows[0][0]) if rows else None


def named(read: Read, start: str) -> tuple[str, bytes]:
    """Return the digest that begins so, and its files; LedgerError where none or several do."""
    rows = read("select digest, body from edition_files order by number", ()) if _keeps(read) else ()
    found = [(str(digest), bytes(body)) for digest, body in rows if str(digest).startswith(start)]
    if len(found) != 1:
        known = ", ".join(str(digest)[:16] for digest, _ in rows) or "none"
        raise LedgerError(f"{len(found)} kept editions begin with '{start}'; the books keep {known}")
    return found[0]


def spans(read: Read) -> tuple[Span, ...]:
    """Return which tables decide which dates of service, the earliest first; none before the first activation."""
    return spans_of(read("select digest, scope from activation order by number", ()))


def in_force(read: Read, site: Site, over: Sequence[Span] | None = None) -> Site:
    """Return a site whose tables were activated last, with those that still decide earlier dates, from the books."""
    found = spans(read) if over is None else over
    if len(found) < 2 or found[-1].digest != site.digest:
        return site
    earlier = []
    for span, following in pairwise(found):
        assert following.first is not None
        earlier.append((following.first - _DAY, edition(read, span.digest)))
    return site.after(earlier)


def active(read: Read) -> Site | None:
    """Return the site that computes now, as the books keep it; None where nothing was activated or it is not kept."""
    found = spans(read)
    body = kept(read, found[-1].digest) if found else None
    return in_force(read, _loaded(body), found) if body is not None else None


def edition(read: Read, digest: str) -> Site:
    """Return the tables with a digest from the books; LedgerError where they do not keep them."""
    body = kept(read, digest)
    if body is None:
        raise LedgerError(
            f"the books do not keep the files of tables {digest[:16]}, which decide earlier dates of service;"
            " activate them once more from their folder, or activate the new ones with --scope all"
        )
    return _loaded(body)


@lru_cache(8)
def _loaded(body: bytes) -> Site:
    with tempfile.TemporaryDirectory(prefix="radcharge-") as folder:
        mappings = Path(folder) / "mappings"
        written(body, mappings)
        return load_site(mappings)


def _keeps(read: Read) -> bool:
    """Tell whether the books are of a version that keeps files; those that are only read are not brought up."""
    return bool(read("select 1 from sqlite_master where name = 'edition_files'", ()))


def _part(whole: bytes, at: int, end: bytes) -> tuple[bytes, int]:
    head = _HEAD.match(whole, at)
    if head is None:
        raise LedgerError("a kept edition cannot be read; compare the hash chain with `verify`")
    start = head.end()
    stop = start + int(head[1])
    return whole[start:stop], stop + len(end)
