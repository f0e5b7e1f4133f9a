"""Payer profiles: one value of every knob on every day, overrides, origins, and mistakes told by line."""

import re
from datetime import date
from pathlib import Path

import pytest

from fhir_radcharge.errors import TableError
from fhir_radcharge.rules.policy import Origin, Policy, Reason
from fhir_radcharge.tables.policy import load_policy, load_reasons, load_sources

MAPPINGS = Path(__file__).parent.parent / "mappings"
DAY = date(2020, 6, 1)
SMALL = """\
default: base
knobs:
  size:
    meaning: sessions to a unit
    values: number
    least: 1
    confidence: high
    sources: [A]
  form:
    meaning: form of a second session
    values: [units, "76"]
    confidence: low
    sources: [A]
  codes:
    meaning: codes
    values: list
    of: [one, two]
    confidence: low
    sources: [A]
profiles:
  base:
    who: everybody
    rows:
      - {knob: size, from: 2015-01-01, to: 2019-12-31, value: 5, sources: [A]}
      - {knob: size, from: 2020-01-01, value: 4, sources: [B]}
      - {knob: form, from: 2015-01-01, value: units, sources: [A]}
      - {knob: codes, from: 2015-01-01, value: [two, one], sources: [A]}
  other:
    who: somebody
    based_on: base
    rows:
      - {knob: size, from: 2018-01-01, to: 2018-12-31, value: 3, sources: [C]}
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy([MAPPINGS / "payers.yaml"])


def small(tmp_path: Path, text: str = SMALL) -> Policy:
    path = tmp_path / "payers.yaml"
    path.write_text(text)
    return load_policy([path])


def told(tmp_path: Path, text: str) -> str:
    with pytest.raises(TableError) as caught:
        small(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_knob_has_its_declared_type(policy: Policy) -> None:
    knobs = policy.knobs("medicare", DAY)

    assert knobs["physics_remainder_min"] == "none"
    assert knobs["mgmt_group_size"] == 5
    assert knobs["redate_posted"] is True
    assert knobs["guidance_modifier_2026_office"] == "26"
    assert knobs["guidance_priority"][:2] == ("ct", "stereoscopic_xray")


def test_every_profile_reads_differently_from_medicare_only_what_it_states(policy: Policy) -> None:
    day = date(2026, 6, 1)
    base = policy.knobs("medicare", day)
    names = [profile.name for profile in policy.profiles]
    differs = {
        name: dict(policy.knobs(name, day).items() - base.items()) for name in names
    }

    assert len(base) == 46
    assert differs == {
        "medicare": {},
        "medicare_robotic_g": {"robotic_set": "g"},
        "cpt_set": {"delivery_set_pre2026": "cpt", "guidance_set_pre2026": "77387"},
        "commercial_g_bundled": {"igrt_bundled_with_imrt": True},
        "commercial_level3_documented": {},
        "unitedhealthcare": {},
        "rejects_26_on_77387": {
            "guidance_modifier_2026_office": "none", "guidance_modifier_2026_facility": "none",
        },
        "reads_level3_as_sites": {"level3_reading": "sites"},
        "allows_srt_guidance": {"srt_guidance_allowed": True},
    }


def test_a_payer_without_a_profile_is_told_and_answered_by_the_default(policy: Policy) -> None:
    assert not policy.known("unknown")
    assert not policy.known(None)
    assert policy.knobs("unknown", DAY) == policy.knobs(None, DAY) == policy.knobs("medicare", DAY)


def test_the_row_that_decided_can_be_named(policy: Policy) -> None:
    assert policy.origin("unitedhealthcare", date(2026, 3, 1), "guidance_modifier_2026_office") == Origin(
        "unitedhealthcare", date(2026, 3, 1), ("UHCPOL26",)
    )
    assert policy.origin("unitedhealthcare", date(2026, 2, 28), "mgmt_group_size") == Origin(
        "medicare", date(2015, 1, 1), ("CMS-MANUAL13",)
    )


def test_rows_of_a_profile_hold_for_their_span_and_then_its_base_answers(tmp_path: Path) -> None:
    policy = small(tmp_path)
    days = ["2010-01-01", "2017-12-31", "2018-01-01", "2018-12-31", "2019-01-01", "2020-01-01"]

    assert [policy.knobs("other", date.fromisoformat(day))["size"] for day in days] == [5, 5, 3, 3, 5, 4]
    assert policy.knobs("other", DAY)["codes"] == ("two", "one")


def test_an_override_holds_for_every_payer_and_leaves_the_policy_alone(policy: Policy) -> None:
    over = policy.overridden({"bid_second_session": "76", "once_per_course": ["77263"]})

    assert over.knobs("cpt_set", DAY)["bid_second_session"] == "76"
    assert over.knobs("cpt_set", DAY)["once_per_course"] == ("77263",)
    assert over.knobs("cpt_set", DAY)["delivery_set_pre2026"] == "cpt"
    assert over.origin("cpt_set", DAY, "bid_second_session").profile == "override"
    assert policy.knobs("cpt_set", DAY)["bid_second_session"] == "units"
    assert policy.overridden({}) is policy


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"bid_second": "76"}, "no knob is called 'bid_second'"),
        ({"bid_second_session": 76}, 'bid_second_session takes units or "76" or "59"; found 76'),
        ({"mgmt_group_size": 0}, "mgmt_group_size takes a whole number from 1; found 0"),
        ({"mgmt_group_size": True}, "mgmt_group_size takes a whole number from 1; found true"),
        ({"gated_2d_level": True}, "gated_2d_level takes 1 or 3; found true"),
        ({"redate_posted": 1}, "redate_posted takes true or false; found 1"),
        ({"guidance_priority": ["ct", "ct"]}, "guidance_priority takes a list of different texts out of ct"),
        ({"guidance_priority": ["mri"]}, "guidance_priority takes a list of different texts out of ct"),
    ],
)
def test_a_wrong_override_is_refused(policy: Policy, values: dict[str, object], problem: str) -> None:
    with pytest.raises(TableError, match=re.escape(problem)):
        policy.overridden(values)


def test_a_site_adds_profiles_of_its_own(tmp_path: Path) -> None:
    base, site = tmp_path / "payers.yaml", tmp_path / "site.yaml"
    base.write_text(SMALL)
    site.write_text(
        "profiles:\n  ours:\n    who: a local plan\n    based_on: other\n    rows:\n"
        '      - {knob: form, from: 2015-01-01, value: "76", sources: [contract]}\n'
    )

    policy = load_policy([base, site])

    assert policy.known("ours")
    assert policy.knobs("ours", date(2018, 5, 1)) == {"size": 3, "form": "76", "codes": ("two", "one")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("profiles:\n  base:\n    who: x\n    rows: []\n", "profile 'base' is already at"),
        ("knobs: {}\nprofiles: {}\ndefault: base\n", "default"),
        (
            "profiles: {}\nknobs:\n  more: {meaning: m, values: [a], confidence: low, sources: [A]}\n",
            "site.yaml:2: knobs",
        ),
    ],
)
def test_a_site_file_may_not_change_what_is_there(tmp_path: Path, text: str, problem: str) -> None:
    base, site = tmp_path / "payers.yaml", tmp_path / "site.yaml"
    base.write_text(SMALL)
    site.write_text(text)

    with pytest.raises(TableError, match=problem):
        load_policy([base, site])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("to: 2019-12-31, ", "", "payers.yaml:25: size has two values from 2020-01-01 on, the other at"),
        ("to: 2019-12-31", "to: 2019-12-30", "payers.yaml:22: profile 'base' gives size no value on"),
        ("- {knob: form, from: 2015-01-01,", "- {knob: form, from: 2016-01-01,", "gives form no value"),
        ("to: 2018-12-31", "to: 2017-12-31", "payers.yaml:32: size ends on 2017-12-31, before it begins"),
        ("value: 3", "value: three", "payers.yaml:32: size takes a whole number from 1; found three"),
        ("value: 3", 'value: "3"', "payers.yaml:32: size takes a whole number from 1"),
        ("value: units", "value: unit", 'payers.yaml:26: form takes units or "76"; found unit'),
        ("value: [two, one]", "value: [two, six]", "payers.yaml:27: codes takes a list"),
        ("knob: form", "knob: from", "payers.yaml:26: no knob is called 'from'"),
        ("based_on: base", "based_on: bass", "profile 'other' is based on 'bass', which is not declared"),
        ("based_on: base", "based_on: other", "profile 'other' is based on itself"),
        ("default: base", "default: best", "the default profile 'best' is not declared"),
        ("who: somebody", "whom: somebody", "unknown key"),
        ("from: 2018-01-01", "from: 2018", "payers.yaml:32: profiles.other.rows[1].from: write a date"),
        ("    least: 1\n", "", "payers.yaml:5: size takes `least` where its values are number"),
        ("values: number", "values: numbers", "payers.yaml:5: values of size are a list of words, or number"),
        ("sources: [C]", "sources: []", "payers.yaml:32"),
    ],
)
def test_a_wrong_profile_is_told_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert problem in told(tmp_path, SMALL.replace(old, new, 1))


def test_reasons_stand_in_the_order_in_which_one_shows() -> None:
    reasons = load_reasons(MAPPINGS / "reasons.yaml")

    assert len(reasons) == 40
    assert [reason.reason for reason in reasons][:4] == [
        "no_physician_exam", "no_physics_check", "image_not_approved", "missing_diagnosis",
    ]
    assert reasons[2] == Reason(
        "image_not_approved", True, True, reasons[2].meaning, "physician", reasons[2].way_out
    )
    assert all(reason.meaning and reason.owner and reason.way_out for reason in reasons)


def test_a_reason_stands_once(tmp_path: Path) -> None:
    row = "  - {reason: x, use: [hold], meaning: m, owner: o, way_out: w}\n"
    (tmp_path / "reasons.yaml").write_text("reasons:\n" + row + row)

    with pytest.raises(TableError, match=r"reasons.yaml:3: reason 'x' stands twice; keep one"):
        load_reasons(tmp_path / "reasons.yaml")


def test_every_source_that_a_mapping_cites_exists(policy: Policy) -> None:
    sources = load_sources(MAPPINGS / "sources.yaml").keys()
    cited = {key for knob in policy.declared.values() for key in knob.sources + knob.against}
    cited |= {key for profile in policy.profiles for row in profile.rows for key in row.sources}

    assert cited - sources == set()
