"""An official file, as the user downloaded it, into an edition of the store and what it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from ..errors import TableError
from .archive import WORKBOOK_BYTES_MAX, Member, content_hash, line_blocks, opened, text_lines
from .changes import Changes, before, changes
from .limits import csv_records, limit_rows
from .names import PARTS, Kind, Recognised, recognised
from .pairs import PairReader
from .rows import Faults
from .schedules import outpatient_rows, physician_fixed_rows, physician_rows
from .sheet import sheet_records
from .store import BATCH_ROWS, Edition, OfficialStore, Part

Progress = Callable[[int, int | None], None]

# Of one table published in several forms the first is read.
_FORMS = ("csv", "txt", "xlsx")
_Row = TypeVar("_Row")


class Summary(NamedTuple):
    """What an import did: the edition it belongs to, its counts, what was left out, and what changed.

    `missing` are the parts that the edition still waits for; until then it answers nothing. `repeated` means
    that every file was already there and nothing was written. `bad` are the tolerated rows' places, `aside`
    the members that were not read. `changes` is None for a first, repeated or incomplete edition.
    """

    edition: Edition
    files: tuple[str, ...]
    rows: int
    tombstones: int
    bad_rows: int
    bad: tuple[str, ...]
    missing: tuple[int, ...]
    repeated: bool
    aside: tuple[str, ...]
    changes: Changes | None


def unwatched(done: int, total: int | None) -> None:
    """Watch no progress."""


def import_file(
    path: Path,
    store: OfficialStore,
    *,
    known_from: date,
    progress: Progress = unwatched,
    kind: Kind | None = None,
    as_of: date | None = None,
    tolerate: int = 0,
    parts: int | None = None,
    least_share: float = 0.9,
) -> Summary:
    """Import a published file or .zip whole, or nothing of it; TableError names the place and the way out.

    `kind` and `as_of` replace what the name does not say. `parts` is how many files make the edition, where
    that is not the usual number. An edition of fewer rows than `least_share` of the one before is refused:
    it was cut short. `progress` hears bytes done and bytes in all.
    """
    with opened(path) as members:
        chosen, aside = _chosen(members, path.name, kind, as_of)
        whole = sum(member.size for member, _ in chosen)
        with store.writing():
            run = _Run(store, known_from, progress, whole, tolerate)
            for member, said in chosen:
                run.take(member, said, PARTS.get(said.kind, 1) if parts is None else parts)
            return run.summary(aside, least_share)


class _Run:
    """One import under way."""

    def __init__(
        self, store: OfficialStore, known_from: date, progress: Progress, whole: int, tolerate: int
    ) -> None:
        self._store = store
        self._known_from = known_from
        self._progress = progress
        self._whole = whole
        self._tolerate = tolerate
        self._done = 0
        self._taken: list[Part] = []
        self._bad: list[str] = []
        self._files: list[str] = []
        self._edition: Edition | None = None

    def take(self, member: Member, said: Recognised, parts: int) -> None:
        """Read one file into its edition, unless the same bytes are already there."""
        sha256 = content_hash(member)
        self._files.append(member.name)
        repeated = self._repeated(said, sha256)
        if repeated is None:
            edition = self._store.edition_for(said.kind, said.edition, said.as_of, self._known_from, parts)
            if any(part.part == said.part for part in self._store.parts(edition.id)):
                raise TableError(
                    f"{member.name}:0: part {said.part} of {said.edition} is there with other content;"
                    " import the missing parts first, then this one as a correction"
                )
            faults = Faults(member.name, self._tolerate - sum(one.bad_rows for one in self._taken))
            rows, tombstones = self._read(member, said, edition, faults)
            if not rows:
                raise TableError(f"{member.name}:0: no row in it; download it again")
            part = Part(said.part, member.name, sha256, self._known_from, rows, tombstones, faults.count)
            self._edition = self._store.add_part(edition, part)
            self._taken.append(part)
            self._bad += faults.places
        elif self._edition is None:
            self._edition = repeated
        self._done += member.size
        self._progress(self._done, self._whole)

    def summary(self, aside: Sequence[str], least_share: float) -> Summary:
        """Say what was done; TableError where the edition has lost too many rows to be whole."""
        edition = self._edition
        assert edition is not None
        parts = self._store.parts(edition.id)
        changed = None
        if self._taken and edition.complete:
            self._check_share(edition, least_share)
            changed = changes(self._store, edition)
        return Summary(
            edition=edition,
            files=tuple(self._files),
            rows=sum(part.rows for part in self._taken),
            tombstones=sum(part.tombstones for part in self._taken),
            bad_rows=sum(part.bad_rows for part in self._taken),
            bad=tuple(self._bad),
            missing=tuple(sorted(set(range(1, edition.parts + 1)) - {part.part for part in parts})),
            repeated=not self._taken,
            aside=tuple(aside),
            changes=changed,
        )

    def _repeated(self, said: Recognised, sha256: str) -> Edition | None:
        """Return the edition in which the same bytes are. Where one waits for parts, only that one counts:
        a correction of one part needs the others too, even as they were."""
        named = [edition for edition in self._store.editions(said.kind) if edition.name == said.edition]
        waiting = [edition for edition in named if not edition.complete]
        return next(
            (edition for edition in reversed(waiting or named) for part in self._store.parts(edition.id)
             if part.part == said.part and part.sha256 == sha256),
            None,
        )

    def _read(self, member: Member, said: Recognised, edition: Edition, faults: Faults) -> tuple[int, int]:
        store, tombstones = self._store, 0
        with member.open() as stream:
            if said.kind.startswith("ptp"):
                reader = PairReader(faults)
                rows = sum(
                    store.add_pairs(edition.id, said.part, batch, faults)
                    for batch in reader.rows(line_blocks(stream, member.name, self._heard))
                )
                tombstones = reader.tombstones
            elif said.extension == "xlsx":
                sheet = sheet_records(_in_memory(stream, member), member.size, member.name)
                rows = _counted(outpatient_rows(sheet, faults), store.add_fees, edition, faults)
            else:
                lines = text_lines(stream, member.name, self._heard)
                if said.kind.startswith("mue"):
                    rows = _counted(limit_rows(lines, said.kind, faults), store.add_limits, edition, faults)
                elif said.kind == "opps":
                    records = csv_records(lines, member.name)
                    rows = _counted(outpatient_rows(records, faults), store.add_fees, edition, faults)
                else:
                    read = physician_fixed_rows if said.extension == "txt" else physician_rows
                    rows = _counted(read(lines, faults), store.add_fees, edition, faults)
        return rows, tombstones

    def _heard(self, done: int) -> None:
        self._progress(self._done + done, self._whole)

    def _check_share(self, edition: Edition, least_share: float) -> None:
        previous = before(self._store.database, edition)
        if previous is not None and edition.rows < least_share * previous.rows:
            raise TableError(
                f"{self._files[-1]}:0: {edition.rows} rows, where {previous.name} has {previous.rows}; the"
                " file was cut short: download it again, or allow a lesser share if CMS did shorten it"
            )


def _in_memory(stream: IO[bytes], member: Member) -> IO[bytes]:
    """Hold a workbook in memory: it is read from its end, which a compressed member cannot be."""
    if member.size > WORKBOOK_BYTES_MAX:
        raise TableError(f"{member.name}:0: a workbook of more than {WORKBOOK_BYTES_MAX} bytes; take the CSV")
    return BytesIO(stream.read())


def _counted(
    rows: Iterator[_Row],
    add: Callable[[int, Sequence[_Row], Faults], int],
    edition: Edition,
    faults: Faults,
) -> int:
    """Store rows batch by batch and return how many were stored."""
    kept = 0
    while batch := list(islice(rows, BATCH_ROWS)):
        kept += add(edition.id, batch, faults)
    return kept


def _chosen(
    members: Sequence[Member], file: str, kind: Kind | None, as_of: date | None
) -> tuple[list[tuple[Member, Recognised]], list[str]]:
    """Return the members of the one edition in a file, each part in one form, and the names left aside."""
    known = [(member, said) for member in members if (said := _said(member, len(members), kind, as_of))]
    kinds = {said.kind for _, said in known}
    if kinds == {"pfs", "pfs_qpp"}:
        # The two differ in the conversion factor alone, which is not kept.
        known = [(member, said) for member, said in known if said.kind == "pfs"]
    found = {(said.kind, said.edition) for _, said in known}
    if not found:
        raise TableError(
            f"{file}:0: not a name of an official file that is read here; keep the published name,"
            " or state the kind and the first day that it is for"
        )
    if len(found) > 1:
        names = ", ".join(sorted(edition for _, edition in found))
        raise TableError(f"{file}:0: several editions in one archive ({names}); state the kind or repack")
    known.sort(key=lambda pair: (pair[1].part, _FORMS.index(pair[1].extension)))
    chosen = {said.part: (member, said) for member, said in reversed(known)}
    taken = {member.name for member, _ in chosen.values()}
    return [chosen[part] for part in sorted(chosen)], [one.name for one in members if one.name not in taken]


def _said(member: Member, members: int, kind: Kind | None, as_of: date | None) -> Recognised | None:
    said = recognised(member.name)
    if said is not None:
        return said if kind in (None, said.kind) and as_of in (None, said.as_of) else None
    extension = member.name.rpartition(".")[2].lower()
    if members > 1 or kind is None or as_of is None or extension not in _FORMS:
        return None
    return Recognised(kind, f"{kind.replace('_', '-')}-{as_of}", as_of, 1, extension)
