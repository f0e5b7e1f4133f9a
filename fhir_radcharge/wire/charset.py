"""Turn a message's bytes into text by its declared character set, before anything is split."""

import re
from functools import lru_cache
from typing import NamedTuple

from fhir_radcharge.errors import MessageError

# HL7 table 0211, and the spellings that senders use for its rows, without blanks, dashes and strokes.
_CODECS = {
    "ASCII": "ascii", "USASCII": "ascii", "ISOIR6": "ascii",
    **{f"8859{part}": f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    **{f"ISO8859{part}": f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    "LATIN1": "iso8859-1", "WINDOWS1252": "cp1252", "CP1252": "cp1252", "ANSI": "cp1252",
    "UNICODEUTF8": "utf-8", "UTF8": "utf-8", "UNICODE": "utf-8",
    "BIG5": "big5", "GB180302000": "gb18030", "GB18030": "gb18030", "KSX1001": "euc_kr",
    "EUCKR": "euc_kr", "ISO2022JPEXT": "iso2022_jp_ext",
    # The Japanese sets are switched by escape sequences, which one codec follows for all of them.
    "ISOIR13": "iso2022_jp_ext", "ISOIR14": "iso2022_jp_ext", "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext", "JAS2020": "iso2022_jp_ext", "JISX0202": "iso2022_jp_ext",
}  # fmt: skip
# How the commonest of them are spelled, for whoever has to name one.
CHARSETS = (
    "ASCII", *(f"8859/{part}" for part in (*range(1, 12), 13, 14, 15, 16)), "UTF-8", "UNICODE UTF-8", "LATIN-1",
    "WINDOWS-1252", "BIG5", "GB 18030-2000", "KS X 1001", "ISO IR87", "ISO IR159",
)  # fmt: skip
_WIDE = ("UTF16", "UTF32", "UCS2", "UCS4")
_STATEFUL = frozenset({"iso2022_jp_ext"})
_SPELLED = re.compile(r"[A-Za-z0-9 ./_()-]*")


class Decoded(NamedTuple):
    """The text of a message, the codec it was read with, and what was odd about it."""

    text: str
    charset: str
    warnings: tuple[str, ...]


def decoded(raw: bytes, declared: str, configured: str | None) -> Decoded:
    """Decode by the configured character set, else the declared one (MSH-18), else UTF-8, else Windows-1252.

    A declaration that the bytes contradict is refused with the place MSH-18: guessing would change names
    and, where a trail byte looks like a delimiter, fields. The last resort is used with a warning.
    """
    if not configured and raw.isascii() and not declared:
        return Decoded(raw.decode("ascii"), "utf-8", ())
    codec, warnings = _codec(configured or declared)
    if raw.isascii() and codec not in _STATEFUL:
        return Decoded(raw.decode("ascii"), codec or "utf-8", () if codec else warnings)
    if codec:
        text = _strictly(raw, codec)
        if codec.startswith("iso8859") and _is_utf8(raw):
            warnings = (*warnings, "MSH-18: an ISO 8859 set is declared, but the bytes look like UTF-8")
        return Decoded(text, codec, warnings)
    if warnings:
        raise MessageError(
            "MSH-18",
            "the declared character set is not known, and the bytes are not ASCII",
            "declare a row of HL7 table 0211, or set the sender's charset",
            "103",
        )
    return _undeclared(raw)


@lru_cache(maxsize=256)
def is_known(declared: str) -> bool:
    """Tell whether MSH-18, or a profile, names at least one character set, and none in which nothing is read here."""
    named = [name for name in declared.split("~") if name.strip()]
    try:
        return bool(named) and all(_SPELLED.fullmatch(name) and _codec(name)[0] for name in named)
    except MessageError:
        return False


def _undeclared(raw: bytes) -> Decoded:
    if _is_utf8(raw):
        return Decoded(raw.decode("utf-8"), "utf-8", ())
    warning = "MSH-18: no character set is declared and the bytes are not UTF-8; read as Windows-1252"
    return Decoded(_strictly(raw, "cp1252"), "cp1252", (warning,))


def _strictly(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        raise MessageError(
            "MSH-18",
            f"the bytes are not {codec}, as which they are declared or configured",
            "send the character set that is declared, or set the sender's charset",
            "102",
        ) from None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=256)
def _codec(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the codec for MSH-18 or a configured name; "" if none is named, or with a warning if unknown."""
    first = next((part for part in name.split("~") if part.strip()), "")
    key = "".join(letter for letter in first.upper() if letter.isalnum())
    if not key:
        return "", ()
    if any(wide in key for wide in _WIDE):
        raise MessageError(
            "MSH-18",
            "UTF-16 and UTF-32 cannot travel in MLLP frames or between 8-bit delimiters",
            "send UNICODE UTF-8",
            "103",
        )
    codec = _CODECS.get(key, "")
    if key == "UNICODE":
        return codec, ("MSH-18: UNICODE names a 16-bit set; read as UTF-8",)
    return codec, () if codec else ("MSH-18: the declared character set is not in HL7 table 0211",)
