"""Places along rays where nothing is known yet: evenly drawn, then where the coarse pass saw much.

Mildenhall et al. 2020, section 5.2; AD-NeRF keeps it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def stratified(
    near: Float[Tensor, " R"],
    far: Float[Tensor, " R"],
    count: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "R S"]:
    """One place in each of ``count`` equal stretches between near and far.

    Args:
        near: distance at which each ray begins.
        far: distance at which it ends.
        count: places per ray.
        generator: draws within each stretch; without one, the middles.
    """
    within = torch.full((len(near), count), 0.5)
    if generator is not None:
        within = torch.rand(len(near), count, generator=generator)
    share = (torch.arange(count) + within).to(near) / count
    return near[:, None] + (far - near)[:, None] * share


def importance(
    places: Float[Tensor, "R S"],
    weights: Float[Tensor, "R S"],
    count: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "R K"]:
    """Places drawn where weights are high.

    The density of the draw is constant between the middles of neighbouring places and proportional
    to the inner places' weights.

    Args:
        places: of the coarse pass, in order.
        weights: of the coarse pass; receive no gradient.
        count: of new places per ray.
        generator: of the draw; without one, evenly spread quantiles.
    """
    edges = (places[:, 1:] + places[:, :-1]) / 2
    inner = weights[:, 1:-1].detach() + 1e-5  # no stretch is quite without a chance
    cumulative = torch.cat([torch.zeros_like(inner[:, :1]), inner.cumsum(1)], dim=1)
    cumulative = cumulative / cumulative[:, -1:]
    drawn = ((torch.arange(count) + 0.5) / count).expand(len(places), count)
    if generator is not None:
        drawn = torch.rand(len(places), count, generator=generator)
    drawn = drawn.to(places).contiguous()
    above = torch.searchsorted(cumulative.contiguous(), drawn, right=True)
    above = above.clamp(1, cumulative.shape[1] - 1)
    low, high = cumulative.gather(1, above - 1), cumulative.gather(1, above)
    share = (drawn - low) / (high - low).clamp_min(1e-12)
    start, end = edges.gather(1, above - 1), edges.gather(1, above)
    return start + share * (end - start)
