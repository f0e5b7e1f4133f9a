"""Postings leave as each destination wants them, and no value can add a field or a segment."""

from datetime import date
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles_rig import message_of, site
from project import MAPPINGS
from wire_paths import value_at

from fhir_radcharge.chargemaster import ChargeMaster, Row
from fhir_radcharge.errors import MessageError, RuleError, TableError
from fhir_radcharge.model import Charge, Posting
from fhir_radcharge.profiles.destinations import destination_from
from fhir_radcharge.tables.strict_yaml import parse
from fhir_radcharge.wire.destination import Destination
from fhir_radcharge.wire.er7 import Message, read_message
from fhir_radcharge.wire.outbound import message_for
from fhir_radcharge.wire.sender import Sender

AT = "20260313010203+0000"
CHARGE = "ABCDEFGHIJKL"
CREDIT = "MNOPQRSTUVWX"
LINE = Charge(
    "global",
    "C1",
    "77407",
    ("26", "59"),
    date(2026, 3, 12),
    None,
    2,
    "11",
    "1999999984",
    False,
    None,
    "delivery",
    "delivery/C1/1",
    "884512^1",
    ("884512^1",),
    (),
    "5 fractions",
)
POSTED = Posting(CHARGE, "CHARGE", "d", LINE, 2, None, 7, date(2026, 3, 13))
TAKEN_BACK = POSTED._replace(id=CREDIT, kind="CREDIT", units=1, credits=CHARGE)
VERSIONS = ("2.3", "2.3.1", "2.5.1", "2.6", "2.8")
STYLES = ("cd_same_id", "cd_new_id", "cr", "negative_quantity", "credit_and_charge")


class Books:
    """A site of one destination, with one row in its charge master."""

    chargemaster = ChargeMaster(
        {("d", "77407", "*"): [Row(date(2026, 1, 1), None, "RT|407", "4410", "0333", Decimal("310.50"))]}
    )

    def sender_named(self, application: str, facility: str) -> Sender | None:
        return site().sender_named(application, facility)


def destination(version: str = "2.5.1", credit: str = "cd_same_id", fields: str = "", more: str = "") -> Destination:
    types = {"negative_quantity": "{charge: CG, credit: CG}", "cr": "{charge: CG, credit: CR}"}
    text = f"""
destination: d
bills: [global]
connections: 1
on_ambiguous: hold
answers: {{accepted: [AA], refused: [AE], not_taken: [AR]}}
needs_charge_code: true
per_message: many
refuses: messages
credit: {credit}
types: {types.get(credit, "{charge: CG, credit: CD}")}
delimiters: "|^~\\\\&"
version: "{version}"
header: {{sending_application: RADCHARGE, sending_facility: LAKESIDE, receiving_application: PB,
          receiving_facility: "A|B", processing_id: P, charset: UNICODE UTF-8, accept_ack: "", application_ack: ""}}
segments: [PID, PV1, GT1, IN1]
fields:
  FT1-1: set_id
  FT1-2: transaction_id
  FT1-3: posting_day
  FT1-4: service_dates
  FT1-5: posting_day
  FT1-6: type
  FT1-7: charge_code
  FT1-10: units
  FT1-11: amount
  FT1-13: department
  FT1-16: location
  FT1-19: diagnoses
  FT1-20: rendering
  FT1-21: ordering
  FT1-22: price
  FT1-23: reference
  FT1-25: code
  FT1-26: modifiers
  ZFT-1: revenue_code
  ZFT-2: place_of_service
  NTE-1: set_id
  NTE-3: note
{fields}
{more}
"""
    return destination_from(parse(text, "d.yaml"), "d.yaml", "")


def sent(postings: tuple[Posting, ...], to: Destination, heard: Message | None = None) -> Message:
    heard = heard or message_of("mosaiq_like", "session")
    return read_message(message_for(postings, to, heard, "CONTROL-1", AT, Books()))


