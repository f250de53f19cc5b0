"""Where the rows of a table come from: sweeps, runs and scored videos, read and never judged.

Any of these may be named: an experiment's ``.yaml`` or its ``sweep.json``, a run folder, a folder
of runs, a ``scores.json``, or the folder that holds one. A trial that was planned and has no scores
stays, with the reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gstalker import files
from gstalker.errors import ConfigError, GSTalkerError, RunError
from gstalker.experiment.plan import sweep_name
from gstalker.experiment.runs import RunFolder
from gstalker.metrics import sheet
from gstalker.report import films, naming, protocols
from gstalker.report.costs import costs

Kind = Literal["trained here", "scored here", "reported"]
SWEEP = "sweep.json"
SCORES = "scores.json"
OURS = "ours"
"""The row of a run's ``scores.json`` that is the head itself; the others are its controls."""
CONTROLS = {
    "static": "static head, no sound",
    "shuffled_audio": "shuffled sound",
    "mean_frame": "mean frame",
}

_OF_FILMS = (
    "Films with other people's sound ({} in the runs' driven/) have no true picture. Only figures "
    "of mouth and loudness, of shaking and those called driven are of these films, mean over them; "
    "all others are of test frames with their own sound."
)


@dataclass(frozen=True)
class Trial:
    """What one run, or one video, scored."""

    source: Path
    """Folder or file that was read."""
    capture: str
    """Its name; trials on captures of different content never share one."""
    content_id: str = ""
    seed: int | None = None
    entry: str = OURS
    """Its row in ``scores.json``."""
    foreign: bool = False
    """Scored with ``gstalker score``, whatever the row is called."""
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """As in ``scores.json``, and what the run cost."""
    missing: str = ""
    """Why there are no figures; empty if there are."""
    protocol: str = ""
    """Fingerprint of what defines the figures."""
    words: dict[str, Any] = field(default_factory=dict)
    """The protocol itself."""
    films: tuple[str, ...] = ()
    """How its films with other people's sound were scored, in words."""

    @property
    def folder(self) -> Path:
        """The folder that its files lie in."""
        return self.source if self.source.is_dir() else self.source.parent

    @property
    def scores(self) -> Path:
        """Its ``scores.json``, there or not."""
        return self.source / SCORES if self.source.is_dir() else self.source


@dataclass(frozen=True)
class Row:
    """A row of a table before it is averaged."""

    name: str
    kind: Kind
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Asked:
    """What an experiment asks of its table."""

    title: str = ""
    columns: tuple[str, ...] = ()
    unscored: str = ""
    """What it made and no figure of the table is about; empty if nothing."""


def rows(
    paths: Sequence[str | Path], *, runs: str | Path = "runs", controls: bool = False
) -> tuple[list[Row], Asked]:
    """All rows of the sources, in their order.

    Args:
        paths: the sources.
        runs: folder in which the sweep of an experiment's ``.yaml`` is looked for.
        controls: also the rows without sound, with another sentence, and of the mean frame.

    Raises:
        GSTalkerError: a source is missing or damaged; says what to type.
    """
    found: list[Row] = []
    loose: list[Trial] = []
    asked = Asked()
    for path in map(Path, paths):
        sweep = find_sweep(path, Path(runs))
        if sweep is None:
            loose += _loose(path)
        else:
            swept, asked = _of_sweep(sweep)
            found += swept
    loose = list({(t.source.resolve(), t.entry): t for t in loose}.values())
    named = [trial.foreign or trial.entry != OURS for trial in loose]
    found += _of_runs([t for t, by_name in zip(loose, named, strict=True) if not by_name])
    found += _by_name(t for t, by_name in zip(loose, named, strict=True) if by_name)
    for row in found:
        _check_once(row)
    if controls:
        found += [row for base in found for row in controls_of(base).values()]
    return found, asked


# ---------------------------------------------------------------------- sweeps


