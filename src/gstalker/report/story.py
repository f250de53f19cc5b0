"""One HTML page that tells what a run came to; several runs stand below each other.

Scores with controls first, then the training, what it looks like, where it errs, whether the mouth
answers the sound, and what made it. What a run did not leave behind is said where it would stand.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gstalker import files, pages
from gstalker.data.capture import FPS, Capture
from gstalker.errors import CaptureError, ConfigError
from gstalker.experiment.runs import RunFolder
from gstalker.metrics import sheet, vocabulary
from gstalker.report import costs, curves, formats, frames, pictures, sources
from gstalker.report import table as tables
from gstalker.report.frames import PerFrame
from gstalker.report.sources import CONTROLS, OURS, Trial

PAGE = "report.html"
LOOK_S = 24.0
"""Longest stretch of the close look at the mouth."""
_PROBED = (OURS, "shuffled_audio")
_TIMED = ("psnr_full", "psnr_head", "psnr_mouth")


def write(
    runs: Sequence[str | Path], out: str | Path | None = None, where: Sequence[str] = ()
) -> Path:
    """Write the page of some runs.

    Args:
        runs: run folders.
        out: the file; by default ``report.html`` in the run's folder, of one run.
        where: ``key=value`` that say where things are now: ``capture=FOLDER``.

    Returns:
        The file.

    Raises:
        GSTalkerError: a run is missing or damaged, or nothing says where the page should go.
    """
    opened = [RunFolder.open(run) for run in runs]
    if out is None and len(opened) != 1:
        raise ConfigError("several runs make one page.\n  Say which file: -o report.html")
    path = Path(out) if out is not None else opened[0].path / PAGE
    names = ", ".join(run.path.resolve().name for run in opened)
    parts = [f'<h1>Report</h1><div class="verdict">{html.escape(names)}</div>', _scores(opened)]
    parts += [_run(run, where) for run in opened]
    files.write_text(path, pages.document(f"Report: {names}", "".join(parts)))
    return path


def _scores(runs: Sequence[RunFolder]) -> str:
    found, _ = sources.rows([run.path for run in runs], controls=True)
    if not any(trial.figures for row in found for trial in row.trials):
        return pages.section("Scores", _gap("; ".join(_unscored(found))))
    table = tables.build(found)
    note = (
        "What the head has over its controls is what it learned of the sound: without sound, "
        "hearing another sentence, and the mean frame."
    )
    return pages.section("Scores", formats.html_fragment(table, turned=True), note)


def _unscored(rows: Sequence[sources.Row]) -> list[str]:
    trials = {str(t.source): t.missing for row in rows for t in row.trials}
    return [
        f"{Path(source).name}: {why}; run: gstalker evaluate {shlex.quote(source)}"
        for source, why in trials.items()
    ]


def _run(run: RunFolder, where: Sequence[str]) -> str:
    trial = sources.of_run(run)
    capture = _capture(run, trial, where)
    return "".join(
        [
            f"<h2>{html.escape(run.path.resolve().name)}</h2>",
            pages.section("Training", _training(run)),
            *_looks(run, capture, trial),
            _regions(trial),
            _probe(trial, capture),
            pages.section("Made by", _provenance(run, trial)),
        ]
    )


def _training(run: RunFolder) -> str:
    # A stage's minutes are recorded when it ends, so in the order of training.
    ended = [key.removesuffix("_minutes") for key in run.status() if key.endswith("_minutes")]
    order = {name: k for k, name in enumerate(ended)}
    found = sorted(
        run.path.glob("*/metrics.csv"), key=lambda p: (order.get(p.parent.name, len(order)), p)
    )
    plots = [f"<p>{html.escape(p.parent.name)}</p>{curves.training(p)}" for p in found]
    return "".join(plots) or _gap("no stage left a metrics.csv")


# ---------------------------------------------------------------------- what it looks like


def _capture(run: RunFolder, trial: Trial, where: Sequence[str]) -> Capture | str:
    """The run's capture, or why its frames cannot be shown."""
    config = run.config(where)
    try:
        capture = Capture.open(config.capture)
    except CaptureError as error:
        return f"{str(error).splitlines()[0]} Say where it is: capture=FOLDER"
    if trial.content_id and capture.content_id != trial.content_id:
        return f"{config.capture} is not the capture that was scored. Say where it is: capture=..."
    return capture


def _looks(run: RunFolder, capture: Capture | str, trial: Trial) -> list[str]:
    titles = ("Stills: true, ours, error", "Film: true, ours, error")
    if isinstance(capture, str):
        return [pages.section(title, _gap(capture)) for title in titles]
    again = shlex.join(["gstalker", "evaluate", str(run.path)])
    ids = pictures.rendered_ids(run, capture)
    if not len(ids):
        reason = f"the run kept no pictures; run: {again}"
        return [pages.section(title, _gap(reason)) for title in titles]
    bright = f"{pictures.FULL_ERROR * 255:.0f}"
    note = f"Brightest where the channels differ by {bright} of 255 levels or more, on average."
    try:
        shown = "".join(
            pages.picture(pictures.still(run, capture, s.index), f"frame {s.index}: {s.why}")
            for s in pictures.choose(ids, capture, _worst(trial, ids))
        )
        stretch = pictures.busiest(ids, capture)
        film = pages.clip(pictures.film(run, capture, stretch), _stretch_words(stretch))
    except (OSError, ValueError) as error:
        reason = f"{run.frames_path} is damaged ({error}); run: {again}"
        return [pages.section(title, _gap(reason)) for title in titles]
    return [
        pages.section(titles[0], f'<div class="stills">{shown}</div>', note),
        pages.section(titles[1], film, "Where the mouth moves most, with the true sound."),
    ]


