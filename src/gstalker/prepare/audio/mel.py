"""Log-mel: the features that need no weights, and the front door of Whisper's encoder.

80 bands of the Slaney scale (linear below 1 kHz, logarithmic above, triangles of unit area), from
25 ms Hann windows every 10 ms, as Whisper takes them (Radford et al. 2022, section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from gstalker.prepare.audio.reading import RATE_HZ

BANDS = 80
WINDOW, HOP = 400, 160
RANGE_DECADES = 8.0
"""What lies this far below the loudest moment counts as silence (Whisper's value)."""
QUIET_DECADES = 2.0
"""A take whose loudest moment lies further below the recording's is a pause: not brought up."""


def features(takes: Sequence[np.ndarray]) -> np.ndarray:
    """Four rows per video frame, scaled to [0, 1] so that loudness drops out.

    Each take is measured by its own loudest band (ridge regression to the mouth opening on the
    trial clip: r 0.833, against 0.827 with one measure for all takes), but one that is much
    quieter than the recording stays quiet.

    Args:
        takes: ``float32 [S]`` each, whole frames of 640 samples.

    Returns:
        ``float32 [sum(S) / 160, 80]``; 1 is the loudest band of the take.
    """
    powers = [log_power(torch.from_numpy(np.ascontiguousarray(take))).T for take in takes]
    quietest = max(float(power.max()) for power in powers) - QUIET_DECADES
    scaled = [(p - max(float(p.max()), quietest)) / RANGE_DECADES + 1 for p in powers]
    return torch.cat(scaled).clamp_(min=0).numpy()


def log_power(samples: Tensor) -> Tensor:
    """Log10 of the power per band, ``[80, S // 160]``; row ``j`` is centred at sample ``160 j``."""
    if samples.shape[-1] <= WINDOW // 2:  # too short to reflect at the ends
        samples = torch.nn.functional.pad(samples, (0, WINDOW))[..., :WINDOW]
        return log_power(samples)[..., : max(samples.shape[-1] // HOP, 1)]
    spectrum = torch.stft(
        samples, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True
    )
    power = spectrum[..., :-1].abs() ** 2
    return torch.clamp(filters() @ power, min=1e-10).log10()


@cache
def filters() -> Tensor:
    """The mel filter bank, ``float32 [80, 201]``."""
    edges = _hertz(np.linspace(_mel(0.0), _mel(RATE_HZ / 2), BANDS + 2))
    at = np.linspace(0, RATE_HZ / 2, WINDOW // 2 + 1)
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    area = 2 / (edges[2:] - edges[:-2])
    return torch.tensor(triangles * area[:, None], dtype=torch.float32)


def _mel(hertz: float) -> float:
    """Slaney's scale: 3 mel per 200 Hz up to 1 kHz, then 27 mel per factor 6.4."""
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
