"""A hash chain over the books: every committed batch is tied to the one before it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

from fhir_radcharge.ledger.schema import BOOKS

GENESIS = bytes(32)


class Verdict(NamedTuple):
    """What a walk along the chain found: how many batches and rows, and the first thing that is wrong."""

    batches: int
    rows: int
    problem: str | None


def content_hash(raw: bytes) -> bytes:
    """Return the 16-byte name of some bytes."""
    return blake2b(raw, digest_size=16).digest()


def rows_digest(rows: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """Return the digest of a batch: its rows, table by table in the order of the books."""
    hasher = blake2b(digest_size=32)
    for book in BOOKS:
        found = rows.get(book.name)
        if found:
            hasher.update(book.name.encode())
            # ascii() spells ints, text, bytes and None the same way in every version of Python.
            if book.covered == len(book.columns):
                hasher.update(ascii([tuple(row) for row in found]).encode())
            else:
                hasher.update(ascii([tuple(row[: book.covered]) for row in found]).encode())
    return hasher.digest()


def link(previous: bytes, tops: str, digest: bytes) -> bytes:
    """Return the hash of a batch, which ties it to the hash before it."""
    return blake2b(previous + tops.encode() + digest, digest_size=32).digest()


def verify_chain(connection: sqlite3.Connection) -> Verdict:
    """Walk the whole chain and say the first batch whose rows are not what was committed.

    Cutting off the newest batches as a whole leaves a valid, shorter chain: compare the last hash with one
    noted elsewhere to see that.
    """
    cursors = {
        book.name: connection.execute(f"select {', '.join(book.columns)} from {book.name} order by number")  # noqa: S608
        for book in BOOKS
    }
    tops = [0] * len(BOOKS)
    previous, batches, rows = GENESIS, 0, 0
    for number, told, digest, stored in connection.execute(
        "select number, tops, digest, hash from chain order by number"
    ):
        if number != batches + 1:
            return Verdict(batches, rows, f"batch {batches + 1} is missing")
        found, problem = _batch(cursors, tops, json.loads(told))
        if problem is None and rows_digest(found) != digest:
            problem = "a row was changed"
        if problem is None and link(previous, told, digest) != stored:
            problem = "the link is broken"
        if problem is not None:
            return Verdict(batches, rows, f"batch {number}: {problem}")
        previous, batches, rows = stored, number, rows + sum(map(len, found.values()))
    return Verdict(batches, rows, _left_over(cursors))


def _batch(
    cursors: Mapping[str, sqlite3.Cursor], tops: list[int], told: Sequence[int]
) -> tuple[dict[str, list[tuple[Any, ...]]], str | None]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for i, book in enumerate(BOOKS):
        # A batch of before a book existed tells nothing of it.
        count = (told[i] if i < len(told) else 0) - tops[i]
        if count == 0:
            continue
        rows = cursors[book.name].fetchmany(count)
        if [row[0] for row in rows] != list(range(tops[i] + 1, told[i] + 1)):
            return found, f"a row of {book.name} is missing"
        if book.name == "message" and not _raw_is_kept(rows):
            return found, "the bytes of a message were changed"
        if book.name == "edition_files" and not _files_are_kept(rows):
            return found, "the tables of an edition were changed"
        found[book.name] = rows
        tops[i] = told[i]
    return found, None


def _raw_is_kept(rows: Iterable[tuple[Any, ...]]) -> bool:
    return all(content_hash(row[-1]) == row[5] for row in rows)


def _files_are_kept(rows: Iterable[tuple[Any, ...]]) -> bool:
    try:
        return all(sha256(zlib.decompress(body)).hexdigest() == digest for _, digest, body in rows)
    except zlib.error:
        return False


def _left_over(cursors: Mapping[str, sqlite3.Cursor]) -> str | None:
    for name, cursor in cursors.items():
        if cursor.fetchone() is not None:
            return f"a row of {name} belongs to no batch"
    return None