def find_sweep(path: Path, runs: Path) -> Path | None:
    """The ``sweep.json`` that a path means, or ``None`` if it means none.

    Raises:
        GSTalkerError: it is an experiment that is not there, or was not started yet.
    """
    if path.name == SWEEP and path.is_file():
        return path
    if path.is_dir() and (path / SWEEP).is_file():
        return path / SWEEP
    if path.suffix not in (".yaml", ".yml"):
        return None
    if not path.is_file():
        raise ConfigError(f"there is no experiment at {path}.")
    # a run's own config, swept over several values, leaves NAME-grid
    places = [runs / "sweeps" / name / SWEEP for name in (sweep_name(path), f"{path.stem}-grid")]
    for place in places:
        if place.is_file():
            return place
    raise RunError(
        f"{path} has no trials yet: there is no {places[0]}.\n"
        f"  Run: gstalker sweep {path}   or say where its runs are: --runs FOLDER"
    )


def _trial_of(told: dict[str, Any]) -> tuple[Path, str, int, list[str]]:
    """Run, capture's name, seed and films of a trial in ``plan.json``."""
    films = [str(film) for film in (told.get("driven") or {}).values()]
    return Path(str(told["run"])), Path(str(told["capture"])).name, int(told["seed"]), films


def _of_sweep(path: Path) -> tuple[list[Row], Asked]:
    """A sweep's rows, and the title and columns that its experiment asks for."""
    plan = files.read_object(path)
    try:
        names = [str(row["name"]) for row in plan["rows"]]
        planned = [(str(t["row"]), _trial_of(t)) for t in plan["trials"]]
        count = sum(len(t.get("driven") or ()) for t in plan["trials"])
        asked = Asked(
            str(plan.get("title") or ""),
            tuple(map(str, plan.get("columns") or ())),
            _OF_FILMS.format(count) if count else "",
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{path} is damaged ({error!r}).\n  Sweep again.") from error
    found = [(row, _planned(path, *told)) for row, told in planned]
    trials = {name: tuple(t for row, t in found if row == name) for name in names}
    return [Row(name, "trained here", trials[name]) for name in names], asked


def _planned(sweep: Path, told: Path, capture: str, seed: int, driven: list[str]) -> Trial:
    """A trial of a sweep, started or not."""
    beside = Path(os.path.normpath(sweep.parent / told))
    run = next((p for p in (beside, told) if p.is_dir()), told)
    if (run / "config.yaml").is_file():
        found = replace(of_run(RunFolder(run)), seed=seed)
        if not found.figures:
            return found
        heard = films.told_of([run / film for film in driven])
        figures = {**found.figures, **films.figures(heard)}
        return replace(found, figures=figures, films=films.sentences(heard))
    return Trial(run, capture, seed=seed, missing="not started")


# ---------------------------------------------------------------------- runs and videos


def _loose(path: Path) -> Iterator[Trial]:
    """Trials of a run, of a folder of runs, or of a ``scores.json``."""
    if path.is_file():
        yield from of_scores(path)
    elif (path / "config.yaml").is_file():
        yield of_run(RunFolder(path))
    elif path.is_dir():
        inside = sorted({p.parent for p in path.glob("*/config.yaml")})
        # a video's scores carry its name: theirs_scores.json
        inside += sorted({*path.glob(f"*{SCORES}"), *path.glob(f"*/*{SCORES}")})
        inside = [p for p in inside if p.is_dir() or p.parent not in inside]
        if not inside:
            raise RunError(f"{path} holds no runs, no {SWEEP} and no {SCORES}.")
        for found in inside:
            yield from _loose(found)
    else:
        raise RunError(f"there is nothing at {path}.\n  Train a run with: gstalker train")


def of_run(run: RunFolder) -> Trial:
    """What a run scored, or why it has no scores."""
    config = naming.read_config(run.path)
    blank = Trial(run.path, Path(config["capture"]).name, seed=config["seed"])
    if not run.scores_path.is_file():
        return replace(blank, missing=_why_unscored(run))
    (found, *_) = of_scores(run.scores_path)
    more = costs(run, str(config.get("device")))
    return replace(found, source=run.path, seed=config["seed"], figures={**found.figures, **more})


def of_scores(path: Path) -> list[Trial]:
    """A trial for ``ours`` of a run, or one for each row of anything else.

    Raises:
        GSTalkerError: the file is not one of ours.
    """
    told = sheet.read(path)
    capture, entries = told["capture"], told["rows"]
    trial = Trial(
        path,
        str(capture.get("name", "?")),
        str(capture.get("content_id", "")),
        foreign="scored" in told,
        protocol=protocols.fingerprint(told),
        words=told["protocol"],
    )
    names = [OURS] if OURS in entries and not trial.foreign else list(entries)
    return [replace(trial, entry=name, figures=dict(entries[name])) for name in names]


def _why_unscored(run: RunFolder) -> str:
    try:
        told = run.status()
    except GSTalkerError as error:
        return f"unreadable: {str(error).splitlines()[0].rstrip('.')}"
    state = str(told.get("state") or "not started")
    if state == "done":
        return "trained, not evaluated"
    where = f", {told['stage']}" if "stage" in told else ""
    where += f", step {told['step']}" if "step" in told else ""
    reason = f"{told.get('term', '')} {told.get('reason', '')}".strip().splitlines()
    return f"{state}{where}" + (f": {reason[0]}" if reason else "")


def _of_runs(trials: Sequence[Trial]) -> list[Row]:
    """Runs of one config, whatever capture and seed, are one row, named by what sets it apart."""
    configs = [naming.told_config(trial.folder) for trial in trials]
    told = [json.dumps(c, sort_keys=True) for c in configs]
    groups = {key: configs[told.index(key)] for key in dict.fromkeys(told)}
    names = naming.names(list(groups.values()))
    return [
        Row(
            name,
            "trained here",
            tuple(t for t, mine in zip(trials, told, strict=True) if mine == key),
        )
        for key, name in zip(groups, names, strict=True)
    ]


def _by_name(trials: Iterable[Trial]) -> list[Row]:
    """Videos that were scored under one name are one row."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.entry, []).append(trial)
    return [Row(name, "scored here", tuple(found)) for name, found in groups.items()]


def _check_once(row: Row) -> None:
    """Refuse to count one thing twice: a mean over copies would look surer than it is."""
    seen: dict[tuple[str, int | None], Trial] = {}
    for trial in row.trials:
        key = (trial.content_id or trial.capture, trial.seed)
        first = seen.setdefault(key, trial)
        if first is not trial:
            seed = "" if trial.seed is None else f", seed {trial.seed}"
            raise ConfigError(
                f"{first.source} and {trial.source} are both '{row.name}' on {trial.capture}{seed}."
                "\n  Name only one of them."
            )


def controls_of(row: Row) -> dict[str, Row]:
    """The same trials without sound, with another sentence, and as a still picture.

    By their names in ``scores.json``; empty unless the row was trained here.
    """
    if row.kind != "trained here":
        return {}
    return {
        entry: Row(f"{row.name}: {words}", row.kind, tuple(_control(t, entry) for t in row.trials))
        for entry, words in CONTROLS.items()
    }


def _control(trial: Trial, entry: str) -> Trial:
    if trial.missing:
        return trial
    entries = sheet.read(trial.scores)["rows"]
    if entry not in entries:
        return replace(trial, entry=entry, figures={}, missing=f"no row {entry!r} in its scores")
    return replace(trial, entry=entry, figures=dict(entries[entry]))


def check_seen(found: Sequence[Row]) -> None:
    """Refuse a table of nothing.

    Raises:
        GSTalkerError: there is not one figure.
    """
    trials = [trial for row in found for trial in row.trials]
    if not any(trial.figures for trial in trials):
        reasons = "; ".join(sorted({f"{t.source.name}: {t.missing}" for t in trials}))
        raise GSTalkerError(
            f"there is nothing to tabulate: no run has scores ({reasons}).\n"
            "  Run: gstalker evaluate RUN"
        )
