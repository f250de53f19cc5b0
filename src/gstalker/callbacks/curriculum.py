"""A stage whose frames are drawn in an order of the method's own."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L

from gstalker.data.curriculum import Curriculum, Lesson
from gstalker.data.datamodule import StepSampler, data_of


class DrawInOrder(L.Callback):
    """Gives the data module a :class:`Curriculum` for as long as the stage is trained.

    Args:
        lessons: its lessons.
        frames_per_step: drawn together.
    """

    def __init__(self, lessons: Sequence[Lesson] = (), frames_per_step: int = 1) -> None:
        self.lessons = lessons
        self.frames_per_step = frames_per_step
        self._usual: StepSampler | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Before the frames are asked for."""
        data = data_of(trainer)
        self._usual = data.sampler
        data.sampler = Curriculum(data.sampler, self.lessons, self.frames_per_step)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The next stage draws as usual."""
        if self._usual is not None:
            data_of(trainer).sampler = self._usual