def _worst(trial: Trial, ids: np.ndarray) -> int | None:
    found = frames.read(trial, "psnr_mouth")
    if isinstance(found, str) or not np.isfinite(found.values).any():
        return None
    worst = int(found.ids[np.nanargmin(found.values)])
    return worst if worst in ids else None


def _stretch_words(ids: np.ndarray) -> str:
    return f"frames {ids[0]} to {ids[-1]}, {len(ids) / FPS:.1f} s"


# ---------------------------------------------------------------------- where it errs


def _regions(trial: Trial) -> str:
    if trial.missing:
        return pages.section("Regions", _gap(trial.missing))
    rows = {OURS: trial.figures, **_entries(trial)}
    there = {
        entry: {m: v for m in _TIMED if isinstance(v := _of(trial, entry, m), PerFrame)}
        for entry in _PROBED
    }
    there = {entry: values for entry, values in there.items() if values}
    told = _of(trial, OURS, _TIMED[0])
    gap = _gap(told) if isinstance(told, str) else ""
    timed = curves.over_time(there, _TIMED) if there else ""
    bars = curves.regions(rows) or _gap("no region was scored")
    return pages.section("Regions", bars + (timed or gap))


def _entries(trial: Trial) -> dict[str, dict]:
    entries = sheet.read(trial.scores)["rows"]
    return {entry: entries[entry] for entry in CONTROLS if entry in entries}


def _of(trial: Trial, entry: str, metric: str) -> PerFrame | str:
    return frames.read(replace(trial, entry=entry), metric)


def _probe(trial: Trial, capture: Capture | str) -> str:
    """Whether the mouth answers the sound: the true sound's against another sentence's."""
    title = "Does the mouth follow the sound"
    wanted = [(OURS, "mouth_opening_truth"), *((row, "mouth_opening") for row in _PROBED)]
    found = [_of(trial, entry, metric) for entry, metric in wanted]
    there = [one for one in found if isinstance(one, PerFrame)]
    if trial.missing or len(there) < len(found):
        reason = trial.missing or next(one for one in found if isinstance(one, str))
        return pages.section(title, _gap(reason) + _answers(trial))
    truth, ours, shuffled = there
    stretch = _look(truth) if isinstance(capture, str) else pictures.busiest(truth.ids, capture)
    stretch = _look(truth, around=int(stretch[0]))
    note = "Opening: the inner lips' gap over the distance of the outer eye corners."
    plot = curves.openings(truth, ours, shuffled, stretch)
    return pages.section(title, _answers(trial) + plot, note)


def _look(truth: PerFrame, around: int | None = None) -> np.ndarray:
    """At most some seconds of frames, beginning a little before one of them."""
    length = round(LOOK_S * FPS)
    first = 0 if around is None else int(np.searchsorted(truth.ids, around - length // 4))
    first = max(0, min(first, len(truth.ids) - length))
    return truth.ids[first : first + length]


def _answers(trial: Trial) -> str:
    """The correlations in a sentence, as far as they were measured."""
    if trial.missing:
        return ""
    rows = {OURS: trial.figures, **_entries(trial)}
    told = []
    for metric in ("mouth_corr", "mouth_corr_residual"):
        figures = [rows.get(entry, {}).get(metric, {}).get("mean") for entry in _PROBED]
        if all(isinstance(value, int | float) for value in figures):
            title = vocabulary.column(metric).title
            told.append(f"{title} {figures[0]:.3f}, with another sentence {figures[1]:.3f}")
    return f"<p>{html.escape('; '.join(told))}.</p>" if told else ""


# ---------------------------------------------------------------------- what made it


def _provenance(run: RunFolder, trial: Trial) -> str:
    config = run.config()
    rows = [("folder", str(run.path)), ("capture", config.capture), ("seed", str(config.seed))]
    rows += [("made by", costs.made_by(run.path) or "n/a: there is no provenance.json")]
    for name in ("train_minutes", "peak_memory_mib", "frames_per_second"):
        entry = costs.costs(run, config.device)[name]
        column = vocabulary.column(name)
        told = f"{entry['mean']:.{column.digits}f} {column.unit}" if "mean" in entry else ""
        rows.append((column.title, told or f"n/a: {entry['reason']}"))
    rows += [
        ("command", f"{start.get('command')} ({start.get('stage')})") for start in run.starts()
    ]
    rows.append(("capture's content", trial.content_id or "n/a: not evaluated"))
    text = html.escape(run.config_path.read_text())
    whole = f"<details><summary>The whole config</summary><pre><code>{text}</code></pre></details>"
    return pages.table(rows) + whole


def _gap(reason: str) -> str:
    return f"<p>n/a: {html.escape(reason)}</p>"
