"""Deliberate faults, one line each, and whether the tests see them: `python tests/mutations.py [NAME ...]`.

A rig that nothing breaks may be blind. Each fault is put into a copy of the tree, a fast part of the tests is run
there, and a fault that passes them is reported as missed. The copy without a fault must pass first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_COPIED = ("fhir_radcharge", "mappings", "fixtures", "tests", "pyproject.toml")
_TIMEOUT_S = 240

RIG = ("tests/test_rig_runs.py",)
COUNTS = ("tests/test_oracle_comparing.py", "tests/test_oracle_whole.py")
WHOLE = ("tests/test_oracle_whole.py",)


class Mutant(NamedTuple):
    """One fault: where, what stands there, what stands there instead, and the tests that should see it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    # ---- the promise of the answer
    Mutant(
        "answer_before_commit",
        "fhir_radcharge/gateway/turns.py",
        "            answers = self._engine.receive(batch.heard) if batch.heard else []\n",
        "            answers = self._engine.receive(batch.heard) if batch.heard else []\n"
        "            self._hand_back(dealt(batch.told, answers), [], [])\n            batch.told = []\n",
        ("tests/test_gateway_listener.py", "tests/test_gateway_server.py"),
    ),
    Mutant(
        "no_dedup_at_the_door",
        "fhir_radcharge/engine/receive.py",
        "            if look.content in seen:\n",
        "            if False:\n",
        RIG,
    ),
    Mutant(
        "dedup_by_control_id_alone",
        "fhir_radcharge/engine/receive.py",
        "            if look.content in seen:\n                answers.append(seen[look.content].answer)\n",
        "            if seen:\n                answers.append(next(iter(seen.values())).answer)\n",
        ("tests/test_engine_receive.py",),
    ),
    Mutant(
        "test_messages_are_charged",
        "fhir_radcharge/engine/receive.py",
        'taken = "test" if',
        'taken = "taken" if',
        ("tests/test_engine_receive.py",),
    ),
    Mutant(
        "a_message_without_a_name_is_taken",
        "fhir_radcharge/engine/receive.py",
        "if header.control_id in _NO_NAME:",
        "if False:",
        ("tests/test_engine_receive.py",),
    ),
    Mutant(
        "a_delivery_of_tomorrow_is_taken",
        "fhir_radcharge/wire/ft1.py",
        "    if day > sent:\n",
        "    if False:\n",
        ("tests/test_profiles_dates.py",),
    ),
    # ---- what is said, and under which name
    Mutant(
        "chance_in_the_posting_id",
        "fhir_radcharge/reconcile.py",
        '    told = "\\x1f".join((destination, key, kind, previous or ""))\n',
        '    import secrets\n    told = "\\x1f".join((destination, key, kind, previous or "", secrets.token_hex(4)))\n',
        RIG,
    ),
    Mutant(
        "id_forgets_the_previous_posting",
        "fhir_radcharge/reconcile.py",
        '(destination, key, kind, previous or "")',
        '(destination, key, kind, "")',
        RIG,
    ),
    Mutant(
        "charge_before_credit",
        "fhir_radcharge/reconcile.py",
        'correction.kind != "CREDIT"',
        'correction.kind == "CREDIT"',
        RIG,
    ),
    Mutant(
        "rendered_anew_on_resend",
        "fhir_radcharge/engine/sending.py",
        "sends.append(Send(seq, destination, lane, control_id, body, attempt + 1))",
        "sends.append(Send(seq, destination, lane, control_id, body + b'ZZZ\\r' * attempt, attempt + 1))",
        RIG,
    ),
    Mutant(
        "no_escape_on_the_way_out",
        "fhir_radcharge/wire/escapes.py",
        "    coded = text.translate(_escapes(d))\n",
        "    coded = text\n",
        ("tests/test_wire_er7.py", "tests/test_wire_outbound.py", "tests/test_wire_traps.py"),
    ),
    # ---- what became of it
    Mutant(
        "silence_is_taken_for_yes",
        "fhir_radcharge/engine/sending.py",
        '                    if kind == "accepted":\n',
        '                    if kind in ("accepted", "silent"):\n',
        RIG,
    ),
    Mutant(
        "silence_is_always_resent",
        "fhir_radcharge/engine/sending.py",
        '.on_ambiguous == "resend":',
        '.on_ambiguous != "never":',
        RIG,
    ),
    Mutant(
        "what_is_never_taken_is_nobodys_work",
        "fhir_radcharge/engine/declined.py",
        "        hold(self._ledger, [item], at)\n",
        "",
        ("tests/test_engine_sending.py",),
    ),
    Mutant("refused_still_stands", "fhir_radcharge/engine/patients.py", "or line.id in self.struck or", "or", RIG),
    Mutant(
        "restart_forgets_what_was_out",
        "fhir_radcharge/engine/__init__.py",
        "        self._sending.recover()\n",
        "",
        RIG,
    ),
    Mutant(
        "lanes_split_a_patient",
        "fhir_radcharge/engine/work.py",
        "lane = book.number % lanes[line.destination]",
        "lane = (send + len(sends)) % lanes[line.destination]",
        RIG,
    ),
    Mutant(
        "late_answer_is_matched",
        "fhir_radcharge/gateway/lane.py",
        "        if answer.control_id != self.send.control_id:\n",
        "        if False:\n",
        ("tests/test_gateway_link.py",),
    ),
    Mutant(
        "refused_charge_leaves_its_credit",
        "fhir_radcharge/engine/sending.py",
        "if line.credits in told and",
        "if False and",
        (*RIG, "tests/test_engine_sending.py"),
    ),
    Mutant(
        "nobody_is_woken",
        "fhir_radcharge/engine/reckoning.py",
        "due.wakes.isoformat() if due.wakes is not None else None",
        "None",
        RIG,
    ),
    # ---- what was heard
    Mutant("last_to_arrive_stands", "fhir_radcharge/engine/patients.py", "saying.order > known.order", "True", RIG),
    Mutant(
        "void_is_ignored",
        "fhir_radcharge/rules/charging.py",
        "told_apart([event for event in events if not event.voided])",
        "told_apart(list(events))",
        COUNTS,
    ),
    Mutant(
        "cache_outlives_a_failure",
        "fhir_radcharge/ledger/store.py",
        "    def _roll_back(self) -> None:\n        self.generation += 1\n",
        "    def _roll_back(self) -> None:\n",
        RIG,
    ),
    Mutant(
        "framer_drops_the_second_frame",
        "fhir_radcharge/wire/mllp.py",
        "            at = end + 1\n        self._scanned = 0\n",
        "            at = len(source)\n        self._scanned = 0\n",
        ("tests/test_wire_mllp.py",),
    ),
    Mutant(
        "date_of_service_in_utc",
        "fhir_radcharge/wire/times.py",
        "    local = utc + zone.offsets[bisect_right(zone.starts, utc) - 1]\n",
        "    local = utc\n",
        ("tests/test_simulate_reading.py",),
    ),
    # ---- what is due
    Mutant(
        "remainder_of_two_is_enough", "fhir_radcharge/rules/counting.py", "left < needed", "left + 1 < needed", COUNTS
    ),
    Mutant(
        "groups_of_six",
        "fhir_radcharge/rules/counting.py",
        '    size = int(rule.value("size", knobs))\n    total',
        '    size = int(rule.value("size", knobs)) + 1\n    total',
        COUNTS,
    ),
    Mutant(
        "todays_rules",
        "fhir_radcharge/rules/rulebook.py",
        "        era = self._days.get(day)\n",
        "        day = date.today()\n        era = self._days.get(day)\n",
        WHOLE,
    ),
    Mutant("any_examiner_will_do", "fhir_radcharge/rules/counting.py", '!= "physician"', '== "nobody"', COUNTS),
    Mutant(
        "cancelled_sessions_count",
        "fhir_radcharge/rules/sessions.py",
        'event.facts.get("beam", True) is not False',
        "True",
        COUNTS,
    ),
    Mutant("boundary_day_belongs_to_yesterday", "fhir_radcharge/rules/tables.py", "bisect_right", "bisect_left", WHOLE),
)


