"""Sound that is still arriving is heard as the whole recording is, up to its edge."""

import numpy as np
import pytest
import torch

from gstalker.data.synthetic import synthetic_voice
from gstalker.data.windows import AudioTrack
from gstalker.errors import CaptureError, ConfigError
from gstalker.experiment.listening import (
    LOOKAHEAD,
    WHISPER_EVERY,
    Hearing,
    Listener,
    MelEar,
    WhisperEar,
    checked_sound,
    speech_track,
)
from gstalker.prepare.audio import KINDS, extract
from gstalker.prepare.audio.sliding import SlidingEncoder
from gstalker.prepare.audio.whisper import Encoder

FOREVER = 10_000


@pytest.fixture(scope="module")
def speech():
    return synthetic_voice(3.0, seed=11)


class CountingEar:
    """Its rows are their own numbers; remembers how many are held."""

    per_frame = 2

    def __init__(self):
        self.heard = self.first = self.most = 0

    def hear(self, samples):
        assert samples.shape == (640,)
        self.heard += 1

    def rows(self, *, ended):
        rows = torch.arange(self.first, 2 * self.heard, dtype=torch.float32)[:, None]
        self.most = max(self.most, len(rows))
        return self.first, rows

    def forget(self, row):
        self.first = max(self.first, row)


def offline(rows, per_frame):
    frames = len(rows) // per_frame
    return AudioTrack(rows, per_frame, [(0, frames)]).windows(np.arange(frames))


def test_features_that_want_the_whole_recording_are_refused_while_it_arrives(tiny_capture):
    with pytest.raises(ConfigError, match="only mel and whisper can be heard while they arrive"):
        Hearing(tiny_capture, "hubert", 0)


def test_a_head_of_imported_features_cannot_hear_a_new_voice(tiny_capture, speech, monkeypatch):
    kinds = {"deepspeech": {"rows_per_frame": 2, "imported": {"file": "aud_ds.npy"}}}
    monkeypatch.setitem(tiny_capture.meta, "features", kinds)
    with pytest.raises(CaptureError, match=r"aud_ds\.npy"):
        speech_track(speech, tiny_capture, "deepspeech")


@pytest.fixture
def deepspeech_head(tiny_capture, monkeypatch):
    """The capture, as if its sound had been heard by another program."""
    told = {"rows_per_frame": 2, "dim": 29, "source": "DeepSpeech", "imported": {"file": "a.npy"}}
    monkeypatch.setitem(tiny_capture.meta, "features", {"deepspeech": told})
    return tiny_capture


