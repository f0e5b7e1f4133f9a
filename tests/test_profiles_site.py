"""A site is loaded whole or not at all, and every mistake of every file is told at once."""

import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from profiles_rig import sender_with, site
from project import MAPPINGS

from fhir_radcharge.chargemaster import Row
from fhir_radcharge.errors import MessageError, TableError
from fhir_radcharge.model import Place
from fhir_radcharge.site import digest_of, load_site


class Names(NamedTuple):
    sending_application: str
    sending_facility: str


@pytest.fixture
def mappings(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))


def changed(mappings: Path, file: str, old: str, new: str) -> None:
    path = mappings / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def refusals(mappings: Path) -> list[str]:
    with pytest.raises(TableError) as caught:
        load_site(mappings)
    return [line.replace(f"{mappings.parent}/", "") for line in str(caught.value).splitlines()]


def test_the_shipped_site_has_three_senders_and_three_destinations() -> None:
    assert sorted(site().senders) == ["aria_like", "mosaiq_like", "plain"]
    assert {name: one.bills for name, one in site().destinations.items()} == {
        "facility_biller": ("facility",),
        "global_biller": ("global",),
        "professional_biller": ("professional",),
    }


@pytest.mark.parametrize(
    ("application", "facility", "name"),
    [("MOSAIQ", "LAKESIDE_RO", "mosaiq_like"), ("ARIA", "LAKESIDE", "aria_like"), ("PLAIN", "ANYWHERE", "plain")],
)
def test_a_sender_is_known_by_its_application_and_facility(application: str, facility: str, name: str) -> None:
    assert site().sender_for(Names(application, facility)).name == name


@pytest.mark.parametrize(("application", "facility"), [("MOSAIQ", "ELSEWHERE"), ("mosaiq", "LAKESIDE_RO"), ("", "")])
def test_a_sender_without_a_profile_is_refused_with_the_way_out(application: str, facility: str) -> None:
    with pytest.raises(MessageError) as caught:
        site().sender_for(Names(application, facility))

    assert str(caught.value) == (
        "MSH-3: no sender profile matches MSH-3 and MSH-4; add one to mappings/senders and reread the message"
    )


def test_the_facilitys_day_is_not_greenwichs() -> None:
    assert site().today(datetime(2026, 3, 13, 4, 59, tzinfo=UTC)) == date(2026, 3, 12)
    assert site().today(datetime(2026, 3, 13, 5, 0, tzinfo=UTC)) == date(2026, 3, 13)


def test_a_location_is_what_its_row_says_on_the_date_of_service(mappings: Path) -> None:
    changed(
        mappings,
        "settings.yaml",
        "locations:\n",
        """locations:
  - {location: MOVED, from: 2015-01-01, to: 2025-12-31, setting: hospital, campus: off_excepted, ownership: single}
  - {location: MOVED, from: 2026-01-01, setting: freestanding, campus: "on", ownership: split}
""",
    )
    settings = load_site(mappings).settings

    assert [settings.place("MOVED", day) for day in (date(2014, 12, 31), date(2025, 12, 31), date(2026, 1, 1))] == [
        None,
        Place("hospital", "off_excepted", "single"),
        Place("freestanding", "on", "split"),
    ]


def test_a_charge_master_row_is_found_by_destination_code_modifiers_and_date(mappings: Path) -> None:
    (mappings / "chargemaster" / "demo.csv").write_text(
        """destination,code,modifiers,from,to,charge_code,department,revenue_code,price
facility_biller,77407,*,2026-01-01,2026-06-30,ANY,44,0333,600.00
facility_biller,77407,*,2026-07-01,,ANY2,44,0333,
facility_biller,77407,PO,2026-01-01,,PO1,45,0333,590.10
""",
        encoding="utf-8",
    )
    row = load_site(mappings).chargemaster.row
    day = date(2026, 3, 1)

    assert row("facility_biller", "77407", (), day) == Row(
        date(2026, 1, 1), date(2026, 6, 30), "ANY", "44", "0333", Decimal("600.00")
    )
    assert row("facility_biller", "77407", (), date(2026, 7, 1)) == Row(
        date(2026, 7, 1), None, "ANY2", "44", "0333", None
    )
    assert row("facility_biller", "77407", ("PO",), day) == Row(
        date(2026, 1, 1), None, "PO1", "45", "0333", Decimal("590.10")
    )
    assert row("facility_biller", "77407", (), date(2025, 12, 31)) is None
    assert row("global_biller", "77407", (), day) is None


def test_the_digest_names_every_byte_and_every_name(mappings: Path) -> None:
    first = digest_of(mappings)
    (mappings / ".hidden").write_text("x", encoding="utf-8")
    same = digest_of(mappings)
    (mappings / "settings.yaml").write_bytes((mappings / "settings.yaml").read_bytes() + b"\n")
    other = digest_of(mappings)
    (mappings / "senders" / "plain.yaml").rename(mappings / "senders" / "simple.yaml")

    assert first == same == load_site(MAPPINGS).digest
    assert len({first, other, digest_of(mappings)}) == 3


