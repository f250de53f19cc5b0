"""The offset of sound and picture: found where there is one, made up nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from gstalker.data.capture import Capture
from gstalker.data.synthetic import synthetic_voice
from gstalker.face import LAYOUTS
from gstalker.prepare import sync

FACE = LAYOUTS["synthetic68"]
SECONDS = 16


def late(samples: np.ndarray, frames: float) -> np.ndarray:
    """The same sound, heard ``frames`` video frames later."""
    count = round(frames * 640)
    return np.interp(np.arange(len(samples)) - count, np.arange(len(samples)), samples).astype(
        np.float32
    )


def loudness(samples: np.ndarray) -> np.ndarray:
    """Root mean square around the moment of each frame, between 0 and 1."""
    power = np.convolve(samples.astype(np.float64) ** 2, np.ones(640) / 640, "same")[::640]
    level = np.log10(power + 1e-6)
    return (level - level.min()) / np.ptp(level)


class Speaker:
    """Lips that open with a voice's loudness, and a little by themselves."""

    def __init__(self, samples: np.ndarray, takes: int = 1, noise: float = 0.15) -> None:
        self.samples = samples
        count = len(samples) // 640
        wobble = np.random.default_rng(1).normal(0, noise, count)
        self.opening = 0.2 * np.clip(loudness(samples) + wobble, 0, None)
        self.landmarks = np.zeros((count, 68, 2))
        self.landmarks[:, 36], self.landmarks[:, 45] = (0, 0), (100, 0)
        around = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        height = 20 + 100 * self.opening
        self.landmarks[:, 48:60, 0] = 50 + 30 * np.cos(around)
        self.landmarks[:, 48:60, 1] = 80 + height[:, None] / 2 * np.sin(around)
        self.usable = np.ones(count, bool)
        bounds = np.linspace(0, count, takes + 1).round().astype(int).tolist()
        self.segments = list(zip(bounds[:-1], bounds[1:], strict=True))

    def estimate(self, samples: np.ndarray | None = None) -> sync.Sync:
        heard = self.samples if samples is None else samples
        return sync.estimate(heard, self.opening, self.landmarks, FACE, self.segments, self.usable)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker(synthetic_voice(SECONDS, seed=3))


@pytest.mark.parametrize("frames", [-6.0, -3.0, 0.0, 0.4, 3.0, 6.0])
def test_a_known_shift_is_found_again_and_a_late_sound_is_positive(
    speaker: Speaker, frames: float
) -> None:
    found = speaker.estimate(late(speaker.samples, frames))
    assert found.reason == ""
    assert found.offset_frames == pytest.approx(frames, abs=0.3)  # the resolution it claims is 0.5


def test_lags_do_not_reach_across_a_cut() -> None:
    speaker = Speaker(synthetic_voice(SECONDS, seed=5), takes=4)
    found = speaker.estimate(late(speaker.samples, 2.0))
    assert found.offset_frames == pytest.approx(2.0, abs=0.4)


def test_another_voice_has_no_offset(speaker: Speaker) -> None:
    found = speaker.estimate(synthetic_voice(SECONDS, seed=77))
    assert found.offset_frames is None
    assert found.mend() == 0
    assert "stands out" in found.reason or "wanders" in found.reason or "furthest" in found.reason


def test_noise_and_silence_have_no_offset(speaker: Speaker) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, SECONDS * 16_000).astype(np.float32)
    assert speaker.estimate(noise).offset_frames is None
    silent = speaker.estimate(np.zeros(SECONDS * 16_000, np.float32))
    assert silent.reason == "the sound does not change"


def test_a_still_mouth_and_a_hidden_one_are_named(speaker: Speaker) -> None:
    still = Speaker(speaker.samples)
    still.opening = np.full_like(still.opening, 0.1)
    assert still.estimate().reason == "the mouth does not move"
    hidden = Speaker(speaker.samples)
    hidden.opening[30:] = np.nan
    assert hidden.estimate().reason.startswith("only 30 frames show a mouth")


def test_damaged_frames_do_not_count(speaker: Speaker) -> None:
    damaged = Speaker(speaker.samples)
    damaged.opening[100:120] = 50.0
    damaged.usable[100:120] = False
    assert damaged.estimate().offset_frames == pytest.approx(0.0, abs=0.3)


def test_the_curve_is_whole_and_its_peak_is_the_offset(speaker: Speaker) -> None:
    told = speaker.estimate(late(speaker.samples, 3.0)).as_dict()
    lags = [lag for lag, _ in told["curve"]]
    assert lags == list(range(-12, 13))
    assert max(told["curve"], key=lambda point: point[1])[0] == 3


def test_tiny_offsets_are_left_alone(speaker: Speaker) -> None:
    assert speaker.estimate(late(speaker.samples, 0.2)).mend() == 0
    assert speaker.estimate(late(speaker.samples, 2.0)).mend() == pytest.approx(2.0, abs=0.3)


def test_the_line_says_what_to_type_only_if_it_is_needed(speaker: Speaker) -> None:
    shifted = speaker.estimate(late(speaker.samples, 3.0))
    assert "frames late" in sync.describe(shifted, fixed=False, mend="TYPE THIS")
    assert "TYPE THIS" in sync.describe(shifted, fixed=False, mend="TYPE THIS")
    assert "moved by -3" in sync.describe(shifted, fixed=True, mend="TYPE THIS")
    assert "TYPE THIS" not in sync.describe(speaker.estimate(), fixed=False, mend="TYPE THIS")


def test_the_synthetic_head_is_in_sync(tiny_capture: Capture) -> None:
    found = sync.estimate(
        tiny_capture.audio(),
        tiny_capture.mouth,
        tiny_capture.landmarks,
        FACE,
        tiny_capture.segments,
        ~tiny_capture.dropped,
    )
    lag = max(found.curve, key=lambda point: point[1])[0]
    assert abs(lag) <= 1
