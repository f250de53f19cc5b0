"""Layers over each other."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from gstalker.types import Render


def over(render: Render, background: Float[Tensor, "H W 3"]) -> Float[Tensor, "B H W 3"]:
    """A render over a still picture: premultiplied colour plus what shines through."""
    return render.image + (1 - render.alpha) * background


def laid_over(render: Render, background: Float[Tensor, "H W 3"] | None) -> Render:
    """The same render with ``background``, if there is one, in its picture.

    For backends that draw over black; the background receives no gradient.
    """
    if background is None:
        return render
    return replace(render, image=over(render, background.detach().to(render.image.dtype)))
