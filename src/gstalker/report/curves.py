"""The plots of a run's page: its training, its regions, and how the mouth answers the sound."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.data.capture import FPS
from gstalker.errors import RunError
from gstalker.metrics.vocabulary import column
from gstalker.plots import FAINT, INK, LEGEND, LINES, blank, dress, figure, svg
from gstalker.report.frames import PerFrame
from gstalker.report.sources import CONTROLS, OURS

ROW_WORDS = {OURS: "ours", **CONTROLS}
REGIONS = ("psnr_full", "psnr_head", "psnr_above_chin", "psnr_mouth", "psnr_mouth_open")
Entries = dict[str, dict[str, Any]]


def training(path: Path) -> str:
    """Loss and validation scores of one stage over its steps.

    Raises:
        RunError: ``metrics.csv`` is damaged.
    """
    try:
        with path.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        steps = [int(row["step"]) for row in rows]
        names = [n for n in rows[0] if n.startswith("val_")] if rows else []
        told = {n: _points(rows, n) for n in ("loss", *names)}
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise RunError(f"{path} is damaged ({error!r}).") from error

    def loss(axes: Any) -> None:
        few = len(told["loss"][0]) < 3
        axes.plot(*told["loss"], color=LINES[0], lw=1.2, marker="." if few else None)
        axes.set_yscale("linear" if few else "log")
        for axis_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_formatter("{x:.3g}")  # matplotlib's powers of ten lose digits as SVG text

    def scores(axes: Any) -> None:
        for k, name in enumerate(names):
            colour = LINES[k % len(LINES)]
            label = column(name.removeprefix("val_")).title
            axes.plot(*told[name], color=colour, lw=1.2, marker=".", label=label)
        axes.legend(**LEGEND)

    plots: list[tuple[Any, str]] = [(loss, "loss")]
    plots += [(scores, "validation, dB")] if any(told[name][0] for name in names) else []
    return figure(plots, 1.2 + 1.4 * len(plots), (0, 1.015 * max(steps, default=1)), "steps")


def _points(rows: Sequence[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    there = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
    return [step for step, _ in there], [value for _, value in there]


def regions(rows: dict[str, Entries]) -> str:
    """PSNR of each region with its error, ours beside the controls; empty if there is none."""
    names = [n for n in REGIONS if any("mean" in row.get(n, {}) for row in rows.values())]
    if not names:
        return ""
    drawing = blank(9.6, 3.4)
    axes = drawing.add_axes((0.068, 0.13, 0.917, 0.74))
    width = 0.8 / len(rows)
    for k, (row, entries) in enumerate(rows.items()):
        there = [i for i, n in enumerate(names) if entries.get(n, {}).get("mean") is not None]
        means = [entries[names[i]]["mean"] for i in there]
        errors = [entries[names[i]].get("stderr") or 0.0 for i in there]
        places = [i + (k - (len(rows) - 1) / 2) * width for i in there]
        label, colour = ROW_WORDS.get(row, row), LINES[k % len(LINES)]
        axes.bar(places, means, width * 0.92, color=colour, alpha=0.75, label=label)
        axes.errorbar(places, means, errors, fmt="none", ecolor=INK, elinewidth=1)
    axes.set_xticks(range(len(names)), [column(name).title for name in names])
    lowest = min(e[n]["mean"] for e in rows.values() for n in names if "mean" in e.get(n, {}))
    axes.set_ylim(bottom=max(0.0, np.floor(lowest) - 2))
    dress(axes, "dB")
    axes.legend(**{**LEGEND, "ncols": len(rows)})
    return svg(drawing)


def over_time(rows: dict[str, dict[str, PerFrame]], names: Sequence[str]) -> str:
    """Metrics frame by frame, one plot each; ours and the controls that have them."""

    def painter(name: str) -> Any:
        def paint(axes: Any) -> None:
            for k, (row, values) in enumerate(rows.items()):
                if name in values:
                    line = _gappy(values[name])
                    label = ROW_WORDS.get(row, row)
                    axes.plot(*line, color=LINES[k % len(LINES)], lw=1, label=label)
            axes.legend(**LEGEND)

        return paint

    there = [n for n in names if any(n in values for values in rows.values())]
    plots = [(painter(name), column(name).heading) for name in there]
    ids = next(iter(next(iter(rows.values())).values())).ids
    span = (ids[0] / FPS, (ids[-1] + 1) / FPS)
    return figure(plots, 0.6 + 1.5 * len(plots), span, "seconds of the capture")


def openings(truth: PerFrame, ours: PerFrame, shuffled: PerFrame, stretch: np.ndarray) -> str:
    """The mouth over time: filmed, with its own sound, and with another sentence's.

    Args:
        truth: opening of the filmed mouth.
        ours: of the same head hearing the true sound.
        shuffled: hearing another sentence.
        stretch: frames to look at closely.
    """

    def both(axes: Any, driven: PerFrame, colour: str, label: str) -> None:
        axes.plot(*_gappy(truth), color=FAINT, lw=2.4, label="filmed")
        axes.plot(*_gappy(driven), color=colour, lw=1.2, label=label)
        axes.legend(**LEGEND)

    plots = [
        (lambda axes: both(axes, ours, LINES[0], "hears the true sound"), "opening"),
        (lambda axes: both(axes, shuffled, LINES[1], "hears another sentence"), "opening"),
    ]
    span = (stretch[0] / FPS, (stretch[-1] + 1) / FPS)
    return figure(plots, 3.8, span, "seconds of the capture")


def _gappy(values: PerFrame) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and values, with a gap where frames are left out."""
    cuts = np.flatnonzero(np.diff(values.ids) > 1) + 1
    time = np.insert(values.ids / FPS, cuts, values.ids[cuts] / FPS)
    return time, np.insert(values.values, cuts, np.nan)
