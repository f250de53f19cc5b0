"""Does what was measured here agree with what is printed: pair by pair, in order and in size.

Papers differ in subjects, crops and machines, so a figure of theirs is never held against one of
ours. What may be held together is the difference of two methods: theirs within one paper, ours
within one sweep, with the spread over seeds to say whether ours is one at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gstalker.report import cells, significance
from gstalker.report.reported import Figure
from gstalker.report.significance import Difference
from gstalker.report.sources import Row
from gstalker.report.vocabulary import Column

Order = Literal[
    "agrees", "contradicts", "not told apart", "papers disagree", "printed alike", "n/a"
]
Size = Literal["alike", "smaller", "larger", ""]

SURE_ENOUGH = 0.05
"""p, after Holm over the pairs of a column, below which a difference counts as one."""
FACTOR = 3.0
"""Quantities that machines decide are alike in size if their ratios are, within this factor."""
RATIOS = ("fps", "size", "train_time", "memory")
"""What papers print of machines and sizes: compared by ratio, not by difference."""
COUNTED = "there is no spread to hold the difference against"


@dataclass(frozen=True)
class Printed:
    """What one paper says of a pair."""

    paper: str
    gap: float
    """First minus second, or the decimal logarithm of first over second for a ratio."""


@dataclass(frozen=True)
class Pair:
    """Two methods in one column."""

    column: Column
    first: str
    second: str
    printed: tuple[Printed, ...]
    gap: float | None
    """Ours, as ``Printed.gap``."""
    tested: Difference | str
    """Ours over seeds, or why it cannot be told."""

    @property
    def is_ratio(self) -> bool:
        """Whether gaps are logarithms of ratios."""
        return self.column.reported in RATIOS

    @property
    def order(self) -> Order:
        """Whether the better one is the same."""
        signs = {math.copysign(1.0, told.gap) for told in self.printed if told.gap}
        if len(signs) != 1:
            return "papers disagree" if signs else "printed alike"
        if self.gap is None or isinstance(self.tested, str) and not self._is_counted:
            return "n/a"
        if isinstance(self.tested, Difference) and self.tested.p >= SURE_ENOUGH or not self.gap:
            return "not told apart"
        return "agrees" if math.copysign(1.0, self.gap) in signs else "contradicts"

    @property
    def size(self) -> Size:
        """Whether it is as much better; asked only where the order agrees."""
        if self.order != "agrees" or self.gap is None:
            return ""
        mine, gaps = abs(self.gap), [abs(told.gap) for told in self.printed]
        slack = math.log10(FACTOR) if self.is_ratio else 2 * self._stderr
        if mine + slack < min(gaps):
            return "smaller"
        return "larger" if mine - slack > max(gaps) else "alike"

    @property
    def _stderr(self) -> float:
        return self.tested.stderr if isinstance(self.tested, Difference) else 0.0

    @property
    def _is_counted(self) -> bool:
        """A size is counted, not measured, so without spread it is sure."""
        return self.column.reported == "size" and self.tested == COUNTED


def pairs(rows: Sequence[Row], figures: Sequence[Figure], column: Column) -> list[Pair]:
    """Every pair of rows that some paper prints in this column.

    Args:
        rows: of one sweep, called as the papers call the methods.
        figures: of one setting.
        column: one of ours that papers print something like.
    """
    told = []
    for a, b in itertools.combinations(rows, 2):
        printed = tuple(published(figures, column, a.name, b.name))
        if printed:
            told.append((a, b, printed))
    tests = significance.holm([significance.difference(a, b, column, "seeds") for a, b, _ in told])
    return [
        Pair(column, a.name, b.name, printed, _gap(a, b, column), test)
        for (a, b, printed), test in zip(told, tests, strict=True)
    ]


def published(
    figures: Sequence[Figure], column: Column, first: str, second: str
) -> Iterator[Printed]:
    """What each paper that prints both methods on the same videos says of their difference.

    A paper's copies of another's figures and bounds are left out. Where it prints a method twice,
    as on two machines, figures with the same note belong together.
    """
    mine = [f for f in figures if f.metric == column.reported and not f.bound]
    mine = [f for f in mine if f.sure != "copied" and f.method in (first, second)]
    for paper, subject in dict.fromkeys((f.paper, f.subject) for f in mine):
        there = [f for f in mine if (f.paper, f.subject) == (paper, subject)]
        ours, theirs = ([f for f in there if f.method == name] for name in (first, second))
        both = list(itertools.product(ours, theirs))
        for a, b in both:
            gap = _between(a.amount, b.amount, column)
            if math.isfinite(gap) and (len(both) == 1 or a.note == b.note):
                yield Printed(paper, gap)


def _gap(a: Row, b: Row, column: Column) -> float | None:
    """Of two rows that were measured alike; ``None`` if they were not."""
    one, other = cells.measured(a, column), cells.measured(b, column)
    if one.mean is None or other.mean is None or one.protocol != other.protocol:
        return None
    return _between(one.mean, other.mean, column)


def _between(one: float, other: float, column: Column) -> float:
    if column.reported not in RATIOS:
        return one - other
    return math.log10(one / other) if one > 0 and other > 0 else math.nan


# ---------------------------------------------------------------------- whole orders


@dataclass(frozen=True)
class Ranking:
    """The methods of a paper's column, best first, and ours."""

    paper: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    """The same methods in our order."""
    alike: int
    """Pairs in the same order."""
    pairs: int


def rankings(rows: Sequence[Row], figures: Sequence[Figure], column: Column) -> Iterator[Ranking]:
    """Each paper's order of the methods that were measured alike here; those of two and more."""
    measured = {row.name: cells.measured(row, column) for row in rows}
    protocols = [cell.protocol for cell in measured.values() if cell.mean is not None]
    main = max(protocols, key=protocols.count, default="")
    names = [
        name for name, cell in measured.items() if cell.mean is not None and cell.protocol == main
    ]
    mine = [f for f in figures if f.metric == column.reported and f.method in names]
    mine = [f for f in mine if f.sure != "copied" and not f.bound]
    for paper, subject, note in dict.fromkeys((f.paper, f.subject, f.note) for f in mine):
        there = [f for f in mine if (f.paper, f.subject, f.note) == (paper, subject, note)]
        value = {f.method: f.amount for f in there}
        if len(value) < 2 or len(value) < len(there):
            continue
        theirs = sorted(value, key=lambda name: column.badness(value[name]))
        ours = sorted(theirs, key=lambda name: column.badness(measured[name].mean or 0.0))
        couples = list(itertools.combinations(theirs, 2))
        alike = sum(ours.index(a) < ours.index(b) for a, b in couples)
        yield Ranking(paper, tuple(theirs), tuple(ours), alike, len(couples))
