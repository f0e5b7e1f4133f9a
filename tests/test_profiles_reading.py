"""Messages of the three shipped dialects become events, whole and exact."""

from datetime import date

import pytest
from profiles_rig import message_of, read_by, reading_of, sender_with, site, told

from fhir_radcharge.model import Place, Reported, TreatmentEvent
from fhir_radcharge.wire.dft import read_dft
from fhir_radcharge.wire.er7 import read_message

OFFICE = Place("freestanding", "on", "single")
SPLIT = Place("freestanding", "on", "split")
HOSPITAL = Place("hospital", "on", "single")
CURIE = "1999999984"
MOSAIQ_SENT = 63909030612000000  # EVN-2 20260312153012 in Chicago


def mosaiq(
    id_: str, kind: str, minute: int | None, facts: dict[str, object], code: str, **more: object
) -> TreatmentEvent:
    event = TreatmentEvent(
        "mosaiq_like",
        id_,
        kind,
        date(2026, 3, 12),
        minute,
        "C1",
        facts,
        OFFICE,
        "outpatient",
        "medicare",
        Reported(code, (), 1),
        CURIE,
        frozenset(),
        (0, MOSAIQ_SENT, 0),
        False,
        7,
    )  # type: ignore[arg-type]
    return event._replace(**more)  # type: ignore[arg-type]


def test_a_mosaiq_like_session_with_its_images_is_read_whole() -> None:
    reading = reading_of("mosaiq_like", "session")

    assert (reading.patient, reading.account, reading.problems, reading.notices) == ("RO0012345", "V2026000777", (), ())
    assert reading.events == (
        mosaiq(
            "884512^1",
            "fraction",
            914,
            {
                "fraction_number": 17,
                "prescribed_fractions": 25,
                "plan": "LBREAST",
                "site": "l breast",
                "beam": True,
                "technique": "imrt",
                "energy_mv": 6,
                "isocenters": 1,
                "motion": "active",
                "motion_documented": True,
            },
            "77407",
        ),
        mosaiq(
            "884512^2",
            "guidance",
            910,
            {"modality": "ct", "fraction": "884512^1", "approved_at": "2026-03-12T16:45", "approver": "physician"},
            "77387",
            reported=Reported("77387", ("26",), 1),
        ),
        mosaiq("884512^3", "port_image", 911, {"gantry_angles": [0, 90, 180]}, "77417"),
    )


def test_an_aria_like_session_with_guidance_is_read_whole() -> None:
    reading = reading_of("aria_like", "session")

    fraction, guidance = reading.events
    assert (reading.patient, reading.account, reading.problems, reading.notices) == ("RO0012346", "V2026000778", (), ())
    assert fraction == TreatmentEvent(
        "aria_like",
        "918273-1",
        "fraction",
        date(2026, 3, 12),
        914,
        "1",
        {
            "plan": "Prostate_VMAT",
            "fraction_number": 17,
            "prescribed_fractions": 28,
            "site": "prostate",
            "technique": "imrt",
            "energy_mv": 6,
            "isocenters": 1,
            "motion": "none",
            "level": 3,
        },
        HOSPITAL,
        "outpatient",
        "unitedhealthcare",
        Reported("77407", (), 1),
        CURIE,
        frozenset(),
        fraction.revision,
        False,
        7,
    )
    assert guidance == fraction._replace(
        id="918273-2",
        kind="guidance",
        minute=910,
        reported=Reported("77387", ("26",), 1),
        facts={"modality": "ct", "fraction": "918273-1", "approved_at": "2026-03-12T17:00", "approver": "physician"},
    )


def test_a_plain_session_with_guidance_is_read_whole() -> None:
    reading = reading_of("plain", "session")

    fraction, guidance = reading.events
    assert (reading.patient, reading.account, reading.problems, reading.notices) == (
        "P-0007",
        "ACC-7",
        (),
        ("payer_unknown",),
    )
    assert fraction == TreatmentEvent(
        "plain",
        "E-17",
        "fraction",
        date(2026, 3, 12),
        600,
        "C1",
        {
            "plan": "P1",
            "fraction_number": 3,
            "prescribed_fractions": 5,
            "site": "brain",
            "technique": "sbrt",
            "isocenters": 1,
        },
        SPLIT,
        "outpatient",
        "medicare",
        None,
        CURIE,
        frozenset(),
        fraction.revision,
        False,
        7,
    )
    assert guidance == fraction._replace(
        id="E-18",
        kind="guidance",
        minute=595,
        facts={"modality": "stereoscopic_xray", "approved_at": "2026-03-12T12:00", "approver": "physician"},
    )


