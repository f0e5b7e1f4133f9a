"""The conformance check agrees with hl7apy where hl7apy is right, and is right where it is not."""

import random

import pytest
from hl7apy import load_reference
from hl7apy.parser import parse_message
from hl7apy.validation import Validator

from fhir_radcharge.wire import conformance, er7
from fhir_radcharge.wire.conformance import Finding
from fhir_radcharge.wire.hl7_tables import VERSIONS, segment_rules, structure

LINES = (
    "MSH|^~\\&|RV|LAKESIDE|ENGINE|LAKESIDE|20260312153012||DFT^P03^DFT_P03|C1|P|{version}",
    "EVN|P03|20260312153012",
    "PID|1||10001^^^LAKESIDE^MR||TESTPATIENT^ALDER||19600101|F",
    "PV1|1|O|RADONC^LINAC2",
    "FT1|1|EV-1|B1|20260312|20260312|CG|77412^DELIVERY^C4|D8|D9|2|100.50&USD|50.25&USD|RO|PLAN^X^L|10|RO^L2||O"
    "|C50.412^^I10|9001^TESTDOCTOR|9002^TESTDOCTOR|50.25&USD|FX-17^RV|9003^TESTCLERK|77412^^C4",
)
COMPLETE = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1")  # the versions whose tables have every field


def message(*lines, version="2.5.1"):
    return er7.read_message("".join(line.format(version=version) + "\r" for line in lines).encode())


def found(*lines, version="2.5.1"):
    return [(f.severity, f.place, f.code) for f in conformance.findings(message(*lines, version=version))]


@pytest.mark.parametrize("version", COMPLETE)
def test_our_field_positions_are_those_of_hl7apy(version):
    ours = message(*LINES, version=version)
    kind = "DFT^P03^DFT_P03" if version >= "2.3.1" else "DFT^P03"
    raw = er7.write_message(ours).decode().replace("DFT^P03^DFT_P03", kind)
    theirs = parse_message(raw, find_groups=False)
    segment = ours.first("FT1")

    for number in range(1, 26):
        field = getattr(theirs.ft1, f"ft1_{number}")
        assert segment[number] == field.to_er7(), number
    assert ours.first("PID")[5] == theirs.pid.pid_5.to_er7()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_charge_message_conforms_but_for_fields_the_version_lacks(version):
    ft1 = "FT1|1|EV-1||20260312||CG|77412|||1||||PLAN"
    lines = [*LINES[:2], "PID|1||10001||TESTPATIENT^ALDER||19600101|F", "PV1|1|O|RADONC", ft1]
    lines[0] = lines[0].replace("DFT^P03^DFT_P03", "DFT^P03")

    assert found(*lines, version=version) == []


@pytest.mark.parametrize("version", ["2.6", "2.8", "2.8.1", "2.8.2"])
def test_field_numbers_come_from_names_where_the_tables_leave_fields_out(version):
    rules = segment_rules(version, "FT1")

    assert (rules.by_number[8], rules.by_number[9]) == (None, None)
    assert [rules.by_number[10].number, rules.by_number[25].number] == [10, 25]
    assert found(*LINES, version=version) == []
    assert found(*LINES[:4], "FT1|1|||20260312||CG|1|text|text|one", version=version) == [("error", "FT1-10", "102")]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_required_fields_are_those_of_the_tables(version):
    children = load_reference("FT1", "Segment", version)[1]

    assert [int(c[0][4:]) for c in children if c[2][0]] == list(segment_rules(version, "FT1").required)


@pytest.mark.parametrize("version", VERSIONS[2:])
def test_every_structure_of_the_tables_compiles(version):
    assert structure(version, "DFT_P03")[0].name == "MSH"
    assert (structure(version, "ORM_O01") is None) == (version >= "2.7")  # which withdrew it
    assert structure(version, "DFT_X99") is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (LINES[:4], [("error", "FT1", "101")]),
        ((*LINES[:2], *LINES[3:]), [("error", "PID", "101")]),
        ((*LINES, "BLG|D"), [("error", "BLG", "100")]),
        ((*LINES, "ZZZ|1"), []),
        ((*LINES, LINES[3]), [("error", "PV1[2]", "100")]),
        ((*LINES[:3], LINES[4], LINES[3]), [("warning", "PV1", "100")]),
        ((*LINES, "FT1|2|EV-2||20260312||CG|"), [("error", "FT1[2]-7", "101")]),
        ((*LINES, "FT1|2|EV-2||20260312~20260313||CG|1"), [("error", "FT1[2]-4", "102")]),
        ((*LINES, "FT1|2|EV-2||2026031||CG|1"), [("error", "FT1[2]-4", "102")]),
        ((*LINES, "FT1|2|EV-2||20260312^20269912||CG|1"), [("error", "FT1[2]-4.2", "102")]),
        ((*LINES, 'FT1|2|EV-2||20260312|""|CG|1'), []),
        ((*LINES, "FT1|x|EV-2||20260312||CG|1|||1,5"), [("error", "FT1[2]-1", "102"), ("error", "FT1[2]-10", "102")]),
        ((*LINES, "FT1|2|EV-2||20260312||CG|1|||1|a&USD"), [("error", "FT1[2]-11", "102")]),
        ((*LINES, "FT1|2|EV-2||20260312||CR|1"), [("warning", "FT1[2]-6", "103")]),
        ((*LINES, "PR1|1||77412^^C4||20260312", "ROL|1|AD|AT^X^L|9001"), []),
    ],
)
def test_a_departure_is_found_at_its_place(lines, expected):
    assert expected == found(*lines)


def test_a_finding_says_what_is_wrong_and_never_the_value():
    assert (Finding("FT1[2]-4", "error", "102", "is not a date and time (DTM)"),) == conformance.findings(
        message(*LINES, "FT1|2|EV-2||SECRET||CG|1")
    )


def test_a_message_that_is_wrong_everywhere_is_bounded():
    bad = "FT1|x|EV-2||SECRET|SECRET|XX||||many"

    assert len(found(*LINES, *[bad] * 200, *["PV1|1"] * 200, *["XYZ|1"] * 200)) == conformance.FINDINGS_MAX


def test_we_are_never_laxer_than_hl7apy():
    chance = random.Random(7)
    laxer, refused = [], 0
    for _ in range(80):
        lines = list(LINES)
        for _ in range(chance.randrange(1, 3)):
            n = chance.randrange(1, len(lines))
            fields = lines[n].split("|")
            match chance.randrange(4):
                case 0:
                    del lines[n]
                case 1:
                    lines.insert(n, lines[n])
                case 2:
                    fields[chance.randrange(1, len(fields))] = ""
                    lines[n] = "|".join(fields)
                case _:
                    lines.insert(n, "AL1|1||X")
        ours = message(*lines)
        theirs = parse_message(er7.write_message(ours).decode(), validation_level=2, find_groups=True)
        if not _valid(theirs):
            refused += 1
            laxer += [lines] * (not [f for f in conformance.findings(ours) if f.severity != "information"])

    assert laxer == []
    assert 20 < refused < 80


def _valid(parsed):
    try:
        return Validator.validate(parsed)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not take the message
        return False
