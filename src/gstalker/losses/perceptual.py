"""LPIPS (Zhang et al. 2018) on AlexNet, without torchvision.

The same trunk and linear heads as the ``lpips`` package's ``net='alex'``, version 0.1, in plain
torch: torchvision beside a CPU torch breaks the import of lightning.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gstalker import weights
from gstalker.errors import BackendMissing

LEAST_SIDE = 31
"""Below this AlexNet's last layers see nothing."""

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
"""ImageNet's statistics for pictures in [-1, 1], as the LPIPS repository has them."""
_STRIDE_PADDING = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
_POOLED = (1, 2)
"""Layers before which AlexNet halves the picture."""


class LPIPS(nn.Module):
    """Learned perceptual distance.

    Args:
        path: the weights; found by ``gstalker.weights`` if not given.

    Raises:
        BackendMissing: the weights are missing or damaged; says how to get them.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        path = path or weights.find("lpips_alexnet")
        try:
            tensors = {name: value.float() for name, value in load_file(path).items()}
            self.filters = nn.ParameterList(tensors[f"conv{k}.weight"] for k in range(5))
            self.biases = nn.ParameterList(tensors[f"conv{k}.bias"] for k in range(5))
            self.heads = nn.ParameterList(tensors[f"lin{k}.weight"] for k in range(5))
        except (SafetensorError, OSError, KeyError) as error:
            raise BackendMissing(
                f"{path} is not the LPIPS AlexNet weights ({error}).\n  Run: gstalker weights check"
            ) from error
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(
        self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]
    ) -> Float[Tensor, " B"]:
        """Distance of each pair of pictures in [0, 1]; 0 for equal ones.

        Raises:
            ValueError: the shapes differ, or a side is under ``LEAST_SIDE`` pixels.
        """
        if pred.shape != truth.shape or min(pred.shape[1:3]) < LEAST_SIDE:
            raise ValueError(
                f"expected two pictures of one shape, {LEAST_SIDE} pixels or more, "
                f"but got {list(pred.shape)} and {list(truth.shape)}"
            )
        total = pred.new_zeros(len(pred))
        for ours, theirs, head in zip(
            self._features(pred), self._features(truth), self.heads, strict=True
        ):
            difference = (_unit(ours) - _unit(theirs)).square()
            total = total + F.conv2d(difference, head).mean((1, 2, 3))
        return total

    def _features(self, picture: Float[Tensor, "B H W 3"]) -> list[Tensor]:
        x = (picture.movedim(-1, 1) * 2 - 1 - self.shift) / self.scale
        layers = []
        for k, (weight, bias) in enumerate(zip(self.filters, self.biases, strict=True)):
            if k in _POOLED:
                x = F.max_pool2d(x, 3, 2)
            stride, padding = _STRIDE_PADDING[k]
            x = F.relu(F.conv2d(x, weight, bias, stride, padding))
            layers.append(x)
        return layers


def _unit(features: Tensor) -> Tensor:
    return features / (features.norm(dim=1, keepdim=True) + 1e-10)
