"""The grammar of charge lines: read, written, and refused with a way out."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_radcharge.cases.lines import GRAMMAR, Line, parsed, written

DAY = date(2026, 2, 1)

days = st.integers(0, 3000).map(lambda n: date(2015, 1, 1) + timedelta(days=n))
lines = st.builds(
    Line,
    code=st.sampled_from(["77427", "G6015", "0394T"]),
    modifiers=st.lists(st.sampled_from(["26", "TC", "76", "PO"]), max_size=2, unique=True).map(tuple),
    day=days,
    end=st.none(),
    units=st.integers(1, 12),
    packaged=st.booleans(),
    hold=st.sampled_from([None, "mue_edit", "missing_rendering_npi"]),
    pos=st.sampled_from([None, "11", "22"]),
    by=st.sampled_from([None, "Dr_A"]),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("77427 @ 2026-02-01", [Line("77427", (), DAY)]),
        ("77387-26 x2 @ 2026-02-01 pos 22", [Line("77387", ("26",), DAY, units=2, pos="22")]),
        ("77402-76-PO @ 2026-02-01 packaged", [Line("77402", ("76", "PO"), DAY, packaged=True)]),
        ("HOLD mue_edit G6002 @ 2026-02-01", [Line("G6002", (), DAY, hold="mue_edit")]),
        ("77427 @ 2026-02-01 pos 11 by Dr_A", [Line("77427", (), DAY, pos="11", by="Dr_A")]),
        ("77427 @ 2026-02-01, 2026-02-08", [Line("77427", (), DAY), Line("77427", (), date(2026, 2, 8))]),
        ("77427 @ 2026-02-01..2026-02-05", [Line("77427", (), DAY, end=date(2026, 2, 5))]),
    ],
)
def test_a_line_is_read_and_written_back_as_it_was(text: str, expected: list[Line]) -> None:
    assert list(parsed(text)) == expected
    assert written(expected) == (text,)


@given(st.lists(lines, max_size=8, unique_by=lambda line: line._replace(units=0)))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_whatever_is_written_reads_back_the_same(given_lines: list[Line]) -> None:
    read = [line for text in written(given_lines) for line in parsed(text)]

    assert sorted(read, key=repr) == sorted(given_lines, key=repr)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"is not a charge line; write {GRAMMAR}"),
        ("77427", "is not a charge line"),
        ("7742 @ 2026-02-01", "is not a charge line"),
        ("77427 x0 @ 2026-02-01", "is not a charge line"),
        ("77427-2 @ 2026-02-01", "is not a charge line"),
        ("77427 @ 2026-2-1", "is not a charge line"),
        ("77427 @ 2026-02-01 pos 2", "is not a charge line"),
        ("HOLD 77427 @ 2026-02-01", "is not a charge line"),
        ("77427 @ 2026-02-30", "has 2026-02-30, which is no date"),
        ("77427 @ 2026-02-08, 2026-02-01", "has its dates out of order or twice"),
        ("77427 @ 2026-02-01, 2026-02-01", "has its dates out of order or twice"),
        ("77427 @ 2026-02-05..2026-02-01", "has a span that ends before it begins"),
    ],
)
def test_what_is_no_line_is_refused_with_the_way_out(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        parsed(text)

    assert str(caught.value).startswith(problem)
