"""The audio-conditioned deformation field: position features and a code become changes.

A tri-plane hash encoding of the resting position is fused with the code by a gate per channel
(ER-NeRF's region attention) and a small MLP predicts how each Gaussian moves and changes shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform import kernels
from gstalker.deform.place import WIDTHS, Changes
from gstalker.encode import make_encoder
from gstalker.limits import Amount, Count
from gstalker.types import Deltas


@dataclass
class EncoderConfig:
    """Position features."""

    name: str = "auto"
    """auto, native, hashgrid, tinycudann, frequency, or ``module:Class``."""
    levels: Count = 12
    """Resolutions per plane (ER-NeRF's released code; its text says 14)."""
    features_per_level: Count = 1
    """Numbers per grid point."""
    log2_table: Count | None = 14
    """Table size of one level, as a power of two; coarser levels are stored whole. null: every
    level is, dense planes without a hash."""
    base: Count = 16
    """Cells along the side of the coarsest level."""
    finest: Count = 256
    """Cells along the side of the finest level; 256 did well in our trial, ER-NeRF has 512."""


@dataclass
class FieldConfig:
    """What the field may change, and how strongly."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Position features."""
    hidden: Count = 64
    """Width of the MLP's two hidden layers."""
    gate: bool = True
    """Multiply the code by a vector that depends on the position (region attention)."""
    means: Amount = 0.5
    """Centimetres of movement per unit of output; 0 leaves positions alone."""
    scales: Amount = 0.5
    """Log-scale change per unit of output; 0 leaves sizes alone."""
    quats: Amount = 0.3
    """Quaternion change per unit of output; 0 leaves rotations alone."""
    opacities: Amount = 0.0
    """Logit change per unit of output; the paper changes position and shape only."""
    sh: Amount = 0.0
    """Constant-colour change per unit of output; the paper changes position and shape only."""


class DeformationField(nn.Module):
    """Moves the Gaussians that follow the head.

    Args:
        means: ``[N, 3]`` resting positions; they fix the box that the encoding covers.
        code: numbers in the conditioning code.
        config: sizes and gains.
        margin: world units added around the box of the means.
    """

    low: Tensor
    span: Tensor
    gain: Tensor

    def __init__(
        self, means: Float[Tensor, "N 3"], code: int, config: FieldConfig, margin: float = 0.5
    ) -> None:
        super().__init__()
        low, high = means.detach().amin(0) - margin, means.detach().amax(0) + margin
        self.register_buffer("low", low)
        self.register_buffer("span", high - low)
        e = config.encoder
        self.encoder = make_encoder(
            e.name,
            levels=e.levels,
            features_per_level=e.features_per_level,
            log2_table=e.log2_table,
            base=e.base,
            finest=e.finest,
        )
        gains = {name: getattr(config, name) for name in WIDTHS if getattr(config, name)}
        widths = [WIDTHS[name] for name in gains]
        self.columns = {name: sum(widths[:k]) for k, name in enumerate(gains)}
        each = [gain for name, gain in gains.items() for _ in range(WIDTHS[name])]
        self.register_buffer("gain", torch.tensor(each), persistent=False)
        self.gate = nn.Linear(self.encoder.dim, code, bias=False) if config.gate else None
        self.position = nn.Linear(self.encoder.dim, config.hidden)
        self.condition = nn.Linear(code, config.hidden, bias=False)
        self.hidden = nn.Linear(config.hidden, config.hidden)
        self.out = nn.Linear(config.hidden, sum(widths))
        nn.init.normal_(self.out.weight, std=1e-3)  # starts as stillness, with a way out of it
        nn.init.zeros_(self.out.bias)

    def encode(self, means: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in head space."""
        return self.encoder((means - self.low) / self.span * 2 - 1)

    def forward(self, means: Float[Tensor, "N 3"], code: Float[Tensor, " A"]) -> Deltas:
        """Changes of every Gaussian under one frame's code."""
        return self.changes(means, code).deltas()

    def changes(self, means: Float[Tensor, "N 3"], code: Float[Tensor, " A"]) -> Changes:
        """The same, side by side in one tensor."""
        return self.answer(self.encode(means), code)

    def answer(self, features: Float[Tensor, "N D"], code: Float[Tensor, " A"]) -> Changes:
        """Changes of Gaussians whose position features are at hand."""
        layers = (
            *self._first_layer(code),
            *(self.hidden.weight, self.hidden.bias),
            *self._last_layer(),
        )
        if kernels.perceptron_fits(features, self.hidden.out_features, self.out.out_features):
            return Changes(kernels.perceptron(features, *layers), self.columns)
        w1, b1, w2, b2, w3, b3 = layers
        hidden = torch.relu(F.linear(torch.relu(F.linear(features, w1, b1)), w2, b2))
        return Changes(F.linear(hidden, w3, b3), self.columns)

    def _first_layer(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """``W [f, gate(f) * code] + b`` is linear in ``f``: one small matrix a frame."""
        position, condition = self.position, self.condition.weight
        if self.gate is None:
            return position.weight, position.bias + condition @ code
        return position.weight + (condition * code) @ self.gate.weight, position.bias

    def _last_layer(self) -> tuple[Tensor, Tensor]:
        return self.out.weight * self.gain[:, None], self.out.bias * self.gain
