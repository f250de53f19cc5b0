"""A voice made of arithmetic, and the mouth that goes with it.

Source and filter (Fant 1960; formant table after Klatt 1980): harmonics of a glottal pulse shaped
by three formants, plus band-limited noise, strung into syllables, words and phrases with pauses.
Each phone also says how the mouth stands. Loudness and opening are set apart on purpose: "oo" is
loud and nearly closed, "m" is voiced behind closed lips, "s" is loud through narrow teeth, so a
model has to hear *which* sound it is. How the mouth looks is ``synthetic_face``'s business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.data.capture import FPS, RATE_HZ

HOP = 80
"""Samples between two sets of voice parameters: 5 ms."""
HOP_HZ = RATE_HZ // HOP
HARMONICS_HZ = 4500.0
"""Voiced sound ends here; noise goes up to 8 kHz."""
_CHUNK_HOPS = 2000


@dataclass(frozen=True)
class Phone:
    """One speech sound: how it sounds and how the mouth stands."""

    formants_hz: tuple[float, float, float]
    voiced: float
    """Root mean square of the voiced part, 1 for the loudest."""
    noise: tuple[float, float, float]
    """Root mean square, centre and width in hertz of the noise part."""
    opening: float
    """Gap between the lips, 1 for the widest."""
    width: float
    """Mouth width, 1 at rest; below it the lips are rounded, above it spread."""
    seconds: float
    """Middling length."""
    burst: float = 0.0
    """Noise in the last 15 ms, for stops."""


_HISS = (0.0, 3000.0, 1500.0)
VOWELS = {
    "a": Phone((750.0, 1250.0, 2600.0), 0.85, _HISS, 1.00, 1.02, 0.15),
    "e": Phone((520.0, 1850.0, 2550.0), 0.90, _HISS, 0.55, 1.10, 0.12),
    "i": Phone((290.0, 2300.0, 3000.0), 0.90, _HISS, 0.28, 1.16, 0.13),
    "o": Phone((500.0, 880.0, 2500.0), 0.95, _HISS, 0.62, 0.80, 0.14),
    "u": Phone((310.0, 760.0, 2300.0), 1.00, _HISS, 0.14, 0.66, 0.14),
    "@": Phone((500.0, 1450.0, 2500.0), 0.60, _HISS, 0.38, 1.00, 0.07),
}
CONSONANTS = {
    "m": Phone((260.0, 1050.0, 2200.0), 0.60, _HISS, 0.00, 0.98, 0.10),
    "b": Phone((250.0, 800.0, 2100.0), 0.15, (0.0, 900.0, 700.0), 0.00, 0.98, 0.09, burst=0.35),
    "p": Phone((250.0, 800.0, 2100.0), 0.00, (0.0, 1000.0, 800.0), 0.00, 0.98, 0.10, burst=0.5),
    "f": Phone((300.0, 1100.0, 2300.0), 0.00, (0.22, 5000.0, 3500.0), 0.06, 1.02, 0.10),
    "s": Phone((300.0, 1600.0, 2500.0), 0.00, (0.65, 6000.0, 1100.0), 0.13, 1.10, 0.11),
    "S": Phone((300.0, 1600.0, 2500.0), 0.00, (0.65, 3100.0, 800.0), 0.20, 0.74, 0.11),
    "t": Phone((300.0, 1700.0, 2600.0), 0.00, (0.0, 4500.0, 1800.0), 0.18, 1.04, 0.08, burst=0.6),
    "k": Phone((300.0, 1900.0, 2400.0), 0.00, (0.0, 2000.0, 700.0), 0.34, 1.00, 0.09, burst=0.5),
    "n": Phone((270.0, 1600.0, 2600.0), 0.55, _HISS, 0.24, 1.02, 0.08),
    "l": Phone((360.0, 1250.0, 2700.0), 0.65, _HISS, 0.42, 1.00, 0.08),
    "r": Phone((420.0, 1150.0, 1600.0), 0.65, _HISS, 0.30, 0.86, 0.08),
}
_SILENCE = Phone((500.0, 1500.0, 2500.0), 0.0, _HISS, 0.02, 1.0, 0.3)
_BREATH = Phone((500.0, 1500.0, 2500.0), 0.0, (0.03, 2200.0, 1500.0), 0.35, 1.0, 0.25)


@dataclass(frozen=True)
class Speech:
    """Sound and the mouth that made it."""

    samples: np.ndarray
    """``float32 [F * 640]`` in [-1, 1] at 16 kHz."""
    opening: np.ndarray
    """``float32 [F]`` at the middle of each 25 fps frame, 0 closed to 1 widest."""
    width: np.ndarray
    """``float32 [F]``, 1 at rest."""


def synthetic_voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Speech of the synthetic speaker, for driving a head with words it was not trained on.

    Args:
        seconds: length, rounded to whole video frames.
        seed: what is said; a capture made with another seed says something else.

    Returns:
        ``float32 [S]`` in [-1, 1] at 16 kHz.
    """
    return speak(seconds, seed).samples


