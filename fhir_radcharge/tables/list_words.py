"""Every word of the counting, the exclusions, the sites and the knobs that means nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.rules.catalogue import CodeRow
from fhir_radcharge.rules.policy import FIRST_DAY, Knob
from fhir_radcharge.rules.rulebook import LAST_DAY, CountRule, Exclusion, Rulebook, SiteWords
from fhir_radcharge.rules.tables import KNOB
from fhir_radcharge.rules.words import BY_WAY, KNOBS
from fhir_radcharge.wire.facts import VOCABULARY


def list_problems(rulebook: Rulebook, classes: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with the counting, exclusions, sites and knobs; `classes` are the words of a site's class."""
    yield from _of_counting(rulebook)
    yield from _of_exclusions(rulebook)
    yield from _of_sites(rulebook, classes)
    yield from _of_knobs(rulebook)


def _of_counting(rulebook: Rulebook) -> Iterator[str]:
    techniques = rulebook.tables.get("techniques")
    counters: dict[str, None] = {}
    for row in techniques.rows if techniques else ():
        cell = row.gives.get("counts", ())
        counters.update(dict.fromkeys(cell if isinstance(cell, tuple) else ()))
    for number, rule in enumerate(rulebook.counting):
        if rule.counts not in counters:
            known = ", ".join(counters)
            near = did_you_mean(rule.counts, counters)
            yield f"{rule.place}: counts {rule.counts} is no counter of techniques.yaml; write one of {known}{near}"
        yield from _of_days(rule, (rule.code,), rulebook)
        yield from _of_columns(rule, rulebook)
        for other in rulebook.counting[:number]:
            same = (rule.code, rule.counts, rule.way) == (other.code, other.counts, other.way)
            if same and rule.start <= other.end and other.start <= rule.end:
                yield f"{rule.place}: earns {rule.code} a second time beside {other.id}; end one first"
    for code in sorted({rule.code for rule in rulebook.counting}):
        yield from _of_gaps(code, rulebook)


def _of_columns(rule: CountRule, rulebook: Rulebook) -> Iterator[str]:
    must, may = BY_WAY[rule.way]
    for column in ("size", "remainder_min", "total_min", "total_max", "whole_under", "stopped"):
        cell = getattr(rule, column)
        if not cell and column in must:
            yield f"{rule.place}: way {rule.way} needs {column}; write it"
        elif cell and column not in (*must, *may):
            yield f"{rule.place}: way {rule.way} does not read {column}; take it out"
    for column, words in _COUNTED.items():
        cell = getattr(rule, column)
        if cell.startswith(KNOB):
            yield from _of_named_knob(rule, column, words, rulebook.policy.declared)


_COUNTED: Mapping[str, tuple[str, ...] | None] = {
    "size": None,
    "remainder_min": ("none",),
    "stopped": ("true", "false"),
    "dated": ("last", "first", "span", "fifth_session", "check_date", "plan"),
    "units": ("one", "fractions"),
}


def _of_named_knob(
    rule: CountRule, column: str, words: tuple[str, ...] | None, declared: Mapping[str, Knob]
) -> Iterator[str]:
    name = getattr(rule, column)[len(KNOB) :]
    knob = declared.get(name)
    if knob is None:
        near = did_you_mean(name, declared)
        yield f"{rule.place}: {column} names the knob {name}, which payers.yaml does not declare{near}"
        return
    numbers = column in ("size", "remainder_min")
    for word in knob_words(knob) or (() if numbers and knob.kind == "number" else (f"a {knob.kind}",)):
        if word not in (words or ()) and not (numbers and word.isdigit()):
            yield f"{rule.place}: {column} names the knob {name}, which may be {word}; {column} cannot be that"


def _of_gaps(code: str, rulebook: Rulebook) -> Iterator[str]:
    """Yield the first day on which a counted code is valid and no row earns it."""
    for row in rulebook.catalogue:
        if row.code != code or not row.computed:
            continue
        day, last = max(row.valid_from, FIRST_DAY), min(row.valid_to, LAST_DAY)
        for rule in sorted((rule for rule in rulebook.counting if rule.code == code), key=lambda rule: rule.start):
            if rule.start > day:
                break
            if rule.end >= last:
                return
            day = max(day, rule.end + timedelta(days=1))
        if day <= last:
            yield f"{row.place}: {code} is computed from facts, and no row of counting.yaml earns it on {day}"


