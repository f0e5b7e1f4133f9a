"""The strict reader: nothing is changed silently, and every mistake has a place."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import Field

from fhir_radcharge.errors import TableError
from fhir_radcharge.tables.strict_yaml import Code, Strict, load, parse, typed, validated


class RuleForm(Strict):
    code: Code
    from_: date = Field(alias="from")
    units: int = 1


class RulesForm(Strict):
    rules: list[RuleForm]


def refusal(text: str) -> str:
    with pytest.raises(TableError) as caught:
        parse(text, "t.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    "written", ["0333", "09", "1e3", "1E3", "NO", "Yes", "on", "12:30", "0x1F", "1_000", "y", "n", "~"]
)
def test_a_scalar_that_yaml_would_change_is_refused_until_it_is_quoted(written: str) -> None:
    assert refusal(f"a: 1\nb: {written}") == (
        f't.yaml:2: {written} would be changed by YAML; write "{written}" in quotes'
    )
    assert parse(f'a: 1\nb: "{written}"', "t.yaml") == {"a": "1", "b": written}


def test_a_key_that_yaml_would_change_is_refused_too() -> None:
    assert refusal("{NO: 1}") == 't.yaml:1: NO would be changed by YAML; write "NO" in quotes'


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    assert refusal("a: 1\nb: 2\na: 3") == "t.yaml:3: key 'a' stands twice (first on line 1); keep one"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x 1\nb: *x", "t.yaml:1: uses an alias (*name); write the value out"),
        ("a:\nb: 1", 't.yaml:2: has no value; write null, or "" for empty text'),
        ("", "t.yaml:1: is empty"),
        ("[a, b]: 1", "t.yaml:1: a key must be one word, not a list"),
    ],
)
def test_what_hides_meaning_is_refused(text: str, told: str) -> None:
    assert refusal(text).split(":")[0] == "t.yaml"
    assert refusal(text).split(": ", 1)[1] == told.split(": ", 1)[1]


def test_text_that_is_not_yaml_has_its_line() -> None:
    assert refusal("a: 1\nb: [1\nc: 2").startswith("t.yaml:3: is not YAML: ")


def test_every_scalar_stays_text_and_typed_reads_only_what_is_unquoted() -> None:
    data = parse('{a: 1, b: "1", c: 1.50, d: true, e: "true", f: null, g: [x, 2], h: 2015-01-01}', "t.yaml")

    assert data == {
        "a": "1",
        "b": "1",
        "c": "1.50",
        "d": "true",
        "e": "true",
        "f": None,
        "g": ["x", "2"],
        "h": "2015-01-01",
    }
    assert typed(data) == {
        "a": 1,
        "b": "1",
        "c": 1.5,
        "d": True,
        "e": "true",
        "f": None,
        "g": ["x", 2],
        "h": "2015-01-01",
    }


def test_a_model_says_which_type_a_scalar_has() -> None:
    data = parse('rules:\n  - {code: "77385", from: 2015-01-01, units: 2}', "t.yaml")

    assert validated(RulesForm, data, "t.yaml") == RulesForm(
        rules=[RuleForm(code="77385", from_=date(2015, 1, 1), units=2)]
    )


def test_each_mistake_is_told_with_its_line_and_the_likely_key() -> None:
    data = parse(
        'rules:\n  - {code: 77385, form: 2015-01-01}\n  - code: "1"\n    from: 2015-01-01\n    units: many', "t.yaml"
    )

    with pytest.raises(TableError) as caught:
        validated(RulesForm, data, "t.yaml")

    assert str(caught.value).splitlines() == [
        "t.yaml:2: rules[1].code: write the code in quotes: \"77385\" (found '77385')",
        "t.yaml:2: rules[1].from: is missing; write it",
        "t.yaml:2: rules[1].form: unknown key; did you mean 'from'?",
        "t.yaml:5: rules[2].units: Input should be a valid integer, "
        "unable to parse string as an integer (found 'many')",
    ]


def test_a_file_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"absent\.yaml:1: cannot be read"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(TableError, match=r"latin\.yaml:1: is not UTF-8"):
        load(tmp_path / "latin.yaml")
