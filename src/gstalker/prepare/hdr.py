"""Pictures of high dynamic range, as many phones film them, in the standard range.

Light is told in nits by ITU-R BT.2100. Diffuse white, 203 nits there (ITU-R BT.2408), becomes the
white of a standard picture; what is darker than half of it keeps its light, and highlights are
rolled off by the curve of ITU-R BT.2390, section 5.4. Which films are such is told by ``source``.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

Transfer = Literal["PQ", "HLG"]
TRANSFERS: dict[int, Transfer] = {16: "PQ", 18: "HLG"}
"""By the number that files give (ITU-T H.273, table 3): SMPTE ST 2084, and ARIB STD-B67."""
WHITE_NITS, PEAK_NITS = 203.0, 1000.0
"""Of the standard picture that is made, and the brightest that is filmed: HLG's nominal peak, and
the usual one of PQ films."""
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
"""PQ: BT.2100, table 4."""
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
"""HLG: BT.2100, table 5."""
_HLG_GAMMA = 1.2
"""Of a display whose peak is 1000 nits (the same table)."""
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""Colours of BT.2020 in those of BT.709: ITU-R BT.2407, section 2."""
_DISPLAY_GAMMA = 2.4
"""Of a standard display: ITU-R BT.1886."""


def to_standard(picture: np.ndarray, transfer: Transfer) -> np.ndarray:
    """A picture of BT.2100 in the standard range.

    Args:
        picture: ``uint16 [H, W, 3]``, RGB of BT.2020 in full range.
        transfer: how its numbers tell light.

    Returns:
        ``uint8 [H, W, 3]``, RGB of BT.709.
    """
    light = _light(transfer)[picture]
    if transfer == "HLG":  # that of the scene; a display's depends on how bright a pixel is
        light *= PEAK_NITS * ((light @ _LUMINANCE) ** (_HLG_GAMMA - 1))[..., None]
    light *= _roll_off(light.max(-1))[..., None] / WHITE_NITS
    seen = (light @ _TO_BT709.T).clip(0, 1) ** (1 / _DISPLAY_GAMMA)
    return (255 * seen + 0.5).astype(np.uint8)


@cache
def _light(transfer: Transfer) -> np.ndarray:
    """What each of 65536 numbers tells: nits (PQ), or scene light from 0 to 1 (HLG); float32."""
    signal = np.linspace(0, 1, 65536)
    if transfer == "PQ":
        return pq_light(signal).astype(np.float32)
    bright = (np.exp((signal - _C) / _A) + _B) / 12
    return np.where(signal <= 0.5, signal**2 / 3, bright).astype(np.float32)


def pq_light(signal: np.ndarray) -> np.ndarray:
    """Nits of PQ signals from 0 to 1: BT.2100, table 4."""
    root = signal ** (1 / _M2)
    return 1e4 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def pq_signal(nits: np.ndarray) -> np.ndarray:
    """The PQ signals of nits, the inverse of :func:`pq_light`."""
    part = (nits / 1e4) ** _M1
    return ((_C1 + _C2 * part) / (1 + _C3 * part)) ** _M2


def _roll_off(brightest: np.ndarray) -> np.ndarray:
    """What pixels whose brightest colour has so many nits are to be multiplied by, in ]0, 1]."""
    top = pq_signal(np.array(PEAK_NITS))
    white = pq_signal(np.array(WHITE_NITS)) / top
    knee = 1.5 * white - 0.5
    factor = np.ones_like(brightest)
    beyond = brightest > pq_light(knee * top)
    signal = pq_signal(brightest[beyond].clip(max=PEAK_NITS)) / top
    t = (signal - knee) / (1 - knee)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * white
    )
    factor[beyond] = pq_light(curve * top) / brightest[beyond]
    return factor
