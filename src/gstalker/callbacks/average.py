"""A moving average of what is learned, which is what is looked at and kept.

Lightning's own callback of this kind averages buffers too or puts back old ones; here they stay as
they are, because a grid of occupied cells has no mean.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor


class MovingAverage(L.Callback):
    """Averages the parameters that learn; validation and the trained model have the average.

    Args:
        decay: share of the average that is kept at each step (RAD-NeRF: 0.95).
    """

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = decay
        self._average: list[Tensor] = []
        self._is_shown = False

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Begin with the parameters as they are, or go on from a checkpoint's average."""
        learning = _learning(stage)
        begun = self._average or [p.detach().clone() for p in learning]
        self._average = [a.to(p.device) for a, p in zip(begun, learning, strict=True)]

    @torch.no_grad()
    def on_train_batch_end(self, trainer: L.Trainer, stage: L.LightningModule, *args: Any) -> None:
        """Move the average towards the parameters."""
        torch._foreach_lerp_(self._average, _learning(stage), 1 - self.decay)

    def on_validation_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Look at the average."""
        self._swap(stage)
        self._is_shown = True

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Go on learning."""
        self._swap(stage)
        self._is_shown = False

    def on_exception(
        self, trainer: L.Trainer, stage: L.LightningModule, exception: BaseException
    ) -> None:
        """Interrupted while looking: what is saved next is what learned."""
        if self._is_shown:
            self.on_validation_end(trainer, stage)

    def on_train_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Leave the average; from here on it is what the stage is."""
        self._swap(stage)

    def state_dict(self) -> dict[str, Any]:
        """The average so far."""
        return {"average": self._average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._average = state_dict["average"]

    @torch.no_grad()
    def _swap(self, stage: L.LightningModule) -> None:
        for average, parameter in zip(self._average, _learning(stage), strict=False):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)


def _learning(stage: L.LightningModule) -> list[Tensor]:
    return [p for p in stage.parameters() if p.requires_grad]
