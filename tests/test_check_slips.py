"""One slip of a coder in any file of mappings, and `check` tells the file, the line, the word and the way out."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from project import MAPPINGS

from fhir_radcharge.cli import cli

COUNTING, EXCLUSIONS, SITES = "rules/counting.yaml", "rules/exclusions.yaml", "rules/sites.yaml"
CATCH_ALL = '  - {id: site-other,          words: [], imrt: complex, cranial: "no", source: [CA77385]}\n'
CODE_77371 = "77371,CPT,stereotactic,"
SLIPS = [
    (COUNTING, "counts: management, way: every", "counts: managment, way: every", "did you mean 'management'?"),
    (COUNTING, "way: every, size: knob", "way: evry, size: knob", "(found 'evry'); did you mean 'every'?"),
    (COUNTING, "knob.mgmt_date", "knob.mgmt_dat", "the knob mgmt_dat, which"),
    (COUNTING, "dated: last, needs: exam", "dated: lst, needs: exam", "(found 'lst'); did you mean 'last'?"),
    (COUNTING, "size: knob.mgmt_group_size", "size: knob.mgmt_units", "the knob mgmt_units, which may be one"),
    (COUNTING, "needs: physics_check", "needs: physics", "did you mean 'physics_check'?"),
    (COUNTING, ', per_group: "no"', "", "per_group: is missing"),
    (COUNTING, "total_min:", "total_mn:", "did you mean 'total_min'?"),
    (COUNTING, 'total_max: "2", ', "", "needs total_max"),
    (COUNTING, 'way: once, total_max: "1"', 'way: once, size: "5", total_max: "1"', "does not read size"),
    (COUNTING, 'code: "77432"', 'code: "77423"', "77432 is computed from facts, and no table gives it"),
    (COUNTING, 'code: "77432"', 'code: "7743"', "code 7743 is not in codes.csv; did you mean"),
    (COUNTING, 'code: "77432", from: "2015-01-01"', 'code: "77432", from: "2016-01-01"', "no row of counting.yaml earns it on 2015"),
    (COUNTING, "[SROA, PAYER-GUIDE16]}", "[SROAR, PAYER-GUIDE16]}", "SROAR is not in sources.yaml; did you mean 'SROA'?"),
    (EXCLUSIONS, 'has: ["77338"]', 'has: ["77339"]', "code 77339 is not in codes.csv; did you mean"),
    (EXCLUSIONS, 'excludes: ["77790"]', 'excludes: ["77778"]', "77778 would exclude itself"),
    (EXCLUSIONS, "scope: same_plan", "scope: same_pln", "did you mean 'same_plan'?"),
    (EXCLUSIONS, ", scope: plan_or_day", "", "scope: is missing"),
    (EXCLUSIONS, "id: excl-seeds", "id: excl-device", "excl-device stands twice"),
    (EXCLUSIONS, 'from: "2015-01-01", to: "2025-12-31"', 'from: "2025-01-01", to: "2015-12-31"', "before it begins"),
    (SITES, "imrt: edge", "imrt: edgy", "found edgy; did you mean 'edge'?"),
    (SITES, 'cranial: "yes"', 'cranial: "yess"', "(found 'yess'); did you mean 'yes'?"),
    (SITES, "with_any: [node", "with_anyy: [node", "did you mean 'with_any'?"),
    (SITES, "axillary", "Axillary", "'Axillary' can never stand in a site"),
    (SITES, CATCH_ALL, "", "does not take the rest"),
    (SITES, "words: [breast], imrt", "words: [], imrt", "site-other can never answer"),
    ("rules/holidays.yaml", "2025-05-26", "2025-05-32", "2025-05-32 is not a date"),
    ("rules/holidays.yaml", "2025-05-26", "2025-12-25", "2025-12-25 is already at"),
    ("rules/holidays.yaml", "{day: \"2025-05-26\", name", "{dayy: \"2025-05-26\", name", "did you mean 'day'?"),
    ("rules/hdr.yaml", "match: first", "match: fist", "(found 'fist'); did you mean 'first'?"),
    ("rules/lesions.yaml", "match: one", "match: onee", "(found 'onee'); did you mean 'one'?"),
    ("rules/lesions.yaml", "table: lesions", "table: lesion", "'lesion'; a table has the name of its file"),
    ("rules/lesions.yaml", "table: lesions\n", "", "table: is missing"),
    ("rules/lesions.yaml", "match: one\n", "", "match: is missing"),
    ("rules/lesions.yaml", "gives: [flag, units]\n", "", "gives: is missing"),
    ("rules/lesions.yaml", "rows:", "row:", "row: unknown key; did you mean 'rows'?"),
    ("rules/lesions.yaml", "gives: [flag, units]", "gives: [flag, units, unit]", "gives unit, which nothing reads"),
    ("rules/lesions.yaml", "units: lesions", "units: lesion", "found lesion; did you mean 'lesions'?"),
    ("rules/lesions.yaml", "{name: several}]", '{upto: "9", name: several}]', "the band several, which has a bound"),
    ("rules/lesions.yaml", "absent: one}", "absent: onee}", "takes onee where nothing is stated"),
    ("rules/lesions.yaml", "[one_unit, units]", "[one_unit, units, unitss]", "never unitss"),
    ("rules/lesions.yaml", "id: lesion-one,  ", "  ", "a row has no id"),
    ("rules/components.yaml", "form: technical", "form: tecnical", "found tecnical; did you mean 'technical'?"),
    ("rules/approval.yaml", "holds: professional", "holds: profesional", "found profesional; did you mean"),
    ("rules/techniques.yaml", "[srs, physics, ports]", "[srs, phisics, ports]", "did you mean 'physics'?"),
    ("rules/techniques.yaml", "beams: electrons", "beams: electron", "found electron; did you mean 'electrons'?"),
    ("rules/techniques.yaml", "class: superficial", "class: superficail", "did you mean 'superficial'?"),
    ("rules/techniques.yaml", "counts: [physics]", "counts: physics", "counts takes a list"),
    ("rules/geometry.yaml", "  wedge: truth", "  wege: truth", "wedge is neither asked nor given"),
    ("rules/geometry.yaml", "  tangents: truth", "  tangents: trut", "did you mean 'truth'?"),
    ("rules/particle.yaml", 'rank: "3"', 'rank: "3x"', "rank is '3x'; write a whole number"),
    ("rules/particle.yaml", "complexity: complex", "complexity: complx", "found complx; did you mean 'complex'?"),
    ("rules/places.yaml", "modifier: PO", "modifier: PX0", "modifier is 'PX0'"),
    ("rules/places.yaml", 'pos: "21"', 'pos: "211"', "pos is '211'"),
    ("rules/services.yaml", "hold: frequency", "hold: frequncy", "did you mean 'frequency'?"),
    ("rules/services.yaml", "hold: frequency", "hold: code_differs", "does not let it hold"),
    ("rules/claims.yaml", "global: office,", "global: ofice,", "found ofice; did you mean 'office'?"),
    ("rules/delivery.yaml", "next: particle", "next: partical", "did you mean 'particle'?"),
    ("rules/sbrt.yaml", "recode_as: imrt", "recode_as: imtr", "found imtr; did you mean 'imrt'?"),
    ("codes.csv", CODE_77371, "77371,CPT,sterotactic,", "'sterotactic'"),
    ("codes.csv", ",2,per session,", ",2,per sesion,", "did you mean 'per session'?"),
    ("codes.csv", "RVU25D HCPCS2", "RVU25E HCPCS2", "RVU25E is not in sources.yaml; did you mean"),
    ("codes.csv", CODE_77371, "7737,CPT,stereotactic,", "'7737'"),
    ("payers.yaml", "sources: [ASTRO-DELIV, ASTRO16]}", "sources: [ASTRO-DLIV]}", "did you mean 'ASTRO-DELIV'?"),
    ("payers.yaml", "    sources: [WISE, EVICORE]", "    sources: [WISE, EVICOR]", "did you mean 'EVICORE'?"),
    ("payers.yaml", "{knob: robotic_set,", "{knob: robtic_set,", "did you mean 'robotic_set'?"),
    ("payers.yaml", "value: modality,", "value: modaliti,", "found modaliti; did you mean 'modality'?"),
    ("payers.yaml", "    based_on: medicare\n", "    based_on: medicar\n", "did you mean 'medicare'?"),
    ("payers.yaml", '"77263", "77370"', '"77263", "77730"', "code 77730 is not in codes.csv"),
    ("payers.yaml", "default: medicare", "default: medicar", "did you mean 'medicare'?"),
    ("payers.yaml", "counter_scope:\n", "counter_scop:\n", "counter_scope"),
    ("payers.yaml", "confidence: conflict", "confidence: conflct", "did you mean 'conflict'?"),
    ("reasons.yaml", "use: [hold]", "use: [hodl]", "did you mean 'hold'?"),
    ("reasons.yaml", "reason: no_physics_check", "reason: no_phisics_check", "lacks no_physics_check"),
    ("reasons.yaml", "    owner: physicist\n", "", "owner: is missing"),
    ("sources.yaml", "\nHCPCS2:", "\nHCPCS:", "HCPCS2 is not in sources.yaml; did you mean 'HCPCS'?"),
    ("sources.yaml", "  title:", "  titel:", "did you mean 'title'?"),
    ("settings.yaml", "setting: hospital", "setting: hospitl", "did you mean 'hospital'?"),
    ("settings.yaml", "ownership: split", "ownership: spilt", "did you mean 'split'?"),
    ("settings.yaml", "America/Chicago", "America/Chikago", "Chikago"),
    ("payers_by_plan.yaml", "payer: cpt_set", "payer: cptset", "'cptset'; did you mean 'cpt_set'?"),
    ("chargemaster/demo.csv", "facility_biller,77417", "facility_biler,77417", "did you mean 'facility_biller'?"),
    ("chargemaster/demo.csv", "facility_biller,77417", "facility_biller,7741", "code 7741 is not in codes.csv"),
    ("chargemaster/demo.csv", "77417,*,2015-01-01", "77417,**,2015-01-01", "modifiers '**'"),
    ("chargemaster/demo.csv", "77417,*,2015-01-01", "77417,*,2015-13-01", "'2015-13-01'"),
    ("chargemaster/demo.csv", "4410,0333,40.00", "4410,333,40.00", "revenue_code '333'"),
    ("senders/plain.yaml", "charset: UTF-8", "charset: UTF-88", "charset 'UTF-88' is none that is read here; did you mean 'UTF-8'?"),
    ("senders/plain.yaml", "charset: UTF-8", "charset: UTF-16", "charset 'UTF-16' is none that is read here"),
    ("senders/plain.yaml", "books: [DFT]", "books: [DTF]", "(found 'DTF'); did you mean 'DFT'?"),
    ("senders/plain.yaml", "CG: charge", "CG: chrage", "(found 'chrage'); did you mean 'charge'?"),
    ("senders/plain.yaml", "CD: credit", "CDD: credit", "type CDD is none of HL7 table 0017; did you mean 'CD'?"),
    ("senders/plain.yaml", "CG: charge", "cg: charge", "type cg is none of HL7 table 0017; did you mean 'CG'?"),
    ("senders/plain.yaml", "CG: charge", "CG: held", "no type means charge"),
    ("senders/plain.yaml", "CD: credit", "CD: held", "no type means credit"),
    ("senders/aria_like.yaml", "to: 2025-12-31, complexity: simple}, {from: 2026-01-01, level: 1}",
     "to: 2026-12-31, complexity: simple}, {from: 2026-06-01, complexity: complex}", "two rows of `states` speak on 2026-06-01; end the one from 2015-01-01 before"),
    ("senders/aria_like.yaml", "to: 2025-12-31, complexity: simple}, {from: 2026-01-01, level: 1}",
     "to: 2025-12-31, complexity: simple}, {from: 2025-01-01, level: 1}", "two rows of `states` speak on 2025-01-01"),
    ("senders/aria_like.yaml", "{from: 2015-01-01, to: 2025-12-31, complexity: simple}",
     "{from: 2015-01-01, to: 2014-12-31, complexity: simple}", "before it begins"),
    ("senders/aria_like.yaml", "{from: 2015-01-01, to: 2025-12-31, complexity: simple}",
     "{from: 2015-01-01, to: 2025-12-31, complexity: simpel}", "(found 'simpel'); did you mean 'simple'?"),
    ("fhir/senders/rv_fhir.yaml", "AMB: outpatient", "AMBB: outpatient", "class AMBB is none of ActEncounterCode; did you mean 'AMB'?"),
    ("fhir/senders/activities.yaml", "IMP: inpatient", "imp: inpatient", "class imp is none of ActEncounterCode; did you mean 'IMP'?"),
    ("fhir/senders/activities.yaml", "IMP: inpatient", "IMP: inpatent", "(found 'inpatent'); did you mean 'inpatient'?"),
    ("senders/plain.yaml", "foreign_codes: hold", "foreign_codes: hodl", "did you mean 'hold'?"),
    ("senders/plain.yaml", "absent: medicare", "absent: medicar", "'medicar'; did you mean 'medicare'?"),
    ("senders/plain.yaml", "{kind: guidance}", "{kind: guidence}", "did you mean 'guidance'?"),
    ("senders/plain.yaml", "  isocenters:  ", "  isocentres:  ", "did you mean 'isocenters'?"),
    ("senders/plain.yaml", "values: yes_no}", "values: yesno}", "'yesno'"),
    ("senders/plain.yaml", "{kind: exam}", "{kind: exam, facts: {technique: imrt}}", "technique is no fact of exam"),
    ("destinations/facility_biller.yaml", "FT1-10: units", "FT1-10: unit", "did you mean 'units'?"),
    ("destinations/facility_biller.yaml", "bills: [facility]", "bills: [facilty]", "did you mean 'facility'?"),
    ("destinations/facility_biller.yaml", "credit: cd_same_id", "credit: cd_sameid", "did you mean 'cd_same_id'?"),
    ("destinations/facility_biller.yaml", 'version: "2.3"', 'version: "2.33"', "version is one of"),
    ("fhir/senders/activities.yaml", "{technique: imrt}", "{technique: imtr}", "imtr"),
    ("fhir/senders/activities.yaml", '{code: "77334"}', '{code: "77343"}', "code 77343 is not in codes.csv"),
    ("fhir/senders/activities.yaml", "payer_absent: null", "payer_absent: medicar", "did you mean 'medicare'?"),
    ("fhir/senders/codex_rt.yaml", "[official, usual, id]", "[oficial, usual, id]", "did you mean 'official'?"),
    ("fhir/destinations/oracle_like.yaml", "on_ambiguous: hold", "on_ambiguous: hodl", "did you mean 'hold'?"),
    ("destinations/facility_biller.yaml", "destination: facility_biller", "destination: facilty_biller", "facility_biller"),
    ("destinations/facility_biller.yaml", "refused: [AE, CE]", "refused: [AE, CF]", "(found 'CF')"),
    ("destinations/facility_biller.yaml", "credit: CD}", "credit: CDx}", "types.credit"),
    ("reasons.yaml", "    owner: physician\n", "    owner: phisician\n", "did you mean 'physician'?"),
    ("reasons.yaml", "    owner: physicist\n", '    owner: ""\n', "owner is empty"),
    ("payers.yaml", "    meaning: imaging beside IMRT earns no line at all", '    meaning: ""', "meaning is empty"),
    ("settings.yaml", "location: RADONC, ", 'location: "", ', "location"),
    ("payers_by_plan.yaml", "plan: UHC, ", 'plan: "", ', "plan"),
    ("rules/components.yaml", "form: technical,", "", "gives no form"),
    ("rules/particle.yaml", 'rank: "3", ', "", "gives one of code and rank"),
    ("rules/sbrt.yaml", "recode_as: imrt, ", "", "gives nothing"),
    ("rules/levels.yaml", 'open: "3", next: level_codes, source: [UHCPA26, HCN26]}', 'open: "3", source: [HCN26]}',
     "gives open and no next table"),
    ("rules/approval.yaml", "approval: waiting, holds: form,", "approval: waiting,", "gives nothing"),
    ("rules/places.yaml", ', pos: "21"', "", "gives no pos"),
    ("rules/guidance.yaml", 'knob.srt_guidance_allowed: "false", ', "", "knob.srt_guidance_allowed is asked, and no row"),
    ("rules/ports.yaml", ", cap: group", "", "gives one of code and cap"),
    ("rules/hdr.yaml", ", absent: one}", "}", "lesions may be unstated"),
    ("fhir/motion.yaml", "rules:\n", "rule:\n", "did you mean 'rules'?"),
    ("fhir/motion.yaml", "technique: any, ", "technique: anyy, ", "did you mean 'any'?"),
    ("fhir/senders/activities.yaml", "https://lakeside.example/visit", "lakeside.example/visit", "is no system"),
    ("fhir/destinations/oracle_like.yaml", "https://lakeside.example/mrn", "", "patient is empty"),
    ("fhir/motion.yaml", "gives: active", "gives: activ", "did you mean 'active'?"),
    ("fhir/motion.yaml", "CODEX-MOTION}", "CODEX-MOTON}", "did you mean 'CODEX-MOTION'?"),
    ("fhir/motion.yaml", '"721051000124109"', '"721051000124190"', "721051000124190 is no SNOMED CT concept"),
]  # fmt: skip


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the shipped tables."""
    return Path(shutil.copytree(MAPPINGS, tmp_path_factory.mktemp("draft") / "mappings"))