WANTED = {
    "MSH-3": "RADCHARGE",
    "MSH-4": "LAKESIDE",
    "MSH-5": "PB",
    "MSH-6": "A|B",
    "MSH-7": AT,
    "MSH-9.1": "DFT",
    "MSH-9.2": "P03",
    "MSH-10": "CONTROL-1",
    "MSH-11": "P",
    "MSH-18": "UNICODE UTF-8",
    "EVN-2": AT,
    "PID-3": "RO0012345",
    "PID-18": "V2026000777",
    "PV1-19": "V2026000777",
    "IN1-2": "MCARE",
    "IN1-14": "AUTH-55120",
    "FT1-1": "1",
    "FT1-3": "20260313",
    "FT1-4": "20260312",
    "FT1-5": "20260313",
    "FT1-7": "RT|407",
    "FT1-8": "",
    "FT1-9": "",
    "FT1-13": "4410",
    "FT1-16.1": "RADONC",
    "FT1-16.2": "LINAC2",
    "FT1-19": "C50.412",
    "FT1-19.3": "I10",
    "FT1-20": "1999999984",
    "FT1-20.2": "CURIE",
    "FT1-21": "1999999976",
    "FT1-22": "310.50",
    "FT1-25": "77407",
    "FT1-25.3": "C4",
    "FT1-26": "26",
    "FT1-26[2]": "59",
    "ZFT-1": "0333",
    "ZFT-2": "11",
    "NTE-3": "5 fractions",
}


@pytest.mark.parametrize(("version", "style"), list(product(VERSIONS, STYLES)))
def test_a_charge_can_be_read_back_in_every_version_and_style(version: str, style: str) -> None:
    message = sent((POSTED,), destination(version, style))

    told = {
        path: value_at(message, path) for path in (*WANTED, "FT1-2", "FT1-6", "FT1-10", "FT1-11", "FT1-23", "MSH-12")
    }
    assert told == WANTED | {
        "FT1-2": CHARGE,
        "FT1-6": "CG",
        "FT1-10": "2",
        "FT1-11": "621.00",
        "FT1-23": "",
        "MSH-12": version,
    }


