"""Every word of the deciding tables that means nothing: to the rules, to another table, or to the list it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.tables import KNOB, Ask, Row, Table
from fhir_radcharge.rules.words import CHAIN, ENDS, GIVEN, GIVEN_AS, MADE, MUST, PORTS, RAISED, READ, STATED, TRUTH
from fhir_radcharge.tables.list_words import knob_words, list_problems
from fhir_radcharge.wire.facts import COUNTS, FLAGS, NUMBERS, VOCABULARY


def wrong_words(rulebook: Rulebook) -> Iterator[str]:
    """Yield each word of the tables, the counting, the exclusions, the sites and the knobs that names nothing."""
    vocabulary = _Vocabulary(rulebook)
    for table in rulebook.tables.values():
        yield from vocabulary.of_head(table)
        for row in table.rows:
            yield from vocabulary.of_row(table, row)
    yield from _unread(rulebook)
    yield from list_problems(rulebook, vocabulary.asked("site_class"))
    known = {reason.reason for reason in rulebook.reasons}
    for reason in RAISED:
        if reason not in known:
            yield f"reasons.yaml:1: lacks {reason}, which the rules raise; add it{did_you_mean(reason, known)}"


def unknown_sources(rulebook: Rulebook, known: Collection[str]) -> Iterator[str]:
    """Yield each source that a row, a code or a knob cites and that the list of sources does not have."""
    for place, sources in _cited(rulebook):
        for key in sources:
            if key not in known:
                yield f"{place}: source {key} is not in sources.yaml{did_you_mean(key, known)}"


def _cited(rulebook: Rulebook) -> Iterator[tuple[str, Iterable[str]]]:
    for table in rulebook.tables.values():
        for row in table.rows:
            yield row.place, row.sources
    for one in (*rulebook.counting, *rulebook.exclusions, *rulebook.sites, *rulebook.catalogue):
        yield one.place, one.sources
    for knob in rulebook.policy.declared.values():
        yield knob.place, (*knob.sources, *knob.against)
    for profile in rulebook.policy.profiles:
        for value in profile.rows:
            yield value.place, value.sources


class _Vocabulary:
    """Which words may answer a question, and which may stand in a column of a row."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook
        self.given: dict[str, dict[str, None]] = {}
        self.questions: dict[str, list[tuple[str, ...]]] = {}
        for table in rulebook.tables.values():
            for ask in table.asks:
                self.questions.setdefault(ask.name, []).append(ask.values)
            for row in table.rows:
                for column, cell in row.gives.items():
                    name = "claim" if column in GIVEN_AS and GIVEN_AS[column] == "claim" else column
                    words = (cell,) if isinstance(cell, str) else cell
                    self.given.setdefault(name, {}).update(dict.fromkeys(words))

    def asked(self, name: str) -> tuple[str, ...]:
        """Return the words that every question of this name has; none where nobody asks."""
        lists = self.questions.get(name, [])
        return tuple(word for word in lists[0] if all(word in words for words in lists)) if lists else ()

    def of_head(self, table: Table) -> Iterator[str]:
        """Yield what is wrong with the questions of a table and the names of its columns."""
        for number, ask in enumerate(table.asks):
            place = f"{table.places.get(ask.name, table.name)}: {ask.name}"
            if all(row.asks[number] is None for row in table.rows):
                yield f"{place} is asked, and no row tells its words apart; take it out, or write it in a row"
            for told in (*self._of_ask(ask), *_of_bands(ask)):
                yield f"{place} {told}"
        read = READ.get(table.name, CHAIN)
        for column in table.gives:
            if column not in read and (column not in self.questions or (table.name in READ and read is not CHAIN)):
                near = did_you_mean(column, {*read, *self.questions})
                yield f"{table.places.get('gives', table.name)}: gives {column}, which nothing reads{near}"

    def _of_ask(self, ask: Ask) -> Iterator[str]:
        if ask.name.startswith(KNOB):
            knob = self.rulebook.policy.declared.get(ask.name[5:])
            known = None if knob is None else knob_words(knob)
        elif ask.name in COUNTS or ask.name in NUMBERS:
            if not ask.bands and not all(word.isdigit() for word in ask.values if word != ask.absent):
                yield "is a number; write bands, or whole numbers in quotes"
            known = None
        elif (known := self._fact(ask.name)) is None:
            names = {*MADE, *COUNTS, *NUMBERS, *FLAGS, *VOCABULARY, *self.given}
            yield f"is a fact that nothing states{did_you_mean(ask.name, names)}"
        if ask.absent not in (None, "unknown", *(known or ()), *(band.name for band in ask.bands)):
            yield f"takes {ask.absent} where nothing is stated; write one of its words, or unknown"
        else:
            near = did_you_mean(ask.absent or "", (band.name for band in ask.bands if band.name != ask.absent))
            if near and ask.absent not in {band.name for band in ask.bands}:
                yield f"takes {ask.absent} where nothing is stated, and no band is called so{near}"
        optional = ask.name in COUNTS or ask.name in NUMBERS or (ask.name in VOCABULARY and ask.name not in STATED)
        if ask.absent is None and optional:
            yield "may be unstated; write absent: unknown, or the word that stands for it"
        if known is not None:
            yield from self._compared(ask, known)

    def _fact(self, name: str) -> tuple[str, ...] | None:
        if name in FLAGS:
            return TRUTH
        if name == "site_class":
            return tuple({"unknown": None, **{site.imrt: None for site in self.rulebook.sites}})
        found = MADE.get(name) or VOCABULARY.get(name)
        if found is None and name in self.given:
            found = tuple(word for word in self.given[name] if name != "claim" or word != "none")
        return found

    @staticmethod
    def _compared(ask: Ask, known: tuple[str, ...]) -> Iterator[str]:
        for word in ask.values:
            if word not in known and word != ask.absent:
                yield f"is never {word}; it may be {', '.join(known)}{did_you_mean(word, known)}"
        lacking = [word for word in known if word not in ask.values]
        # A table behind a class is asked about the techniques of that class alone.
        if lacking and ask.name not in ("technique", "beams", "site_class"):
            yield f"may also be {', '.join(lacking)}; add that, and the rows that decide it"

    def of_row(self, table: Table, row: Row) -> Iterator[str]:
        """Yield what is wrong with the words that a row gives."""
        for column, cell in row.gives.items():
            if isinstance(cell, tuple) != (column == "counts"):
                form = "a list of counters" if column == "counts" else "one word"
                yield f"{row.place}: {column} takes {form}"
            elif column == "counts":
                yield from self._counters(row, cell)
            elif isinstance(cell, str):
                told = self._of_cell(column, cell)
                if told:
                    yield f"{row.place}: {column} {told}"
        yield from self._lacking(table, row)
        for column, holds in (("hold", True), ("flag", False)):
            reason = next((r for r in self.rulebook.reasons if r.reason == row.text(column)), None)
            if reason is not None and not (reason.holds if holds else reason.flags):
                yield f"{row.place}: {column} {reason.reason}: reasons.yaml does not let it {column}; see its `use`"

    def _lacking(self, table: Table, row: Row) -> Iterator[str]:
        """Yield each cell without which the row says nothing, or half."""
        for column in MUST.get(table.name, ()):
            if column not in row.gives:
                yield f"{row.place}: gives no {column}; write it"
        given = row.gives.keys()
        if "code" in table.gives and row.gives.get("form", "none") != "none" and "code" not in given:
            yield f"{row.place}: gives the form {row.gives['form']} and no code; write it"
        if table.name == "approval" and not given:
            yield f"{row.place}: gives nothing; write what it sends or holds, or a flag"
        if table.name == "places" and "pos" not in given and _answers(table, row, "claim") != frozenset({"hospital"}):
            yield f"{row.place}: gives no pos, and not for the hospital's claim alone; write it"
        for column in {"rank", "cap"} & set(table.gives):
            if (column in given) != ("code" in given):
                yield f"{row.place}: gives one of code and {column}; write both"
        if table.name in READ:
            return
        if {"code", "next"} & set(table.gives) and not {*ENDS} & given:
            yield f"{row.place}: gives nothing; write a code, the next table, a flag or a hold"
        for column in given & self.questions.keys() - {*CHAIN}:
            if "next" not in given:
                yield f"{row.place}: gives {column} and no next table that asks it; write it"

    def _counters(self, row: Row, cell: Iterable[str]) -> Iterator[str]:
        known = {PORTS, *(rule.counts for rule in self.rulebook.counting)}
        for word in cell:
            if word not in known:
                yield f"{row.place}: counts {word} is counted by no row of counting.yaml{did_you_mean(word, known)}"

    def _of_cell(self, column: str, cell: str) -> str | None:
        form = _FORMS.get(column)
        if form is not None:
            return None if form[0](cell) else f"is '{cell}'; write {form[1]}"
        if column in _CHECKED_ELSEWHERE:
            return None
        name = GIVEN_AS.get(column, column)
        known = GIVEN.get(name) or VOCABULARY.get(name) or self.asked(name)
        known = (*known, "none") if name == "claim" else known
        if not known or cell in known:
            return None
        return f"takes {', '.join(known)}; found {cell}{did_you_mean(cell, known)}"


