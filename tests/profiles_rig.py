"""What the tests of sender profiles share: the shipped site, fixture messages, and changed copies of them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from project import MAPPINGS, ROOT

from fhir_radcharge.profiles.reading import sender_from
from fhir_radcharge.site import Site, load_site
from fhir_radcharge.tables.strict_yaml import parse
from fhir_radcharge.wire.dft import Reading, read_dft
from fhir_radcharge.wire.er7 import Message, read_message
from fhir_radcharge.wire.sender import Sender

MESSAGES = ROOT / "fixtures" / "messages"


@cache
def site() -> Site:
    return load_site(MAPPINGS)


def text_of(sender: str, name: str) -> str:
    return (MESSAGES / sender / f"{name}.hl7").read_text(encoding="utf-8")


def message_of(sender: str, name: str, *changes: tuple[str, str]) -> Message:
    """Return a fixture message, with texts replaced that must be there."""
    text = text_of(sender, name)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return read_message(text.encode())


def reading_of(sender: str, name: str, *changes: tuple[str, str]) -> Reading:
    return read_dft(message_of(sender, name, *changes), site().senders[sender], site(), 7)


def told(reading: Reading) -> list[str]:
    return [str(problem) for problem in reading.problems]


def sender_with(name: str, *changes: tuple[str, str]) -> Sender:
    """Return a shipped profile with texts of its file replaced."""
    text = (Path(MAPPINGS) / "senders" / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return sender_from(parse(text, f"senders/{name}.yaml"), f"senders/{name}.yaml", "")


def read_by(sender: Sender) -> Callable[[Message], Reading]:
    return lambda message: read_dft(message, sender, site(), 7)
