"""Which columns a table has: those asked for, or the usual ones of which there is a figure."""

from __future__ import annotations

from collections.abc import Sequence

from gstalker.errors import ConfigError
from gstalker.metrics import vocabulary
from gstalker.metrics.vocabulary import Column
from gstalker.report.reported import Figure
from gstalker.report.sources import Row


def columns_of(
    rows: Sequence[Row], reported: Sequence[Figure], metrics: Sequence[str]
) -> list[Column]:
    """The columns asked for, or the usual ones of which there is at least one figure."""
    there = list(
        dict.fromkeys(
            name
            for row in rows
            for trial in row.trials
            for name, entry in trial.figures.items()
            if entry
        )
    )
    columns = {name: vocabulary.column(name) for name in there}
    printed = dict.fromkeys(figure.metric for figure in reported)
    taken = {c.reported for c in columns.values()}
    columns |= {n: vocabulary.REPORTED[n] for n in printed if n not in taken and n not in columns}
    if "all" in metrics:
        return list(columns.values())
    if metrics:
        return list({c.name: c for name in metrics for c in _fits(name, columns)}.values())
    usual = [n for name in vocabulary.USUAL for n in _exactly(name, columns)]
    if not rows:
        usual = list(columns)
    has = {n for row in rows for t in row.trials for n, e in t.figures.items() if "mean" in e}
    return [columns[n] for n in dict.fromkeys(usual) if n in has or n in printed]


def _fits(name: str, columns: dict[str, Column]) -> list[Column]:
    """``lmd`` also means ``lmd_mediapipe``, and ``psnr`` what papers call so.

    What is known but nobody has becomes a column of gaps.
    """
    found = _exactly(name, columns) or [n for n, c in columns.items() if c.reported == name]
    if found:
        return [columns[n] for n in found]
    if vocabulary.is_known(name):
        return [vocabulary.REPORTED.get(name) or vocabulary.column(name)]
    raise ConfigError(f"no row has a figure called {name!r}.\n  There are: {', '.join(columns)}.")


def _exactly(name: str, columns: dict[str, Column]) -> list[str]:
    if name in columns:
        return [name]
    return [n for n in columns if vocabulary.base_name(n) == name]
