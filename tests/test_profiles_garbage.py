"""Whatever arrives, reading gives events and problems; it never fails, and what leaves stays in form."""

from datetime import date
from random import Random

import pytest
from profiles_rig import MESSAGES, read_by, reading_of, site, told

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import Charge, Posting, TreatmentEvent
from fhir_radcharge.wire.er7 import read_message
from fhir_radcharge.wire.outbound import message_for

FILES = sorted(MESSAGES.rglob("*.hl7"))
PIECES = ("|", "^", "~", "\\", "&", "=", "\n", '"', "A", "1", "-", "+", ".", "0", "\u00b2", "\u0663", "\x00", " ")
LONGER = ("\nFT1|1|", "\nOBX|1|ST|technique||3d", "\\X0D\\", "\nZCH|1", "\nFT1", "\nIN1|1|X")
LINE = Charge(
    "global",
    "C1",
    "77407",
    (),
    date(2026, 3, 12),
    None,
    1,
    "11",
    "1999999984",
    False,
    None,
    "delivery",
    "s",
    "884512^1",
    (),
    (),
)
POSTED = Posting("ABCDEFGHIJKL", "CHARGE", "global_biller", LINE, 1, None, 1, date(2026, 3, 13))


def garbled(text: str, random: Random) -> bytes:
    """Return the text with a few characters replaced, cut out or put in."""
    for _ in range(random.randint(1, 6)):
        at, how = random.randrange(len(text)), random.random()
        if how < 0.4:
            text = text[:at] + random.choice(PIECES) + text[at + 1 :]
        elif how < 0.7:
            text = text[:at] + text[at + random.randint(1, 20) :]
        else:
            text = text[:at] + random.choice(LONGER) + text[at:]
    return text.encode()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_garbled_messages_are_read_or_refused_and_nothing_else(path) -> None:  # type: ignore[no-untyped-def]
    random = Random(path.stem)
    read = read_by(site().senders[path.parent.name])
    text = path.read_text(encoding="utf-8")
    for _ in range(60):
        try:
            message = read_message(garbled(text, random))
        except MessageError:
            continue
        reading = read(message)
        assert all(isinstance(event, TreatmentEvent) for event in reading.events)
        assert all(isinstance(problem, MessageError) for problem in reading.problems)
        sent = message_for((POSTED,), site().destinations["global_biller"], message, "C", "20260313", site())
        assert [segment[0] for segment in read_message(sent).segments].count("FT1") == 1


def test_what_does_not_look_like_a_code_is_not_shown() -> None:
    reading = reading_of("mosaiq_like", "session_revised", ("RO-TX|", "TESTONLY, MARGARET|"))

    assert told(reading) == [
        "FT1[1] ZCH-3.1: activity code '...' is not in mappings/senders/mosaiq_like.yaml; "
        "add it under activities and reread the message"
    ]


def test_laboratory_results_of_the_same_name_are_nobodys_facts() -> None:
    reading = reading_of("aria_like", "session", ("FT1|1|", "OBX|1|NM|WBC||4\nOBX|2|NM|WBC||5\nFT1|1|"))

    assert (len(reading.events), reading.problems) == (2, ())


def test_a_fact_that_is_stated_twice_differently_is_refused() -> None:
    reading = reading_of("aria_like", "session_revised", ("OBX|2|ST|Site", "OBX|2|ST|Technique||3D\nOBX|2|ST|Site"))

    assert told(reading) == ["FT1[1] OBX:Technique: is stated twice, differently; send it once"]
