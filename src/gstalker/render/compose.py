"""Layers over each other."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gstalker.types import Render


def over(render: Render, background: Float[Tensor, "H W 3"]) -> Float[Tensor, "B H W 3"]:
    """A render over a still picture: premultiplied colour plus what shines through."""
    return render.image + (1 - render.alpha) * background
