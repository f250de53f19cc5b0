from __future__ import annotations

import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from gstalker import weights
from gstalker.errors import BackendMissing, ConfigError, MediaError
from gstalker.prepare import audio
from gstalker.prepare.audio import mel, reading, whisper

Movie = Callable[..., Path]


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades."""
    rng = np.random.default_rng(seed)
    n = int(seconds * audio.RATE_HZ)
    swell = np.sin(np.arange(n) / 3000) ** 2
    return (0.3 * swell * rng.normal(size=n)).clip(-1, 1).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_a_tone_peaks_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    rows = audio.extract("mel", tone, None, 3.0)
    # 1000 Hz is 15 mel; 8 kHz is 45.245 mel, and band b peaks at (b + 1) * 45.245 / 81.
    assert abs(int(rows[50].argmax()) + 1 - 15 * 81 / 45.245) < 1
    assert rows.max() == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [0.04, 0.08, 2.0])
def test_mel_has_four_rows_per_frame(seconds: float) -> None:
    rows = audio.extract("mel", speech(seconds), None, 3.0)
    assert rows.shape == (round(seconds * 25) * 4, 80)
    assert rows.dtype == np.float32


def test_mel_does_not_depend_on_loudness() -> None:
    loud, soft = (audio.extract("mel", g * speech(1.0), None, 3.0) for g in (1.0, 0.25))
    assert np.abs(loud - soft).max() < 1e-4


def test_a_pause_is_not_brought_up_to_the_loudness_of_speech() -> None:
    samples = np.concatenate([speech(1.0), 1e-4 * speech(1.0)])
    rows = audio.extract("mel", samples, [(0.0, 1.0), (1.0, 2.0)], 3.0)
    assert rows[100:].max() < 0.8


def test_no_take_hears_another() -> None:
    first, second, other = speech(1.0), speech(2.0, seed=1), speech(2.0, seed=2)
    takes = [(0.0, 1.0), (1.0, 3.0)]
    rows = [
        audio.extract("mel", np.concatenate([first, x]), takes, 3.0)[:100] for x in (second, other)
    ]
    assert np.array_equal(rows[0], rows[1])


def test_takes_must_cover_the_sound() -> None:
    with pytest.raises(ValueError, match="cover"):
        audio.extract("mel", speech(2.0), [(0.0, 1.0)], 3.0)
    with pytest.raises(ValueError, match="cover"):
        audio.extract("mel", speech(2.0), [(0.0, 1.0), (1.2, 2.0)], 3.0)


def test_unknown_features_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be made here; known: mel, whisper"):
        audio.extract("deepspeech", speech(1.0), None, 3.0)


def test_whisper_without_its_weights_says_how_to_get_them() -> None:
    with pytest.raises(BackendMissing, match="GSTALKER_WEIGHTS"):
        audio.extract("whisper", speech(1.0), None, 3.0)


def test_chunks_are_as_long_as_the_longest_take_within_bounds() -> None:
    assert audio.chunk_seconds([(0, 1.0), (1.0, 1.5)]) == 3.0
    assert audio.chunk_seconds([(0, 8.0), (8.0, 12.0)]) == 8.0
    assert audio.chunk_seconds([(0, 300.0)]) == 30.0


@pytest.mark.parametrize(
    ("rows", "chunk_s"), [(1, 3.0), (150, 3.0), (151, 3.0), (1234, 3.0), (4000, 30.0)]
)
def test_windows_keep_every_row_once_with_context_around(rows: int, chunk_s: float) -> None:
    windows = list(whisper.windows(rows, chunk_s))
    kept = [r for _, _, a, b in windows for r in range(a, b)]
    assert kept == list(range(rows))
    chunk = round(chunk_s * 50)
    context = min(50, chunk // 4)
    for first, stop, a, b in windows:
        assert 0 <= first <= a < b <= stop <= rows
        assert stop - first == min(chunk, rows)
        assert a == 0 or a - first >= context
        assert b == rows or stop - b >= context


def test_the_filters_are_whispers_own(shared: Path) -> None:
    known = np.load(shared / "data" / "weights" / "whisper_mel_filters.npz")["mel_80"]
    assert np.abs(mel.filters().numpy() - known).max() < 1e-7


def test_the_encoder_agrees_with_the_reference(shared: Path) -> None:
    folder = shared / "data" / "weights"
    wanted = np.load(folder / "whisper_tiny_en_encoder_ref_jfk_550x384_fp16.npy").astype(np.float32)
    samples = audio.read(shared / "data" / "audio" / "jfk_11s.flac")
    rows = whisper.encode(samples, folder / "whisper_tiny_en_encoder_fp16.safetensors")
    assert rows.shape == (550, 384)
    # Values reach 11. Another resampler moves single ones by 0.06; the reference itself is
    # rounded to half precision (0.004).
    assert np.abs(rows - wanted).max() < 0.1
    assert np.sqrt(((rows - wanted) ** 2).mean()) < 0.003


def test_whisper_rows_of_a_take_do_not_depend_on_the_next(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(shared / "data" / "weights"))
    samples = audio.read(shared / "data" / "audio" / "jfk_11s.flac")[: 4 * 16_000]
    rows = audio.extract("whisper", samples, [(0.0, 1.0), (1.0, 4.0)], 3.0)
    alone = audio.extract("whisper", samples[:16_000], None, 3.0)
    assert rows.shape == (200, 384)
    assert np.abs(rows[:50] - alone).max() < 1e-4


def test_sound_of_another_rate_is_resampled(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    samples = audio.read(write_wav(tmp_path / "a.wav", tone, 44_100))
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(samples) == 16_000
    assert np.abs(samples - wanted)[200:-200].max() < 2e-3


def test_two_equal_channels_sound_like_one(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    tone = 0.9 * np.sin(np.arange(16_000) / 10)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.repeat((tone * 32767).astype("<i2"), 2).tobytes())
    assert np.abs(audio.read(path) - tone).max() < 1e-3


def write_channels(path: Path, layout: str, tone: np.ndarray, shares: dict[str, float]) -> Path:
    """A tone, so much of it in each channel named, packed losslessly."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=16_000, layout=layout)
        named = [channel.name for channel in av.AudioLayout(layout).channels]
        shown = np.array([shares.get(name, 0.0) for name in named])[:, None] * tone
        packed = np.ascontiguousarray(shown.T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_two_channels_that_cancel_each_other_are_told_and_not_taken_for_silence(
    tmp_path: Path,
) -> None:
    tone = 0.6 * np.sin(np.arange(16_000) / 10)
    path = write_channels(tmp_path / "a b.wav", "stereo", tone, {"FL": 1, "FR": -0.95})
    with pytest.raises(MediaError, match=r"cancel each other.*\n.*-i '.*/a b.wav' .*pan=mono"):
        audio.read(path)
    alone = write_channels(tmp_path / "alone.wav", "stereo", tone, {"FL": 1})
    assert np.abs(audio.read(alone) - tone / 2).max() < 1e-6
    assert not audio.read(write_channels(tmp_path / "no.wav", "stereo", tone, {})).any()


@pytest.mark.parametrize("layout", ["stereo", "3.0", "4.0", "quad", "5.1", "5.1(side)", "7.1"])
def test_speech_is_as_loud_from_surround_sound_as_from_stereo(tmp_path: Path, layout: str) -> None:
    tone = 0.6 * np.sin(np.arange(16_000) / 10)
    both = write_channels(tmp_path / "front.wav", layout, tone, {"FL": 1, "FR": 1})
    assert np.abs(audio.read(both) - tone).max() < 1e-6
    if "FC" in {channel.name for channel in av.AudioLayout(layout).channels}:
        middle = write_channels(tmp_path / "middle.wav", layout, tone, {"FC": 1, "LFE": 1})
        assert np.abs(audio.read(middle) - tone).max() < 1e-6


def test_sound_from_the_sides_is_three_decibels_softer_than_from_the_front(tmp_path: Path) -> None:
    tone = 0.6 * np.sin(np.arange(16_000) / 10)
    for name in ("front", "side"):
        write_channels(tmp_path / f"{name}.wav", "5.1(side)", tone, {name[0].upper() + "L": 1})
    front, side = (audio.read(tmp_path / f"{name}.wav") for name in ("front", "side"))
    assert 20 * np.log10(front.std() / side.std()) == pytest.approx(3.0103, abs=1e-3)


def test_a_single_channel_is_as_loud_wherever_it_is_said_to_be(tmp_path: Path) -> None:
    tone = 0.6 * np.sin(np.arange(16_000) / 10)
    left = write_channels(tmp_path / "left.wav", "FL", tone, {"FL": 1})
    assert np.abs(audio.read(left) - tone).max() < 1e-6


@pytest.mark.parametrize("count", [1, 4, 6])
def test_channels_of_no_known_place_are_averaged(tmp_path: Path, count: int) -> None:
    tone = 0.6 * np.sin(np.arange(16_000) / 10)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(count)
        file.setsampwidth(2)
        file.setframerate(16_000)
        packed = np.zeros((16_000, count))
        packed[:, 0] = count * tone / 6
        file.writeframes((packed * 32767).astype("<i2").tobytes())
    assert np.abs(audio.read(tmp_path / "a.wav") - tone / 6).max() < 1e-3


@pytest.mark.parametrize(("offset_s", "click_s"), [(0.0, 0.4), (0.2, 0.6)])
def test_sound_that_begins_late_stays_late(movie: Movie, offset_s: float, click_s: float) -> None:
    path = movie(50, sound_from_s=offset_s)
    samples = reading.read_from(path, 0.0, 32_000)
    assert len(samples) == 32_000
    # AAC smears a click over some milliseconds.
    assert np.flatnonzero(np.abs(samples) > 0.3)[0] / 16_000 == pytest.approx(click_s, abs=0.01)


def test_sound_before_the_first_picture_is_left_out(movie: Movie) -> None:
    samples = reading.read_from(movie(50), 0.25, 16_000)
    assert np.flatnonzero(np.abs(samples) > 0.3)[0] / 16_000 == pytest.approx(0.15, abs=0.01)


def test_files_without_sound_are_refused_in_a_sentence(tmp_path: Path, movie: Movie) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("la la la")
    cases = {
        tmp_path / "nothing.wav": "there is no sound file",
        tmp_path / "empty.wav": "0 bytes",
        tmp_path / "text.wav": "cannot be read as sound",
        write_wav(tmp_path / "zero.wav", np.zeros(0)): "0 samples",
        movie(5, "mute.mp4", sound=False): "has no sound",
    }
    for path, sentence in cases.items():
        with pytest.raises(MediaError, match=sentence):
            audio.read(path)


def test_damaged_weights_are_named(tmp_path: Path, shared: Path) -> None:
    known = shared / "data" / "weights" / "whisper_tiny_en_encoder_fp16.safetensors"
    damaged = tmp_path / known.name
    shutil.copyfile(known, damaged)
    damaged.chmod(0o644)
    with damaged.open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(Exception, match="gstalker weights check"):
        whisper.encode(speech(0.1), damaged)
