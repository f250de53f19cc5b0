"""What a listener would complain of is told in plain sentences."""

from __future__ import annotations

import numpy as np

from gstalker.prepare.audio import levels


def voice(seconds: float = 12.0, gain: float = 0.3) -> np.ndarray:
    at = np.arange(round(seconds * 16_000)) / 16_000
    return (gain * np.sin(2 * np.pi * 200 * at) * (1 + np.sin(2 * np.pi * 3 * at)) / 2).astype(
        np.float32
    )


def said(samples: np.ndarray) -> list[str]:
    found = levels.cautions(samples)
    assert all(set(entry) == {"what", "do"} for entry in found)
    return [entry["what"] for entry in found]


def test_ordinary_speech_is_fine() -> None:
    assert said(voice()) == []


def test_a_soft_recording_is_named_with_its_level() -> None:
    (what,) = said(voice(gain=0.005))
    assert "very soft" in what


def test_clipping_is_named_with_its_share() -> None:
    (what,) = said(np.clip(voice(gain=3.0), -1, 1))
    assert "clipped" in what


def test_a_loud_peak_is_not_clipping() -> None:
    samples = voice()
    samples[1000] = 1.0
    assert said(samples) == []


def test_a_long_silence_is_named_with_its_times() -> None:
    samples = voice()
    samples[3 * 16_000 : 10 * 16_000] = 0
    assert said(samples) == ["no sound from 3.0 to 10.0 s"]
    samples = voice()
    samples[3 * 16_000 : 7 * 16_000] = 0
    assert said(samples) == []


def test_sound_that_begins_late_or_ends_early_is_named_however_short_the_gap() -> None:
    samples = voice()
    samples[:8_000], samples[-16_000:] = 0, 0
    assert said(samples) == ["no sound from 0.0 to 0.5 s", "no sound from 11.0 to 12.0 s"]
    samples = voice()
    samples[-1_600:] = 0  # what an encoder leaves
    assert said(samples) == []


def test_a_long_silence_at_the_end_is_named_once() -> None:
    samples = voice()
    samples[6 * 16_000 :] = 0
    assert said(samples) == ["no sound from 6.0 to 12.0 s"]
