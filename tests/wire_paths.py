"""Read one decoded value of a message by its path, for assertions: FT1[2]-7.4, FT1-26[2], FT1-11.1.2."""

import re

from fhir_radcharge.wire import er7

_PATH = re.compile(r"(\w{3})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?")


def value_at(message: er7.Message, path: str) -> str:
    """Return the decoded value at a path; "" if it is absent."""
    match = _PATH.fullmatch(path)
    assert match, path
    name, *numbers = match.groups()
    ordinal, field, repetition, component, subcomponent = (int(number or 1) for number in numbers)
    segments = message.all(name)
    if ordinal > len(segments):
        return ""
    return er7.text(message, segments[ordinal - 1], field, component, subcomponent, repetition)
