"""``gstalker sweep``: every run of a table once, wherever it runs and however often it is typed."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gstalker.config import RunConfig
from gstalker.errors import Claimed, ConfigError, GSTalkerError
from gstalker.experiment import cost, launch
from gstalker.experiment.claim import claim
from gstalker.experiment.launch import Local, Slurm
from gstalker.experiment.making import make_method
from gstalker.experiment.pace import settle
from gstalker.experiment.plan import Plan, Trial, read
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.schedule import is_open, pace_path
from gstalker.experiment.train import chosen_stages
from gstalker.experiment.trial import Standing

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
"""A sweep that hands trials to Slurm makes others wait, so that none is handed over twice."""


@dataclass(frozen=True)
class Report:
    """How a sweep stands."""

    plan: Plan
    standings: dict[Path, Standing]
    """By run folder."""

    @property
    def healthy(self) -> bool:
        """Every trial is done, or on its way."""
        fine = ("done", "running", "queued")
        return all(stand.state in fine for stand in self.standings.values())

    @property
    def left(self) -> list[Trial]:
        """What a sweep would start."""
        return [t for t in self.plan.unique() if self.standings[t.run.path].is_left]

    @property
    def text(self) -> str:
        """A line for every trial, and the sum."""
        cells = [("row", "capture", "seed", "state", "", "run")]
        for trial in self.plan.trials:
            stand = self.standings[trial.run.path]
            told = (stand.told.splitlines() or [""])[0]
            name = trial.run.path.name
            cells.append((trial.row, trial.capture, str(trial.seed), stand.state, told, name))
        widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        return "\n".join([*lines, "", self.sum])

    @property
    def sum(self) -> str:
        """How many trials stand how."""
        counts = Counter(self.standings[t.run.path].state for t in self.plan.unique())
        return ", ".join(f"{state} {count}" for state, count in counts.most_common())


def sweep(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path = "runs",
    on: str | Path | None = None,
    jobs: int | None = None,
) -> Report:
    """Run every trial of an experiment that is not done.

    A diverged trial stays so: with the same seed it would diverge again. A failed one is tried
    once more each time.

    Args:
        file: an experiment, or a run's config.
        overrides: ``key=value``, or ``key=a,b`` for each of the values.
        out: where run folders go.
        on: a cluster's YAML; on Slurm the call returns when the jobs are in the queue.
        jobs: trials at once.

    Returns:
        How all trials stand afterwards.

    Raises:
        GSTalkerError: the plan, a capture or the cluster cannot be used; a trial that fails does
            not raise.
    """
    place = launch.cluster(on, jobs)
    _measure_paces(read(file, overrides, out), place)
    plan = read(file, overrides, out)
    plan.save()
    os.environ.setdefault("WANDB_RUN_GROUP", plan.folder.name)  # handed down to every trial
    with claim(Path(out) / "sweeps" / ".claim", "another sweep's start", PATIENCE_S):
        before = report(plan)
        left = [trial for trial in before.left if not is_open(trial.config)]
        for trial in left:
            trial.freeze()
        if left and not isinstance(place, Local):
            log.info("%s", expected(before, place.jobs))
            ids = launch.submit(left, place, plan.folder / "slurm")
            log.info("handed to Slurm: %s", ", ".join(ids))
    if isinstance(place, Local):
        if left:
            log.info("%s", expected(before, place.jobs, probe=True))
        queued = [p for p, stand in before.standings.items() if stand.state == "queued"]
        wanted = [t for t in plan.unique() if t.run.path not in queued and not is_open(t.config)]
        launch.run_here(wanted, place)
    return report(plan)


def _measure_paces(plan: Plan, place: Local | Slurm) -> None:
    """Find the steps that fit each trial's minutes; a trial that cannot say so fails by itself."""
    failed: dict[Path, str] = {}
    for trial in plan.trials:
        if not is_open(trial.config):
            continue
        if not isinstance(place, Local):
            raise ConfigError(
                f"{trial.name} is to train for {trial.config.minutes:g} minutes, and how many "
                "steps that is must be measured where it will train.\n  Sweep on such a machine "
                "without --on until the first trial starts, or give schedule=SHARE, not minutes."
            )
        path = pace_path(trial.config, open_capture(trial.config))
        if path not in failed:
            try:
                settle(_as_there(trial.config, place))
            except Claimed:
                raise
            except GSTalkerError as error:
                failed[path] = f"{type(error).__name__}: {error}"
        if path in failed:
            log.info("failed: %s %s", trial.name, failed[path])
            trial.freeze()
            trial.run.record("failed", reason=failed[path])


def _as_there(config: RunConfig, place: Local) -> RunConfig:
    """A config with the threads and the device that a trial gets."""
    threads = place.threads_each or config.threads
    device: Any = place.device or config.device
    return replace(config, threads=threads, device=device)


def dry_run(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path = "runs",
    on: str | Path | None = None,
    jobs: int | None = None,
) -> str:
    """What :func:`sweep` would do, and which trials would fail at once; nothing is started."""
    now = report(read(file, overrides, out))
    parts = [now.text, *_doomed(now.left), expected(now, launch.cluster(on, jobs).jobs)]
    return "\n".join(parts)


def _doomed(trials: Sequence[Trial]) -> list[str]:
    """A line for every trial that cannot take its first step, with the reason."""
    lines = []
    for trial in trials:
        config = replace(trial.config, minutes=None)  # measured or not
        try:
            with cost.unheard():
                method, _ = make_method(config, open_capture(config))
                chosen_stages(method, config)
        except GSTalkerError as error:
            lines.append(f"would fail: {trial.name}: {str(error).splitlines()[0]}")
    return lines


def report(plan: Plan) -> Report:
    """How every trial of a plan stands; nothing is written."""
    queue = launch.queue(trial.run.job_path for trial in plan.trials)
    return Report(plan, {t.run.path: launch.of(t, queue) for t in plan.unique()})


def expected(before: Report, jobs: int, *, probe: bool = False) -> str:
    """What is left to pay, in a sentence."""
    left, out = before.left, before.plan.folder.parents[1]
    if not left:
        return "Nothing is left to run."
    past = [RunFolder(path.parent) for path in out.glob("*/config.yaml")]
    return cost.estimate(left, past, probe=probe).sentence(len(left), jobs)
