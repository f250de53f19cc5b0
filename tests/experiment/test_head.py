"""A head that speaks: as many frames as the sound has, whoever paints them, as soon as promised."""

import itertools

import numpy as np
import pytest
import torch

from gstalker import config as configuration
from gstalker.data.synthetic import synthetic_voice
from gstalker.errors import RunError
from gstalker.experiment.evaluate import to_uint8
from gstalker.experiment.head import Head, steady_stretch
from gstalker.experiment.making import make_method
from gstalker.experiment.movie import ping_pong
from gstalker.experiment.train import train

SMALL = [
    "method.static.steps=40",
    "method.static.start.max_gaussians=500",
    "method.deform.steps=60",
]


@pytest.fixture(scope="module")
def run(tiny_capture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    (folder / "gstalker.yaml").write_text("method:\n  name: gstalker\n")
    overrides = [f"capture={tiny_capture.folder}", f"runs={folder / 'runs'}", *SMALL]
    return train(configuration.compose(folder / "gstalker.yaml", overrides))


@pytest.fixture(scope="module")
def head(run):
    return Head.open(run.path)


@pytest.fixture(scope="module")
def speech():
    return synthetic_voice(2.0, seed=5)


def painted(frames):
    return np.stack(list(frames))


def test_a_head_says_its_size_and_rate(head, tiny_capture):
    assert (head.width, head.height, head.fps) == (tiny_capture.width, tiny_capture.height, 25)


@pytest.mark.parametrize("samples", [1, 639, 640, 641, 6400])
def test_every_begun_frame_of_sound_is_painted(head, speech, samples):
    assert len(list(head.frames(speech[:samples]))) == -(-samples // 640)


def test_a_frame_is_what_the_trained_stage_draws_of_its_window(head, run, tiny_capture):
    """The test split's own sound through ``Head`` and through ``evaluate``'s door."""
    from gstalker.data.dataset import FrameDataset

    dataset = FrameDataset(tiny_capture, "mel")
    method, _ = make_method(run.config(), tiny_capture)
    performer = method.load(run.path)
    first, stop = tiny_capture.segments[1]
    looks = {"poses": tiny_capture.poses[first:stop], "eyes": dataset.eye[first:stop]}
    got = painted(head.frames(tiny_capture.audio()[first * 640 : stop * 640], **looks))
    for k in (*range(0, stop - first, 10), stop - first - 1):
        wanted = to_uint8(performer(dataset.frame(first + k))[0])
        # The take alone is scaled by its own loudest moment, and the capture's features are rounded
        # to half precision: a byte may round to its neighbour and a Gaussian's edge move over a
        # pixel. Sound that is one frame late differs by 0.06 on average.
        assert np.abs(got[k].astype(int) - wanted).mean() < 0.003


def test_the_pictures_do_not_depend_on_the_threads(head, speech):
    one, three = (painted(head.frames(speech, threads=n)) for n in (1, 3))
    assert np.array_equal(one, three)
    assert (np.diff(one.astype(int), axis=0) != 0).any()


def test_batches_of_codes_leave_no_seam(head, speech, monkeypatch):
    whole = painted(head.frames(speech))
    monkeypatch.setattr("gstalker.experiment.head.BATCH", 7)
    parts = painted(head.frames(speech))
    assert np.abs(whole.astype(int) - parts).max() <= 1  # sums of another batch's shape


def test_no_filmed_frame_is_read(head, speech, monkeypatch):
    def read(self, index):
        raise AssertionError("a filmed frame was read")

    monkeypatch.setattr("gstalker.data.capture.Capture.frame", read)
    assert len(list(head.frames(speech[:1280]))) == 2


def test_the_silent_head_paints_too(run, tiny_capture):
    method, features = make_method(run.config(), tiny_capture)
    silent = Head(method.load(run.path, silent=True), tiny_capture, features)
    still = tiny_capture.poses[:1].expand(5, 4, 4)
    frames = painted(silent.frames(synthetic_voice(0.2, seed=1), still))
    assert (frames == frames[0]).all()


def test_heads_side_by_side_paint_what_each_paints_alone(head, run, tiny_capture, speech):
    method, features = make_method(run.config(), tiny_capture)
    silent = Head(method.load(run.path, silent=True), tiny_capture, features)
    alone = [painted(one.frames(speech)) for one in (head, silent)]
    together = zip(head.frames(speech), silent.frames(speech), strict=True)
    for one, (own, other) in enumerate(zip(*alone, strict=True)):
        first, second = next(together)
        assert (first == own).all(), one
        assert (second == other).all(), one


def test_the_head_moves_as_in_its_steadiest_stretch(head, tiny_capture, speech):
    ids = list(itertools.islice(ping_pong(*steady_stretch(tiny_capture)), 50))
    own = head.frames(speech)
    told = head.frames(speech, tiny_capture.poses[ids], head._eye[ids])
    assert np.array_equal(painted(own), painted(told))


def test_leaving_early_ends_the_painting(head, speech):
    frames = head.frames(speech)
    next(frames)
    frames.close()
    assert next(frames, None) is None


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(640), "float32 or int16 at 16 kHz, but got float64"),
        (np.zeros((2, 640), np.float32), r"mono sound of shape \[S\], but got \[2, 640\]"),
        (np.full(640, np.nan, np.float32), "samples that are not numbers"),
        (np.zeros(0, np.float32), "0 samples"),
    ],
    ids=["float64", "stereo", "nan", "nothing"],
)
def test_sound_that_cannot_be_used_is_a_sentence(head, samples, words):
    with pytest.raises(ValueError, match=words):
        head.frames(samples)


