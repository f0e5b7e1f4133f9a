"""A number and its noun into what one says: 1 item, 2 items, 1,200 items."""


def number_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun; `plural` where that is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
