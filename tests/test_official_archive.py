"""An archive is believed in nothing: not its names, not its sizes, not its end."""

from __future__ import annotations

import random
import resource
import struct
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from official_files import (
    FILES,
    JUNE,
    MEDICAID_PAIRS,
    NEW_LIMITS,
    NEW_PAIRS,
    OLD_PAIRS,
    OUTPATIENT,
    SEPTEMBER,
    workbook,
    written,
    zipped,
)

from fhir_radcharge.errors import TableError
from fhir_radcharge.official.loading import Summary, import_file
from fhir_radcharge.official.store import OfficialStore

PAIRS = (FILES / OLD_PAIRS).read_bytes()


def taken_zip(folder: Path, content: bytes, name: str = "download.zip") -> Summary:
    store = OfficialStore(":memory:")
    return import_file(written(folder, name, content), store, known_from=JUNE, parts=1)


def refused_zip(folder: Path, content: bytes, name: str = "download.zip") -> str:
    with pytest.raises(TableError) as refused:
        taken_zip(folder, content, name)
    assert list(folder.rglob("*")) == [folder / name]
    return str(refused.value)


def test_a_member_is_read_where_it_lies_and_the_rest_is_named(tmp_path: Path) -> None:
    content = zipped({"readme.pdf": b"x", f"folder/{OLD_PAIRS}": PAIRS, "ccipra-v322r0-f1.xlsx": b"x"})
    summary = taken_zip(tmp_path, content)

    assert (summary.files, summary.rows, summary.aside) == (
        (OLD_PAIRS,), 5, ("readme.pdf", "ccipra-v322r0-f1.xlsx")
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "download.zip"]


def test_of_two_forms_the_csv_is_read_and_of_two_factors_the_usual_one(tmp_path: Path) -> None:
    csv, fixed = (FILES / "PPRRVU2026_Jul_nonQPP.csv").read_bytes(), (FILES / "PPRRVU25_OCT.txt").read_bytes()
    content = zipped({
        "PPRRVU2026_Jul_QPP.csv": csv, "PPRRVU2026_Jul_nonQPP.txt": fixed, "PPRRVU2026_Jul_nonQPP.csv": csv,
    })
    summary = taken_zip(tmp_path, content)

    assert (summary.edition.name, summary.files) == ("pfs-2026-07", ("PPRRVU2026_Jul_nonQPP.csv",))


@pytest.mark.parametrize("name", [
    f"../{OLD_PAIRS}", f"a/../../{OLD_PAIRS}", f"/{OLD_PAIRS}", f"..\\{OLD_PAIRS}", f"C:\\{OLD_PAIRS}",
    f"\\\\host\\{OLD_PAIRS}",
])
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    assert "has a path that leads out of the archive" in refused_zip(tmp_path, zipped({name: PAIRS}))


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    inner = zipped({OLD_PAIRS: PAIRS})

    content = zipped({"inner.zip": inner, OLD_PAIRS: PAIRS})
    assert "is an archive in an archive" in refused_zip(tmp_path, content)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    content = zipped({f"a/{OLD_PAIRS}": PAIRS, f"b/{OLD_PAIRS}": PAIRS})

    assert "two members have one name" in refused_zip(tmp_path, content)


def test_several_editions_in_one_archive_are_refused(tmp_path: Path) -> None:
    content = zipped({OLD_PAIRS: PAIRS, NEW_PAIRS: PAIRS})

    assert "several editions in one archive (ccipra-v322r0, ccipra-v323r0)" in refused_zip(tmp_path, content)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({OLD_PAIRS: PAIRS}))
    content[6] |= 1
    content[content.rfind(b"PK\x01\x02") + 8] |= 1

    assert "is encrypted" in refused_zip(tmp_path, bytes(content))


def test_a_strange_compression_is_refused(tmp_path: Path) -> None:
    content = zipped({OLD_PAIRS: PAIRS}, zipfile.ZIP_LZMA)

    assert "uses an unknown compression" in refused_zip(tmp_path, content)


