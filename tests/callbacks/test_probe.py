"""Whether the mouth hears, asked of stages of which it is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gstalker.callbacks.probe import SoundProbe, hears
from gstalker.data.dataset import FrameDataset
from gstalker.deform.audio import AudioConfig, AudioNet


class Stage:
    """Draws the true frame, spoilt by an amount that ``spoil`` tells from whether it is in sync."""

    device = torch.device("cpu")

    def __init__(self, spoil):
        self.spoil, self.logged, self.parts = spoil, {}, []

    def modules(self):
        return iter(self.parts)

    def validation_step(self, batch, batch_idx):
        own = bool(batch.audio.centre[0] == batch.frame_ids[0])
        return batch.image + self.spoil(own, int(batch.audio.centre[0]))

    def log(self, name, value, batch_size):
        self.logged[name] = value


def probed(capture, spoil, step=50):
    stage = Stage(spoil)
    probe = SoundProbe(FrameDataset(capture, "mel"), capture.split()[0][-40:])
    validate(probe, stage, step)
    return stage.logged, probe


def validate(probe, stage, step):
    trainer = SimpleNamespace(sanity_checking=False, global_step=step, max_steps=100)
    probe.on_validation_epoch_end(trainer, stage)


def clear(own, sound):
    return 0.1 if own else 0.2


def test_a_mouth_that_hears_gains_from_its_own_sound(tiny_capture, caplog):
    logged, probe = probed(tiny_capture, clear)
    assert logged["val_sound_gain_db"] == pytest.approx(20 * np.log10(2), abs=1e-4)
    assert probe.gains == [(50, logged["val_sound_gain_db"])]
    assert "ignored" not in caplog.text


def noisy(own, sound):
    return 0.1 + 0.01 * np.sin(sound)


def test_a_mouth_that_any_sound_moves_alike_is_warned_of(tiny_capture, caplog):
    logged, _ = probed(tiny_capture, noisy)
    assert abs(logged["val_sound_gain_db"]) < 1
    assert "so far the sound is ignored" in caplog.text
    assert f"gstalker inspect {tiny_capture.folder}" in caplog.text


def test_a_deaf_mouth_is_warned_of_once_and_again_only_if_it_heard_in_between(tiny_capture, caplog):
    caplog.set_level("INFO")
    probe = SoundProbe(FrameDataset(tiny_capture, "mel"), tiny_capture.split()[0][-40:])
    warned = []
    for step, spoil in ((40, noisy), (50, noisy), (60, clear), (70, clear), (80, noisy)):
        validate(probe, Stage(spoil), step)
        warned.append(sum(record.levelname == "WARNING" for record in caplog.records))
    assert warned == [1, 1, 1, 1, 2]
    assert caplog.text.count("after 60 steps the mouth follows its own sound") == 1
    assert caplog.text.count("follows its own sound") == 1
    resumed = SoundProbe(probe.dataset, probe.ids)
    resumed.load_state_dict(probe.state_dict())
    validate(resumed, Stage(noisy), 90)
    assert caplog.text.count("so far the sound is ignored") == 2


@pytest.mark.parametrize(("frames", "told"), [(4, True), (40, False)])
def test_a_verdict_on_few_frames_says_that_they_tell_little(tiny_capture, caplog, frames, told):
    ids = tiny_capture.split()[0][-frames:]
    probe = SoundProbe(FrameDataset(tiny_capture, "mel"), ids)
    validate(probe, Stage(noisy), 60)
    assert "so far the sound is ignored" in caplog.text
    assert ("which tell little" in caplog.text) is told


def test_a_mouth_is_not_called_deaf_before_it_had_time_to_wake_up(tiny_capture, caplog):
    logged, _ = probed(tiny_capture, noisy, step=10)
    assert logged
    assert "ignored" not in caplog.text


def test_a_stage_that_hears_nothing_by_design_is_left_alone(tiny_capture, caplog):
    logged, probe = probed(tiny_capture, lambda own, sound: 0.1)
    assert (logged, probe.gains, caplog.text) == ({}, [], "")


def test_a_stage_that_heard_and_now_draws_the_same_of_any_sound_is_deaf(tiny_capture, caplog):
    probe = SoundProbe(FrameDataset(tiny_capture, "mel"), tiny_capture.split()[0][-40:])
    validate(probe, Stage(clear), 20)
    died = Stage(lambda own, sound: 0.1)
    validate(probe, died, 60)
    assert died.logged == {"val_sound_gain_db": 0.0}
    assert [gain for _, gain in probe.gains][1] == 0.0
    assert "so far the sound is ignored" in caplog.text


@pytest.mark.parametrize(("trained", "warned"), [(True, True), (False, False)])
def test_silence_is_no_design_where_an_audio_net_is_trained(tiny_capture, caplog, trained, warned):
    probe = SoundProbe(FrameDataset(tiny_capture, "mel"), tiny_capture.split()[0][-40:])
    stage = Stage(lambda own, sound: 0.1)
    stage.parts = [torch.nn.Linear(1, 1), AudioNet(80, AudioConfig()).requires_grad_(trained)]
    validate(probe, stage, 60)
    assert ("so far the sound is ignored" in caplog.text) is warned


def test_a_gain_by_chance_is_none():
    gained = np.array([1.0, -1, 1, -1, 1])  # mean 0.2, standard error 0.49
    assert not hears(np.stack([np.full(5, 3.0), 3 + gained], axis=1))
    assert hears(np.stack([np.full(5, 3.0), 3 + np.array([1.0, 1.2, 0.8, 1, 1])], axis=1))


def test_the_gains_come_back_with_a_checkpoint(tiny_capture):
    _, probe = probed(tiny_capture, noisy)
    other = SoundProbe(probe.dataset, probe.ids)
    other.load_state_dict(probe.state_dict())
    assert other.gains == probe.gains
