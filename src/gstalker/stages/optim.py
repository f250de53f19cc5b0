"""One Adam with named groups, each with its own rate, all decaying together.

One optimizer, because with several Lightning counts every one of them in ``global_step``
(#17958); one group per tensor of the cloud, because surgery moves Adam's state by group name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def named_adam(
    parameters: Mapping[str, nn.Parameter | Iterable[nn.Parameter]],
    rates: Mapping[str, float],
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-15,
    weight_decay: Mapping[str, float] | None = None,
) -> torch.optim.Adam:
    """Adam with one group per name.

    Args:
        parameters: what each group holds; a single tensor for the cloud's.
        rates: initial learning rate of each group.
        betas: shares kept of the running means of gradients and their squares.
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
        groups.append({**group, "weight_decay": (weight_decay or {}).get(name, 0.0)})
    kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
    return kind(groups, betas=betas, eps=eps, fused=True)


def decaying(
    optimizer: torch.optim.Optimizer, steps: int, final_share: float | Mapping[str, float]
) -> OptimizerLRScheduler:
    """For Lightning: rates that fall exponentially to ``final_share`` over ``steps``.

    Args:
        optimizer: with named groups.
        steps: until the rates have fallen.
        final_share: of every rate; or of each group's, by its name, where one not named stays.
    """

    def falling(group: Mapping[str, Any]) -> Callable[[int], float]:
        own = final_share
        share = own.get(group["name"], 1.0) if isinstance(own, Mapping) else own
        return lambda step: share ** min(step / max(steps, 1), 1.0)

    schedule = LambdaLR(optimizer, [falling(group) for group in optimizer.param_groups])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
