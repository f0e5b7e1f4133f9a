"""What a spreadsheet would compute is told as text; figures stay figures."""

from datetime import date

from fhir_radcharge.csv_cells import cells


def test_a_text_that_looks_like_a_formula_is_quoted_and_a_negative_number_is_not() -> None:
    row = ["=1+1", "+C1", "-C1", "@x", "\tx", "C1", "", None, -3, 2.5, date(2026, 1, 5)]

    assert cells(row) == [
        "'=1+1", "'+C1", "'-C1", "'@x", "'\tx", "C1", "", "", -3, 2.5, date(2026, 1, 5)]  # fmt: skip