def speak(seconds: float, seed: int = 0) -> Speech:
    """Say something of a given length, rounded to whole video frames."""
    frames = round(seconds * FPS)
    if frames < 1:
        raise ValueError(f"expected seconds to be at least one frame (0.04), but got {seconds}")
    hops = frames * HOP_HZ // FPS
    rng = np.random.default_rng([seed, 7])
    track = _track(rng, hops)
    samples = _voiced(track) + _noise(track, rng)
    samples += rng.normal(0, 2e-4, len(samples)).astype(np.float32)
    middles = (np.arange(frames) * (HOP_HZ // FPS)) + HOP_HZ // FPS // 2
    return Speech(
        samples=np.clip(samples * 0.22, -1, 1).astype(np.float32),
        opening=track["opening"][middles].astype(np.float32),
        width=track["width"][middles].astype(np.float32),
    )


# ---------------------------------------------------------------------- what is said


def _phrase(rng: np.random.Generator) -> list[tuple[Phone, float]]:
    """Phones and seconds of a few words, a pause behind them, sometimes a breath before."""
    said = [(_BREATH, float(rng.uniform(0.15, 0.35)))] if rng.random() < 0.3 else []
    pace = rng.uniform(0.85, 1.25)
    consonants, vowels = list(CONSONANTS.values()), list(VOWELS.values())
    for _ in range(rng.integers(2, 7)):
        for _ in range(rng.integers(1, 4)):
            syllable = [vowels[rng.integers(len(vowels))]]
            if rng.random() < 0.85:
                syllable.insert(0, consonants[rng.integers(len(consonants))])
            if rng.random() < 0.3:
                syllable.append(consonants[rng.integers(len(consonants))])
            said += [(phone, phone.seconds * pace * rng.uniform(0.8, 1.3)) for phone in syllable]
    return [*said, (_SILENCE, float(rng.uniform(0.2, 0.9)))]


def _track(rng: np.random.Generator, hops: int) -> dict[str, np.ndarray]:
    """Voice and mouth parameters every 5 ms, smoothed as tongue and lips smooth them."""
    phones: list[tuple[Phone, float, float]] = [(_SILENCE, 0.3, 1.0)]
    length = 0.3
    while length < hops / HOP_HZ + 1:
        loudness = rng.uniform(0.35, 1.0)
        phrase = _phrase(rng)
        phones += [(phone, seconds, loudness) for phone, seconds in phrase]
        length += sum(seconds for _, seconds in phrase)
    counts = [max(round(seconds * HOP_HZ), 4) for _, seconds, _ in phones]
    owner = np.repeat(np.arange(len(phones)), counts)[:hops]
    from_end = (np.cumsum(counts)[owner] - np.arange(hops)) * HOP / RATE_HZ

    def column(values: list[float], smooth_s: float) -> np.ndarray:
        return _smooth(np.array(values)[owner], smooth_s * HOP_HZ)

    burst = np.array([phone.burst for phone, _, _ in phones])[owner] * (from_end <= 0.015)
    loud = np.array([loudness for *_, loudness in phones])[owner]
    steady = np.array([phone.noise[0] for phone, _, _ in phones])[owner]
    track = {
        "voiced": _smooth(np.array([p.voiced for p, _, _ in phones])[owner] * loud, 0.010 * HOP_HZ),
        "noise": _smooth((steady + burst) * loud, 0.004 * HOP_HZ),
        "noise_centre": column([p.noise[1] for p, _, _ in phones], 0.005),
        "noise_width": column([p.noise[2] for p, _, _ in phones], 0.005),
        "opening": column([p.opening for p, _, _ in phones], 0.028),
        "width": column([p.width for p, _, _ in phones], 0.040),
    }
    for k in range(3):
        track[f"formant{k}"] = column([p.formants_hz[k] for p, _, _ in phones], 0.020)
    slow = 0.25 * HOP_HZ
    melody = _smooth(rng.normal(size=hops), slow) * np.sqrt(2 * slow * np.sqrt(np.pi))
    track["pitch_hz"] = 118 * np.exp2(0.22 * melody)
    return track


def _smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian smoothing over time, edges repeated."""
    reach = max(int(4 * deviation), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-3)) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


# ---------------------------------------------------------------------- how it sounds


def _voiced(track: dict[str, np.ndarray]) -> np.ndarray:
    """Harmonics of the pitch, weighted by the formants; its loudness is exactly ``voiced``."""
    hops = len(track["voiced"])
    pitch = np.interp(np.arange(hops * HOP) / HOP, np.arange(hops) + 0.5, track["pitch_hz"])
    turns = np.cumsum(pitch / RATE_HZ)
    out = np.zeros(hops * HOP, np.float32)
    ramp = (np.arange(HOP, dtype=np.float32) / HOP)[None]
    for start in range(0, hops, _CHUNK_HOPS):
        stop = min(start + _CHUNK_HOPS, hops)
        weights = _harmonic_weights(track, start, min(stop + 1, hops))
        if stop == hops:
            weights = np.concatenate([weights, weights[-1:]])
        phase = turns[start * HOP : stop * HOP] % 1.0
        turn = np.exp(2j * np.pi * phase).astype(np.complex64)
        power = np.ones_like(turn)
        block = np.zeros((stop - start, HOP), np.float32)
        for k in range(weights.shape[1]):
            power = power * turn
            now, then = weights[:-1, k, None], weights[1:, k, None]
            block += (now + (then - now) * ramp) * power.imag.reshape(-1, HOP)
        out[start * HOP : stop * HOP] = block.ravel()
    return out


def _harmonic_weights(track: dict[str, np.ndarray], start: int, stop: int) -> np.ndarray:
    """Amplitude of each harmonic, ``float32 [hops, harmonics]``."""
    pitch = track["pitch_hz"][start:stop, None]
    orders = np.arange(1, int(HARMONICS_HZ / track["pitch_hz"].min()) + 1)
    hertz = pitch * orders
    gain = 1.0 / orders**0.9
    for k, bandwidth in enumerate((90.0, 110.0, 170.0)):
        formant = track[f"formant{k}"][start:stop, None]
        gain = gain * formant**2 / np.hypot(formant**2 - hertz**2, bandwidth * hertz)
    gain = gain * (hertz < HARMONICS_HZ)
    gain = gain / np.sqrt((gain**2).sum(1, keepdims=True) / 2)
    return (gain * track["voiced"][start:stop, None]).astype(np.float32)


def _noise(track: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """White noise, each 10 ms shaped to its band, overlapped by half."""
    hops = len(track["noise"])
    hertz = np.fft.rfftfreq(2 * HOP, 1 / RATE_HZ)
    window = np.sin(np.pi * (np.arange(2 * HOP) + 0.5) / (2 * HOP))
    out = np.zeros((hops + 1, HOP), np.float32)
    for start in range(0, hops, _CHUNK_HOPS):
        part = slice(start, min(start + _CHUNK_HOPS, hops))
        centre, width = track["noise_centre"][part, None], track["noise_width"][part, None]
        band = np.exp(-0.5 * ((hertz - centre) / width) ** 2)
        band *= track["noise"][part, None] / np.sqrt((band**2).mean(1, keepdims=True) + 1e-9)
        spectrum = np.fft.rfft(rng.normal(size=(band.shape[0], 2 * HOP)), axis=1)
        shaped = (np.fft.irfft(spectrum * band, axis=1) * window).astype(np.float32)
        out[part] += shaped[:, :HOP]
        out[part.start + 1 : part.stop + 1] += shaped[:, HOP:]
    return out[:hops].ravel()
