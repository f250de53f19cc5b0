"""Whole training iterations, as ``gstalker train`` makes them: loading, callbacks and all.

The product's own ``train`` runs, on a method that differs from GSTalker in two things: a callback
notes the time after every step, and the first cloud has exactly as many Gaussians as asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from benchmarks.captures import speaking_capture, work_folder
from benchmarks.harness import Bench, Counts, Result, rate_result
from gstalker import config as configuration
from gstalker import files
from gstalker.data.capture import Capture
from gstalker.experiment.runs import RunFolder
from gstalker.experiment.train import train
from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud
from gstalker.methods import StagePlan
from gstalker.methods.gstalker import GSTalker

SKIPPED = 20
"""First steps that do not count: caches are cold and Adam makes its state."""
STEPS = {"static": 240, "deform": 160}
LIMIT_S = 30.0
"""A stage that takes longer than this ends early, with fewer steps to count."""
CONFIG = Path(__file__).parents[1] / "configs" / "gstalker.yaml"
STAMPS = "steps.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--gaussians", type=int, default=30_000, metavar="N")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[512, 256],
        metavar="PX",
        help="sides of the pictures",
    )
    parser.add_argument("--steps", type=int, help="of each stage; default: enough for a median")
    parser.add_argument("--capture", type=Path, metavar="FOLDER", help="not the synthetic speaker")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keeps what is made on the way")


def run(choices: argparse.Namespace, bench: Bench) -> None:
    """Train both stages for a moment."""
    steps = dict.fromkeys(STEPS, choices.steps) if choices.steps else STEPS
    with work_folder(choices.work) as work:
        captures = (
            [Capture.open(choices.capture)]
            if choices.capture
            else [speaking_capture(work, size=size) for size in choices.size]
        )
        for capture in captures:
            trained = train_for_a_moment(capture, work, choices.gaussians, steps)
            for result in results_of(trained, capture):
                side = "" if capture is captures[0] else f"-{capture.width}"
                bench.add(dataclasses.replace(result, key=result.key + side))


def train_for_a_moment(
    capture: Capture,
    work: Path,
    gaussians: int,
    steps: dict[str, int] | None = None,
) -> RunFolder:
    """A finished run of few steps, with the times of its steps beside its stages."""
    overrides = [
        f"capture={capture.folder}",
        f"runs={work / f'runs-{time.time_ns()}'}",
        f"method.name={__name__}:Timed",
        f"method.static.start.max_gaussians={gaussians}",
        *(f"method.{stage}.steps={n}" for stage, n in (steps or STEPS).items()),
    ]
    return train(configuration.compose(CONFIG, overrides))


def results_of(trained: RunFolder, capture: Capture) -> list[Result]:
    """Iterations per second of each stage: of the median step, and of all of them with pauses."""
    results = []
    for stage in STEPS:
        noted = files.read_json(trained.stage(stage) / STAMPS)
        stamps, counts = noted["stamps_s"], {**noted["counts"], "side": capture.width}
        title = f"{stage} stage, {counts['gaussians']:,} Gaussians"
        if counts.get("face_rows") is not None:
            title += f" ({counts['face_rows']:,} of the face)"
        title += f", {capture.width} x {capture.height} px"
        results += rates_of(stage, title, stamps, counts)
    return results


def rates_of(stage: str, title: str, stamps: Sequence[float], counts: Counts) -> list[Result]:
    """The rates of one stage out of the times at which its steps ended."""
    counted = stamps[SKIPPED:] if len(stamps) > 2 * SKIPPED else stamps
    times = np.diff(counted).tolist()
    whole = len(times) / (counted[-1] - counted[0])
    return [
        rate_result(f"{stage}_it_per_s", title, "it/s", times, counts=counts),
        Result(
            f"{stage}_total_it_per_s",
            f"{title}, pauses for validation and checkpoints included",
            "it/s",
            whole,
            repeats=len(times),
            counts=counts,
        ),
    ]


class StepClock(L.Callback):
    """Notes when each step ended, and ends the stage when its time is up."""

    def __init__(self, stage: str, limit_s: float = LIMIT_S) -> None:
        self.stage = stage
        self.limit_s = limit_s
        self.stamps: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Note the time."""
        self.stamps.append(time.perf_counter())
        if self.stamps[-1] - self.stamps[0] > self.limit_s:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Leave the times in the stage's folder."""
        path = Path(trainer.default_root_dir) / self.stage / STAMPS
        files.write_json(path, {"stamps_s": self.stamps, "counts": counts_of(stage)})


class Timed(GSTalker):
    """GSTalker with a clock."""

    def stages(self) -> Sequence[StagePlan]:
        """The method's own, each with a clock, the first with an exact number of Gaussians."""
        return [self._timed(plan) for plan in super().stages()]

    def _timed(self, plan: StagePlan) -> StagePlan:
        def build(folder: Path) -> L.LightningModule:
            stage: Any = plan.build(folder)
            if plan.name == "static":
                stage.cloud = exactly(stage.cloud, self.config.static.start.max_gaussians)
            return stage

        clock = StepClock(plan.name)
        return dataclasses.replace(plan, build=build, callbacks=[*plan.callbacks, clock])


@torch.no_grad()
def exactly(cloud: GaussianCloud, count: int, seed: int = 0) -> GaussianCloud:
    """The cloud with ``count`` rows: some left out, or some repeated half a deviation away."""
    generator = torch.Generator().manual_seed(seed)
    have = len(cloud)
    extra = torch.randint(have, (max(count - have, 0),), generator=generator)
    rows = torch.cat([torch.arange(min(count, have)), extra])
    raw = {name: getattr(cloud, name).detach()[rows] for name in PARAMETERS}
    noise = torch.randn(count, 3, generator=generator) * 0.5 * raw["scales"].exp()
    raw["means"] = raw["means"] + noise * (torch.arange(count) >= have)[:, None]
    return GaussianCloud(**raw)


def counts_of(stage: Any) -> Counts:
    """Sizes of what was trained: Gaussians, and of them those that sound moves."""
    face = getattr(stage, "face_index", None)
    return {"gaussians": len(stage.cloud), "face_rows": None if face is None else len(face)}
