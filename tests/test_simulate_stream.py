"""The simulator says the same courses for ever, in time order, about nobody."""

import hashlib
import os
import subprocess
import sys
from datetime import date
from itertools import islice, pairwise

import pytest

from fhir_radcharge.errors import ConfigError
from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of
from fhir_radcharge.simulate.pathways import pathways

START = date(2025, 11, 3)
DIGESTS = {
    "mosaiq_like": "92ed593775b6db1a",
    "aria_like": "5d9db510b3fe44b5",
    "plain": "6d53411fc7f7266c",
}


def digest(dialect: str) -> str:
    said = hashlib.sha256()
    for message in messages(run_of("smoke", 7, START), dialect):
        said.update(message.at.isoformat().encode() + message.raw)
    return said.hexdigest()[:16]


def test_the_same_seed_is_the_same_bytes_for_ever() -> None:
    assert {dialect: digest(dialect) for dialect in DIALECTS} == DIGESTS


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    code = "from tests.test_simulate_stream import digest; print(digest('aria_like'))"
    root = os.path.dirname(os.path.dirname(__file__))
    said = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "77"}, cwd=root, check=True,
        capture_output=True, text=True)

    assert said.stdout.strip() == DIGESTS["aria_like"]


def test_another_seed_is_other_bytes() -> None:
    first, second = (list(messages(run_of("smoke", seed, START), "plain")) for seed in (1, 2))

    assert first != second


def test_a_course_does_not_depend_on_the_courses_beside_it() -> None:
    few, many = (list(courses(run_of("clinic", 3, START, courses=count))) for count in (4, 12))

    assert few == many[:4]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_messages_come_in_the_order_of_time_and_none_is_lost(dialect: str) -> None:
    run = run_of("torture", 5, START, courses=40)

    said = list(messages(run, dialect))

    assert all(before.at <= after.at for before, after in pairwise(said))
    assert len(said) == sum(len(one.heard) for one in courses(run))


def test_a_repeat_is_the_same_bytes_and_a_revision_is_not() -> None:
    said = [message.raw for message in messages(run_of("torture", 5, START, courses=40), "mosaiq_like")]

    ids = {raw: raw.split(b"|")[9] for raw in said}
    assert len(set(said)) < len(said)
    assert len(set(ids.values())) == len(ids)


def test_every_pathway_is_played_by_the_torture_run() -> None:
    sites = {one.chart.site for one in courses(run_of("torture", 1, START))}

    assert sites == {pathway.site for pathway in pathways().pathway}


def test_what_is_held_does_not_grow_with_the_run() -> None:
    endless = messages(run_of("system", 1, START, courses=10**9), "plain")

    assert len(list(islice(endless, 2000))) == 2000


def test_every_patient_is_visibly_invented() -> None:
    patients = {one.chart.patient for one in courses(run_of("clinic", 9, START))}

    assert {patient.record[:5] for patient in patients} == {"ZZSIM"}
    assert len({patient.record for patient in patients}) == 300


@pytest.mark.parametrize(("size", "pathway"), [("huge", "all"), ("smoke", "toe")])
def test_an_unknown_size_or_pathway_names_the_choices(size: str, pathway: str) -> None:
    with pytest.raises(ConfigError, match="is not known; take"):
        list(messages(run_of(size, 1, START, pathway), "plain"))


def test_an_unknown_dialect_names_the_choices() -> None:
    with pytest.raises(ConfigError, match="take mosaiq_like, aria_like, plain"):
        list(messages(run_of("smoke", 1, START), "morse"))
