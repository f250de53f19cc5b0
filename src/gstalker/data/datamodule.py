"""The DataModule that both stages share: which frame is drawn at which step.

Step ``k`` of a stage draws a frame that depends on the seed and on ``k`` alone, so a run that was
killed and resumed at any step sees the frames it would have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
from torch.utils.data import DataLoader, Sampler

from gstalker.data.capture import Capture
from gstalker.data.dataset import FrameDataset, choose_features
from gstalker.errors import CaptureError
from gstalker.types import FrameBatch

AHEAD = 32
"""Steps that a frame is expected before it is drawn: a second, and the disk has none to spare."""


class StepSampler(Sampler[int]):
    """An endless draw from ``ids``, in shuffled passes; entry ``k`` follows from seed and ``k``.

    Args:
        ids: frames to draw from.
        seed: of the order.
        expect: told of every frame some steps before it is drawn.
    """

    def __init__(
        self, ids: np.ndarray, seed: int, expect: Callable[[int], None] = lambda index: None
    ) -> None:
        self.ids = ids
        self.seed = seed
        self.expect = expect
        self.start_step = 0

    def at(self, step: int) -> int:
        """The frame that step ``step`` draws."""
        turn, place = divmod(step, len(self.ids))
        return int(self.ids[self._order(turn)[place]])

    def __iter__(self) -> Iterator[int]:
        coming: deque[int] = deque()
        for index in self._draw():
            self.expect(index)
            coming.append(index)
            if len(coming) > AHEAD:
                yield coming.popleft()

    def _draw(self) -> Iterator[int]:
        turn, place = divmod(self.start_step, len(self.ids))
        while True:
            yield from (int(self.ids[k]) for k in self._order(turn)[place:])
            turn, place = turn + 1, 0

    def _order(self, turn: int) -> np.ndarray:
        return np.random.default_rng([self.seed, turn]).permutation(len(self.ids))


class CaptureDataModule(L.LightningDataModule):
    """Frames of one capture for training, validation and test.

    Args:
        capture: an open capture, or its folder.
        features: kind of sound features; ``auto`` takes the best that is there (whisper, then mel).
        seed: of the order of training frames.
        validation_share: of the training part, its last frames, kept for validation.
        validation_frames: at most this many of them are rendered at each validation.
    """

    def __init__(
        self,
        capture: Capture | str | Path,
        *,
        features: str = "auto",
        seed: int = 0,
        validation_share: float = 0.02,
        validation_frames: int = 32,
    ) -> None:
        super().__init__()
        self.capture = capture if isinstance(capture, Capture) else Capture.open(capture)
        self.features = choose_features(self.capture, features)
        self.dataset = FrameDataset(self.capture, self.features)
        train, self.test_ids = self.capture.split()
        held = int(len(train) * validation_share)
        self.train_ids, self._held_ids = train[: len(train) - held], train[len(train) - held :]
        self.look_at(validation_frames)
        if len(self.train_ids) == 0 or len(self.test_ids) == 0:
            raise CaptureError(
                f"{self.capture.folder} has {len(self.train_ids)} usable training and "
                f"{len(self.test_ids)} usable test frames; both are needed.\n"
                "  Use a longer video, or look at 'dropped' in its capture.json."
            )
        self.sampler = StepSampler(self.train_ids, seed, self.capture.expect)

    def look_at(self, count: int) -> None:
        """Choose so many validation frames, spread over the held-back end of the training part."""
        held = self._held_ids
        spread = np.linspace(0, len(held) - 1, min(count, len(held)))
        self.validation_ids = held[np.unique(spread.round().astype(int))]

    def train_dataloader(self) -> DataLoader[FrameBatch]:
        """An endless loader that begins at the trainer's step."""
        self.sampler.start_step = self.trainer.global_step if self.trainer is not None else 0
        return DataLoader(self.dataset, batch_size=None, sampler=self.sampler)

    def val_dataloader(self) -> DataLoader[FrameBatch]:
        """A few frames of the held-back end of the training part."""
        return self._fixed(self.validation_ids)

    def test_dataloader(self) -> DataLoader[FrameBatch]:
        """Every usable frame of the test part, in time order."""
        return self._fixed(self.test_ids)

    predict_dataloader = test_dataloader

    def _fixed(self, ids: np.ndarray) -> DataLoader[FrameBatch]:
        return DataLoader(self.dataset, batch_size=None, sampler=ids.tolist())


def data_of(trainer: L.Trainer) -> CaptureDataModule:
    """The data module that a trainer was given."""
    return cast(CaptureDataModule, cast(Any, trainer).datamodule)
