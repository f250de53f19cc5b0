"""``parsing/<i>_face.png``: where SyncTalk's ``--portrait`` puts its face into the filmed picture.

As its parsing step paints it: the face blue on white, without hair, with a strip below the chin,
blurred. Its loader takes ``(255 - green) / 255`` for the share of the rendered picture; without the
file it leaves the frame out of one list and not of the others.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from gstalker.exchange import colours

_STRIP_SHARE = 10 / 512
"""The face goes on so far below its lower edge, as a share of the height (10 rows at 512), in the
middle half of its columns."""
_BLUR_SHARE = 4 / 512
"""Deviation of the blur; its window is one deviation to either side (9 pixels at 512)."""


def soft_face(classes: np.ndarray) -> np.ndarray:
    """The mask of a picture.

    Args:
        classes: ``uint8 [H, W]``; SyncTalk leaves the ears out, which no class of ours tells.

    Returns:
        ``uint8 [H, W, 3]`` RGB: blue on white.
    """
    face = np.isin(classes, (colours.SKIN, colours.INSIDE, colours.TEETH))
    height = len(face)
    columns = np.flatnonzero(face.any(0))
    if len(columns):
        first, quarter = columns[0], (columns[-1] - columns[0]) // 4
        middle = columns[(columns >= first + quarter) & (columns <= first + 3 * quarter)]
        edge = height - 1 - face[::-1, middle].argmax(0)
        rows = np.arange(height)[:, None]
        long = max(round(_STRIP_SHARE * height), 1)
        face[:, middle] |= (rows >= edge) & (rows < edge + long)
    deviation = max(_BLUR_SHARE * height, 0.5)
    share = gaussian_filter(face.astype(np.float32), deviation, truncate=1.0)
    picture = np.full((*face.shape, 3), 255, np.uint8)
    picture[..., :2] = np.round(255 * (1 - share)).astype(np.uint8)[..., None]
    return picture
