"""What a training step draws at random, so that a run killed and resumed draws the same again."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gstalker.types import Camera


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
