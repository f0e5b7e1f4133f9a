"""Acknowledgements: what is sent has the message's own shape, and what is received is understood."""

import pytest

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import ack, er7

RAW = b"MSH|^~\\&|RV^1.2^ISO|LAKE|ENGINE|BILL|20260312||DFT^P03^DFT_P03|C\\T\\1|P^T|%s|||%s|||8859/1\rEVN|P03\r"
ERRORS = (MessageError("FT1[2]-6.1", "type 'X|Y' is unknown", "map it", "103"), MessageError("frame", "é", "mend it"))


def heard(version=b"2.5.1", accept=b""):
    return ack.header(RAW % (version, accept))


def test_a_header_is_peeked_at_without_the_rest():
    header = heard(b"2.3", b"AL")

    assert (
        header.sending_application, header.sending_facility, header.receiving_application,
        header.receiving_facility, header.type, header.trigger, header.structure, header.control_id,
        header.processing_id, header.version, header.accept_ack,
    ) == ("RV", "LAKE", "ENGINE", "BILL", "DFT", "P03", "DFT_P03", "C&1", "P", "2.3", "AL")  # fmt: skip


def test_a_control_id_is_never_split():
    raw = (RAW % (b"2.3", b"")).replace(b"C\\T\\1", b"C^1~2&3")
    header = ack.header(raw)

    assert header.control_id == "C^1~2&3"
    assert ack.read_answer(ack.answer(header, "AA", "R1", "20260101")).control_id == "C^1~2&3"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_header_ends_with_its_line(end):
    raw = (RAW % (b"2.3", b"AL")).replace(b"\r", end or b"\r").split(b"EVN")[0].rstrip(b"" if end else b"\r")

    assert ack.header(raw).raw(18) == "8859/1"


def test_bytes_without_msh_have_no_header_but_can_be_rejected():
    with pytest.raises(MessageError):
        ack.header(b"<xml/>")

    assert ack.answer(ack.NO_HEADER, "AR", "R1", "20260101") == b"MSH|^~\\&|||||20260101||ACK|R1||\rMSA|AR\r"


def test_an_answer_of_2_5_and_later_has_one_err_for_each_error():
    assert ack.answer(heard(), "AE", "R1", "20260101", ERRORS) == (
        b"MSH|^~\\&|ENGINE|BILL|RV^1.2^ISO|LAKE|20260101||ACK^P03^ACK|R1|P^T|2.5.1||||||8859/1\r"
        b"MSA|AE|C\\T\\1|FT1[2]-6.1: type 'X\\F\\Y' is unknown; map it\r"
        b"ERR||FT1^2^6^1^1|103^Table value not found^HL70357|E|||type 'X\\F\\Y' is unknown|map it\r"
        b"ERR|||207^Application internal error^HL70357|E|||frame: ?|mend it\r"
    )


@pytest.mark.parametrize(
    ("declared", "echoed"),
    [
        (b"8859/1", b"8859/1"), (b"UNICODE UTF-8", b"UNICODE UTF-8"), (b"utf-8", b"utf-8"), (b"", None),
        (b"~ISO IR87", b"~ISO IR87"), (b"8859/1~ISO IR87", b"8859/1~ISO IR87"), (b"KLINGON", None),
        (b"8859/1~KLINGON", None), (b"UTF-16", None), (b"UNICODE UTF-8<script>", None), (b"utf-8&&^", None),
        (b"8859/1 ' or 1=1", None), (b"\xff\xfe", None), (b"\x1b$B", None), (b"~~", None),
    ],
)  # fmt: skip
def test_an_answer_names_only_a_character_set_that_we_know(declared, echoed):
    raw = (RAW % (b"2.5.1", b"")).replace(b"8859/1", declared)
    fields = ack.answer(ack.header(raw), "AA", "R1", "20260101").split(b"\r")[0].split(b"|")

    assert echoed == (fields[17] if len(fields) > 12 else None)


def test_an_answer_of_2_4_has_all_errors_in_err_1():
    assert (
        ack.answer(heard(b"2.4"), "AE", "R1", "20260101", ERRORS).split(b"\r")[2]
        == b"ERR|FT1^2^6^103&Table value not found&HL70357~^^^207&Application internal error&HL70357"
    )