@pytest.mark.parametrize(
    ("sender", "name", "kind", "facts", "provider"),
    [
        ("mosaiq_like", "weekly_examination", "exam", {"by": "physician"}, CURIE),
        ("mosaiq_like", "physics_check", "physics_check", {}, CURIE),
        ("mosaiq_like", "prescription", "prescription", {"prescribed_fractions": 25}, CURIE),
        ("mosaiq_like", "late_approval", "approval", {"of": "884512^2", "approver": "physician"}, CURIE),
        ("mosaiq_like", "course_closed", "course_closed", {"reason": "completed"}, CURIE),
        (
            "mosaiq_like",
            "service",
            "service",
            {"plan": "LBREAST", "documented": True, "code": "77334", "units": 4},
            CURIE,
        ),
        ("aria_like", "weekly_examination", "exam", {"by": "np"}, "1999999968"),
        ("aria_like", "port_image", "port_image", {"gantry_angles": [0, 90, 270]}, CURIE),
        (
            "aria_like",
            "service",
            "service",
            {"plan": "Prostate_VMAT", "documented": True, "code": "77301", "units": 1},
            CURIE,
        ),
        ("aria_like", "late_approval", "approval", {"of": "918273-2", "approver": "other"}, CURIE),
        ("aria_like", "course_closed", "course_closed", {"reason": "stopped"}, CURIE),
        ("plain", "reported_line", "reported", {"code": "77373", "units": 1}, CURIE),
        ("plain", "day_only", "fraction", {"fraction_number": 4, "technique": "sbrt"}, CURIE),
    ],
)
def test_every_kind_of_event_is_read(
    sender: str, name: str, kind: str, facts: dict[str, object], provider: str
) -> None:
    reading = reading_of(sender, name)

    (event,) = reading.events
    assert (event.kind, event.facts, event.provider, reading.problems) == (kind, facts, provider, ())


def test_a_stated_level_is_read_on_the_dates_for_which_the_code_states_it() -> None:
    later = reading_of("mosaiq_like", "stated_level_only").events[0].facts
    earlier = reading_of("mosaiq_like", "stated_level_only", ("START=20260312", "START=20250312")).events[0].facts

    assert (later["level"], later.get("complexity")) == (3, None)
    assert (earlier.get("level"), earlier["complexity"]) == (None, "complex")


def test_the_messages_own_word_goes_before_the_activity_code() -> None:
    reading = reading_of("mosaiq_like", "stated_level_only", ("TECHNIQUE=3D", "TECHNIQUE=3D|LEVEL=2"))

    assert reading.events[0].facts["level"] == 2


def test_a_session_late_in_the_evening_elsewhere_is_the_facilitys_day() -> None:
    (event,) = reading_of("aria_like", "late_evening_elsewhere").events

    assert (event.day, event.minute) == (date(2026, 3, 12), 23 * 60 + 20)


@pytest.mark.parametrize(("name", "word"), [("clock_put_back", "twice"), ("clock_put_forward", "leaves out")])
def test_a_clock_time_that_names_no_moment_parks_the_message(name: str, word: str) -> None:
    reading = reading_of("plain", name)

    assert (reading.events, len(reading.problems)) == ((), 1)
    assert word in told(reading)[0]


def test_a_revision_is_greater_than_what_it_revises_and_a_repeat_is_equal() -> None:
    first = reading_of("mosaiq_like", "session").events[0]
    revised = reading_of("mosaiq_like", "session_revised").events[0]
    again = reading_of("mosaiq_like", "session").events[0]

    assert (revised.id, revised.facts["isocenters"], revised.revision > first.revision) == (first.id, 2, True)
    assert again == first


def test_a_revision_number_goes_before_the_time_and_must_then_be_there() -> None:
    numbered = sender_with("mosaiq_like", ("number: []", 'number: ["ZCH:REV"]'))

    second = read_by(numbered)(message_of("mosaiq_like", "session_revised", ("STATUS=", "REV=1|STATUS="))).events[0]
    first = read_by(numbered)(message_of("mosaiq_like", "stated_level_only", ("STATUS=", "REV=2|STATUS="))).events[0]
    missing = read_by(numbered)(message_of("mosaiq_like", "session_revised"))

    assert first.revision > second.revision
    assert [problem.problem for problem in missing.problems] == ["the revision number is missing"]


def test_what_a_line_must_carry_and_does_not_is_said_of_the_event() -> None:
    bare = reading_of(
        "mosaiq_like",
        "session_revised",
        ("C50.412^^I10", ""),
        ("|1999999984^CURIE^MARIA^^^^MD|1999999976^REFER^RALPH^^^^MD||FX", "||||FX"),
        ("1999999976^REFER^RALPH^^^^MD||RAD", "||RAD"),
    )

    (event,) = bare.events
    assert (event.lacks, event.provider) == (frozenset({"diagnosis", "rendering_npi", "ordering_npi"}), None)


