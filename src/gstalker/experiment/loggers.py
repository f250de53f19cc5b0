"""Where a run is watched from, beside its own files: TensorBoard, Weights & Biases.

``metrics.csv``, ``preview.png`` and ``scores.json`` are always written; a logger gets the same. A
stage is one wandb run whose id follows from the run's folder, so a resumed stage goes on in it.
These are grouped by ``WANDB_RUN_GROUP``, which a sweep sets, or else by the run;
``WANDB_MODE=offline`` keeps them on this machine.
"""

from __future__ import annotations

import os
from typing import Any

from gstalker import config as configuration
from gstalker.callbacks.provenance import machine_card
from gstalker.config import RunConfig
from gstalker.experiment.runs import RunFolder
from gstalker.plugins import resolve

PROJECT = "gstalker"
"""Name of the project in Weights & Biases; ``WANDB_PROJECT`` names another."""
LOGGERS = {
    "tensorboard": "lightning.pytorch.loggers:TensorBoardLogger",
    "wandb": "lightning.pytorch.loggers:WandbLogger",
}
"""Loggers by name; ``csv`` and ``none`` need none."""


def make_logger(config: RunConfig, run: RunFolder, stage: str) -> Any:
    """Lightning's logger for a stage, told what the run is; False if none is wanted.

    Raises:
        ConfigError: nobody knows the name.
        BackendMissing: its package is not installed.
    """
    name = config.logger.name
    if name in ("csv", "none"):
        return False
    kind = resolve(LOGGERS, name)
    if name == "wandb":
        logger = kind(save_dir=str(run.path), **_wandb_names(run, stage))
    elif name == "tensorboard":
        logger = kind(save_dir=str(run.path / "tensorboard"), name=stage, version="")
    else:
        logger = kind(save_dir=str(run.path), name=stage)
    logger.log_hyperparams(
        {**configuration.as_dict(config), "run": run.path.name, "made_by": machine_card()}
    )
    return logger


def close(logger: Any) -> None:
    """A stage has ended, or broken off: the next one is another run."""
    if logger and type(logger).__name__ == "WandbLogger":
        import wandb

        wandb.finish()


def log_scores(config: RunConfig, run: RunFolder, scores: dict[str, Any]) -> None:
    """What ``evaluate`` found, as a table with a row a metric and a column a control."""
    name = config.logger.name
    if name not in LOGGERS:
        return
    logger = make_logger(config, run, "scores")
    columns = ["metric", *scores["rows"]]
    metrics = list(dict.fromkeys(metric for row in scores["rows"].values() for metric in row))
    means = {
        metric: [row.get(metric, {}).get("mean") for row in scores["rows"].values()]
        for metric in metrics
    }
    logger.log_metrics({f"test/{m}": v[0] for m, v in means.items() if v[0] is not None})
    if name == "wandb":
        logger.log_table("scores", columns=columns, data=[[m, *v] for m, v in means.items()])
    else:
        lines = [columns, ["---"] * len(columns), *([m, *map(str, v)] for m, v in means.items())]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        logger.experiment.add_text("scores", table)
        logger.finalize("success")
    close(logger)


def _wandb_names(run: RunFolder, stage: str) -> dict[str, Any]:
    return {
        "project": os.environ.get("WANDB_PROJECT", PROJECT),
        "group": os.environ.get("WANDB_RUN_GROUP", run.path.name),
        "job_type": stage,
        "name": f"{run.path.name}/{stage}",
        "id": f"{run.path.name}-{stage}",
        "resume": "allow",
    }
