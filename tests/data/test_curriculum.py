"""Lessons: which frames a step draws, and that the draw follows from seed and step alone."""

import itertools

import lightning as L
import numpy as np
import pytest
import torch

from gstalker.callbacks.curriculum import DrawInOrder
from gstalker.data.curriculum import Curriculum, Lesson
from gstalker.data.datamodule import CaptureDataModule, StepSampler

SIGNAL = np.array([5.0, 1, 4, 2, 3, np.nan, 0, 9])
"""By rising signal the frames are 6 1 3 4 2 0 7; frame 5 has none."""


def usual(ids=range(8), seed=3):
    return StepSampler(np.array(ids), seed)


def test_a_window_slides_over_the_frames_in_the_order_of_the_signal():
    lesson = Lesson(10, 21, SIGNAL, (0.0, 3 / 7), (4 / 7, 1.0))
    ids = np.arange(8)
    assert lesson.frames(ids, 10).tolist() == [6, 1, 3]
    assert lesson.frames(ids, 15).tolist() == [3, 4, 2]
    assert lesson.frames(ids, 20).tolist() == [2, 0, 7]


def test_a_window_opens_downwards_and_never_is_empty():
    lesson = Lesson(0, 11, SIGNAL, (0.99, 1.0), (0.0, 1.0))
    assert lesson.frames(np.arange(8), 0).tolist() == [7]
    assert sorted(lesson.frames(np.arange(8), 10)) == [0, 1, 2, 3, 4, 6, 7]


def test_only_training_frames_are_drawn():
    lesson = Lesson(0, 5, SIGNAL, (0.0, 1.0), (0.0, 1.0))
    assert set(lesson.frames(np.array([1, 2, 5]), 0)) == {1, 2}


def test_steps_between_lessons_draw_as_usual():
    lesson = Lesson(4, 10, SIGNAL, (0.9, 1.0), (0.9, 1.0), every_steps=3)
    plain, taught = usual(), Curriculum(usual(), [lesson])
    drawn = [taught.drawn(step)[0] for step in range(14)]
    wanted = [plain.at(step) for step in range(14)]
    wanted[4] = wanted[7] = 7
    assert drawn == wanted


@pytest.mark.parametrize("count", [1, 3])
def test_a_draw_that_begins_later_goes_on_as_the_whole_would(count):
    lessons = [Lesson(2, 30, SIGNAL, (0.0, 0.5), (0.5, 1.0), every_steps=2)]
    whole = list(itertools.islice(Curriculum(usual(), lessons, count), 40))
    later = Curriculum(usual(), lessons, count)
    later.start_step = 17
    assert list(itertools.islice(later, 23)) == whole[17:]


def test_many_frames_a_step_are_one_batch_and_the_usual_order_comes_back(tiny_capture):
    data = CaptureDataModule(tiny_capture)
    order = data.sampler

    class Sees(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.batches = []

        def training_step(self, batch, batch_idx):
            self.batches.append(batch)
            return self.weight.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    stage = Sees()
    L.Trainer(
        max_steps=2, max_epochs=-1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False,
        limit_val_batches=0, callbacks=[DrawInOrder(frames_per_step=3)],
    ).fit(stage, data)  # fmt: skip
    ids = [int(i) for batch in stage.batches for i in batch.frame_ids]
    assert ids == [order.at(k) for k in range(6)]
    batch = stage.batches[0]
    assert batch.image.shape[0] == batch.audio.features.shape[0] == len(batch.camera.viewmats) == 3
    one = data.dataset[ids[1]]
    assert (batch.image[1] == one.image[0]).all()
    assert (batch.mouth_box[1] == one.mouth_box[0]).all()
    assert data.sampler is order
