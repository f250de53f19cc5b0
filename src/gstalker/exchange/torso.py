"""``torso_imgs``: the torso cut out, the neck continued upwards under the head.

As RAD-NeRF's family does it: in every column, the colour a little below where neck or clothes meet
the head goes on upwards, then the new part is blurred. It is a guess that only shows where the head
uncovers it. Ours is mixed with the neighbouring columns' first; the family's shows as stripes under
the chin, and what other frames of four clips show there is 0 to 4 % further away. The family also
darkens it by two per cent each row; we do not: the guess is 4 to 31 % nearer without, and its seam
is 1/7 or less.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from gstalker.exchange.seam import lower_edge

RISE_SHARE = 48 / 512
"""How far the neck goes on, as a share of the picture's height (48 rows at 512)."""
_DOWN_SHARE = 3 / 512
"""The colour is taken this far below the edge, and the rows between are painted too: they are a
mixture with the head's, and stay behind as a rim of 9 to 11 levels when it moves. Of 2 to 8 rows,
3 and 4 are as near to what other frames of three clips show, and 3 halves the step at the chin."""
_MIXED_SHARE = 10 / 512
"""Deviation, as a share of the height, by which colours are mixed from column to column."""
_UNLIKE = 16
"""Levels: hair is not mixed with the neck beside it, which would be seen as a step at the chin."""
_BLUR_SHARE = 1.1 / 512
"""Deviation of the blur, as a share of the height: a 5 x 5 window at 512."""


def cut_out(picture: np.ndarray, torso: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The torso with its in-painted neck.

    Args:
        picture: ``uint8 [H, W, 3]``.
        torso: ``bool [H, W]``: neck and clothes.
        head: ``bool [H, W]``: what may hide the neck.

    Returns:
        ``uint8 [H, W, 4]``: alpha 0 or 255, colour 0 outside.
    """
    height = len(picture)
    columns, edges, below = _edges(picture, torso, head)
    colours = _mixed(picture[below, columns].astype(np.float32), columns, edges, height)
    painted = picture.astype(np.float32)
    new = np.zeros_like(torso)
    down = int((below - edges).max(initial=0))
    for step in range(-down, max(round(RISE_SHARE * height), 1) + 1):
        rows = edges - step
        fine = (rows >= 0) & (rows < below)
        fine[fine] = (head | torso)[rows[fine], columns[fine]]
        painted[rows[fine], columns[fine]] = colours[fine]
        new[rows[fine], columns[fine]] = True
    deviation = max(_BLUR_SHARE * height, 0.5)
    blurred = gaussian_filter(painted, (deviation, deviation, 0), truncate=2.0)
    painted[new] = blurred[new]
    inside = torso | new
    out = np.zeros((*torso.shape, 4), np.uint8)
    out[inside, :3] = np.clip(painted[inside] + 0.5, 0, 255).astype(np.uint8)
    out[inside, 3] = 255
    return out


def _mixed(colours: np.ndarray, columns: np.ndarray, edges: np.ndarray, height: int) -> np.ndarray:
    """Colours ``[n, 3]`` mixed with their neighbours', where edge and colour go on."""
    if not len(colours):
        return colours
    deviation = _MIXED_SHARE * height
    apart = (np.diff(columns) > 1) | (np.abs(np.diff(edges)) > max(deviation, 2))
    apart |= np.abs(np.diff(colours, axis=0)).max(1) > _UNLIKE
    pieces = np.split(colours, np.flatnonzero(apart) + 1)
    return np.concatenate([gaussian_filter1d(p, deviation, axis=0, mode="nearest") for p in pieces])


def _edges(
    picture: np.ndarray, torso: np.ndarray, head: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns whose topmost torso pixel lies under the head; its row, and that of the colour."""
    columns, rows = lower_edge(torso, head)
    below = rows + max(round(_DOWN_SHARE * len(picture)), 1)
    below = np.minimum(below, len(picture) - 1)
    below = np.where(torso[below, columns], below, rows)
    return columns, rows, below
