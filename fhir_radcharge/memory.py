"""How the garbage collector is told of a process that holds much for long."""

from __future__ import annotations

import gc

# Objects made and not let go before the young are looked at; a batch makes a few tens of thousands.
_YOUNG = 50_000


def settled() -> None:
    """Let the collector pass over all that there is now, and look at the young in larger lots.

    Tables, profiles and modules stay as long as the process; nearly all that a message makes is let go without
    the collector, which looks only for circles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
