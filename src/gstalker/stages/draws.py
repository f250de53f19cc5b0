"""What a training step draws at random, so that a run killed and resumed draws the same again."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gstalker.types import Camera, FrameBatch


def step_generator(step: int) -> torch.Generator:
    """A generator that follows from the run's seed and the step alone."""
    seed = np.random.SeedSequence([torch.initial_seed(), step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) >> 1)


def draw_pixels(count: int, total: int, generator: torch.Generator) -> Int[Tensor, " R"]:
    """Numbers of ``count`` pixels, each at most once; all of them, in order, where there are fewer.

    Args:
        count: wanted.
        total: pixels of the picture.
        generator: of the draw.
    """
    if count >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=generator)[:count]


def inside(pixels: Int[Tensor, " R"], box: Int[Tensor, " 4"], width: int) -> Tensor:
    """Which pixels ``y * width + x`` lie in a box x0, y0, x1, y1."""
    x, y = pixels % width, pixels // width
    return (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])


def draw_inside(
    box: Int[Tensor, " 4"], count: int, camera: Camera, generator: torch.Generator
) -> Int[Tensor, " R"]:
    """Numbers of ``count`` pixels of a box, each at most once; all where there are fewer.

    Args:
        box: x0, y0, x1, y1; only its part inside the picture counts.
        count: wanted.
        camera: whose pictures.
        generator: of the draw; not touched where nothing is wanted.
    """
    if not count:
        return torch.zeros(0, dtype=torch.long)
    x0, y0, x1, y1 = box.tolist()
    y = torch.arange(max(y0, 0), max(min(y1, camera.height), 0))
    x = torch.arange(max(x0, 0), max(min(x1, camera.width), 0))
    held = (y[:, None] * camera.width + x).flatten()
    return held[torch.randperm(len(held), generator=generator)[:count]]


def draw_mostly_inside(
    box: Int[Tensor, " 4"], count: int, share: float, camera: Camera, generator: torch.Generator
) -> Int[Tensor, " R"]:
    """Numbers of ``count`` pixels, a share of them inside a box as far as it has so many.

    Args:
        box: x0, y0, x1, y1.
        count: wanted.
        share: of them, inside the box.
        camera: whose pictures.
        generator: of the draw.
    """
    everywhere = torch.randperm(camera.width * camera.height, generator=generator)
    held = inside(everywhere, box, camera.width)
    wanted = round(count * share)
    return torch.cat([everywhere[held][:wanted], everywhere[~held][: count - wanted]])


def draw_of_frame(
    batch: FrameBatch,
    count: int,
    generator: torch.Generator,
    *,
    face_share: float | None = None,
    lips_share: float = 0.0,
) -> Int[Tensor, " R"]:
    """Numbers of ``count`` pixels of one frame (B = 1) to learn a head from.

    Args:
        batch: the frame.
        count: wanted.
        generator: of the draw.
        face_share: of those that are not drawn for the lips, inside the face's box; None: evenly.
        lips_share: drawn first, inside the mouth's box.
    """
    camera = batch.camera
    lips = draw_inside(batch.mouth_box[0].cpu(), round(count * lips_share), camera, generator)
    left = count - len(lips)
    if face_share is None:
        rest = draw_pixels(left, camera.width * camera.height, generator)
    else:
        rest = draw_mostly_inside(batch.face_box[0].cpu(), left, face_share, camera, generator)
    return torch.cat([lips, rest])
