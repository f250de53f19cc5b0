"""Layers that several fields are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform import kernels


class Perceptron(nn.Module):
    """Linear layers without biases, ReLU between them (RAD-NeRF, ER-NeRF).

    Args:
        inputs: numbers in.
        hidden: width of the layers between.
        outputs: numbers out.
        layers: linear layers.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * (layers - 1), outputs]
        self.layers = nn.ModuleList(
            nn.Linear(before, after, bias=False)
            for before, after in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        """The last layer's numbers."""
        weights: list[Tensor] = list(self.parameters())
        if len(weights) == 3 and kernels.perceptron_fits(x, len(weights[0]), len(weights[2])):
            biased = [t for w in weights for t in (w, w.new_zeros(len(w)))]
            return kernels.perceptron(x, *biased)
        for weight in weights[:-1]:
            x = torch.relu(F.linear(x, weight))
        return F.linear(x, weights[-1])


def joined(layer: nn.Linear, *parts: Tensor) -> Tensor:
    """What a layer says of its inputs' parts side by side, each as often as it differs.

    A frame's code is the same at all places of all rays and a direction at all places of its own:
    multiplied where they stand, they cost next to nothing, and nothing is copied.

    Args:
        layer: with a bias, of as many inputs as the parts have together.
        parts: ``[*any, I]`` whose other sides fit each other.
    """
    weights = layer.weight.split([part.shape[-1] for part in parts], dim=1)
    pairs = sorted(zip(parts, weights, strict=True), key=lambda pair: pair[0].numel())
    total: Tensor = layer.bias
    for part, weight in pairs:
        if total.dim() == 1:
            total = F.linear(part, weight, total)
        else:
            total = F.linear(part, weight).add_(total)
    return total


def waves(x: Float[Tensor, "*any A"], octaves: int) -> Float[Tensor, "*any W"]:
    """Numbers, and sines and cosines of their octaves (NeRF's encoding without the factor π)."""
    each = [wave(x * 2**k) for k in range(octaves) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, *each], dim=-1)


def waves_of(count: int, octaves: int) -> int:
    """How many numbers :func:`waves` makes of ``count``."""
    return count * (1 + 2 * octaves)
