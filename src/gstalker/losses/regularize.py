"""Terms that keep changes small."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gstalker.types import Deltas


def mean_change(deltas: Deltas) -> Float[Tensor, ""]:
    """Sum over the parts present of their mean absolute change (TalkingGaussian weighs it by 1e-5).

    Raises:
        ValueError: no part is present.
    """
    parts = [value.abs().mean() for value in vars(deltas).values() if value is not None]
    if not parts:
        raise ValueError("expected deltas with at least one part, but got none")
    return torch.stack(parts).sum()