def test_a_diagnosis_of_the_message_serves_its_lines() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("C50.412^^I10", ""), ("IN1|", "DG1|1||C50.412^^I10\nIN1|"))

    assert reading.events[0].lacks == frozenset()


@pytest.mark.parametrize(
    ("plan", "payer", "notices"), [("MCARE", "medicare", ()), ("CPTSET", "cpt_set", ()), ("NOBODY", "unmapped", ())]
)
def test_the_plan_names_the_payer_profile(plan: str, payer: str, notices: tuple[str, ...]) -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("IN1|1|MCARE^", f"IN1|1|{plan}^"), ("|MCARE01|", "||"))

    assert (reading.events[0].payer, reading.notices) == (payer, notices)


def test_without_a_plan_the_declared_payer_is_taken_and_noticed() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("IN1|1|MCARE^SAMPLE PLAN|MCARE01|", "IN1|1|||"))

    assert (reading.events[0].payer, reading.notices) == ("medicare", ("payer_unknown",))


def test_a_location_without_a_row_is_an_unknown_setting() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("RADONC^LINAC2", "NEWPLACE^LINAC2"))

    assert (reading.events[0].place, reading.notices) == (Place("unknown"), ("setting_unknown",))


def test_a_patient_class_without_a_meaning_parks_the_message() -> None:
    reading = reading_of("mosaiq_like", "session", ("PV1|1|O|", "PV1|1|X|"))

    assert (reading.events, told(reading)) == (
        (),
        [
            "PV1-2: patient class 'X' is not in mappings/senders/mosaiq_like.yaml; "
            "add it under message.patient_class and reread the message"
        ],
    )


def test_an_inpatient_is_read_as_one() -> None:
    assert reading_of("mosaiq_like", "session", ("PV1|1|O|", "PV1|1|I|")).events[0].patient_class == "inpatient"


def test_each_line_reads_only_its_own_segments() -> None:
    reading = reading_of("aria_like", "session", ("OBX|2|ST|Fraction||918273-1", "OBX|2|ST|Site||elsewhere"))

    fraction, guidance = reading.events
    assert (fraction.facts["site"], sorted(guidance.facts)) == ("prostate", ["approved_at", "approver", "modality"])


def test_observations_before_the_first_line_serve_all_lines() -> None:
    reading = reading_of("aria_like", "session", ("FT1|1|", "OBX|1|ST|Phase||boost\nFT1|1|"))

    assert reading.events[0].facts["phase"] == "boost"


def test_insurance_inside_a_p11_line_is_that_lines() -> None:
    reading = reading_of(
        "aria_like", "session", ("DFT^P03^DFT_P03", "DFT^P11^DFT_P11"), ("\nFT1|2|", "\nIN1|1|CPTSET\nFT1|2|")
    )

    assert [event.payer for event in reading.events] == ["cpt_set", "unitedhealthcare"]


def test_a_line_that_another_line_already_says_is_noticed_only() -> None:
    reading = reading_of("mosaiq_like", "session", ("RO-IGRT-P", "RO-IGRT-T"))

    assert ([event.kind for event in reading.events], reading.notices) == (
        ["fraction", "port_image"],
        ("line_ignored: another line says it",),
    )


