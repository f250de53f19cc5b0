"""One run: each stage of a method in order, going on where it was left."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.plugins.environments import LightningEnvironment

from gstalker.callbacks.checkpoint import Checkpoint
from gstalker.callbacks.curve import Curve
from gstalker.callbacks.health import Health
from gstalker.callbacks.preview import Preview
from gstalker.callbacks.probe import SoundProbe
from gstalker.callbacks.provenance import Provenance
from gstalker.callbacks.scores import ScoreFrames
from gstalker.callbacks.trial import Guard, TrialRecord
from gstalker.config import RunConfig
from gstalker.data.capture import Capture
from gstalker.data.datamodule import CaptureDataModule
from gstalker.errors import ConfigError
from gstalker.experiment.claim import claim
from gstalker.experiment.loggers import close, make_logger
from gstalker.experiment.making import make_method
from gstalker.experiment.runs import RunFolder, open_capture
from gstalker.methods import Method, StagePlan
from gstalker.metrics.ridge import yardstick
from gstalker.stages.handoff import load_tensors

log = logging.getLogger(__name__)


def train(config: RunConfig, *, at_most: int | None = None, looks: bool = True) -> RunFolder:
    """Train every stage that is not finished yet; the same call resumes.

    Args:
        config: a frozen config.
        at_most: steps of every stage, to see what they cost.
        looks: whether validation frames are drawn on the way; they teach nothing.

    Returns:
        The run's folder.

    Raises:
        Claimed: another process trains this run.
        Diverged: the loss left every sensible value; says the step and the term.
        GSTalkerError: in a sentence, what is missing or wrong.
    """
    capture = open_capture(config)
    run = RunFolder.create(config, capture)
    with claim(run.claim_path, f"run {run.path}"):
        train_claimed(config, capture, run, at_most=at_most, looks=looks)
    return run


def train_claimed(
    config: RunConfig,
    capture: Capture,
    run: RunFolder,
    *,
    at_most: int | None = None,
    looks: bool = True,
) -> None:
    """:func:`train` in a folder that this process has claimed."""
    method, features = make_method(config, capture)
    data = CaptureDataModule(capture, features=features, seed=config.seed)
    chosen = chosen_stages(method, config)
    _say_yardstick(capture, features)
    for place, plan in chosen.items():
        if (run.path / plan.artefact).exists():
            log.info("stage %s is finished: %s", plan.name, run.path / plan.artefact)
            continue
        steps = plan.steps if at_most is None else min(plan.steps, at_most)
        seed = config.seed * 1000 + place
        _fit(plan, config, run, data, seed=seed, steps=steps, looks=looks)
    run.record("done")


def chosen_stages(method: Method, config: RunConfig) -> dict[int, StagePlan]:
    """The stages that a config trains, by their place among the method's.

    Raises:
        ConfigError: the method has no such stage.
    """
    plans = dict(enumerate(method.stages()))
    names = [plan.name for plan in plans.values()]
    unknown = set(config.stages or ()) - set(names)
    if unknown:
        raise ConfigError(
            f"stages: {', '.join(sorted(unknown))} unknown; {config.method.name} has: "
            + ", ".join(names)
        )
    return {k: p for k, p in plans.items() if config.stages is None or p.name in config.stages}


def _fit(
    plan: StagePlan,
    config: RunConfig,
    run: RunFolder,
    data: CaptureDataModule,
    *,
    seed: int,
    steps: int,
    looks: bool,
) -> None:
    data.look_at(plan.validation_frames)
    folder = run.stage(plan.name)
    shown = steps == plan.steps and not os.environ.get("TQDM_DISABLE")
    run.record("running", stage=plan.name)
    L.seed_everything(seed, verbose=False)
    stage = plan.build(run.path)
    curve = Curve(folder / "metrics.csv")
    logger = make_logger(config, run, plan.name)
    resume = folder / "last.ckpt"
    trainer = L.Trainer(
        accelerator="cpu" if config.device == "cpu" else "gpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        callbacks=[
            *plan.callbacks,
            Guard(),
            ScoreFrames(),
            Preview(folder / "preview.png"),
            curve,
            TrialRecord(run.record, plan.name),
            Provenance(run.path / "provenance.json", {"features": data.features}),
            SoundProbe(data.dataset, data.validation_ids),
            Health(plan.name, curve),
            Checkpoint(folder),
            *([TQDMProgressBar(refresh_rate=20)] if shown else []),
        ],
        logger=logger,
        plugins=[LightningEnvironment()],  # under Slurm Lightning would take the requeue signal
        val_check_interval=max(plan.steps // 8, 1),
        check_val_every_n_epoch=None,
        limit_val_batches=None if looks else 0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=shown,
        enable_model_summary=False,
        default_root_dir=str(run.path),
        log_every_n_steps=1_000_000,  # Curve logs means over stretches, not single frames
    )
    if resume.exists():
        load_tensors(resume, "checkpoint")
        log.info("stage %s goes on from %s", plan.name, resume)
    try:
        with _whole_steps():
            trainer.fit(
                stage, data, ckpt_path=str(resume) if resume.exists() else None, weights_only=True
            )
    except SystemExit as stop:  # Lightning's answer to Ctrl-C and SIGTERM, after Checkpoint saved
        raise KeyboardInterrupt from stop
    finally:
        close(logger)
    plan.export(stage, run.path)


@contextlib.contextmanager
def _whole_steps() -> Iterator[None]:
    """Let Ctrl-C end the fit as SIGTERM does, after the step: half a step is not worth saving.

    A second Ctrl-C does not wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # Lightning does not listen yet
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say_yardstick(capture: Capture, features: str) -> None:
    """Say what the sound alone predicts of the mouth, before time is spent on a head."""
    try:
        log.info(yardstick(capture, features).sentence())
    except ValueError as error:
        log.info("no yardstick for the mouth: %s", error)