def _answers(table: Table, row: Row, name: str) -> frozenset[str] | None:
    """Return the words of a question that the row answers, None for any."""
    return next((want for ask, want in zip(table.asks, row.asks, strict=True) if ask.name == name), None)


_CHECKED_ELSEWHERE = frozenset({"code", "next", "flag", "hold"})
_FORMS = {
    "rank": (str.isdigit, "a whole number"),
    "pos": (lambda cell: len(cell) == 2 and cell.isdigit(), "the two digits of a place of service"),
    "modifier": (lambda cell: len(cell) == 2 and cell.isalnum() and cell == cell.upper(), "two capitals or digits"),
}


def _of_bands(ask: Ask) -> Iterator[str]:
    if not ask.bands:
        return
    *bounded, last = ask.bands
    for band in bounded:
        if band.upto is None and band.below is None:
            yield f"has the band {band.name} without a bound before others; put it last"
    if last.upto is not None or last.below is not None:
        yield f"ends with the band {last.name}, which has a bound; add a band with a name alone"
    for band in ask.bands:
        if band.upto is not None and band.below is not None:
            yield f"has two bounds for the band {band.name}; keep upto or below"
    ends = [(band.name, band.below if band.upto is None else band.upto) for band in bounded]
    for (_, one), (name, other) in pairwise(ends):
        if one is not None and other is not None and other <= one:
            yield f"has the band {name} at or below the one before it; order them by their bounds"


def _unread(rulebook: Rulebook) -> Iterator[str]:
    """Yield each table that the rules ask and that is not there, and each that nobody asks."""
    for name in READ:
        if name not in rulebook.tables:
            yield f"rules:1: there is no table {name}, which the rules ask{did_you_mean(name, rulebook.tables)}"
    named = {row.text("next") for table in rulebook.tables.values() for row in table.rows}
    for name, table in rulebook.tables.items():
        if name not in READ and name not in named:
            yield f"{table.places.get('table', name)}: no row names {name} as its next table, so it never answers"
