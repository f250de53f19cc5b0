"""One Adam with named groups, each with its own rate, and how the rates fall.

One optimizer, because with several Lightning counts every one of them in ``global_step``
(#17958); one group per tensor of the cloud, because surgery moves Adam's state by group name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

USUAL_BETAS = (0.9, 0.999)
"""Adam's own (Kingma and Ba 2015), which 3DGS keeps."""

Fall = Callable[[float], float]
"""Share of its first rate that a group has left, by the share of the steps that have passed."""


def named_adam(
    parameters: Mapping[str, nn.Parameter | Iterable[nn.Parameter]],
    rates: Mapping[str, float],
    *,
    betas: tuple[float, float] | Mapping[str, tuple[float, float]] = USUAL_BETAS,
    eps: float = 1e-15,
    weight_decay: Mapping[str, float] | None = None,
) -> torch.optim.Adam:
    """Adam with one group per name.

    Args:
        parameters: what each group holds; a single tensor for the cloud's.
        rates: initial learning rate of each group.
        betas: shares kept of the running means of gradients and their squares; or each group's, by
            its name, where one not named has the usual.
        eps: as small as in 3DGS unless given, because gradients of single Gaussians are tiny.
        weight_decay: of some groups, decoupled (AdamW).

    Raises:
        ValueError: the names differ.
    """
    if set(parameters) != set(rates):
        raise ValueError(
            f"expected a rate for each of {sorted(parameters)}, but got {sorted(rates)}"
        )
    groups = []
    for name, held in parameters.items():
        params = [held] if isinstance(held, nn.Parameter) else list(held)
        group = {"name": name, "params": params, "lr": rates[name]}
        group["betas"] = betas.get(name, USUAL_BETAS) if isinstance(betas, Mapping) else betas
        groups.append({**group, "weight_decay": (weight_decay or {}).get(name, 0.0)})
    kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
    return kind(groups, eps=eps, fused=True)


def decaying(
    optimizer: torch.optim.Optimizer,
    steps: int,
    final_share: float | Mapping[str, float | Fall],
) -> OptimizerLRScheduler:
    """For Lightning: rates that fall, exponentially unless a group falls in its own way.

    Args:
        optimizer: with named groups.
        steps: until the rates have fallen.
        final_share: of every rate at the last step; or of each group's, by its name, where one not
            named stays, or how it falls.
    """

    def falling(group: Mapping[str, Any]) -> Callable[[int], float]:
        own = final_share
        share = own.get(group["name"], 1.0) if isinstance(own, Mapping) else own
        fall = share if callable(share) else evenly(share)
        return lambda step: fall(min(step / max(steps, 1), 1.0))

    schedule = LambdaLR(optimizer, [falling(group) for group in optimizer.param_groups])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def evenly(share: float, by: float = 1.0) -> Fall:
    """Exponentially to ``share``, which is reached at ``by`` of the steps and kept."""
    return lambda passed: share ** (min(passed / by, 1.0) if by else 1.0)
