"""Same events, same books: any order, any repetition, any restart."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_radcharge.engine import Outcome
from fhir_radcharge.ledger import broken_promises
from tests.engine_fakes import Desk, Destination, Site, dft, ft1

SITE = Site({"PB": Destination(("global",), "resend")})

Telling = tuple[str, str, int, str, str, int]
TELLINGS = st.lists(
    st.tuples(
        st.sampled_from(["P1", "P2"]),
        st.sampled_from(["E1", "E2", "E3"]),
        st.integers(0, 2),
        st.sampled_from(["CG", "CD"]),
        st.sampled_from(["77402", "77412"]),
        st.integers(1, 3),
    ),
    min_size=1, max_size=7,
)  # fmt: skip


def message(number: int, telling: Telling) -> bytes:
    patient, event, revision, sign, code, units = telling
    return dft(f"{number}", patient, ft1(event, code, revision=revision, sign=sign, units=units))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(TELLINGS, st.data())
def test_any_order_repetition_and_restart_ends_in_the_same_books(tellings: list[Telling], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Desk(Path(folder) / "plain.db", SITE)
        plain.hear(*(message(number, telling) for number, telling in enumerate(tellings)))
        plain.work()
        plain.send()

        numbers = data.draw(
            st.permutations([*range(len(tellings)), *data.draw(st.lists(st.sampled_from(range(len(tellings)))))])
        )
        shuffled = Desk(Path(folder) / "shuffled.db", SITE, remembered_max=data.draw(st.sampled_from([1, 1000])))
        for turn, number in enumerate(numbers):
            # The same telling comes again under its own control id, and as another message too.
            shuffled.hear(message(number + 100 * data.draw(st.integers(0, 1)), tellings[number]))
            _something_happens(
                shuffled, data.draw(st.sampled_from(["nothing", "work", "send", "silence", "refuse", "crash"])), turn
            )
        shuffled.work()
        _release_all(shuffled)
        shuffled.send()

        assert plain.standing() == shuffled.standing()
        for desk in (plain, shuffled):
            assert broken_promises(desk.ledger.connection) == []
            assert not desk.ledger.read('select 1 from outbox')
            desk.ledger.close()


def _something_happens(desk: Desk, what: str, turn: int) -> None:
    if what == "nothing":
        return
    if what == "crash":
        desk.engine.work(1)
        desk.engine.take("PB", [turn % 2], 2)
        desk.crash()
        return
    desk.work()
    if what in ("silence", "refuse"):
        kind = "silent" if what == "silence" else "refused"
        sends = desk.engine.take("PB", range(2), 2)
        desk.engine.settle([Outcome(send.seq, send.attempt, kind, "AE", b"") for send in sends])  # type: ignore[arg-type]
    elif what == "send":
        desk.send(lanes=2)


def _release_all(desk: Desk) -> None:
    while rows := desk.ledger.read("select key from open_item where category = 'refused'"):
        desk.engine.decisions.release(rows[0][0], "ada", "the biller is mended")
        desk.work()