@pytest.mark.parametrize(
    ("style", "id_", "type_", "units", "amount"),
    [
        ("cd_same_id", CHARGE, "CD", "1", "310.50"),
        ("cd_new_id", CREDIT, "CD", "1", "310.50"),
        ("cr", CHARGE, "CR", "1", "310.50"),
        ("negative_quantity", CREDIT, "CG", "-1", "-310.50"),
        ("credit_and_charge", CHARGE, "CD", "1", "310.50"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_credit_can_be_read_back_in_every_version_and_style(
    version: str, style: str, id_: str, type_: str, units: str, amount: str
) -> None:
    message = sent((TAKEN_BACK,), destination(version, style))

    told = {path: value_at(message, path) for path in (*WANTED, "FT1-2", "FT1-6", "FT1-10", "FT1-11", "FT1-23")}
    assert told == WANTED | {"FT1-2": id_, "FT1-6": type_, "FT1-10": units, "FT1-11": amount, "FT1-23": CHARGE}


def test_a_payer_may_want_the_quantity_of_a_credit_with_a_minus_sign() -> None:
    message = sent((TAKEN_BACK._replace(negative=True),), destination())

    assert [value_at(message, path) for path in ("FT1-6", "FT1-10", "FT1-11")] == ["CD", "-1", "-310.50"]


@pytest.mark.parametrize(
    ("version", "event", "structure"),
    [("2.3", "P03", ""), ("2.3.1", "P03", "DFT_P03"), ("2.6", "P03", "DFT_P03"), ("2.8", "", "DFT_P03")],
)
def test_the_header_is_the_versions(version: str, event: str, structure: str) -> None:
    message = sent((POSTED,), destination(version))

    assert (value_at(message, "EVN-1"), value_at(message, "MSH-9.3")) == (event, structure)


def test_segments_stand_in_the_order_of_the_standard() -> None:
    message = sent((TAKEN_BACK, POSTED._replace(id="SECOND")), destination(credit="credit_and_charge"))

    assert [segment[0] for segment in message.segments] == [
        "MSH",
        "EVN",
        "PID",
        "PV1",
        "FT1",
        "ZFT",
        "NTE",
        "FT1",
        "ZFT",
        "NTE",
        "IN1",
    ]
    assert [value_at(message, f"FT1[{n}]-{field}") for n in (1, 2) for field in (1, 2, 6)] == [
        "1",
        CHARGE,
        "CD",
        "2",
        "SECOND",
        "CG",
    ]


def test_a_span_of_dates_is_a_range_from_2_5_and_a_note_before() -> None:
    span = POSTED._replace(line=LINE._replace(end=date(2026, 3, 16)))

    new, old = sent((span,), destination("2.5.1")), sent((span,), destination("2.3"))

    assert [value_at(new, path) for path in ("FT1-4.1", "FT1-4.2", "NTE-3")] == ["20260312", "20260316", "5 fractions"]
    assert [value_at(old, path) for path in ("FT1-4.1", "FT1-4.2", "NTE-3")] == [
        "20260312",
        "",
        "5 fractions; service dates 20260312 to 20260316",
    ]


def test_the_revenue_code_has_its_own_field_from_2_7() -> None:
    assert value_at(sent((POSTED,), destination("2.8", fields="  FT1-41: revenue_code")), "FT1-41") == "0333"
    with pytest.raises(TableError, match=r"FT1-41 does not exist in 2\.6; use a Z field"):
        destination("2.6", fields="  FT1-41: revenue_code")


def test_the_withdrawn_descriptions_are_refused_from_2_6() -> None:
    assert value_at(sent((POSTED,), destination("2.5.1", fields="  FT1-8: bill")), "FT1-8") == "global"
    with pytest.raises(TableError, match=r"FT1-8 is withdrawn in 2\.6; leave it out"):
        destination("2.6", fields="  FT1-8: bill")


def test_money_may_name_its_currency() -> None:
    message = sent((POSTED,), destination(more='currency: "USD"'))

    assert [value_at(message, path) for path in ("FT1-22.1.1", "FT1-22.1.2", "FT1-11.1.1")] == [
        "310.50",
        "USD",
        "621.00",
    ]


def test_only_listed_segments_leave() -> None:
    shipped = site().destinations["facility_biller"]
    line = LINE._replace(bill="facility", code="77412")
    message = read_message(
        message_for((POSTED._replace(line=line),), shipped, message_of("mosaiq_like", "session"), "C", AT, site())
    )

    assert [segment[0] for segment in message.segments] == ["MSH", "EVN", "PID", "PV1", "FT1", "ZFT", "NTE"]


def test_of_several_lines_the_one_that_told_the_event_is_copied() -> None:
    heard = message_of(
        "mosaiq_like",
        "session",
        (
            "C50.412^^I10|1999999984^CURIE^MARIA^^^^MD|1999999976^REFER^RALPH^^^^MD||FX-000412-17||77387",
            "C61^^I10||||FX||77387",
        ),
    )
    second = POSTED._replace(line=LINE._replace(dated_by="884512^2"))
    nobody = POSTED._replace(line=LINE._replace(dated_by="884512^9"))

    assert [value_at(sent((one,), destination(), heard), "FT1-19") for one in (POSTED, second, nobody)] == [
        "C50.412",
        "C61",
        "",
    ]


def test_diagnoses_are_copied_in_order() -> None:
    heard = message_of("aria_like", "port_image", ("C61^^I10C", "C61^^I10C~C79.51^^I10C"))

    message = sent((POSTED,), destination(), heard)

    assert [value_at(message, f"FT1-19[{n}]") for n in (1, 2)] == ["C61", "C79.51"]


def test_a_rendering_physician_whom_the_message_does_not_name_leaves_as_an_id_alone() -> None:
    other = POSTED._replace(line=LINE._replace(provider="1999999001"))

    assert [value_at(sent((other,), destination()), f"FT1-20.{n}") for n in (1, 2)] == ["1999999001", ""]
    assert value_at(sent((POSTED._replace(line=LINE._replace(provider=None)),), destination()), "FT1-20") == ""


def test_other_delimiters_are_translated_value_by_value() -> None:
    text = message_of("mosaiq_like", "session").raw.decode().replace("|", "!").replace("^", "%").replace("~", "*")
    text = text.replace("TESTONLY%MARGARET", "TEST^ONLY|%MAR\\S\\GARET\\F\\")

    message = sent((POSTED,), destination(), read_message(text.encode()))

    assert {path: value_at(message, path) for path in WANTED} == WANTED
    assert [value_at(message, path) for path in ("PID-5.1", "PID-5.2")] == ["TEST^ONLY|", "MAR%GARET!"]


WITH_COURSE = destination(fields="  ZFT-3: course")
_ANYTHING = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(_ANYTHING, _ANYTHING)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_no_value_can_add_a_field_or_a_segment(course: str, provider: str) -> None:
    posting = POSTED._replace(line=LINE._replace(course=course, provider=provider, note=course))
    raw = message_for((posting,), WITH_COURSE, message_of("mosaiq_like", "session"), provider, AT, Books())

    message = read_message(raw)

    assert [segment[0] for segment in message.segments] == ["MSH", "EVN", "PID", "PV1", "FT1", "ZFT", "NTE", "IN1"]
    assert value_at(message, "ZFT-3") == course
    assert value_at(message, "NTE-3") == course
    assert value_at(message, "FT1-20") == provider
    assert value_at(message, "MSH-10") == provider
    assert b"\x0b" not in raw
    assert b"\x1c" not in raw


@given(st.text(st.sampled_from('AB \\^&~|!%*#FSTRE.X0D1BZ"\x0b\x1cé'), max_size=30))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_a_copied_field_cannot_add_a_segment_either(name: str) -> None:
    inside = name.replace("!", "")
    text = message_of("mosaiq_like", "session").raw.decode().replace("|", "!").replace("TESTONLY", inside)

    raw = message_for((POSTED,), destination(), read_message(text.encode()), "C", AT, Books())

    message = read_message(raw)
    assert [segment[0] for segment in message.segments] == ["MSH", "EVN", "PID", "PV1", "FT1", "ZFT", "NTE", "IN1"]
    assert (value_at(message, "PID-3"), value_at(message, "PID-18")) == ("RO0012345", "V2026000777")
    assert b"\x0b" not in raw
    assert b"\x1c" not in raw


def test_the_same_arguments_give_the_same_bytes() -> None:
    heard = message_of("mosaiq_like", "session")

    assert message_for((POSTED,), destination(), heard, "C", AT, Books()) == message_for(
        (POSTED,), destination(), heard, "C", AT, Books()
    )


def test_a_line_without_a_charge_code_does_not_leave_where_one_is_needed() -> None:
    with pytest.raises(RuleError, match=r"d: the charge master has no charge code for 77417; add a row"):
        sent((POSTED._replace(line=LINE._replace(code="77417")),), destination())


def test_a_character_outside_the_receivers_set_is_refused_with_the_way_out() -> None:
    text = (
        (MAPPINGS / "destinations" / "facility_biller.yaml")
        .read_text(encoding="utf-8")
        .replace("charset: UNICODE UTF-8", "charset: ASCII")
    )
    ascii_only = destination_from(parse(text, "f.yaml"), "f.yaml", "")
    heard = message_of("mosaiq_like", "session", ("TESTONLY", "TESTÉ"))

    with pytest.raises(MessageError) as caught:
        message_for((POSTED,), ascii_only, heard, "C", AT, site())

    assert str(caught.value) == (
        "MSH-18: a character of the message does not exist in the character set of facility_biller; "
        "set header.charset of f.yaml to UNICODE UTF-8"
    )


def test_a_receivers_answer_means_what_its_profile_says() -> None:
    to = site().destinations["global_biller"]

    assert [to.answer_kind(code) for code in ("AA", "CA", "AE", "CE", "AR", "CR", "ZZ", "")] == [
        "accepted",
        "accepted",
        "refused",
        "refused",
        "not_taken",
        "not_taken",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("FT1-7: charge_code_or_code", "FT1-7: charge_kode", "'charge_kode' is no value"),
        ("FT1-7: charge_code_or_code", "FT1-7: charge_code", "charge_code needs `needs_charge_code: true`"),
        ("FT1-4: service_dates", "FT1-40: service_dates", "FT1-40 does not exist in 2.3"),
        ("FT1-4: service_dates", "FT1-5: service_dates", "key 'FT1-5' stands twice"),
        ('version: "2.3"', 'version: "2.1"', "in 2.1 the quantity is FT1-11 and FT1-10 is the amount"),
        ("credit: cd_same_id", "credit: negative_quantity", "make both types alike"),
        ("charge: CG, credit: CD", "charge: CG, credit: CG", "only negative_quantity tells them apart"),
        ("segments: [PID, PV1]", "segments: [PID, OBX]", "OBX cannot be copied"),
        ('version: "2.3"', 'version: "2.9"', "version is one of"),
        ('version: "2.3"', "version: 2.3", "write the code in quotes"),
        ('delimiters: "|^~\\\\&"', 'delimiters: "|^~^&"', "five different characters"),
        ("on_ambiguous: resend", "on_ambiguous: guess", "on_ambiguous"),
        ("per_message: one", "per_mesage: one", "did you mean 'per_message'?"),
    ],
)
def test_a_wrong_destination_is_told_with_its_line(old: str, new: str, told: str) -> None:
    text = (MAPPINGS / "destinations" / "facility_biller.yaml").read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new, 1)

    with pytest.raises(TableError) as caught:
        destination_from(parse(text, "f.yaml"), "f.yaml", "")

    assert told in str(caught.value)
    assert all(one.startswith("f.yaml:") for one in str(caught.value).splitlines())
