"""How fast the parts of a marched head and torso learn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gstalker.limits import Amount, Positive, Share
from gstalker.stages.optim import named_adam


@dataclass
class MarchedRates:
    """Initial learning rates and the rest of Adam; defaults are ER-NeRF's."""

    grids: Amount = 1e-2
    """Of hash tables (paper)."""
    networks: Amount = 1e-3
    """Of everything else but the audio attention (paper)."""
    audio: Amount | None = None
    """Of what makes codes of windows; null: as the networks (released code)."""
    attention: Amount = 5e-3
    """Of the audio attention: five times the networks' (released code)."""
    attention_decay: Amount = 1e-4
    """Weight decay of the audio attention (released code)."""
    betas: tuple[Share, Share] = (0.0, 0.99)
    """Of Adam (released code; RAD-NeRF: 0.9, 0.99)."""
    eps: Positive = 1e-8
    """Of Adam (released code; RAD-NeRF: 1e-15)."""


def marched_adam(module: nn.Module, rates: MarchedRates) -> torch.optim.Adam:
    """Adam over what learns in a module: tables, networks and ears, each at its own rate."""
    groups: dict[str, list[nn.Parameter]] = {
        name: [] for name in ("grids", "networks", "audio", "attention")
    }
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups[_group(name, rates)].append(parameter)
    held = {name: parameters for name, parameters in groups.items() if parameters}
    return named_adam(
        held,
        {name: getattr(rates, name) for name in held},
        betas=(rates.betas[0], rates.betas[1]),
        eps=rates.eps,
        weight_decay={"attention": rates.attention_decay},
    )


def _group(name: str, rates: MarchedRates) -> str:
    """Whose rate a parameter has."""
    if name.endswith("tables"):
        return "grids"
    if name.startswith("audio.attention"):
        return "attention"
    return "audio" if name.startswith("audio.") and rates.audio is not None else "networks"
