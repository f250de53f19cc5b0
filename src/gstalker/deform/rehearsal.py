"""Ears first: before anything is painted, the audio net learns to tell the lips from the sound.

Painting teaches it that too, but late: a new net says almost the same of every sound, and by the
time it does not, what reads it has learned to do without. Landmarks of the lips are at hand, and a
batch of 64 costs less than two painted frames. This is ours, not GSTalker's.

How well the mouth then follows the sound beyond what all takes share (``mouth_corr_residual``):
five seeds of the small preset on one minute of GRID at 96 x 96 0.56, 0.62, 0.62, 0.45 and 0.60;
three without, though half as many steps more, 0.05, 0.46 and 0.12; ridge regression on the sound
0.66. The field then moves more; with TalkingGaussian's rate and a small price on movement
(``still_weight``) no Gaussian left its place for good in these five runs, as the mouth's inside did
in two of nine without that price.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.data.windows import NEIGHBOURS, AudioTrack
from gstalker.deform.audio import AudioNet, spread_codes
from gstalker.face import FaceLayout

SHAPES = 8
"""Principal shapes of the lips that are told."""
HELD_OUT_SHARE = 0.12
"""Of the frames, the last ones: what is told best of them is kept."""
FEWEST_FRAMES = 100
"""Below, there is too little to learn and to hold out."""
_STILL = 1e-6
"""Outer-eye distances; landmarks that do not move at all differ by rounding."""
_BATCH = 64
_LOOK_EVERY = 50
_RATE, _DECAY = 2e-3, 1e-2


@dataclass(frozen=True)
class Rehearsed:
    """How it went."""

    unexplained: float
    """Of the held-out lips' variance about the mean shape, the share that the sound does not tell;
    1 says nothing."""

    def sentence(self) -> str:
        """For people."""
        told = max(1 - self.unexplained, 0)
        return f"the ears tell {told:.0%} of how lips move in sound held out from rehearsal"


def lip_shapes(
    landmarks: Float[np.ndarray, "F L 2"], layout: FaceLayout, ids: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "F k"]:
    """Where the lips' points are about their centre, upright and in outer-eye distances, in their
    main directions over some frames; the first of these has deviation 1 there.

    Args:
        landmarks: pixels; NaN without a face.
        layout: which points are what.
        ids: frames that tell the mean and the directions, all with a face.
    """
    points = landmarks.astype(np.float64)
    across = points[:, layout.eye_corners[1]] - points[:, layout.eye_corners[0]]
    lips = points[:, [*layout.lips, *layout.inner_lips]]
    lips = lips - lips.mean(1, keepdims=True)
    x, y = across[:, None, 0], across[:, None, 1]
    square = x**2 + y**2
    upright = np.stack(
        [
            (lips[..., 0] * x + lips[..., 1] * y) / square,
            (lips[..., 1] * x - lips[..., 0] * y) / square,
        ],
        axis=-1,
    ).reshape(len(points), -1)
    mean = upright[ids].mean(0)
    _, sizes, directions = np.linalg.svd(upright[ids] - mean, full_matrices=False)
    shapes = (upright - mean) @ directions[:SHAPES].T
    deviation = sizes[0] / np.sqrt(len(ids))
    return (shapes / deviation if deviation > _STILL else shapes * 0).astype(np.float32)


def rehearse(
    net: AudioNet,
    track: AudioTrack,
    shapes: Float[np.ndarray, "F k"],
    ids: Int[np.ndarray, " n"],
    batches: int,
) -> Rehearsed | None:
    """Teach a new net; the result does not depend on the number of threads, nor is torch's
    generator of random numbers touched.

    Args:
        net: its first map fitted.
        track: the sound.
        shapes: of the lips.
        ids: frames to learn from, in time order, all with finite shapes.
        batches: how many, of 64 frames each.

    Returns:
        ``None``, and the net as it was, with fewer than a hundred frames or lips that never move.
    """
    kept = len(ids) - int(len(ids) * HELD_OUT_SHARE)
    if len(ids) < FEWEST_FRAMES or not shapes[ids].any() or not shapes[ids[kept:]].any():
        return None
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _rehearse(net, track, torch.from_numpy(shapes), ids[:kept], ids[kept:], batches)


def _rehearse(
    net: AudioNet,
    track: AudioTrack,
    shapes: Tensor,
    fit: np.ndarray,
    held: np.ndarray,
    batches: int,
) -> Rehearsed:
    device = next(net.parameters()).device
    whitened = AudioTrack(
        net.whitening(track.features.to(device)), track.rows_per_frame, track.segments
    )
    shapes = shapes.to(device)
    spread_codes(net, track.windows(fit, (0,))[:, 0].to(device))
    tell = nn.Linear(net.code, shapes.shape[1]).to(device)
    learning = [p for name, p in net.named_parameters() if not name.startswith("eye.")]
    adam = torch.optim.AdamW([*learning, *tell.parameters()], lr=_RATE, weight_decay=_DECAY)

    around = (0,) if net.attention is None else NEIGHBOURS

    def errors(frames: np.ndarray) -> Tensor:
        heard = whitened.windows(frames, around)
        return (tell(net.listen(heard)) - shapes[frames]).square().sum(1)

    parts = np.split(held, range(_BATCH, len(held), _BATCH))  # all at once is half a gigabyte
    variance = float(shapes[held].square().sum())
    best, state = Rehearsed(float("inf")), net.state_dict()
    for k in range(batches + 1):
        if k % _LOOK_EVERY == 0 or k == batches:
            with torch.no_grad():
                unexplained = sum(float(errors(part).sum()) for part in parts) / variance
            if unexplained < best.unexplained:
                best = Rehearsed(unexplained)
                state = {name: value.clone() for name, value in net.state_dict().items()}
        if k == batches:
            break
        adam.zero_grad()
        errors(fit[torch.randint(len(fit), (_BATCH,)).numpy()]).mean().backward()
        adam.step()
    net.load_state_dict(state)
    net.zero_grad()
    return best


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Matrix products of several threads add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
