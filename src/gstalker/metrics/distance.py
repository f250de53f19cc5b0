"""How different two pictures look to a network: LPIPS, and LPIPS that forgives small shifts.

A network is asked one pair at a time, so memory does not grow with the batch. Which network it was
is part of the metric's name; the same metric has the same weights on every machine, and without
them there is no figure. LPIPS is asked of its authors' package where that imports, and of our own
trunk elsewhere: the two agree to 1e-6, so they are one protocol, which names the one that judged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker import weights
from gstalker.errors import BackendMissing
from gstalker.losses import perceptual
from gstalker.metrics.mean import MeanOf

Distance = Callable[[Tensor, Tensor], Tensor]
"""From two batches of pictures ``[B, H, W, 3]`` in [0, 1] to their distances ``[B]``."""

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_BELL = (1.0, 2.0, 1.0)
"""The blur before every halving (Zhang 2019, triangle filter of three)."""


class LPIPS(MeanOf):
    """Mean over pictures of a learned distance; smaller is better.

    Args:
        distance: such as ``gstalker.losses.perceptual.LPIPS()``, with ``net="vgg"`` for VGG16.

    >>> metric = LPIPS(lambda pred, truth: (pred - truth).abs().mean())
    >>> metric.update(torch.ones(2, 8, 8, 3), torch.zeros(2, 8, 8, 3))
    >>> float(metric.compute())
    1.0
    """

    higher_is_better = False
    is_differentiable = True

    def __init__(self, distance: nn.Module | Distance, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = distance

    def update(self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]) -> None:
        """Add pictures."""
        pairs = zip(pred.split(1), truth.split(1), strict=True)
        self.add(torch.stack([self.distance(a, b).reshape(()) for a, b in pairs]))


class STLPIPS(LPIPS):
    """Mean over pictures of the shift-tolerant distance (Ghildyal and Liu 2022).

    A picture that is right but a pixel aside costs it little, where LPIPS and PSNR cost much.

    Args:
        distance: by default :class:`ShiftTolerant` with the weights that are found.

    >>> metric = STLPIPS(lambda pred, truth: (pred - truth).abs().mean())
    >>> metric.update(torch.ones(1, 8, 8, 3), torch.ones(1, 8, 8, 3))
    >>> float(metric.compute())
    0.0
    """

    def __init__(self, distance: nn.Module | Distance | None = None, **kwargs: Any) -> None:
        super().__init__(distance or ShiftTolerant(), **kwargs)


class ShiftTolerant(nn.Module):
    """ST-LPIPS on AlexNet: every stride is a blur with reflected borders, then every other pixel.

    The network of the ``stlpips-pytorch`` package's ``net='alex', variant='shift_tolerant'``, read
    from the shapes of its weights and its paper; the package itself wants torchvision.

    Args:
        path: the weights; found by ``gstalker.weights`` if not given.

    Raises:
        BackendMissing: the weights are missing or damaged; says how to get them.
    """

    shift: Tensor
    scale: Tensor
    bell: Tensor
    least_side = 31

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        path = path or weights.find("stlpips_alexnet")
        at = ("1.0", "2.5", "3.9", "4.11", "5.13")
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            self.filters = nn.ParameterList(tensors[f"net.slice{k}.weight"] for k in at)
            self.biases = nn.ParameterList(tensors[f"net.slice{k}.bias"] for k in at)
            self.heads = nn.ParameterList(tensors[f"lin{k}.model.1.weight"] for k in range(5))
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            raise BackendMissing(
                f"{path} is not the ST-LPIPS weights of AlexNet ({type(error).__name__}).\n"
                "  Run: gstalker weights check"
            ) from error
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        bell = torch.tensor(_BELL) / sum(_BELL)
        self.register_buffer("bell", bell[:, None] * bell)
        self.requires_grad_(False)

    def forward(
        self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]
    ) -> Float[Tensor, " B"]:
        """Distance of each pair of pictures in [0, 1]; 0 for equal ones.

        Raises:
            ValueError: the shapes differ, or a side is under 31 pixels.
        """
        if pred.shape != truth.shape or min(pred.shape[1:3]) < self.least_side:
            raise ValueError(
                f"expected two pictures of one shape, {self.least_side} pixels or more, "
                f"but got {list(pred.shape)} and {list(truth.shape)}"
            )
        total = pred.new_zeros(len(pred))
        for ours, theirs, head in zip(
            self._features(pred), self._features(truth), self.heads, strict=True
        ):
            difference = (F.normalize(ours, eps=1e-10) - F.normalize(theirs, eps=1e-10)).square()
            total = total + F.conv2d(difference, head).mean((1, 2, 3))
        return total

    def _features(self, picture: Tensor) -> list[Tensor]:
        x = (picture.movedim(-1, 1) * 2 - 1 - self.shift) / self.scale
        tapped = []
        for k, (weight, bias) in enumerate(zip(self.filters, self.biases, strict=True)):
            if k in (1, 2):
                x = self._halved(F.max_pool2d(x, 3, 1))
            x = F.conv2d(x, weight, bias, padding=2 if k < 2 else 1)
            x = F.relu(self._halved(x) if k == 0 else x)
            tapped.append(x)
        return tapped

    def _halved(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        bell = self.bell.expand(channels, 1, *self.bell.shape)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), bell, stride=2, groups=channels)


class PackagedLPIPS(nn.Module):
    """The ``lpips`` package's network with the weights that our own trunk has.

    Args:
        package: the module ``lpips``, 0.1.4.
        net: the trunk.
        path: the weights; found by ``gstalker.weights`` if not given. The package's own trunks
            would be downloaded; they are not asked for.

    Raises:
        BackendMissing: the weights are missing or damaged; says how to get them.
    """

    def __init__(
        self, package: ModuleType, net: Literal["alex", "vgg"] = "alex", path: Path | None = None
    ) -> None:
        super().__init__()
        ours = perceptual.LPIPS(path, net)
        theirs = package.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
        convolutions = [part for part in theirs.net.modules() if isinstance(part, nn.Conv2d)]
        for layer, weight, bias in zip(convolutions, ours.filters, ours.biases, strict=True):
            layer.load_state_dict({"weight": weight, "bias": bias})
        for head, weight in zip(theirs.lins, ours.heads, strict=True):
            head.model[-1].load_state_dict({"weight": weight})
        self.network = theirs.eval().requires_grad_(False)

    def forward(
        self, pred: Float[Tensor, "B H W 3"], truth: Float[Tensor, "B H W 3"]
    ) -> Float[Tensor, " B"]:
        """Distance of each pair of pictures in [0, 1]; 0 for equal ones."""
        sides = (side.movedim(-1, 1) * 2 - 1 for side in (pred, truth))
        return self.network(*sides).flatten()


def lpips_package() -> ModuleType | None:
    """The ``lpips`` package, or None where it does not import: it wants torchvision."""
    try:
        import lpips
    except (ImportError, RuntimeError):  # the latter from a torchvision of another torch
        return None
    return lpips


def lpips_network(net: Literal["alex", "vgg"]) -> nn.Module:
    """LPIPS on a trunk: the package's where it imports, our own elsewhere."""
    package = lpips_package()
    return perceptual.LPIPS(net=net) if package is None else PackagedLPIPS(package, net)


NETWORKS: dict[str, Callable[[], Any]] = {
    "lpips_alex": lambda: lpips_network("alex"),
    "lpips_vgg": lambda: lpips_network("vgg"),
    "stlpips_alex": ShiftTolerant,
}
"""Metric to the network behind it."""


def backbone(name: str) -> str:
    """What a protocol says of the network behind the metric ``name``.

    >>> backbone("stlpips_alex")
    'AlexNet, ST-LPIPS v0.0'
    """
    if name == "stlpips_alex":
        return "AlexNet, ST-LPIPS v0.0"
    trunk = {"lpips_alex": "AlexNet", "lpips_vgg": "VGG16"}[name]
    return f"{trunk}, LPIPS v0.1 ({'lpips package' if lpips_package() else 'own trunk'})"


def least_side(name: str) -> int:
    """The shortest side in pixels that a picture may have for the metric ``name``.

    >>> least_side("lpips_vgg")
    16
    """
    net = name.removeprefix("lpips_")
    trunks = perceptual.TRUNKS
    return trunks[net].least_side if net in trunks else ShiftTolerant.least_side
