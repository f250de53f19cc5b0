"""The ears learn first; see :mod:`gstalker.deform.rehearsal`."""

from __future__ import annotations

import logging
from typing import Any

import lightning as L
import numpy as np

from gstalker import face
from gstalker.data.datamodule import data_of
from gstalker.deform.audio import AudioNet
from gstalker.deform.rehearsal import lip_shapes, rehearse

log = logging.getLogger(__name__)


class Rehearsal(L.Callback):
    """Before the first step, ``stage.audio`` learns to tell the training frames' lips.

    The step's time is counted with it. A run that goes on has rehearsed already.

    Args:
        batches: how many.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(
        self, trainer: L.Trainer, stage: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Before the first step."""
        if trainer.global_step:
            return
        assert isinstance(stage.audio, AudioNet)
        data = data_of(trainer)
        capture, ids = data.capture, data.train_ids
        ids = ids[np.isfinite(capture.landmarks[ids]).all((1, 2))]
        shapes = lip_shapes(capture.landmarks, face.layout(capture.meta["landmarks"]), ids)
        told = rehearse(stage.audio, data.dataset.track, shapes, ids, self.batches)
        log.info("no rehearsal: too few lips" if told is None else told.sentence())
