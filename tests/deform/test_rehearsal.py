"""What the ears learn before anything is painted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import same_for_any_threads

from gstalker import config as configuration
from gstalker.callbacks.rehearsal import Rehearsal
from gstalker.data.datamodule import CaptureDataModule
from gstalker.data.windows import AudioTrack
from gstalker.deform.audio import AudioConfig, AudioNet, fit_whitening
from gstalker.deform.rehearsal import lip_shapes, rehearse
from gstalker.experiment.making import make_method
from gstalker.face import LAYOUTS

LAYOUT = LAYOUTS["ibug68"]
FRAMES = 400
CONFIG = Path(__file__).parents[2] / "configs/gstalker.yaml"


def talking(opening, *, scale=1.0, turn=0.0, shift=(0.0, 0.0)):
    """Landmarks of a round mouth that opens: ``[F, 68, 2]``."""
    points = np.zeros((len(opening), 68, 2))
    points[:, LAYOUT.eye_corners[0]], points[:, LAYOUT.eye_corners[1]] = (-50, 0), (50, 0)
    for contour, size in ((LAYOUT.lips, 20), (LAYOUT.inner_lips, 12)):
        angles = np.linspace(0, 2 * np.pi, len(contour), endpoint=False)
        points[:, contour, 0] = size * np.cos(angles)
        points[:, contour, 1] = 60 + np.sin(angles) * (size + 10 * opening[:, None])
    c, s = np.cos(turn), np.sin(turn)
    return scale * points @ np.array([[c, s], [-s, c]]) + shift


def course(seed=0):
    """A smooth course of deviation 1."""
    noise = np.random.default_rng(seed).normal(size=FRAMES + 20)
    smooth = np.convolve(noise, np.hanning(9), "same")[10:-10]
    return (smooth - smooth.mean()) / smooth.std()


@pytest.fixture
def sound():
    """Features of which the third says how the mouth opens, and that opening."""
    opening = course()
    rows = np.random.default_rng(1).normal(size=(2 * FRAMES, 3)).astype(np.float32)
    rows[:, 2] = np.repeat(opening, 2)
    return AudioTrack(rows, 2, [(0, 250), (250, FRAMES)]), opening


def ears(track, **options):
    torch.manual_seed(3)
    net = AudioNet(track.dim, AudioConfig(**options))
    fit_whitening(net, track.features.numpy())
    return net


def test_shapes_are_the_opening_wherever_and_however_large_the_face_is():
    opening = course()
    ids = np.arange(300)
    plain = lip_shapes(talking(opening), LAYOUT, ids)
    first = plain[:, 0] * np.sign(plain[0, 0] * opening[0])
    centred = opening - opening[ids].mean()
    np.testing.assert_allclose(first, centred / centred[ids].std(), atol=1e-5)
    np.testing.assert_allclose(plain[:, 1:], 0, atol=1e-5)  # nothing else moves
    moved = talking(opening, scale=0.3, turn=0.7, shift=(200, 90))
    np.testing.assert_allclose(lip_shapes(moved, LAYOUT, ids), plain, atol=1e-5)


def test_frames_without_a_face_have_no_shape():
    landmarks = talking(course())
    landmarks[7] = np.nan
    shapes = lip_shapes(landmarks, LAYOUT, np.arange(10, 300))
    assert np.isnan(shapes[7]).all()
    assert np.isfinite(np.delete(shapes, 7, axis=0)).all()


@pytest.mark.parametrize("smooth", [True, False])
def test_ears_learn_what_the_sound_tells_of_lips_and_no_more(sound, smooth):
    track, opening = sound
    ids = np.arange(FRAMES)
    told = rehearse(
        ears(track, smooth=smooth), track, lip_shapes(talking(opening), LAYOUT, ids), ids, 200
    )
    assert told.unexplained < 0.4
    other = lip_shapes(talking(course(seed=9)), LAYOUT, ids)
    assert rehearse(ears(track, smooth=smooth), track, other, ids, 200).unexplained > 0.8


def test_codes_then_tell_the_opening_linearly(sound):
    track, opening = sound
    ids = np.arange(FRAMES)

    def told_by(net):
        with torch.no_grad():
            codes = net.listen(net.whitening(track.windows(ids))).double().numpy()
        design = np.column_stack([codes, np.ones(FRAMES)])
        weights = np.linalg.lstsq(design[:300], opening[:300], rcond=None)[0]
        return np.corrcoef(design[300:] @ weights, opening[300:])[0, 1]

    net = ears(track)
    rehearse(net, track, lip_shapes(talking(opening), LAYOUT, ids), ids, 200)
    assert told_by(net) > 0.9 > 0.8 > told_by(ears(track))


def test_the_outcome_depends_on_neither_threads_nor_chance_and_leaves_both_alone(sound):
    track, opening = sound
    ids = np.arange(FRAMES)
    shapes = lip_shapes(talking(opening), LAYOUT, ids)

    def results():
        threads = torch.get_num_threads()
        net = ears(track)
        torch.manual_seed(threads)
        before = torch.get_rng_state()
        rehearse(net, track, shapes, ids, 60)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads
        return net.state_dict().values()

    assert same_for_any_threads(results)


@pytest.mark.parametrize("kind", ["few", "still"])
def test_too_few_lips_or_still_ones_leave_the_ears_as_they_were(sound, kind):
    track, opening = sound
    ids = np.arange(99 if kind == "few" else FRAMES)
    shapes = lip_shapes(talking(opening * (kind == "few")), LAYOUT, ids)
    net = ears(track)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert rehearse(net, track, shapes, ids, 20) is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(("said", "batches"), [([], [400]), (["rehearsals=0"], [])])
def test_gstalker_rehearses_before_it_paints_unless_told_not_to(tiny_capture, said, batches):
    overrides = [f"capture={tiny_capture.folder}", *(f"method.deform.{text}" for text in said)]
    method, _ = make_method(configuration.compose(CONFIG, overrides), tiny_capture)
    ears = {
        plan.name: [c.batches for c in plan.callbacks if isinstance(c, Rehearsal)]
        for plan in method.stages()
    }
    assert ears == {"static": [], "deform": batches}


def test_a_run_rehearses_before_its_first_step_alone(tiny_capture, caplog):
    class Stage:
        def __init__(self, audio):
            self.audio = audio

    class Trainer:
        global_step = 0
        datamodule = CaptureDataModule(tiny_capture, features="mel")

    stage, trainer, callback = (
        Stage(ears(Trainer.datamodule.dataset.track)),
        Trainer(),
        Rehearsal(50),
    )
    caplog.set_level("INFO", "gstalker")
    first = stage.audio.state_dict()["head.2.weight"].clone()
    callback.on_train_batch_start(trainer, stage, None, 0)
    learned = stage.audio.state_dict()["head.2.weight"].clone()
    assert not torch.equal(first, learned)
    assert "the ears tell" in caplog.text
    trainer.global_step = 1
    callback.on_train_batch_start(trainer, stage, None, 1)
    assert torch.equal(stage.audio.state_dict()["head.2.weight"], learned)
