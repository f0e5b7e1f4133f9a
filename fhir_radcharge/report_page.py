"""Turns figures into one HTML file with its plots drawn in it: no network, no script, fit to be printed.

A series is told by its word, its mark and its pattern, never by its colour alone; every plot names the table
that holds its figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

# Okabe and Ito's set, told apart with every kind of colour vision; a pattern goes with each.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
MARKS = ("●", "■", "▲", "◆", "✚", "▼")
LABELS_MAX = 16

_PATTERNS = (
    "",
    '<path d="M0 6L6 0" stroke="#fff" stroke-width="1.6"/>',
    '<path d="M0 3H6" stroke="#fff" stroke-width="1.6"/>',
    '<path d="M0 0L6 6M0 6L6 0" stroke="#fff" stroke-width="1.2"/>',
    '<circle cx="3" cy="3" r="1.4" fill="#fff"/>',
    '<path d="M3 0V6" stroke="#fff" stroke-width="1.6"/>',
)

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .lead { color: #444; } .small { font-size: .85rem; color: #555; }
ul.facts { display: flex; flex-wrap: wrap; gap: .6rem; list-style: none; margin: 1rem 0; padding: 0; }
ul.facts li { border: 1px solid #bbb; border-radius: 4px; padding: .45rem .8rem; min-width: 6rem; }
ul.facts b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #666; white-space: nowrap; } tbody th { font-weight: 500; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; overflow-x: auto; } figcaption { font-size: .9rem; margin-bottom: .3rem; }
svg { display: block; width: 100%; height: auto; } figure > svg { min-width: 34rem; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif;
  fill: #1a1a1a; }
.key { display: inline-block; margin-right: 1.2rem; } .key svg { display: inline-block; width: 14px; height: 14px;
  vertical-align: -2px; margin-right: .35rem; }
a { color: #004c80; } a:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
@page { size: A4; margin: 14mm; }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10.5pt; }
  h2, caption { break-after: avoid; } figure, tr, ul.facts { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll, figure { overflow: visible; } figure > svg { min-width: 0; }
  a { color: inherit; text-decoration: none; }
  svg, .key { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""


class Series(NamedTuple):
    """One row of figures of a plot, by its word."""

    word: str
    values: tuple[int, ...]


def page(title: str, lead: str, parts: Iterable[str]) -> str:
    """Return a whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{_DEFINITIONS}\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>\n<main>\n'
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def heading(text: str, said: str = "") -> str:
    """Return a heading, and a sentence below it."""
    return f"<h2>{escape(text)}</h2>" + (f"<p>{escape(said)}</p>" if said else "")


def note(text: str) -> str:
    """Return a remark in small print."""
    return f'<p class="small">{escape(text)}</p>'


