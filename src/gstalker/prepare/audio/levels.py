"""What a listener would complain of: clipping, a very low level, a long silence, a missing end."""

from __future__ import annotations

import numpy as np

from gstalker.prepare.audio.reading import RATE_HZ

QUIET_PEAK_DB = -30.0
"""A recording whose 40 ms never get louder than this, below full scale, is mostly noise."""
CLIPPED_SHARE = 1e-3
"""Share of samples at the limit, in runs, from which on speech sounds broken."""
SILENCE_S = 5.0
"""A pause this long is no pause between sentences."""
END_S = 0.5
"""So long without a single sample at either end of the film, the sound was cut off; encoders leave
less than a tenth."""
_SILENT_BELOW_DB = -45.0
"""Below the loud part of the recording."""
_BLOCK = RATE_HZ // 25


def cautions(samples: np.ndarray) -> list[dict[str, str]]:
    """Plain sentences, ``what`` is the matter and what to ``do``; empty if all is well.

    Args:
        samples: ``float32 [S]`` in [-1, 1] at 16 kHz.
    """
    found = []
    level = _level_db(samples)
    loud = float(np.quantile(level, 0.95)) if len(level) else -np.inf
    if loud < QUIET_PEAK_DB:
        found.append(
            {
                "what": f"the sound is very soft: its loud parts reach {loud:.0f} dB of full scale",
                "do": "Record closer to the mouth; if the noise is low, raising the volume helps.",
            }
        )
    share = _clipped_share(samples)
    if share > CLIPPED_SHARE:
        found.append(
            {
                "what": f"the sound is clipped: {share:.1%} of its samples are at the limit",
                "do": "Record it again at a lower level; what was cut off cannot be brought back.",
            }
        )
    for start_s, stop_s in [*_silences(level, loud), *_missing_ends(samples)]:
        found.append(
            {
                "what": f"no sound from {start_s:.1f} to {stop_s:.1f} s",
                "do": "If the lips move there, the sound is lost: cut that part out of the video.",
            }
        )
    return found


def _level_db(samples: np.ndarray) -> np.ndarray:
    """Root mean square of every 40 ms, in dB of full scale."""
    whole = samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).astype(np.float64)
    return np.asarray(10 * np.log10(np.maximum((whole**2).mean(1), 1e-12)))


def _clipped_share(samples: np.ndarray) -> float:
    """Samples of three or more in a row that lie within 2 % of the loudest, if that is near 1."""
    peak = float(np.abs(samples).max(initial=0))
    if peak < 0.9:
        return 0.0
    at_limit = np.abs(samples) >= 0.98 * peak
    inner = at_limit[1:-1] & at_limit[:-2] & at_limit[2:]
    return float(inner.sum()) / max(len(samples), 1)


def _silences(level: np.ndarray, loud: float) -> list[tuple[float, float]]:
    """Stretches of at least five seconds without sound, in seconds."""
    silent = np.concatenate([[False], level < loud + _SILENT_BELOW_DB, [False]])
    edges = np.flatnonzero(np.diff(silent.astype(int)))
    runs = edges.reshape(-1, 2) / 25
    return [(float(a), float(b)) for a, b in runs if b - a >= SILENCE_S]


def _missing_ends(samples: np.ndarray) -> list[tuple[float, float]]:
    """Where the pictures go on but the sound has not begun or has ended, in seconds."""
    heard = np.flatnonzero(samples)
    if not len(heard):
        return []
    begin_s, end_s, all_s = (at / RATE_HZ for at in (heard[0], heard[-1] + 1, len(samples)))
    ends = [(0.0, begin_s), (end_s, all_s)]
    return [(a, b) for a, b in ends if END_S <= b - a < SILENCE_S]