def _of_days(rule: CountRule | Exclusion, codes: Iterable[str], rulebook: Rulebook) -> Iterator[str]:
    """Yield what is wrong with the dates of a row and the codes that it names."""
    if rule.end < rule.start:
        yield f"{rule.place}: ends on {rule.end}, before it begins; swap the dates"
        return
    for code in sorted(codes):
        rows: list[CodeRow] = [row for row in rulebook.catalogue if row.code == code]
        if not rows:
            near = did_you_mean(code, {row.code for row in rulebook.catalogue})
            yield f"{rule.place}: code {code} is not in codes.csv{near}"
        elif not any(row.valid_from <= rule.end and rule.start <= row.valid_to for row in rows):
            yield f"{rule.place}: code {code} is not valid from {rule.start} to {rule.end}; see codes.csv"


def _of_exclusions(rulebook: Rulebook) -> Iterator[str]:
    for rule in rulebook.exclusions:
        yield from _of_days(rule, rule.has | rule.excludes, rulebook)
        for code in sorted(rule.has & rule.excludes):
            yield f"{rule.place}: {code} would exclude itself; take it out of has or of excludes"


def _of_sites(rulebook: Rulebook, classes: tuple[str, ...]) -> Iterator[str]:
    for number, site in enumerate(rulebook.sites):
        if site.imrt not in classes:
            near = did_you_mean(site.imrt, classes)
            yield f"{site.place}: imrt takes {', '.join(classes)}; found {site.imrt}{near}"
        for word in sorted(site.words | site.with_any):
            if not word.isalnum() or word != word.lower():
                yield f"{site.place}: '{word}' can never stand in a site; write one word in lower case"
        earlier = next((other for other in rulebook.sites[:number] if _takes(other, site)), None)
        if earlier is not None:
            yield f"{site.place}: row {site.id} can never answer; {earlier.id} takes all of its sites"
    last = rulebook.sites[-1]
    if last.words or last.with_any:
        yield f"{last.place}: row {last.id} is the last and does not take the rest; add a row with words: []"


def _takes(earlier: SiteWords, later: SiteWords) -> bool:
    if not earlier.words <= later.words:
        return False
    if not earlier.with_any or earlier.with_any & later.words:
        return True
    return bool(later.with_any) and later.with_any <= earlier.with_any


def _of_knobs(rulebook: Rulebook) -> Iterator[str]:
    """Yield each knob that is not there, that nobody reads, or that has a word which the rules do not know."""
    declared = rulebook.policy.declared
    asked = {ask.name[5:] for table in rulebook.tables.values() for ask in table.asks if ask.name.startswith(KNOB)}
    asked |= {getattr(rule, column)[len(KNOB) :] for rule in rulebook.counting for column in _COUNTED}
    for name, words in KNOBS.items():
        if name not in declared:
            yield f"payers.yaml:1: lacks the knob {name}, which the rules read{did_you_mean(name, declared)}"
            continue
        for word in knob_words(declared[name]) if words else ():
            if word not in words:
                near = did_you_mean(word, words)
                yield f"{declared[name].place}: {name} may be {', '.join(words)}; found {word}{near}"
    codes = {row.code for row in rulebook.catalogue}
    for name, knob in declared.items():
        if name not in KNOBS and name not in asked:
            yield f"{knob.place}: nothing reads the knob {name}{did_you_mean(name, {*KNOBS, *asked} - {*declared})}"
        if knob.kind == "list" and knob.allowed:
            yield from _of_modalities(knob)
    for profile in rulebook.policy.profiles:
        for value in profile.rows:
            for code in value.value if isinstance(value.value, list) and not declared[value.knob].allowed else ():
                if code not in codes:
                    yield f"{value.place}: {value.knob}: code {code} is not in codes.csv{did_you_mean(code, codes)}"


def _of_modalities(knob: Knob) -> Iterator[str]:
    known = VOCABULARY["modality"]
    for word in knob.allowed:
        if word not in known:
            yield f"{knob.place}: {knob.name} may list {', '.join(known)}; found {word}{did_you_mean(word, known)}"


def knob_words(knob: Knob) -> tuple[str, ...]:
    """Return the words of a knob as a table writes them."""
    return tuple(str(word).lower() if isinstance(word, bool) else str(word) for word in knob.allowed)