def test_every_mistake_of_every_file_is_told_at_once(mappings: Path) -> None:
    changed(mappings, "senders/plain.yaml", "negative_quantity: refuse", "negative_quantity: guess")
    changed(mappings, "senders/aria_like.yaml", "zone: America/Chicago", "zone: America/Lakeside")
    changed(mappings, "destinations/global_biller.yaml", "FT1-22: price", "FT1-99: price")
    changed(mappings, "settings.yaml", "setting: hospital", "setting: hospitel")
    changed(mappings, "payers_by_plan.yaml", "payer: cpt_set", "payer: cpt_sett")
    changed(mappings, "chargemaster/demo.csv", ",310.00", ",310.O0")

    files = [line.split(":")[0] for line in refusals(mappings)]

    assert files == [
        "mappings/senders/aria_like.yaml",
        "mappings/senders/plain.yaml",
        "mappings/destinations/global_biller.yaml",
        "mappings/settings.yaml",
        "mappings/chargemaster/demo.csv",
        "mappings/payers_by_plan.yaml",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (
            "chargemaster/demo.csv",
            "facility_biller,77402",
            "nobody,77402",
            "mappings/chargemaster/demo.csv:2: there is no destination 'nobody'",
        ),
        (
            "chargemaster/demo.csv",
            "2015-01-01,,RT402",
            "2015-01-01,,",
            "mappings/chargemaster/demo.csv:2: code and charge_code must be filled",
        ),
        (
            "chargemaster/demo.csv",
            ",310.00",
            ",-1",
            "mappings/chargemaster/demo.csv:2: the price '-1' is not an amount",
        ),
        (
            "chargemaster/demo.csv",
            ",310.00",
            ",NaN",
            "mappings/chargemaster/demo.csv:2: the price 'NaN' is not an amount",
        ),
        (
            "chargemaster/demo.csv",
            "facility_biller,77407",
            "facility_biller,77402",
            "mappings/chargemaster/demo.csv:3: another row answers for this code on these dates; end one first",
        ),
        (
            "settings.yaml",
            "location: RADONC-SPLIT,  ",
            "location: RADONC,  ",
            "mappings/settings.yaml:9: RADONC has another row on these dates; end one first",
        ),
        (
            "payers_by_plan.yaml",
            "plan: CPTSET",
            "plan: MCARE",
            "mappings/payers_by_plan.yaml:6: plan MCARE has a payer already; keep one",
        ),
        (
            "senders/plain.yaml",
            "absent: medicare",
            "absent: medicair",
            "mappings/senders/plain.yaml:1: message.payer.absent: there is no payer profile 'medicair'; did you mean 'medicare'?",
        ),
        (
            "senders/plain.yaml",
            'application: PLAIN, facility: "*"',
            "application: ARIA, facility: LAKESIDE",
            "mappings/senders/plain.yaml:1: matches the same MSH-3 and MSH-4 as mappings/senders/aria_like.yaml",
        ),
        (
            "senders/plain.yaml",
            "sender: plain",
            "sender: aria_like",
            "mappings/senders/plain.yaml:1: has the name of mappings/senders/aria_like.yaml; every sender has its own",
        ),
    ],
)
def test_a_wrong_table_is_told_with_its_line(mappings: Path, file: str, old: str, new: str, told: str) -> None:
    changed(mappings, file, old, new)

    assert refusals(mappings) == [told]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("facts:\n", 'facts:\n  techniqe: {from: ["ZCH:T"]}\n', "'techniqe' is no fact; the facts are"),
        ("VMAT: imrt", "VMAT: vmat", "technique is one of 2d, 3d,"),
        ('"Y": true', '"Y": "yes"', "custom_blocking is true or false, not 'yes'"),
        ('["ZCH:BID"], values: yes_no', '["ZCH:BID"], values: truth', "there is no vocabulary 'truth'"),
        (
            '["ZCH:BID"], values: yes_no',
            '["ZCH:BID"]',
            "fact 'distinct_session' is true or false: declare its `values`",
        ),
        ('["ZCH:SITE"]', '["ZXX:SITE"]', "'ZXX:SITE' needs `keys: {segment: ZXX, first: ..., ignored: []}`"),
        ("id: [FT1-2.*]", "id: [FT1]", "'FT1' is not a path; write one such as FT1-7.1"),
        ("modifiers: FT1-26", "modifiers: MODS", "'MODS' is not a field; write one such as FT1-26"),
        ('course: ["ZCH:COURSE"]', 'course: ["{course}"]', "'{course}' is captured by no text"),
        ("FX{fraction_number}/{prescribed_fractions}", "FX{number}/{prescribed_fractions}", "'{number}' in"),
        ("FX{fraction_number}/{prescribed_fractions}", "FX17", "needs at least one {name}"),
        ("{kind: port_image}", "{kind: portimage}", "activities.RO-PORT"),
        ("from: 2026-01-01, level: 1", "from: 2026-01-01, level: 4", "activities.RO-TX-1"),
        ("from: 2026-01-01, level: 1", "from: 2026-01-01", "a row of `states` has either `complexity` or `level`"),
        ("CG: charge", "CG: charged", "line.types.CG"),
        ("diagnosis: [FT1-19.1, DG1-3.1]", "diagnosis: []", "diagnosis is required and `line` names no path for it"),
        ("control_ids: unique", "control_id: unique", "unknown key; did you mean 'control_ids'?"),
        ("foreign_codes: hold", "foreign_codes: charge", "foreign_codes"),
    ],
)
def test_a_wrong_profile_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(TableError) as caught:
        sender_with("mosaiq_like", (old, new))

    assert told in str(caught.value)
    assert all(line.startswith("senders/mosaiq_like.yaml:") for line in str(caught.value).splitlines())
