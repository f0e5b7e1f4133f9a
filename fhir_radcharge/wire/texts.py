"""Turns texts that a person could read, such as `Course 1 Plan Breast Fx 17`, into named values, by a template."""

from __future__ import annotations

import re
from collections.abc import Callable

_SLOT = re.compile(r"\{([a-z_]+)\}")


def template(like: str) -> Callable[[str], dict[str, str] | None]:
    """Return a function that reads `Course {course} Fx {fraction_number}` out of a text; None if it is not alike.

    Each name takes the shortest text up to the words that follow it; the whole text must be alike.
    """
    pieces = _SLOT.split(like)
    words, names = pieces[0::2], pieces[1::2]
    if not names or any(not word for word in words[1:-1]):
        raise ValueError(f"'{like}' needs at least one {{name}}, and words between two names")
    head, tail = words[0], words[-1]
    between = words[1:]

    def read(text: str) -> dict[str, str] | None:
        if not (text.startswith(head) and text.endswith(tail)):
            return None
        at, found = len(head), {}
        for number, (name, word) in enumerate(zip(names, between, strict=True), 1):
            end = len(text) - len(word) if number == len(names) else text.find(word, at)
            if end <= at:
                return None
            found[name] = text[at:end].strip()
            at = end + len(word)
        return found

    return read


def names_in(like: str) -> tuple[str, ...]:
    """Return the names that a template captures."""
    return tuple(_SLOT.findall(like))