def facts(pairs: Iterable[tuple[Any, str]]) -> str:
    """Return a row of figures, each with its word."""
    return '<ul class="facts">' + "".join(f"<li><b>{_said(n)}</b>{escape(word)}</li>" for n, word in pairs) + "</ul>"


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = (), name: str = ""
) -> str:
    """Return rows as a table whose first column heads its row; figures stand to the right."""
    right = [column in numbers for column in columns]
    head = "".join(
        f'<th scope="col"{_number(n)}>{escape(column)}</th>' for column, n in zip(columns, right, strict=True)
    )
    body = "".join(_row(row, right) for row in rows)
    if not body:
        body = f'<tr><td colspan="{len(columns)}">none</td></tr>'
    anchor = f' id="{escape(name)}"' if name else ""
    return (
        f'<div class="scroll"><table{anchor}><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[Any], right: Sequence[bool]) -> str:
    first, *others = row
    cells = [f'<th scope="row"{_number(right[0])}>{_said(first)}</th>']
    cells += [f"<td{_number(n)}>{_said(cell)}</td>" for cell, n in zip(others, right[1:], strict=True)]
    return f"<tr>{''.join(cells)}</tr>"


def _number(right: bool) -> str:
    return ' class="n"' if right else ""


def _said(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else escape(str(cell))


# -- plots -----------------------------------------------------------------------------------------------------


def columns_plot(title: str, labels: Sequence[str], series: Sequence[Series], behind: str) -> str:
    """Return upright bars from zero, one a label, the series on top of each other; `behind` names its table."""
    width, height, left, bottom, top = 900, 250, 48, 44, 14
    totals = [sum(one.values[n] for one in series) for n in range(len(labels))]
    most = _round_up(max(totals, default=0))
    step = (width - left) / max(len(labels), 1)
    scale = (height - bottom - top) / most
    drawn = _lines(most, width, height, left, bottom, top)
    for n, label in enumerate(labels):
        base = float(height - bottom)
        x = left + n * step + step * 0.12
        middle = f'x="{x + step * 0.38:.1f}" text-anchor="middle"'
        for number, one in enumerate(series):
            tall = one.values[n] * scale
            if tall:
                base -= tall
                drawn.append(_bar(x, base, step * 0.76, tall, number, f"{label}: {one.values[n]:,} {one.word}"))
        if len(labels) <= LABELS_MAX and totals[n]:
            drawn.append(f'<text {middle} y="{base - 4:.1f}">{totals[n]:,}</text>')
        if n % -(-len(labels) // LABELS_MAX) == 0:
            drawn.append(f'<text {middle} y="{height - bottom + 16}">{escape(label)}</text>')
    return _figure(title, [one.word for one in series] if len(series) > 1 else [], width, height, drawn, behind)


def pairs_plot(title: str, rows: Sequence[tuple[str, int, int]], words: tuple[str, str], behind: str) -> str:
    """Return lying bars from zero, two a row: before and after."""
    width, each, left, right = 900, 40, 190, 90
    height = each * len(rows) + 8
    most = max((max(before, after) for _, before, after in rows), default=0) or 1
    scale = (width - left - right) / most
    drawn: list[str] = []
    for n, (label, before, after) in enumerate(rows):
        y = n * each + 6
        drawn.append(f'<text x="{left - 10}" y="{y + 19}" text-anchor="end">{escape(label)}</text>')
        for k, value in enumerate((before, after)):
            wide = value * scale
            top = y + k * 15
            drawn.append(_bar(left, top, wide, 13, k, f"{label}: {value:,} {words[k]}") if value else "")
            drawn.append(f'<text x="{left + wide + 6:.1f}" y="{top + 11}">{value:,}</text>')
    drawn.append(f'<path d="M{left} 0V{height}" stroke="#444"/>')
    return _figure(title, words, width, height, drawn, behind)


def _figure(
    title: str, words: Sequence[str], width: int, height: int, drawn: Iterable[str], behind: str
) -> str:
    keys = "".join(
        f'<span class="key"><svg viewBox="0 0 14 14" aria-hidden="true">{_bar(1, 1, 12, 12, n, "")}</svg>'
        f"{MARKS[n]} {escape(word)}</span>"
        for n, word in enumerate(words)
    )
    name = escape(behind)
    return (
        f"<figure><figcaption><strong>{escape(title)}</strong> "
        f'(figures: <a href="#{name}">table</a>)<br>{keys}</figcaption>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}; the figures stand in a table">'
        f"{''.join(drawn)}</svg></figure>"
    )


def _bar(x: float, y: float, width: float, height: float, number: int, title: str) -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{max(height, 1):.1f}" '
        f'fill="url(#series{number})" stroke="{COLOURS[number]}" stroke-width=".8">{told}</rect>'
    )


def _lines(most: int, width: int, height: int, left: int, bottom: int, top: int) -> list[str]:
    found = []
    for value in sorted({0, most // 2, most}):
        y = height - bottom - (height - bottom - top) * value / most
        found.append(
            f'<path d="M{left} {y:.1f}H{width}" stroke="{"#444" if value == 0 else "#ddd"}"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'
        )
    return found


def _round_up(most: int) -> int:
    """Return the end of an axis: a round number that can be halved."""
    for times in (2, 4, 6, 8, 10):
        if most <= times:
            return times
    unit = 10
    while True:
        for times in (1, 2, 3, 4, 5, 6, 8, 10):
            if most <= times * unit:
                return times * unit
        unit *= 10


_DEFINITIONS = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="series{n}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect width="6" height="6" fill="{colour}"/>{_PATTERNS[n]}</pattern>'
        for n, colour in enumerate(COLOURS)
    )
    + "</defs></svg>"
)
