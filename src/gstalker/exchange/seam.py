"""How visible the seam between a head and a torso plate is when the head moves.

The cut-out head is put back over the plate a little higher than it was filmed. Along its lower edge
the jump of colour is compared with the one in the true frame, where chin and neck meet as they do:
what is more than that is seam. So is a step between the in-painted neck and the filmed one that is
larger than those of the filmed one itself, and a line between them that is like neither. A head
that goes down hides filmed torso and uncovers none, so it has no seam of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RISE_SHARES = (0.01, 0.02, 0.04)
"""How far the head goes up, as shares of the picture's height."""
VISIBLE_LEVELS = 4.0
"""Steps of this many 8-bit levels over a long edge are seen on a smooth neck."""
_MARGIN_SHARE = 2 / 512
"""The edge's own pixels, mixtures of both sides, are left out."""
_LEAST_COLUMNS = 5


@dataclass(frozen=True)
class Seam:
    """Steps in 8-bit levels, mean over the columns and the colours."""

    edge_levels: float
    """What the jump at the head's moved edge is more than in the true frame, for the worst rise."""
    joint_levels: float
    """What the step from the filmed neck to the in-painted one is more than the neck's own."""
    rim_levels: float
    """How far the rows where they meet are outside of both, at the worst row: what the head has
    left of itself."""

    @property
    def levels(self) -> float:
        """The worst of the three."""
        return max(self.edge_levels, self.joint_levels, self.rim_levels)


def lower_edge(torso: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns whose topmost torso pixel lies under the head, and its row.

    Args:
        torso: ``bool [H, W]``.
        head: ``bool [H, W]``.
    """
    columns = np.flatnonzero(torso.any(0))
    rows = torso[:, columns].argmax(0)
    under = (rows > 0) & head[np.maximum(rows - 1, 0), columns]
    return columns[under], rows[under]


def measure(
    picture: np.ndarray, torso: np.ndarray, head: np.ndarray, plate: np.ndarray
) -> Seam | None:
    """The seam of one frame; ``None`` where head and torso hardly meet in it.

    Args:
        picture: ``uint8 [H, W, 3]``, the true frame.
        torso: ``bool [H, W]``: neck and clothes in it.
        head: ``bool [H, W]``: the head that will be moved.
        plate: ``uint8 [H, W, 3 or 4]``: the torso with its neck in-painted; alpha is left aside.
    """
    height = len(picture)
    gap = max(round(_MARGIN_SHARE * height), 1)
    rises = [max(round(share * height), 2 * gap) for share in RISE_SHARES]
    columns, rows = lower_edge(torso, head)
    fine = (rows - max(rises) - gap >= 0) & (rows + 2 * gap + 1 < height)
    columns, rows = columns[fine], rows[fine]
    if len(columns) < _LEAST_COLUMNS:
        return None
    true, behind = picture.astype(np.float64), plate[..., :3].astype(np.float64)

    def step(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.abs(a - b).mean())

    chin, neck = true[rows - 1 - gap, columns], true[rows + gap, columns]
    usual = step(chin, neck)
    edges = [step(chin, behind[rows - by + gap, columns]) - usual for by in rises]
    own = step(neck, true[rows + 2 * gap + 1, columns])
    joint = step(behind[rows - 1 - gap, columns], neck) - own
    meeting = [behind[rows + k, columns] for k in range(-1 - gap, 2 * gap + 2)]
    both = np.stack([meeting[0], meeting[-1]])
    rim = max(step(row, np.clip(row, both.min(0), both.max(0))) for row in meeting)
    return Seam(max(*edges, 0.0), max(joint, 0.0), rim)


def usual(seams: Sequence[Seam | None]) -> float | None:
    """Mean over the frames; ``None`` where none could be measured."""
    known = [found.levels for found in seams if found is not None]
    return round(float(np.mean(known)), 2) if known else None


def told(seams: Sequence[Seam | None]) -> str:
    """The measured seam in words."""
    levels = usual(seams)
    if levels is None:
        return "torso_imgs: seam n/a, for head and torso hardly meet in the pictures"
    rise = f"up to {max(RISE_SHARES):.0%} of the picture's height"
    verdict = "it is not seen" if levels < VISIBLE_LEVELS else "it may be seen"
    return (
        f"torso_imgs: seam {levels:.1f} of 255 levels where the head goes up by {rise}: {verdict}"
    )