def main(names: list[str]) -> int:
    """Try the faults that are named, or all; return 1 if one was missed or could not be put in."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        tree = Path(folder)
        _copy(tree)
        tests = sorted({test for mutant in chosen for test in mutant.tests if (tree / test).exists()})
        failure = _failure(tree, tuple(tests))
        if failure:
            print(f"{failure}\nthe copy without a fault does not pass; nothing can be said")
            return 1
        verdicts = [_verdict(tree, mutant) for mutant in chosen]
    caught = verdicts.count("caught")
    print(f"{len(chosen)} faults, {caught} caught, {len(chosen) - caught} not")
    return 0 if caught == len(chosen) else 1


def _copy(tree: Path) -> None:
    skipped = shutil.ignore_patterns("__pycache__", ".*_cache", "*.sqlite*")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=skipped)
        elif source.exists():
            shutil.copy(source, tree / name)


def _verdict(tree: Path, mutant: Mutant) -> str:
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    begin = perf_counter()
    if text.count(mutant.old) < 1:
        verdict = "not found: the line has changed, mend the fault"
    else:
        path.write_text(text.replace(mutant.old, mutant.new, 1), encoding="utf-8")
        try:
            verdict = "caught" if _failure(tree, mutant.tests) else "MISSED"
        finally:
            path.write_text(text, encoding="utf-8")
    print(f"{mutant.name:36} {verdict} ({perf_counter() - begin:.0f} s)", flush=True)
    return verdict


def _failure(tree: Path, tests: tuple[str, ...]) -> str | None:
    """Run tests in the copy and return the end of what they say if they fail; a run that never ends has failed."""
    # Without bytecode files: two versions of a line within one second would be taken for the same.
    surroundings = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    present = [test for test in tests if (tree / test).exists()]
    if not present:
        return None
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *present]
    try:
        ran = subprocess.run(
            command, cwd=tree, env=surroundings, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "the tests do not end"
    return "\n".join(ran.stdout.splitlines()[-15:]) if ran.returncode else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
