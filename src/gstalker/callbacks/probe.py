"""Does the mouth hear? Asked while training goes on, minutes after it began."""

from __future__ import annotations

import logging
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor

from gstalker.data.dataset import FrameDataset
from gstalker.data.windows import shuffled_frames
from gstalker.deform.audio import AudioNet
from gstalker.types import FrameBatch

log = logging.getLogger(__name__)

FRAMES = 32
"""Of the validation part, that are looked at twice. Of a head that hears, 16 say so in 97 of 100
looks, which is too seldom; 32 always did."""
SILENT_AFTER = 0.3
"""Share of the steps before a deaf mouth is called one; it takes a while to wake up."""
ERRORS = 2.0
"""Standard errors above nothing from which on a gain counts."""


class SoundProbe(L.Callback):
    """Draws validation frames with their own sound and with another sentence's, and compares.

    Logs ``val_sound_gain_db``: how much better the mouth is with its own sound, in dB of the mean
    squared error in the mouth box. A stage that makes the same picture of any sound hears nothing
    by design, and nothing is logged, unless it heard before or trains an audio net; one that draws
    a part of the person, and says so by its ``partial``, is not asked. One that hears, but after
    30 % of its steps draws the mouth no better with its own sound, is warned of once, and again
    only if it heard in between: it ignores the sound, or has learned it by heart.

    Args:
        dataset: the frames, to fetch them with other sound.
        ids: validation frames, in time order.
    """

    def __init__(self, dataset: FrameDataset, ids: np.ndarray) -> None:
        self.dataset = dataset
        spread = np.linspace(0, len(ids) - 1, min(FRAMES, len(ids))).round().astype(int)
        self.ids = np.unique(ids[spread])
        self.gains: list[tuple[int, float]] = []
        """Step and gain of each validation so far."""
        self.deaf = False
        """Whether it ignored the sound when last asked, as far as can be told from chance."""

    def on_validation_epoch_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Draw the frames twice."""
        if trainer.sanity_checking or len(self.ids) < 2 or getattr(stage, "partial", False):
            return
        swapped = shuffled_frames(self.ids, self.dataset.capture.segments)
        rows = []
        for own, other in zip(self.ids.tolist(), swapped.tolist(), strict=True):
            rows.append([self._error(stage, own, own), self._error(stage, own, other)])
            if rows[0][0] == rows[0][1] and not self.gains and not _listens(stage):
                return
        errors = np.array(rows)
        own, other = errors.mean(0).clip(1e-12)
        gain = float(10 * np.log10(other / own))
        self.gains.append((trainer.global_step, gain))
        stage.log("val_sound_gain_db", gain, batch_size=1)
        share = trainer.global_step / max(trainer.max_steps, 1)
        was_deaf, self.deaf = self.deaf, share >= SILENT_AFTER and not hears(errors)
        if self.deaf and not was_deaf:
            log.warning(
                "after %d steps the mouth is drawn no better, beyond chance, with its own sound "
                "than with another sentence's (%+.2f dB on %d frames%s): "
                "so far the sound is ignored.\n"
                "  Look whether sound and lips belong together: gstalker inspect %s",
                *(trainer.global_step, gain, len(self.ids)),
                ", which tell little" if len(self.ids) < FRAMES / 2 else "",
                self.dataset.capture.folder,
            )
        elif was_deaf and not self.deaf:
            log.info("after %d steps the mouth follows its own sound.", trainer.global_step)

    def _error(self, stage: L.LightningModule, index: int, sound_of: int) -> float:
        """Mean squared error in the mouth box."""
        batch: FrameBatch = self.dataset.frame(index, sound_of=sound_of).to(stage.device)
        with torch.no_grad():
            picture = cast(Tensor, stage.validation_step(batch, 0))
        x0, y0, x1, y1 = batch.mouth_box[0].tolist()
        window = (slice(max(y0, 0), y1), slice(max(x0, 0), x1))
        difference = picture[0][window] - batch.image[0][window]
        return float(difference.square().mean()) if difference.numel() else 0.0

    def state_dict(self) -> dict[str, Any]:
        """The gains so far, and whether it was warned of."""
        return {"gains": self.gains, "deaf": self.deaf}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.gains = [(int(step), float(gain)) for step, gain in state_dict["gains"]]
        self.deaf = bool(state_dict.get("deaf", False))  # checkpoints from before lack it


def _listens(stage: L.LightningModule) -> bool:
    """Whether it trains an audio net of ours: then silence is a fault and no design."""
    nets = (module for module in stage.modules() if isinstance(module, AudioNet))
    return any(p.requires_grad for net in nets for p in net.parameters())


def hears(errors: np.ndarray) -> bool:
    """Whether frames are better with their own sound, beyond chance.

    Args:
        errors: ``[F, 2]`` of each frame with its own sound and with another's.
    """
    gained = errors[:, 1] - errors[:, 0]
    if len(gained) < 2:
        return bool(gained.mean() > 0)
    return bool(gained.mean() > ERRORS * gained.std(ddof=1) / np.sqrt(len(gained)))
