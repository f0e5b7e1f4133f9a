"""The simulator's FHIR dialect: read in full by the shipped profile, and charged like the same facts said as DFT."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

from http_kit import whole_site

from fhir_radcharge import archive
from fhir_radcharge.engine.fhir_reading import said
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.recoding import Hearing, row_of
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.simulate import courses, messages, run_of, truth
from fhir_radcharge.simulate.fhir_dialect import path_of
from fhir_radcharge.simulate.stream import Run
from fhir_radcharge.wire.fhir.asking import ENTRIES, look
from fhir_radcharge.wire.fhir.http_form import Asked, request_bytes

FOLDER = Path(__file__).parents[1] / "fixtures" / "conversations"
SHIPPED = FOLDER / "bone_over_new_year.fhir.ndjson"
BONE = run_of("torture", 172, date(2025, 12, 22), "bone_2d", courses=1)
RUN = run_of("torture", 3, date(2025, 11, 17), courses=60)
LATER = date(2030, 1, 1)


def heard(run: Run) -> dict[str, dict[str, TreatmentEvent]]:
    """The greatest revision of each event that a run says, by patient; nothing may be a problem."""
    site, found = whole_site(), defaultdict[str, dict[str, TreatmentEvent]](dict)
    for number, message in enumerate(messages(run, "fhir"), 1):
        seen = look(Asked("POST", path_of(message.raw), (), message.raw), site.fhir.senders["rv_fhir"], "R4")
        assert seen.refusal is None
        kept = seen.asked._replace(headers=(*seen.asked.headers, (ENTRIES, "0=1")))
        for reading in said(request_bytes(kept), site, number)[1]:
            assert reading.problems == ()
            known = found[reading.patient]
            for event in reading.events:
                other = known.get(event.id)
                if other is None or (event.revision, event.voided) > (other.revision, other.voided):
                    known[event.id] = event
    return found


def test_every_course_of_a_torture_run_is_charged_as_it_is_reckoned() -> None:
    events = heard(RUN)
    for one in courses(RUN):
        due = charges_due(tuple(events[one.chart.patient.record].values()), whole_site().rulebook, LATER)
        found: Counter[Any] = Counter()
        for line in due.charges:
            name = line.course, line.bill, line.code, "-".join(line.modifiers), line.day, line.hold or "", line.packaged
            found[name] += line.units
        wanted = {
            (line.course, line.bill, line.code, line.modifiers, line.day, line.hold, line.packaged): line.units
            for line in truth(one, LATER)
        }

        assert dict(found) == wanted


def test_the_shipped_conversation_is_what_is_simulated() -> None:
    assert SHIPPED.read_bytes() == b"".join(message.raw + b"\n" for message in messages(BONE, "fhir"))


def test_an_archive_of_either_kind_makes_the_same_due(tmp_path: Path) -> None:
    rows = []
    for name in ("bone_over_new_year.fhir.ndjson", "bone_over_new_year.plain.hl7"):
        hearing = Hearing(whole_site(), tmp_path)
        for file, entry in archive.messages([FOLDER / name], lambda seen: None):
            hearing.hear(file, entry.number, entry.raw)
        assert hearing.parked == []
        lines = [row_of(patient, line) for patient in hearing.patients(LATER, None) for line in patient.due.charges]
        rows.append([{**line, "events": ""} for line in lines])

    assert rows[0] == rows[1]
    assert len(rows[0]) > 10


def test_a_bundle_over_several_lines_is_one_message_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(b'{\n "resourceType": "Bundle",\n "type": "collection"\n}\n')
    (tmp_path / "two.ndjson").write_bytes(b'\xef\xbb\xbf{"a":1}\n\n{"b":2}')

    found = [(one.file, one.entry.raw) for one in archive.messages([tmp_path], lambda seen: None)]

    assert found == [
        ("one.json", b'{\n "resourceType": "Bundle",\n "type": "collection"\n}'),
        ("two.ndjson", b'{"a":1}'), ("two.ndjson", b'{"b":2}'),
    ]  # fmt: skip


def test_a_resource_without_version_or_time_is_as_new_as_its_place_in_the_file(tmp_path: Path) -> None:
    line = next(messages(BONE, "fhir")).raw
    bare = line.replace(line[line.index(b'"meta"') : line.index(b'"contained"')], b"")
    hearing = Hearing(whole_site(), tmp_path)
    for number, raw in enumerate((bare, bare.replace(b'"billable"', b'"entered-in-error"')), 1):
        hearing.hear("x.ndjson", number, raw)

    assert hearing.parked == []
    assert [event.voided for _, record in hearing._records.patients() for event in record.events()] == [True]


if __name__ == "__main__":
    SHIPPED.write_bytes(b"".join(message.raw + b"\n" for message in messages(BONE, "fhir")))
