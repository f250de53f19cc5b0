"""Rows of the cloud come and go, and Adam's memory of them with them.

A group of the optimizer belongs to a tensor of the cloud by its ``name``. Every function replaces
the parameter in both places at once and moves ``exp_avg`` and ``exp_avg_sq`` under the new one, so
rates, schedules and the count of steps go on. What does not fit is refused before anything changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from gstalker.gaussians.cloud import PARAMETERS, GaussianCloud


@torch.no_grad()
def keep(
    optimizer: torch.optim.Optimizer | None, cloud: GaussianCloud, mask: Bool[Tensor, " N"]
) -> None:
    """Keep the rows where ``mask`` is set; the others go, with their state.

    Raises:
        ValueError: the mask has another length than the cloud, or the optimizer is not its own.
    """
    if len(mask) != len(cloud):
        raise ValueError(f"expected a mask of {len(cloud)} rows, but got {len(mask)}")
    for name in PARAMETERS:
        _group(optimizer, cloud, name)
    for name in PARAMETERS:
        _replace(optimizer, cloud, name, lambda value: value[mask])


@torch.no_grad()
def append(
    optimizer: torch.optim.Optimizer | None, cloud: GaussianCloud, rows: Mapping[str, Tensor]
) -> None:
    """Append rows in raw space; Adam knows nothing of them yet.

    Args:
        optimizer: None before training.
        cloud: to grow.
        rows: one tensor for each of ``PARAMETERS``, all of one length.

    Raises:
        ValueError: a tensor is missing, lengths or widths differ, or the optimizer is not the
            cloud's own.
    """
    lengths = {len(rows[name]) for name in PARAMETERS if name in rows}
    if set(rows) != set(PARAMETERS) or len(lengths) != 1:
        raise ValueError(
            f"expected one tensor of one length for each of {PARAMETERS}, but got {sorted(rows)}"
        )
    for name in PARAMETERS:
        wanted, found = list(getattr(cloud, name).shape[1:]), list(rows[name].shape[1:])
        if wanted != found:
            raise ValueError(f"expected rows of {name} of shape {wanted}, but got {found}")
        _group(optimizer, cloud, name)
    for name in PARAMETERS:
        _replace(
            optimizer,
            cloud,
            name,
            _followed_by(rows[name]),
            _followed_by(torch.zeros_like(rows[name])),
        )


@torch.no_grad()
def reset_opacities(
    optimizer: torch.optim.Optimizer | None, cloud: GaussianCloud, most: float
) -> None:
    """Make nothing more opaque than ``most``, in (0, 1), and let Adam forget its opacity state."""
    limit = float(torch.logit(torch.tensor(most)))
    _replace(optimizer, cloud, "opacities", lambda value: value.clamp_max(limit), torch.zeros_like)


def rows_of(cloud: GaussianCloud, ids: Int[Tensor, " R"]) -> dict[str, Tensor]:
    """Copies of some rows, in raw space."""
    return {name: getattr(cloud, name).detach()[ids].clone() for name in PARAMETERS}


def _followed_by(rows: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda value: torch.cat([value, rows.to(value)])


def _replace(
    optimizer: torch.optim.Optimizer | None,
    cloud: GaussianCloud,
    name: str,
    change: Callable[[Tensor], Tensor],
    change_state: Callable[[Tensor], Tensor] | None = None,
) -> None:
    old = getattr(cloud, name)
    group = _group(optimizer, cloud, name)
    new = nn.Parameter(change(old.detach()).contiguous(), requires_grad=old.requires_grad)
    setattr(cloud, name, new)
    if optimizer is None or group is None:
        return
    state = optimizer.state.pop(old, None)
    group["params"] = [new]
    if state is not None:
        for key, value in state.items():
            # One entry per number of the parameter; ``step`` is one for all and stays.
            if isinstance(value, Tensor) and value.shape == old.shape:
                state[key] = (change_state or change)(value).contiguous()
        optimizer.state[new] = state


def _group(
    optimizer: torch.optim.Optimizer | None, cloud: GaussianCloud, name: str
) -> dict[str, Any] | None:
    """The optimizer's group of one tensor of the cloud."""
    if optimizer is None:
        return None
    group = next((g for g in optimizer.param_groups if g.get("name") == name), None)
    if group is None:
        raise ValueError(f"the optimizer has no group named '{name}'")
    if len(group["params"]) != 1 or group["params"][0] is not getattr(cloud, name):
        raise ValueError(f"expected group '{name}' to hold the cloud's {name} and nothing else")
    return group
