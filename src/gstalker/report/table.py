"""Rows become a table: what stands in each cell, which are best, and every note.

``formats`` writes it down. Only cells of one protocol are ranked against each other; the others
carry a mark, and the note says what differs.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field

from gstalker.errors import ConfigError
from gstalker.metrics import vocabulary
from gstalker.metrics.vocabulary import Column
from gstalker.report import cells, significance
from gstalker.report.cells import Cell
from gstalker.report.columns import columns_of
from gstalker.report.grid import DAGGER, SECOND, Line, Table
from gstalker.report.notes import beneath, differences, made_of
from gstalker.report.reported import Figure
from gstalker.report.significance import Difference, Over
from gstalker.report.sources import Row


@dataclass
class _Notes:
    """Letters for footnotes; the same text gets the same letter."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return _letter(self.texts.index(text))


def build(
    rows: Sequence[Row],
    reported: Sequence[Figure] = (),
    *,
    metrics: Sequence[str] = (),
    title: str = "",
    over: Over | None = None,
    against: str | None = None,
) -> Table:
    """A table of measured rows, then of reported ones.

    Args:
        rows: trained or scored here.
        reported: figures of papers.
        metrics: names of columns, in order; by default the usual ones that somebody has.
        title: above it.
        over: also ask whether differences are more than chance, over this.
        against: name of the row that the others are held against; by default the first.

    Raises:
        ConfigError: a column or row is named that nobody has.
    """
    columns = columns_of(rows, reported, metrics)
    notes = _Notes()
    papers = _reported_rows(reported)
    grid = [[cells.measured(row, c) for c in columns] for row in rows]
    grid += [[cells.printed(figures, c) for c in columns] for figures in papers.values()]
    leading = grid[: len(rows)] or grid
    main = [_main([line[k] for line in leading]) for k in range(len(columns))]
    ranks = [_ranks([line[k] for line in grid], c, main[k].protocol) for k, c in enumerate(columns)]
    tests = _tests(rows, columns, over, against)
    lines = []
    for i, line in enumerate(grid):
        row = rows[i] if i < len(rows) else None
        figures = [] if row else list(papers.values())[i - len(rows)]
        marks = [_cell_marks(cell, key, row, notes) for cell, key in zip(line, main, strict=True)]
        lines.append(
            Line(
                row.name if row else list(papers)[i - len(rows)],
                row.kind if row else "reported",
                tuple(line),
                (notes.mark(_printed_where(figures, columns)),) if figures else (),
                _uneven(line, marks, row, notes),
                tuple(rank[i] for rank in ranks),
                tests[i] if i < len(tests) else (),
            )
        )
    written = tuple((_letter(k), text) for k, text in enumerate(notes.texts))
    told = beneath(rows, lines, columns)
    if over:
        told += differences(lines, columns, over, _base(rows, against).name)
    return Table(title, tuple(columns), tuple(lines), written, (*told, *made_of(rows)))


# ---------------------------------------------------------------------- what stands where


def _reported_rows(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Figures by method; other settings than self-driven are told apart by setting and subject."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        name = figure.method
        if figure.setting != "self-driven":
            name = f"{name} ({figure.setting}, {figure.subject})"
        found.setdefault(name, []).append(figure)
    return found


def _main(column: Sequence[Cell]) -> Cell:
    """A cell of the commonest protocol, the first of equals; what differs from it is marked."""
    there = [cell for cell in column if cell.mean is not None and cell.protocol]
    keys = [cell.protocol for cell in there]
    return max(there, key=lambda cell: keys.count(cell.protocol), default=Cell())


def _ranks(column: Sequence[Cell], kind: Column, main: str) -> list[int]:
    """Best and second among the cells of the main protocol; equals share their place."""
    fit = [k for k, c in enumerate(column) if c.mean is not None and main and c.protocol == main]
    fit = [k for k in fit if not column[k].bound]
    if not kind.is_ranked or len(fit) < 2:
        return [0] * len(column)
    bad = {k: round(kind.badness(column[k].mean or 0.0), kind.digits) for k in fit}
    places = sorted(set(bad.values()))
    ranks = [0] * len(column)
    for k, value in bad.items():
        ranks[k] = places.index(value) + 1 if places.index(value) < SECOND else 0
    return ranks if len(places) > 1 else [0] * len(column)


def _cell_marks(cell: Cell, main: Cell, row: Row | None, notes: _Notes) -> tuple[str, ...]:
    if cell.mean is None:
        return (notes.mark(f"n/a: {_listed(cell.gaps)}"),) if row else ()
    marks = []
    if cell.protocol != main.protocol or not main.protocol:
        marks.append(notes.mark(_foreign(cell, main)) if row else DAGGER)
    if cell.gaps:
        total = cell.runs + len(cell.gaps)
        marks.append(notes.mark(f"{cell.runs} of {total} runs; missing: {_listed(cell.gaps)}"))
    return tuple(marks)


def _foreign(cell: Cell, main: Cell) -> str:
    if cell.behind != main.behind:
        return "over other captures than most rows; not ranked"
    return "another protocol than most rows; not ranked"


def _uneven(
    line: Sequence[Cell], marks: Sequence[tuple[str, ...]], row: Row | None, notes: _Notes
) -> tuple[tuple[str, ...], ...]:
    """Adds a note to cells whose spread is over something else than the rest of their row's."""
    if row is None:
        return tuple(marks)
    usual = Line(row.name, row.kind, tuple(line)).over
    return tuple(
        (*told, notes.mark(f"± {cells.OVER[cell.over]}"))
        if cell.over and cell.over != usual
        else told
        for cell, told in zip(line, marks, strict=True)
    )


def _printed_where(figures: Sequence[Figure], columns: Sequence[Column]) -> str:
    """Every figure of a reported row as printed, source by source, with what is noted about it."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for figure in (f for column in columns for f in cells.fitting(figures, column)):
        unit = f" {figure.unit}" if figure.unit != "1" else ""
        title = vocabulary.REPORTED[figure.metric].title
        told = f"{title} {figure.bound}{figure.value:g}{unit}"
        merged.setdefault((figure.source, figure.sure, figure.note), []).append(told)
    parts = [
        f"{source} [{sure}{f'; {note}' if note else ''}]: {', '.join(told)}"
        for (source, sure, note), told in merged.items()
    ]
    return "; ".join(parts) or "none of these columns is printed"


def _listed(reasons: Sequence[str], most: int = 6) -> str:
    rest = f"; and {len(reasons) - most} more" if len(reasons) > most else ""
    return "; ".join(reasons[:most]) + rest


def _letter(k: int) -> str:
    letters = string.ascii_lowercase
    return letters[k] if k < len(letters) else _letter(k // 26 - 1) + letters[k % 26]


def _tests(
    rows: Sequence[Row], columns: Sequence[Column], over: Over | None, against: str | None
) -> list[tuple[Difference | str | None, ...]]:
    if over is None or not rows:
        return []
    base = _base(rows, against)
    grid: list[list[Difference | str | None]] = [[None] * len(columns) for _ in rows]
    others = [i for i, row in enumerate(rows) if row is not base]
    for k, column in enumerate(columns):
        found = [significance.difference(rows[i], base, column, over) for i in others]
        for i, told in zip(others, significance.holm(found), strict=True):
            grid[i][k] = told
    return [tuple(line) for line in grid]


def _base(rows: Sequence[Row], against: str | None) -> Row:
    if against is None:
        return rows[0]
    for row in rows:
        if row.name == against:
            return row
    raise ConfigError(
        f"there is no row called {against!r} to hold the others against.\n"
        f"  Rows: {', '.join(row.name for row in rows)}."
    )