def test_poses_that_run_out_or_do_not_fit_are_a_sentence(head, speech):
    with pytest.raises(ValueError, match="poses end before the sound: there is none for frame 3"):
        list(head.frames(speech, torch.eye(4).expand(3, 4, 4)))
    with pytest.raises(ValueError, match=r"frame 0 has \[3, 3\]"):
        list(head.frames(speech, [np.eye(3)]))
    with pytest.raises(ValueError, match="eyes end before the sound"):
        list(head.frames(speech, eyes=[0.0]))


def test_samples_of_16_bits_are_heard_alike(head, speech):
    coarse = (speech * 32767).astype(np.int16)
    same = coarse.astype(np.float32) / 32768
    assert np.array_equal(painted(head.frames(coarse)), painted(head.frames(same)))


def test_a_folder_that_is_no_run_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="there is no run"):
        Head.open(tmp_path)


def test_a_stream_with_the_whole_look_ahead_is_the_recording(head, speech, monkeypatch):
    from gstalker.experiment.listening import Hearing, Listener, MelEar

    patient = Listener(MelEar(speech), lookahead=10_000)
    monkeypatch.setattr(Hearing, "listener", lambda self: patient)
    streamed = painted(head.stream([speech]))
    wanted = painted(head.frames(speech))
    assert np.abs(streamed.astype(int) - wanted).max() <= 1  # codes one by one, not in batches


@pytest.mark.parametrize("length", [1, 640, 1000, 16000])
def test_streamed_pictures_do_not_depend_on_how_the_sound_is_cut(head, speech, length):
    sound = speech[:7000]
    cut = (sound[k : k + length] for k in range(0, len(sound), length))
    got = painted(head.stream(cut))
    assert len(got) == 11
    assert np.array_equal(got, painted(head.stream([sound])))


def test_a_streamed_frame_appears_before_its_look_ahead_is_used_up(head):
    consumed = 0

    def chunks():
        nonlocal consumed
        for chunk in np.zeros((75, 320), np.float32):
            consumed += len(chunk)
            yield chunk

    waits = [consumed - 640 * (k + 1) for k, _ in enumerate(head.stream(chunks()))]
    assert len(waits) == 38
    assert max(waits) == head.lookahead_s * 16000 == 3200


def test_poses_are_taken_from_a_stream_one_by_one(head, tiny_capture):
    taken = 0

    def poses():
        nonlocal taken
        for pose in tiny_capture.poses:
            taken += 1
            yield pose

    frames = head.stream(iter(np.zeros((30, 640), np.float32)), poses())
    next(frames)
    assert taken == 1


def test_a_stream_says_what_is_wrong_with_it(head):
    with pytest.raises(ValueError, match="float32 or int16"):
        next(head.stream([np.zeros(640)]))
    with pytest.raises(ValueError, match="mono"):
        next(head.stream([np.zeros((640, 2), np.int16)]))
    with pytest.raises(ValueError, match="not numbers"):
        next(head.stream([np.full(3, np.inf, np.float32)]))
    with pytest.raises(ValueError, match="poses end before the sound: there is none for frame 2"):
        list(head.stream([np.zeros(6400, np.int16)], np.eye(4)[None].repeat(2, 0)))
