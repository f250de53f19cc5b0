"""Scores become tables and pages: reads what other rooms left on disk, trains and renders nothing.

``reported`` holds what papers print, ``sources`` finds rows, ``cells`` averages them,
``significance`` asks whether a difference is more than chance, ``table`` puts it together and
``formats`` writes it down. ``story`` binds what a run left behind into one HTML page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gstalker.errors import ConfigError

if TYPE_CHECKING:
    from gstalker.report.significance import Over

__all__ = ["FORMATS", "tabulate"]

FORMATS = ("markdown", "latex", "csv", "html")


def tabulate(
    paths: Sequence[str | Path],
    form: str = "markdown",
    *,
    reported: Sequence[str] = (),
    settings: Sequence[str] = ("self-driven",),
    metrics: Sequence[str] = (),
    runs: str | Path = "runs",
    controls: bool = False,
    over: Over | None = None,
    against: str | None = None,
) -> str:
    """A table of what was scored, as text.

    Args:
        paths: experiments, sweeps, runs, folders of runs, or ``scores.json`` files.
        form: one of ``FORMATS``.
        reported: what papers print, too: files, methods or ``all`` (``reported.choose``).
        settings: which settings of the papers.
        metrics: columns; by default the experiment's, or the usual ones that somebody has.
        runs: where the sweep of an experiment's ``.yaml`` lies.
        controls: also a head without sound, with another sentence, and the mean frame.
        over: also test differences, over ``frames`` or ``seeds``.
        against: the row that the others are held against.

    Raises:
        GSTalkerError: a source, a name or a combination is wrong; says what to type.
    """
    from gstalker.report import formats, sources
    from gstalker.report import reported as papers
    from gstalker.report import table as tables

    if form not in FORMATS:
        raise ConfigError(f"there is no format {form!r}.\n  Known: {', '.join(FORMATS)}.")
    if unknown := set(settings) - set(papers.SETTINGS):
        raise ConfigError(
            f"there is no setting {sorted(unknown)[0]!r}.\n  Known: {', '.join(papers.SETTINGS)}."
        )
    if against is not None and over is None:
        raise ConfigError("rows are held against one another only with --significance.")
    if not paths and not reported:
        raise ConfigError("nothing to tabulate.\n  Name a run, a sweep, or --reported NAME.")
    rows, asked = sources.rows(paths, runs=runs, controls=controls)
    if paths:
        sources.check_seen(rows)
    figures = papers.choose(reported)
    chosen = [f for f in figures if f.setting in settings]
    if figures and not chosen:
        there = sorted({f.setting for f in figures})
        raise ConfigError(
            f"nothing of that is {' or '.join(settings)}.\n  There is --setting {there[0]!r}."
        )
    made = tables.build(
        rows,
        chosen,
        metrics=metrics or asked.columns,
        title=asked.title,
        over=over,
        against=against,
    )
    if asked.unscored:
        made = replace(made, beneath=(asked.unscored, *made.beneath))
    return formats.FORMATS[form](made)