@pytest.mark.parametrize(
    ("version", "kind"),
    [(b"2.1", b"ACK"), (b"2.2", b"ACK"), (b"2.3", b"ACK^P03"), (b"2.3.1", b"ACK^P03^ACK"), (b"2.8", b"ACK^P03^ACK")],
)
def test_msh_9_of_an_answer_has_the_versions_components(version, kind):
    assert kind == ack.answer(heard(version), "AA", "R1", "20260101").split(b"|")[8]


def test_2_7_has_no_msa_3():
    assert ack.answer(heard(b"2.7"), "AE", "R1", "20260101", ERRORS).split(b"\r")[1] == b"MSA|AE|C\\T\\1"


@pytest.mark.parametrize("version", [b"2.1", b"2.3", b"2.3.1", b"2.4", b"2.5", b"2.8.2", b"", b"x"])
@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
def test_our_own_answer_is_read_back(version, code):
    read = ack.read_answer(ack.answer(heard(version), code, "R1", "20260101", ERRORS))

    assert (code, "C&1", ["103", "207"]) == (read.code, read.control_id, [error.code for error in read.errors])
    assert read.errors[0].place == "FT1[2]-6"


def test_every_segment_of_an_answer_ends_in_cr():
    raw = ack.answer(heard(), "AA", "R1", "20260101")

    assert raw.endswith(b"\r")
    assert [segment[0] for segment in er7.read_message(raw).segments] == ["MSH", "MSA"]


def test_an_answer_keeps_the_senders_delimiters_and_bytes():
    raw = b"MSH#@*!%#R\xc4#L###20260312##DFT@P03#C1#P#2.4\r"

    assert (
        ack.answer(ack.header(raw), "AA", "R#1", "20260101")
        == b"MSH#@*!%###R\xc4#L#20260101##ACK@P03@ACK#R!F!1#P#2.4\rMSA#AA#C1\r"
    )


@pytest.mark.parametrize(
    ("accept", "original", "codes", "answers"),
    [
        (b"", False, ["AA", "AE", "AR"], [True, True, True]),
        (b"AL", False, ["CA", "CE", "CR"], [True, True, True]),
        (b"NE", False, ["CA", "CE", "CR"], [False, False, False]),
        (b"ER", False, ["CA", "CE", "CR"], [False, True, True]),
        (b"SU", False, ["CA", "CE", "CR"], [True, False, False]),
        (b"NE", True, ["AA", "AE", "AR"], [True, True, True]),
        (b"??", False, ["AA", "AE", "AR"], [True, True, True]),
    ],
)
def test_msh_15_decides_mode_and_whether_to_answer(accept, original, codes, answers):
    header = heard(accept=accept)
    kinds = ("accept", "error", "reject")

    assert codes == [ack.answer_code(header, kind, original) for kind in kinds]
    assert answers == [ack.wanted(header, kind, original) for kind in kinds]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"MSH|^~\\&|B\nMSA|aa|C1\n", ("AA", "C1", "")),
        (b"MSH|^~\\&|B\r\nZZZ|1\r\nMSA|AE|C1|no\\F\\way", ("AE", "C1", "no|way")),
        (b"MSH|^~\\&|B\rnot a segment\rMSA|CR| C1 ", ("CR", "C1", "")),
        (b"MSH@^~\\&@B\rMSA@AA@C1", ("AA", "C1", "")),
        (b"MSH|^~\\&|B\rMSA|AA", ("AA", "", "")),
    ],
)
def test_a_strange_answer_is_understood(raw, expected):
    read = ack.read_answer(raw)

    assert (expected, ()) == ((read.code, read.control_id, read.text), read.errors)


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"MSH|^~\\&|B\rERR|1", "MSA"),
        (b"MSH|^~\\&|B\rMSA|OK|1", "MSA-1"),
        (b"MSH|^~\\&|B\rMSA", "MSA-1"),
        (b"\x06", "segment 1"),
        (b"", "segment 1"),
    ],
)
def test_what_is_no_answer_is_an_error_with_its_place(raw, place):
    with pytest.raises(MessageError) as caught:
        ack.read_answer(raw)

    assert place == caught.value.place


def test_an_answer_that_is_cut_short_is_never_taken_for_another():
    whole = ack.answer(heard(), "AE", "R1", "20260101", ERRORS)
    for end in range(len(whole)):
        try:
            read = ack.read_answer(whole[:end])
        except MessageError:
            continue
        assert (read.code, "C&1".startswith(read.control_id[:1])) == ("AE", True)
