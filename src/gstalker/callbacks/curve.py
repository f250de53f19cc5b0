"""The training curve as ``metrics.csv``, whole after every resume."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from gstalker import files


class Curve(L.Callback):
    """Mean loss over each stretch of steps, and whatever the other callbacks log.

    Rows are part of the checkpoint, so a resumed run's file equals that of a run never killed.

    Args:
        path: the ``.csv`` to write.
        every_steps: length of a stretch.
    """

    def __init__(self, path: Path, every_steps: int = 100) -> None:
        self.path = path
        self.every_steps = every_steps
        self.rows: list[dict[str, float]] = []
        self._losses: list[Tensor | float] = []  # read when a stretch closes: a GPU need not wait

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Look at the validation frames, if the run ended before it had looked at all of them.

        Lightning takes the validation of a step that was saved to be over.
        """
        step, every = trainer.global_step, trainer.val_check_batch or 0
        told = self.rows[-1] if self.rows and self.rows[-1]["step"] == step else {}
        is_due = bool(step and every) and step % every == 0 and trainer.enable_validation
        if is_due and not any(name.startswith("val_") for name in told):
            looking = trainer.fit_loop.epoch_loop.val_loop
            looking.restarting = False  # from the first frame
            trainer.validating = True
            looking.run()
            trainer.training = True

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Note the loss; close the stretch if it is full."""
        self._losses.append(outputs["loss"].detach())
        if trainer.global_step % self.every_steps == 0:
            self._close(trainer)

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Add what validation logged to the row of its step."""
        if trainer.sanity_checking:
            return
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val_")}
        if values:
            self._row(trainer.global_step).update(values)
            self._write()

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Close the last stretch."""
        if self._losses:
            self._close(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, and the open stretch."""
        return {"rows": self.rows, "losses": [float(loss) for loss in self._losses]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.rows, self._losses = state_dict["rows"], state_dict["losses"]

    def _row(self, step: int) -> dict[str, float]:
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step})
        return self.rows[-1]

    def _close(self, trainer: L.Trainer) -> None:
        row = self._row(trainer.global_step)
        row["loss"] = sum(map(float, self._losses)) / len(self._losses)
        row["learning_rate_share"] = _rate_share(trainer)
        self._losses = []
        self._write()
        if trainer.logger is not None:
            trainer.logger.log_metrics(
                {k: v for k, v in row.items() if k != "step"}, trainer.global_step
            )

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_text(self.path, text.getvalue())


def _rate_share(trainer: L.Trainer) -> float:
    schedules = trainer.lr_scheduler_configs
    if not schedules:
        return 1.0
    optimizer: torch.optim.Optimizer = trainer.optimizers[0]
    first = optimizer.param_groups[0]
    return float(first["lr"] / first["initial_lr"]) if first.get("initial_lr") else 1.0
