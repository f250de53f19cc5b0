"""Make a run again, and say in what the two differ.

On a CPU, the same config, capture and program give the same numbers, bit for bit: GSTalker's
whatever the number of threads, the other methods' on as many threads as before (torch sums the
gradients of their wide layers by thread). Another processor's instruction set or another torch may
round otherwise.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gstalker.config import Named
from gstalker.errors import RunError
from gstalker.experiment.evaluate import MAY_BE_CHOSEN, evaluate, read_scores
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.experiment.train import chosen_stages, train
from gstalker.stages.handoff import load_tensors

log = logging.getLogger(__name__)

MADE_BY = ("commit", "packages", "python", "processor", "kernels")
"""What may explain a difference."""


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    same: bool
    """Every weight, every loss and every score."""
    text: str
    """In words."""


def reproduce(
    run: RunFolder | str | Path, out: str | Path | None = None, where: Sequence[str] = ()
) -> Comparison:
    """Train a finished run again from its frozen config, score it if it was scored, and compare.

    Run again after a stop it goes on where it was.

    Args:
        run: the run or its folder.
        out: folder for the new run; by default ``reproduced`` beside the old one.
        where: ``key=value`` that say where things are now, as ``device=cpu``.

    Raises:
        RunError: the run is not finished, or the capture is not the one that it was trained on.
    """
    old = run if isinstance(run, RunFolder) else RunFolder.open(run)
    config = old.config(where)
    capture = open_capture(config)
    folder = Path(out) if out is not None else old.path.parent / "reproduced"
    if folder.resolve() == old.path.parent.resolve():
        raise RunError(f"{folder} holds the run itself; name another folder with -o.")
    method, _ = make_method(config, capture)
    artefacts = [plan.artefact for plan in chosen_stages(method, config).values()]
    lacking = [name for name in artefacts if not (old.path / name).exists()]
    if lacking:
        raise RunError(f"{old.path} is not finished: it lacks {lacking[0]}. Run gstalker train.")
    # The same run's name would go on in its page at Weights & Biases, so only files are written.
    again = dataclasses.replace(config, runs=str(folder), logger=Named("csv"))
    if RunFolder.create(again, capture).path.name != old.path.name:
        raise RunError(
            f"the capture {capture.folder} is not the one that {old.path.name} was trained on.\n"
            "  Name the right one with: capture=FOLDER"
        )
    new = train(again)
    if old.scores_path.exists():
        evaluate(new, [*where, *_measured(old)])
    return compare(old, new, artefacts)


def _measured(run: RunFolder) -> list[str]:
    """What was chosen when a run was scored, as ``key=value``."""
    chosen = read_scores(run)["protocol"]
    return [f"{key}={json.dumps(chosen[key])}" for key in MAY_BE_CHOSEN if key in chosen]


def compare(old: RunFolder, new: RunFolder, artefacts: Sequence[str]) -> Comparison:
    """Say in what two runs differ: weights, curves, scores, and what may explain it.

    Args:
        old: a finished run.
        new: another.
        artefacts: files of tensors that both have.
    """
    differences: list[str] = []
    for name in artefacts:
        differences += _weights(old.path / name, new.path / name, name)
        curve = f"{name.split('/')[0]}/metrics.csv"
        differences += _curves(old.path / curve, new.path / curve, curve)
    if old.scores_path.exists() and new.scores_path.exists():
        differences += _scores(read_scores(old)["rows"], read_scores(new)["rows"])
    if not differences:
        return Comparison(True, f"the same, bit for bit: {old.path} and {new.path}")
    reasons = _reasons(old, new) or ["  nothing that was written down: look at the machine"]
    lines = [f"not the same: {old.path} and {new.path}", *(f"  {d}" for d in differences)]
    return Comparison(False, "\n".join([*lines, "made by another:", *reasons]))


def _weights(old: Path, new: Path, name: str) -> Iterator[str]:
    before, after = (dict(_tensors(load_tensors(path, name))) for path in (old, new))
    if before.keys() != after.keys():
        yield f"{name}: other parts"
        return
    changed = {k for k, v in before.items() if not _equal(v, after[k])}
    if changed:
        yield f"{name}: {len(changed)} of {len(before)} tensors"


def _tensors(tree: Any, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in tree.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict):
            yield from _tensors(value, f"{prefix}{key}.")


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _curves(old: Path, new: Path, name: str) -> Iterator[str]:
    before, after = (list(csv.DictReader(path.read_text().splitlines())) for path in (old, new))
    for one, other in zip(before, after, strict=False):
        shared = [key for key in one if key in other and one[key] != other[key]]
        if shared:
            key = shared[0]
            yield f"{name}: from step {one['step']} on, {key} {one[key]} and {other[key]}"
            return
    if len(before) != len(after):
        yield f"{name}: {len(before)} and {len(after)} rows"


def _scores(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for row, metrics in old.items():
        for metric, figure in metrics.items():
            before, after = figure.get("mean"), new.get(row, {}).get(metric, {}).get("mean")
            if before == after or (_nan(before) and _nan(after)):
                continue
            if before is None or after is None:
                yield f"{row} {metric}: {before} and {after}"
                continue
            error = figure.get("stderr") or math.nan
            yield (
                f"{row} {metric}: {before:.4f} and {after:.4f} "
                f"({abs(before - after) / error:.1f} standard errors)"
            )


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _reasons(old: RunFolder, new: RunFolder) -> list[str]:
    before, after = ([{}, *run.starts()][-1] for run in (old, new))
    return [
        f"  {key}: {before.get(key)} and {after.get(key)}"
        for key in MADE_BY
        if before.get(key) != after.get(key)
    ]
