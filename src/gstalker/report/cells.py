"""From trials to one cell: the mean, its spread and over what, and how much stands behind it.

Seeds are averaged within a capture, captures with equal weight. The spread is that over seeds
within captures where there are several seeds, else over captures, else the standard error over
takes that ``scores.json`` brings. These are different things, so a cell says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gstalker.metrics.vocabulary import Column
from gstalker.report.reported import Figure
from gstalker.report.sources import Row, Trial

OVER = {
    "seeds": "deviation over seeds, pooled within captures",
    "captures": "deviation over captures",
    "takes": "standard error over takes of one run, by bootstrap",
}
"""What a ± may be, in words."""


@dataclass(frozen=True)
class Cell:
    """One figure of a table."""

    mean: float | None = None
    """Or the lower end of a range; ``None``: n/a."""
    high: float | None = None
    """The upper end, where papers disagree."""
    bound: str = ""
    """``<`` or ``>``."""
    spread: float | None = None
    over: str = ""
    """One of ``OVER``; empty without a spread."""
    captures: int = 0
    runs: int = 0
    frames: int = 0
    """Scored, all runs together; 0 if not told."""
    protocol: str = ""
    """Equal only for cells that may be compared; empty for a range over papers."""
    behind: frozenset[str] = frozenset()
    """Captures, by their content."""
    gaps: tuple[str, ...] = ()
    """Why trials are missing behind it."""


def measured(row: Row, column: Column) -> Cell:
    """The cell of a row that was trained or scored here."""
    there = [(t, t.figures.get(column.name) or {}) for t in row.trials]
    gaps = tuple(_gap(t, entry) for t, entry in there if not _has(entry))
    there = [(t, entry) for t, entry in there if _has(entry)]
    if not there:
        return Cell(gaps=tuple(dict.fromkeys(gaps)) or ("not planned",))
    by_capture: dict[str, list[float]] = {}
    for trial, entry in there:
        by_capture.setdefault(_capture(trial), []).append(float(entry["mean"]))
    if len({(_capture(t), _protocol(t, entry)) for t, entry in there}) > len(by_capture):
        return Cell(gaps=(*gaps, "its seeds were scored by different protocols; evaluate again"))
    spread, over = _spread(list(by_capture.values()), [entry for _, entry in there])
    return Cell(
        mean=float(np.mean([np.mean(values) for values in by_capture.values()])),
        spread=spread,
        over=over,
        captures=len(by_capture),
        runs=len(there),
        frames=sum(int(entry.get("n") or 0) for _, entry in there),
        protocol=_key(there),
        behind=frozenset(by_capture),
        gaps=tuple(dict.fromkeys(gaps)),
    )


def printed(figures: Sequence[Figure], column: Column) -> Cell:
    """The cell of a reported row: one figure, or the range over those who print one."""
    mine = fitting(figures, column)
    if not mine:
        return Cell(gaps=("not printed",))
    ends = sorted(mine, key=lambda f: f.amount)
    low, high = ends[0].amount, ends[-1].amount
    bound = ">" if ends[-1].bound == ">" else "<" if ends[0].bound == "<" else ""
    sources = sorted({f.source for f in mine})
    return Cell(
        mean=low,
        high=high if high > low else None,
        bound=bound,
        runs=len({f.paper for f in mine}),
        protocol="" if high > low else "reported " + "; ".join(sources),
        gaps=(),
    )


def fitting(figures: Sequence[Figure], column: Column) -> list[Figure]:
    """The figures of a column; copies only where nobody prints it first."""
    mine = [f for f in figures if f.metric in (column.reported, column.name)]
    return [f for f in mine if f.sure != "copied"] or mine


def values(row: Row, column: Column) -> dict[str, dict[int | None, float]]:
    """Capture to seed to figure, for those that there are."""
    found: dict[str, dict[int | None, float]] = {}
    for trial in row.trials:
        entry = trial.figures.get(column.name) or {}
        if _has(entry):
            found.setdefault(_capture(trial), {})[trial.seed] = float(entry["mean"])
    return found


def pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Deviation within groups; ``None`` if no group has two.

    >>> pooled([[1.0, 3.0], [10.0, 12.0], [5.0]])
    1.4142135623730951
    """
    free = sum(len(group) - 1 for group in groups)
    if free < 1:
        return None
    squares = sum(float(np.square(np.array(g) - np.mean(g)).sum()) for g in groups)
    return float(np.sqrt(squares / free))


def _spread(
    groups: Sequence[Sequence[float]], entries: Sequence[dict[str, Any]]
) -> tuple[float | None, str]:
    seeds = pooled(groups)
    if seeds is not None:
        return seeds, "seeds"
    if len(groups) > 1:
        return float(np.std([np.mean(g) for g in groups], ddof=1)), "captures"
    stderr = entries[0].get("stderr")
    return (None, "") if stderr is None else (float(stderr), "takes")


def _has(entry: dict[str, Any]) -> bool:
    mean = entry.get("mean")
    return isinstance(mean, int | float) and bool(np.isfinite(mean))


def _gap(trial: Trial, entry: dict[str, Any]) -> str:
    reason = trial.missing or str(entry.get("reason") or "not scored")
    seed = "" if trial.seed is None else f", seed {trial.seed}"
    return f"{trial.capture}{seed}: {reason}"


def _capture(trial: Trial) -> str:
    return trial.content_id or trial.capture


def _protocol(trial: Trial, entry: dict[str, Any]) -> str:
    """What cost time has the machine for its protocol."""
    return str(entry.get("protocol") or trial.protocol)


def _key(there: Sequence[tuple[Trial, dict[str, Any]]]) -> str:
    """Captures and protocols behind a mean: only equal ones may be compared."""
    parts = {f"{_capture(t)} {_protocol(t, entry)}" for t, entry in there}
    return "; ".join(sorted(parts))
