"""Which frame is drawn at which step, and what comes with it."""

import itertools

import numpy as np
import pytest
import torch

from gstalker.data.capture import Capture
from gstalker.data.datamodule import AHEAD, CaptureDataModule, StepSampler
from gstalker.data.dataset import standardised


def test_every_pass_draws_every_frame_once():
    sampler = StepSampler(np.arange(10, 20), seed=3)
    drawn = [sampler.at(step) for step in range(30)]
    for turn in range(3):
        assert sorted(drawn[10 * turn : 10 * turn + 10]) == list(range(10, 20))
    assert drawn[:10] != drawn[10:20]


def test_a_sampler_that_starts_late_draws_what_it_would_have_drawn():
    whole, late = StepSampler(np.arange(7), seed=0), StepSampler(np.arange(7), seed=0)
    late.start_step = 11
    frames = iter(late)
    assert [next(frames) for _ in range(20)] == [whole.at(step) for step in range(11, 31)]


def test_another_seed_draws_in_another_order():
    one, two = (StepSampler(np.arange(50), seed=s) for s in (0, 1))
    assert [one.at(k) for k in range(50)] != [two.at(k) for k in range(50)]


@pytest.fixture(scope="module")
def data(tiny_capture):
    return CaptureDataModule(tiny_capture)


def test_training_validation_and_test_frames_are_disjoint(data, tiny_capture):
    train, held, test = (
        set(ids.tolist()) for ids in (data.train_ids, data.validation_ids, data.test_ids)
    )
    assert not train & held
    assert not (train | held) & test
    assert max(train) < min(held) <= max(held) < min(test)


def test_fewer_validation_frames_are_spread_over_the_same_end(tiny_capture):
    data = CaptureDataModule(tiny_capture, validation_share=0.3)
    data.look_at(1000)
    every = data.validation_ids.tolist()
    assert len(every) > 2
    data.look_at(2)
    assert data.validation_ids.tolist() == [every[0], every[-1]]


def test_a_batch_has_the_frame_and_everything_about_it(data, tiny_capture):
    batch = data.dataset[5]
    np.testing.assert_allclose(batch.image[0].numpy() * 255, tiny_capture.frame(5), atol=1e-3)
    torch.testing.assert_close(batch.camera.viewmats[0], tiny_capture.poses[5])
    assert batch.audio.features.shape == (1, 8, 16, 80)
    x0, y0, x1, y1 = batch.mouth_box[0].tolist()
    lips = tiny_capture.landmarks[5, 48:68]
    assert (lips >= [x0, y0]).all()
    assert (lips <= [x1, y1]).all()


def test_other_sound_changes_the_sound_alone(data):
    own, other = data.dataset.frame(5), data.dataset.frame(5, sound_of=40)
    assert torch.equal(own.image, other.image)
    assert torch.equal(other.audio.features, data.dataset.frame(40).audio.features)


def test_a_signal_with_gaps_is_standardised_over_the_training_part():
    signal = np.array([1.0, 3.0, np.nan, 100.0], np.float32)
    out = standardised(signal, np.array([0, 1, 2]))
    assert out.tolist() == [-1.0, 1.0, 0.0, 4.0]  # the far one is clipped


def test_a_frame_is_expected_before_it_is_drawn_and_the_draw_stays_what_it_was():
    expected = []
    sampler = StepSampler(np.arange(100, 150), seed=3, expect=expected.append)
    sampler.start_step = 7
    drawn = list(itertools.islice(sampler, 120))
    assert drawn == [sampler.at(step) for step in range(7, 127)]
    assert expected == [sampler.at(step) for step in range(7, 127 + AHEAD)]


def test_what_is_expected_is_read_as_ever(tiny_capture):
    for index in range(tiny_capture.frame_count):
        tiny_capture.expect(index)
    again = Capture.open(tiny_capture.folder)
    assert (tiny_capture.frame(5) == again.frame(5)).all()