def test_a_key_that_no_path_reads_is_noticed() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("TECHNIQUE=VMAT", "TECNIQUE=VMAT"))

    assert (reading.notices, "technique" in reading.events[0].facts) == (("key_not_read: ZCH:TECNIQUE",), False)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "TECHNIQUE=VMAT",
            "TECHNIQUE=WAVE",
            "FT1[1] TECHNIQUE: technique 'WAVE' is not in mappings/senders/mosaiq_like.yaml; "
            "add it under facts.technique.values and reread the message",
        ),
        ("ENERGY=6X", "ENERGY=SIX", "FT1[1] ENERGY: energy_mv is not a number; send digits, and a point if needed"),
        ("ISO=2", "ISO=2|ISO=3", "FT1[1] ZCH:ISO: is stated twice, differently; send it once"),
        ("RO-TX|", "|", "FT1[1] ZCH-3.1: the activity code is missing; send it"),
        ("884512^1|B", "|B", "FT1[1]-2.*: the event's id is missing; send an id that no other event has"),
        ("|||1||||||RADONC", "|||||||||RADONC", "FT1[1]-10: the quantity is missing; send the number of units"),
        ("|||1||||||RADONC", "|||0||||||RADONC", "FT1[1]-10.1: the quantity is zero; send the number of units"),
        (
            "|||1||||||RADONC",
            "|||0.5||||||RADONC",
            "FT1[1]-10: the quantity is not a whole number of units; send digits such as 1",
        ),
        (
            "|||1||||||RADONC",
            "|||2||||||RADONC",
            "FT1[1]-10.1: a fraction of 2 units; send one line of one unit for each",
        ),
        (
            "RO0012345^^^LAKESIDE^MR~",
            "",
            "PID-3: the patient's id is missing; send it where mappings/senders/mosaiq_like.yaml says",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_place_and_way_out(old: str, new: str, problem: str) -> None:
    reading = reading_of("mosaiq_like", "session_revised", (old, new))

    assert (reading.events, told(reading)) == ((), [problem])


def test_an_unknown_activity_parks_the_message_and_its_other_lines_are_read() -> None:
    reading = reading_of("mosaiq_like", "unknown_activity")

    assert [event.id for event in reading.events] == ["884901^2"]
    assert told(reading) == [
        "FT1[1] ZCH-3.1: activity code 'RO-NEW' is not in mappings/senders/mosaiq_like.yaml; "
        "add it under activities and reread the message"
    ]
    assert [problem.code for problem in reading.problems] == ["103"]


def test_an_id_that_stands_on_two_different_lines_is_refused() -> None:
    reading = reading_of("mosaiq_like", "session", ("884512^2", "884512^1"))

    assert [event.kind for event in reading.events] == ["fraction", "port_image"]
    assert told(reading) == [
        "FT1[2]-2.*: the event's id stands on FT1[1] too, for something else; "
        "name a path under line.id of mappings/senders/mosaiq_like.yaml that differs from line to line"
    ]


def test_training_and_debugging_messages_say_nothing() -> None:
    assert reading_of("mosaiq_like", "training") == ("", "", (), (), ("not_production: T",))
    assert reading_of("mosaiq_like", "training", ("|T|2.3", "|D^T|2.3")).notices == ("not_production: D",)


@pytest.mark.parametrize("kind", ["ORM^O01", "ORU^R01", "DFTX", ""])
def test_an_ft1_in_another_message_is_carried_along_and_never_booked(kind: str) -> None:
    reading = reading_of("mosaiq_like", "session", ("|DFT^P03|", f"|{kind}|"))

    assert (reading.events, reading.problems, reading.notices) == ((), (), (f"not_booked: {kind.split('^')[0]}",))


def test_a_profile_may_book_another_message_type() -> None:
    also = sender_with("mosaiq_like", ("books: [DFT]", "books: [DFT, ORM]"))

    assert len(read_by(also)(message_of("mosaiq_like", "session", ("|DFT^P03|", "|ORM^O01|"))).events) == 3


def test_one_part_of_a_longer_message_is_refused() -> None:
    reading = reading_of("mosaiq_like", "session", ("|2.3|||AL", "|2.3||PTR1|AL"))

    assert told(reading) == ["MSH-14: the message is one part of a longer one; send it whole"]


def test_in_hl7_2_1_the_quantity_stands_in_field_11() -> None:
    reading = reading_of(
        "mosaiq_like", "session_revised", ("|P|2.3|", "|P|2.1|"), ("|||1||||||RADONC", "|||880.00|1|||||RADONC")
    )

    assert (reading.problems, reading.events[0].reported) == ((), Reported("77412", (), 1))


def test_any_delimiters_and_escapes_are_read_alike() -> None:
    plain = reading_of("aria_like", "session").events
    text = message_of("aria_like", "session").raw.decode().replace("\n", "\r")
    text = text.replace("|", "!").replace("^", "%").replace("~", "*").replace("LBreast", "LBreast")

    other = read_dft(read_message(text.encode()), site().senders["aria_like"], site(), 7)

    assert (other.events, other.problems) == (plain, ())


def test_an_escaped_delimiter_in_a_fact_is_text() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("PLAN=LBREAST", "PLAN=L\\F\\R \\T\\ X0D\\X0D\\FT1"))

    assert reading.events[0].facts["plan"] == "L|R & X0D\rFT1"


def test_a_fact_with_two_paths_leaves_the_facts_after_it_alone() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("COURSE=C1|PLAN=LBREAST", "RXFX=30|COURSE=C1|PLAN=L\\F\\R"))

    facts = reading.events[0].facts
    assert (facts["prescribed_fractions"], facts["plan"]) == (25, "L|R")


def test_problems_and_notices_never_carry_the_patient() -> None:
    for name in ("shifted", "unknown_activity", "training", "session"):
        reading = reading_of("mosaiq_like", name, ("FT1|1|", "FT1|1|"))
        said = " ".join([*told(reading), *reading.notices])
        assert "TESTONLY" not in said
        assert "RO0012345" not in said
