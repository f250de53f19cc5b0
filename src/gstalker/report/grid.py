"""The finished table as a value: its lines, what stands behind them, and the notes beneath."""

from __future__ import annotations

from dataclasses import dataclass

from gstalker.metrics.vocabulary import Column
from gstalker.report.cells import Cell
from gstalker.report.significance import Difference
from gstalker.report.sources import Kind

DAGGER = "†"
"""Behind what a paper prints."""
BEST, SECOND = 1, 2


@dataclass(frozen=True)
class Line:
    """One row of the finished table."""

    name: str
    kind: Kind
    cells: tuple[Cell, ...]
    marks: tuple[str, ...] = ()
    """Of the row's name."""
    cell_marks: tuple[tuple[str, ...], ...] = ()
    ranks: tuple[int, ...] = ()
    """``BEST``, ``SECOND`` or 0, a cell each."""
    tests: tuple[Difference | str | None, ...] = ()
    """Against the row asked for, a cell each; a text says why there is none."""

    @property
    def counts(self) -> str:
        """What stands behind the row: papers, or captures and runs."""
        full = max(self.cells, key=lambda cell: (cell.runs, cell.frames), default=Cell())
        return count_words(full, self.kind)

    @property
    def over(self) -> str:
        """What most of its spreads are over."""
        told = [cell.over for cell in self.cells if cell.over]
        return max(told, key=told.count, default="")


@dataclass(frozen=True)
class Table:
    """All of it."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[tuple[str, str], ...]
    """Mark and text."""
    beneath: tuple[str, ...]
    """How to read it, the protocol and where it comes from; one sentence each."""


def count_words(cell: Cell, kind: Kind) -> str:
    """What stands behind a cell, in words."""
    if kind == "reported":
        return _plural(cell.runs, "paper")
    parts = [_plural(cell.captures, "capture"), _plural(cell.runs, "run")]
    frames = f", {cell.frames} frames" if cell.frames else ""
    return " x ".join(parts[:1]) + f", {parts[1]}{frames}" if cell.runs else "0 runs"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