def test_a_new_voice_is_heard_through_features_of_the_same_program(
    deepspeech_head, speech, tmp_path
):
    frames = -(-len(speech) // 640)
    rows = np.random.default_rng(0).normal(size=(2 * frames + 16, 29)).astype(np.float32)
    windows = np.stack([rows[2 * i : 2 * i + 16] for i in range(frames)])  # frame i: rows 8 and 9
    np.save(tmp_path / "aud.npy", windows)
    track = speech_track(speech, deepspeech_head, "deepspeech", tmp_path / "aud.npy")
    assert track.frame_count == frames
    np.testing.assert_array_equal(track.features, rows[8 : 8 + 2 * frames])


def test_features_of_another_program_or_length_are_refused(deepspeech_head, speech, tmp_path):
    frames = -(-len(speech) // 640)
    np.save(tmp_path / "hubert.npy", np.zeros((frames, 2, 1024), np.float32))
    with pytest.raises(CaptureError, match="holds HuBERT.*hears 'deepspeech' with 29"):
        speech_track(speech, deepspeech_head, "deepspeech", tmp_path / "hubert.npy")
    np.save(tmp_path / "short.npy", np.zeros((frames - 3, 16, 29), np.float32))
    with pytest.raises(CaptureError, match=f"{frames - 3} entries for {frames} frames"):
        speech_track(speech, deepspeech_head, "deepspeech", tmp_path / "short.npy")


def test_a_head_that_hears_our_own_features_takes_nobody_elses(tiny_capture, speech, tmp_path):
    with pytest.raises(CaptureError, match="made here.*Leave audio_features out"):
        speech_track(speech, tiny_capture, "mel", tmp_path / "aud.npy")


def pieces(samples, length):
    return (samples[k : k + length] for k in range(0, len(samples), length))


def test_mel_with_the_whole_look_ahead_is_the_mel_of_the_recording(speech):
    wanted = offline(extract("mel", speech, None, 3.0), KINDS["mel"])
    got = torch.stack(list(Listener(MelEar(speech), FOREVER).windows(pieces(speech, 1000))))
    assert torch.allclose(got, wanted, atol=1e-5)  # sums of spectra in another order


def test_mel_with_200_ms_is_the_same_once_the_loudest_moment_has_passed(speech):
    wanted = offline(extract("mel", speech, None, 3.0), KINDS["mel"])
    got = torch.stack(list(Listener(MelEar(speech)).windows([speech])))
    loudest = int(np.argmax(extract("mel", speech, None, 3.0).max(1)) / KINDS["mel"])
    assert loudest < 60
    assert torch.allclose(got[loudest:], wanted[loudest:], atol=1e-5)


def test_mel_of_a_part_of_a_frame_is_filled_up_with_silence(speech):
    cut = speech[:7000]
    wanted = offline(extract("mel", cut, None, 3.0), KINDS["mel"])
    got = torch.stack(list(Listener(MelEar(cut), FOREVER).windows([cut])))
    assert got.shape == wanted.shape == (11, 8, 16, 80)
    assert torch.allclose(got, wanted, atol=1e-5)


def test_a_quiet_beginning_is_not_brought_up(speech):
    hiss = np.random.default_rng(0).normal(0, 1e-4, 6400).astype(np.float32)
    windows = list(Listener(MelEar(speech)).windows([hiss]))
    assert max(float(w.max()) for w in windows) < 0.9
    assert float(np.max(extract("mel", hiss, None, 3.0))) == 1


@pytest.mark.parametrize("every", [1, WHISPER_EVERY])
def test_a_window_never_waits_longer_than_the_look_ahead(every):
    consumed = 0

    def chunks():
        nonlocal consumed
        for _ in range(500):
            consumed += 160
            yield np.zeros(160, np.float32)

    shown = Listener(CountingEar(), every=every).windows(chunks())
    waits = [consumed - (k + 1) * 640 for k, _ in enumerate(shown)]
    assert len(waits) == 125
    assert max(waits) == LOOKAHEAD * 640
    assert min(waits[: -LOOKAHEAD - 1]) >= (LOOKAHEAD - every + 1) * 640


@pytest.mark.parametrize("every", [1, 2])
def test_windows_lie_around_their_frame_and_repeat_the_last_row_there_is(every):
    frames = 40
    windows = list(Listener(CountingEar(), every=every).windows([np.zeros(frames * 640, "f4")]))
    rows = torch.arange(2 * frames, dtype=torch.float32)[:, None]
    wanted = offline(rows, 2)
    for k, window in enumerate(windows):
        heard = k + 1 + LOOKAHEAD - (every - 1)
        if every == 2 and heard % 2:
            heard += 1
        last = 2 * min(heard, frames) - 1
        assert torch.equal(window, wanted[k].clamp(max=last))


def test_what_is_held_does_not_grow_with_the_sound():
    ear = CountingEar()
    assert len(list(Listener(ear).windows(np.zeros((120, 640), "f4")))) == 120
    assert ear.most <= 2 * (LOOKAHEAD + 4) + 16
    mel = MelEar(np.zeros(48000, "f4"))
    for _ in Listener(mel).windows(np.zeros((120, 640), "f4")):
        assert len(mel._powers) <= 4 * (LOOKAHEAD + 8) + 16
        assert len(mel._samples) <= 480


@pytest.mark.parametrize("length", [1, 640, 1000, 16000])
def test_how_the_sound_is_cut_changes_nothing(speech, length):
    whole = list(Listener(MelEar(speech)).windows([speech[:9000]]))
    cut = list(Listener(MelEar(speech)).windows(pieces(speech[:9000], length)))
    assert len(whole) == len(cut) == 15
    assert all(torch.equal(a, b) for a, b in zip(whole, cut, strict=True))


def test_no_sound_is_no_windows():
    assert list(Listener(CountingEar()).windows([])) == []
    assert list(Listener(CountingEar()).windows([np.zeros(0, "f4")])) == []


def test_sound_louder_than_full_scale_is_clipped():
    assert checked_sound(np.array([-3, 0.5, 2], "f4")).tolist() == [-1, 0.5, 1]
    assert checked_sound(np.array([-32768, 16384], "i2")).tolist() == [-1, 0.5]


@pytest.fixture(scope="module")
def encoder(shared):
    return Encoder(shared / "data" / "weights" / "whisper_tiny_en_encoder_fp16.safetensors")


def error(rows, wanted):
    """Mean square difference in the features' own deviations."""
    return float(((rows - wanted) / wanted.std(0)).square().mean().sqrt())


def test_remembered_silence_stands_for_the_computed(encoder, speech):
    sliding = SlidingEncoder(synthetic_voice(3.0, seed=12), encoder)
    heard = torch.from_numpy(speech[:32000])  # as long as is heard at once
    # Two voices of arithmetic, whose silences differ more than one speaker's (0.07 there).
    assert error(sliding(heard, ended=True), encoder(heard)) < 0.35


def test_whisper_holds_a_bounded_amount_of_sound(encoder, speech):
    sliding = SlidingEncoder(speech, encoder)
    ear = WhisperEar(sliding)
    for _ in range(100):
        ear.hear(torch.zeros(640))
    first, rows = ear.rows(ended=False)
    assert (first, len(rows)) == (100, 100)  # of 200 rows the last two seconds
    assert len(ear._samples) == 32000


def test_a_sound_that_goes_on_as_it_was_is_foretold_by_its_mirror_image(encoder):
    """Rows at the edge of a hum come nearer to those that they will be when more has arrived."""
    time_s = np.arange(48000) / 16_000
    hum = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 12)).astype(np.float32) / 4
    sliding, wanted = SlidingEncoder(hum, encoder), encoder(torch.from_numpy(hum))
    errors = []
    for ended in (False, True):
        edges = range(60, 140, 20)
        heard = [sliding(torch.from_numpy(hum[: 320 * e]), ended=ended)[e - 20 :] for e in edges]
        errors.append(error(torch.cat(heard), torch.cat([wanted[e - 20 : e] for e in edges])))
    assert errors[0] < 0.8 * errors[1]