def test_a_member_that_grows_too_much_is_refused_at_once_and_in_little_memory(tmp_path: Path) -> None:
    content = zipped({OLD_PAIRS: b"\0" * (64 << 20)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    problem = refused_zip(tmp_path, content)

    assert "grows more than 100 times" in problem
    assert time.perf_counter() - begun < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


def test_a_size_that_is_a_lie_is_found_out(tmp_path: Path) -> None:
    content = bytearray(zipped({OLD_PAIRS: b"\0" * 4_000_000}))
    at = content.rfind(b"PK\x01\x02") + 24
    content[at:at + 4] = struct.pack("<I", 1000)

    assert "the archive is damaged" in refused_zip(tmp_path, bytes(content))


def test_an_archive_of_many_members_is_refused_before_it_is_listed(tmp_path: Path) -> None:
    content = zipped({f"{number}.txt": b"" for number in range(300)})

    assert "more than 200 members" in refused_zip(tmp_path, content)


def test_a_zip64_end_is_refused(tmp_path: Path) -> None:
    content = zipped({OLD_PAIRS: PAIRS})
    end = content.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + b"\0" * 16

    assert "more than 200 members" in refused_zip(tmp_path, content[:end] + locator + content[end:])


def test_an_archive_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    content = zipped({OLD_PAIRS: PAIRS})

    for length in range(0, len(content), 7):
        assert "download.zip:0: " in refused_zip(tmp_path, content[:length])


def test_members_that_share_their_bytes_gain_nothing(tmp_path: Path) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(OLD_PAIRS, PAIRS)
        first = archive.infolist()[0]
        for number in range(150):
            copy = zipfile.ZipInfo(f"copy{number}.txt")
            for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)

    assert taken_zip(tmp_path, out.getvalue()).rows == 5


@pytest.mark.parametrize(("before", "problem"), [
    ('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>', "a document type in the workbook"),
    ('<!DOCTYPE x SYSTEM "file:///etc/passwd">', "a document type in the workbook"),
    ("<unclosed>", "not well-formed XML"),
])
def test_a_workbook_with_a_document_type_is_refused(tmp_path: Path, before: str, problem: str) -> None:
    book = workbook([["HCPCS Code", "SI", "APC", "Payment Rate"], ["X1001", "S", "5611", "1"]], before)

    assert problem in refused_zip(tmp_path, book, "OPPS_AddendumB_2026_Jul.xlsx")


def test_a_workbook_that_grows_too_much_is_refused(tmp_path: Path) -> None:
    book = zipped({"xl/worksheets/sheet1.xml": b" " * 10_000_000})

    assert "grows more than 100 times" in refused_zip(tmp_path, book, "OPPS_AddendumB_2026_Jul.xlsx")


@pytest.mark.parametrize("book", [
    zipped({"other.xml": b"<x/>"}),
    zipped({"xl/worksheets/sheet1.xml": b'<worksheet><row><c t="s"><v>7</v></c></row></worksheet>'}),
    zipped({"xl/worksheets/sheet1.xml": b"<worksheet><row><c><v>%s</v></c></row></worksheet>"
            % random.Random(1).randbytes(20_000).hex().encode()}),
    b"PK", b"", b"text",
])
def test_a_workbook_of_another_shape_is_refused(tmp_path: Path, book: bytes) -> None:
    name = "OPPS_AddendumB_2026_Jul.xlsx"

    assert refused_zip(tmp_path, book, name).startswith(f"{name}:")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few of them changed, cut out, doubled, or moved."""
    data = bytearray(content)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        length = chance.randrange(1, 12)
        match chance.randrange(5):
            case 0:
                data[at:at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at:at + length]
            case 2:
                data[at:at] = data[max(0, at - length):at]
            case 3:
                data[at:at] = chance.choice([b"\t", b"\n", b'"', b",", b"\0", b"9", b"\xff", b"PK"])
            case _:
                del data[at:]
    return bytes(data)


def test_ten_thousand_damaged_files_are_read_or_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    plain = {
        name: (FILES / name).read_bytes()
        for name in (OLD_PAIRS, NEW_PAIRS, MEDICAID_PAIRS, NEW_LIMITS, OUTPATIENT, "PPRRVU2025_Oct.csv",
                     "PPRRVU2026_Jul_nonQPP.csv", "PPRRVU25_OCT.txt")
    }
    book = workbook([["HCPCS Code", "SI", "APC", "Payment Rate"], ["X1001", "S", "5611", "1"]])
    files = [*plain.items(), ("download.zip", zipped({OLD_PAIRS: PAIRS})), ("Addendum_B_Jul_2026.xlsx", book),
             ("stored.zip", zipped({OUTPATIENT: plain[OUTPATIENT]}, zipfile.ZIP_STORED))]
    chance = random.Random(20261125)
    read, refusals = 0, []
    for turn in range(10_000):
        if turn % 250 == 0:
            store = OfficialStore(":memory:")
        name, content = files[turn % len(files)]
        path = written(tmp_path, name, damaged(content, chance))
        try:
            import_file(path, store, known_from=SEPTEMBER, parts=1, tolerate=turn % 3, least_share=0)
            read += 1
        except TableError as error:
            refusals.append(str(error))

    assert [text for text in refusals if not text.split(":")[1].isdigit()] == []
    assert (read > 500, len(refusals) > 5_000) == (True, True)