def findings(mappings: Path) -> list[str]:
    """Return what the verb finds; nothing: it ends with 0."""
    result = CliRunner().invoke(cli, ["check", "--mappings", str(mappings), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    found: list[str] = json.loads(result.output)["findings"]
    assert result.exit_code == (1 if found else 0)
    return found


def test_the_shipped_files_have_no_slip() -> None:
    assert [] == findings(MAPPINGS)


@pytest.mark.parametrize(("file", "old", "new", "told"), SLIPS, ids=[f"{s[0]}-{n}" for n, s in enumerate(SLIPS)])
def test_a_slip_is_found_with_its_file_and_its_word(draft: Path, file: str, old: str, new: str, told: str) -> None:
    text = (MAPPINGS / file).read_text(encoding="utf-8")
    assert old in text
    (draft / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        found = findings(draft)
    finally:
        (draft / file).write_text(text, encoding="utf-8")

    assert any(told in line and re.match(r"[^ ]*\.(yaml|csv):\d+: ", line) for line in found), found


@pytest.mark.parametrize("name", ["site_payer.yaml", "rules/extra.yml", "rule/new.yaml", "chargemaster/new.xls"])
def test_a_file_that_nobody_reads_is_found(tmp_path: Path, name: str) -> None:
    mappings = Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))
    (mappings / name).parent.mkdir(exist_ok=True)
    (mappings / name).write_text("profiles: {}\n", encoding="utf-8")

    assert [f"mappings/{name}:1: is read by nobody"] == [line.split(";")[0] for line in findings(mappings)]


def test_a_rule_file_that_is_gone_is_found(tmp_path: Path) -> None:
    mappings = Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))
    (mappings / "rules" / "placement.yaml").unlink()

    assert ["rules:1: there is no table placement, which the rules ask"] == [
        line.split(";")[0] for line in findings(mappings)
    ]


def test_slips_in_several_files_are_told_at_once(tmp_path: Path) -> None:
    mappings = Path(shutil.copytree(MAPPINGS, tmp_path / "mappings"))
    for file, old, new in ((COUNTING, "way: once", "way: onse"), (SITES, "words: [breast]", "wrds: [breast]")):
        (mappings / file).write_text((mappings / file).read_text().replace(old, new, 1))

    told = "\n".join(findings(mappings))

    assert "onse" in told
    assert "wrds" in told
