"""Charge or credit is what the sender's table says, never a guess; a shifted line is explained and parked."""

import pytest
from profiles_rig import message_of, read_by, reading_of, sender_with, told

LINE = "|CG|77412^^C4|||1|"


@pytest.mark.parametrize(
    ("type_", "quantity", "voided"),
    [
        ("CG", "1", False),
        ("CG", "+1", False),
        ("CG", "1.00", False),
        ("CG", "-1", True),
        ("CG", "-1.0", True),
        ("CH", "1", False),
        ("CH", "-1", True),
        ("CD", "1", True),
        ("CD", "-1", True),
        ("CR", "1", True),
        ("CR", "-1", True),
    ],
)
def test_the_senders_table_gives_the_direction(type_: str, quantity: str, voided: bool) -> None:
    reading = reading_of("mosaiq_like", "session_revised", (LINE, f"|{type_}|77412^^C4|||{quantity}|"))

    assert ([event.voided for event in reading.events], reading.problems) == ([voided], ())


@pytest.mark.parametrize("type_", ["PY", "CO"])
def test_payments_are_noticed_and_book_nothing(type_: str) -> None:
    reading = reading_of("mosaiq_like", "session_revised", (LINE, f"|{type_}|77412^^C4|||1|"))

    assert (reading.events, reading.problems, reading.notices) == ((), (), (f"line_ignored: FT1-6 {type_}",))


def test_an_adjustment_waits_for_a_person() -> None:
    assert told(reading_of("aria_like", "adjustment")) == [
        "FT1[1]-6.1: AJ is an adjustment that names no unit of an event; "
        "settle it by hand, or say under line.types of mappings/senders/aria_like.yaml what it is"
    ]


@pytest.mark.parametrize("type_", ["PC", "R", "cg", "CG "])
def test_an_unknown_type_has_no_default(type_: str) -> None:
    reading = reading_of("mosaiq_like", "session_revised", (LINE, f"|{type_}|77412^^C4|||1|"))

    if type_.strip() == "CG":
        assert [event.voided for event in reading.events] == [False]
    else:
        assert (reading.events, [problem.code for problem in reading.problems]) == ((), ["103"])
        assert told(reading) == [
            f"FT1[1]-6: transaction type '{type_}' is not in mappings/senders/mosaiq_like.yaml; "
            "say under line.types whether it is charge, credit, held or ignored, and reread the message"
        ]


def test_a_sender_may_mean_the_opposite_of_the_standard() -> None:
    inverted = sender_with("mosaiq_like", ("CG: charge", "CG: credit"), ("CD: credit", "CD: charge"))

    charge = read_by(inverted)(message_of("mosaiq_like", "session_revised", (LINE, "|CD|77412^^C4|||1|")))
    credit = read_by(inverted)(message_of("mosaiq_like", "session_revised"))

    assert [event.voided for event in (*charge.events, *credit.events)] == [False, True]


def test_a_negative_quantity_is_refused_where_the_profile_says_so() -> None:
    reading = reading_of("aria_like", "session_revised", ("|||1|||4410", "|||-1|||4410"))

    assert told(reading) == [
        "FT1[1]-10.1: the quantity is negative; send the credit as FT1-6 says, "
        "or set line.negative_quantity in mappings/senders/aria_like.yaml"
    ]


def test_a_credit_voids_at_a_greater_revision_with_nothing_but_its_id() -> None:
    first = reading_of("mosaiq_like", "session").events[0]

    (void,) = reading_of("mosaiq_like", "session_credit").events

    assert (void.id, void.voided, void.revision > first.revision) == (first.id, True, True)


def test_a_credit_is_not_lost_for_a_fact_that_cannot_be_read() -> None:
    reading = reading_of("mosaiq_like", "session_credit_by_sign", ("TECHNIQUE=VMAT", "TECHNIQUE=WAVE"))

    assert ([event.voided for event in reading.events], reading.problems) == ([True], ())


def test_a_partial_credit_of_a_session_is_a_problem() -> None:
    half = reading_of("mosaiq_like", "session_credit_by_sign", ("|||-1|", "|||-0.5|"))
    two = reading_of("mosaiq_like", "session_credit_by_sign", ("|||-1|", "|||-2|"))

    assert (half.events, two.events) == ((), ())
    assert told(two) == ["FT1[1]-10.1: a credit of 2 units of one fraction; send one line of one unit for each"]


def test_the_units_of_a_credited_service_are_told() -> None:
    reading = reading_of("mosaiq_like", "service", ("|CG|", "|CD|"), ("|||4|", "|||2|"))

    (void,) = reading.events
    assert (void.voided, void.facts) == (True, {"code": "77334", "units": 2})


def test_a_credit_and_a_new_charge_in_one_message_are_ordered_by_their_turn() -> None:
    text = message_of("aria_like", "session_credit").raw.decode()
    charge = next(
        line for line in message_of("aria_like", "session_revised").raw.decode().split("\n") if line.startswith("FT1")
    )
    both = text.replace("\nIN1|", f"\n{charge.replace('FT1|1|', 'FT1|2|')}\nNTE|1|L|Course 1 Plan P Fx 17\nIN1|")

    credit, again = reading_of("aria_like", "session_credit", (text, both)).events

    assert (credit.id, credit.voided, again.voided, again.revision > credit.revision) == ("918273-1", True, False, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "FT1|1|884900^1|20260312|20260312|CG|77407^^C4|||1|",
            "FT1-5 holds CG where FT1-6 should, and FT1-6 holds something else; "
            "the segment looks shifted by -1 from field 5",
        ),
        (
            "FT1|1||884900^1|B|20260312|20260312|CG|77407^^C4|||1|",
            "FT1-7 holds CG where FT1-6 should, and FT1-6 holds something else; "
            "the segment looks shifted by +1 from field 6",
        ),
        (
            "FT1|1|884900^1|CG|77407^^C4|||1|",
            "FT1-3 holds CG where FT1-6 should, and FT1-6 is empty; the segment looks shifted by -3 from field 3",
        ),
        (
            "FT1|1|884900^1|B|20260312|20260312||77407^^C4|CG||1|",
            "FT1-8 holds CG where FT1-6 should, and FT1-6 is empty; the segment looks shifted by +2 from field 6",
        ),
    ],
)
def test_a_shifted_line_is_explained_and_parked(line: str, words: str) -> None:
    text = message_of("mosaiq_like", "shifted").raw.decode()
    ft1 = next(one for one in text.split("\n") if one.startswith("FT1"))

    reading = reading_of("mosaiq_like", "shifted", (ft1, line))

    assert (reading.events, [problem.place for problem in reading.problems]) == ((), ["FT1[1]-6"])
    assert [problem.problem for problem in reading.problems] == [words]
    assert "it is not re-aligned here" in reading.problems[0].remedy


def test_a_quantity_one_field_early_is_explained_even_where_none_would_mean_one() -> None:
    reading = reading_of("plain", "day_only", ("|CG|FRACTION|", "|CG|FRACTION||1|"))

    assert (reading.events, told(reading)) == (
        (),
        [
            "FT1[1]-10: FT1-9 holds a number where FT1-10 should; the segment looks shifted by -1 from field 9; "
            "correct the field order at the sender and resend; it is not re-aligned here"
        ],
    )


def test_a_missing_type_says_what_to_send() -> None:
    assert told(reading_of("mosaiq_like", "session_revised", (LINE, "||77412^^C4|||1|"))) == [
        "FT1[1]-6: the transaction type is missing; "
        "send one that mappings/senders/mosaiq_like.yaml lists under line.types, such as CG"
    ]
