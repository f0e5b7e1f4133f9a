"""The versions of HL7 that are spoken here."""

from typing import Final

WRITTEN: Final = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2")
"""What a destination may be written in."""

# 2.9 changes nothing in what is read. An empty version is mended by the sender's profile.
HEARD: Final = frozenset({*WRITTEN, "2.9", ""})
"""What a sender may say in MSH-12."""
