"""LPIPS (Zhang et al. 2018) on AlexNet or VGG16, without torchvision.

The same trunks and linear heads as the ``lpips`` package's ``net='alex'`` and ``net='vgg'``,
version 0.1, in plain torch: torchvision beside a CPU torch breaks the import of lightning.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gstalker import weights
from gstalker.errors import BackendMissing

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
"""ImageNet's statistics for pictures in [-1, 1], as the LPIPS repository has them."""


@dataclass(frozen=True)
class Trunk:
    """The convolutions of a network up to its last tap."""

    weights: str
    """Its name in ``gstalker.weights``."""
    stride_padding: tuple[tuple[int, int], ...]
    """Of each convolution."""
    pooled: tuple[int, ...]
    """Convolutions before which the picture is halved."""
    pool: tuple[int, int]
    """Window and stride of that halving."""
    taps: tuple[int, ...]
    """Convolutions whose output, after its ReLU, is compared."""
    least_side: int
    """Pixels; below this the last layers see nothing."""


TRUNKS = {
    "alex": Trunk(
        weights="lpips_alexnet",
        stride_padding=((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)),
        pooled=(1, 2),
        pool=(3, 2),
        taps=(0, 1, 2, 3, 4),
        least_side=31,
    ),
    "vgg": Trunk(
        weights="lpips_vgg16",
        stride_padding=((1, 1),) * 13,
        pooled=(2, 4, 7, 10),
        pool=(2, 2),
        taps=(1, 3, 6, 9, 12),
        least_side=16,
    ),
}
LEAST_SIDE = TRUNKS["alex"].least_side


class LPIPS(nn.Module):
    """Learned perceptual distance.

    Args:
        path: the weights; found by ``gstalker.weights`` if not given.
        net: the trunk. AlexNet is what talking-head papers report; VGG16 costs 20 times as much.

    Raises:
        BackendMissing: the weights are missing or damaged; says how to get them.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, path: Path | None = None, net: Literal["alex", "vgg"] = "alex") -> None:
        super().__init__()
        self.trunk = TRUNKS[net]
        path = path or weights.find(self.trunk.weights)
        layers, taps = len(self.trunk.stride_padding), len(self.trunk.taps)
        try:
            tensors = {name: value.float() for name, value in load_file(path).items()}
            self.filters = nn.ParameterList(tensors[f"conv{k}.weight"] for k in range(layers))
            self.biases = nn.ParameterList(tensors[f"conv{k}.bias"] for k in range(layers))
            self.heads = nn.ParameterList(tensors[f"lin{k}.weight"] for k in range(taps))
        except (SafetensorError, OSError, KeyError) as error:
            raise BackendMissing(
                f"{path} is not the LPIPS weights of '{net}' ({error}).\n"
                "  Run: gstalker weights check"
            ) from error
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(
        self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]
    ) -> Float[Tensor, " B"]:
        """Distance of each pair of pictures in [0, 1]; 0 for equal ones.

        Raises:
            ValueError: the shapes differ, or a side is under the trunk's ``least_side``.
        """
        least = self.trunk.least_side
        if pred.shape != truth.shape or min(pred.shape[1:3]) < least:
            raise ValueError(
                f"expected two pictures of one shape, {least} pixels or more, "
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
        tapped = []
        for k, (weight, bias) in enumerate(zip(self.filters, self.biases, strict=True)):
            if k in self.trunk.pooled:
                x = F.max_pool2d(x, *self.trunk.pool)
            x = F.relu(F.conv2d(x, weight, bias, *self.trunk.stride_padding[k]))
            if k in self.trunk.taps:
                tapped.append(x)
        return tapped


def _unit(features: Tensor) -> Tensor:
    return features / (features.norm(dim=1, keepdim=True) + 1e-10)
