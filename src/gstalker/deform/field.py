"""The audio-conditioned deformation field: position features and a code become changes.

A tri-plane hash encoding of the resting position is fused with the code by a gate per channel
(ER-NeRF's region attention) and a small MLP predicts how each Gaussian moves and changes shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.encode import make_encoder
from gstalker.types import Deltas


@dataclass
class EncoderConfig:
    """Position features."""

    name: str = "auto"
    """auto, native, hashgrid, tinycudann, frequency, or ``module:Class``."""
    levels: int = 12
    """Resolutions per plane (ER-NeRF's released code; its text says 14)."""
    features_per_level: int = 1
    """Numbers per grid point."""
    log2_table: int = 14
    """Table size of one level, as a power of two; coarser levels are stored whole."""
    base: int = 16
    """Cells along the side of the coarsest level."""
    finest: int = 256
    """Cells along the side of the finest level; 256 did well in our trial, ER-NeRF has 512."""


@dataclass
class FieldConfig:
    """What the field may change, and how strongly."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Position features."""
    hidden: int = 64
    """Width of the MLP's two hidden layers."""
    gate: bool = True
    """Multiply the code by a vector that depends on the position (region attention)."""
    means: float = 0.5
    """Centimetres of movement per unit of output; 0 leaves positions alone."""
    scales: float = 0.5
    """Log-scale change per unit of output; 0 leaves sizes alone."""
    quats: float = 0.3
    """Quaternion change per unit of output; 0 leaves rotations alone."""
    opacities: float = 0.0
    """Logit change per unit of output; the paper changes position and shape only."""
    sh: float = 0.0
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
        self.gains = {
            name: (width, gain)
            for name, width, gain in (
                ("means", 3, config.means),
                ("scales", 3, config.scales),
                ("quats", 4, config.quats),
                ("opacities", 1, config.opacities),
                ("sh", 3, config.sh),
            )
            if gain
        }
        self.gate = nn.Linear(self.encoder.dim, code, bias=False) if config.gate else None
        self.position = nn.Linear(self.encoder.dim, config.hidden)
        self.condition = nn.Linear(code, config.hidden, bias=False)
        self.hidden = nn.Linear(config.hidden, config.hidden)
        self.out = nn.Linear(config.hidden, sum(width for width, _ in self.gains.values()))
        nn.init.normal_(self.out.weight, std=1e-3)  # starts as stillness, with a way out of it
        nn.init.zeros_(self.out.bias)

    def encode(self, means: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in head space."""
        return self.encoder((means - self.low) / self.span * 2 - 1)

    def forward(self, means: Float[Tensor, "N 3"], code: Float[Tensor, " A"]) -> Deltas:
        """Changes of every Gaussian under one frame's code."""
        features = self.encode(means)
        # ReLU(W [f, c] + b) split by input: where the code is not gated it is one row, not N.
        voice = self.condition(code if self.gate is None else self.gate(features) * code)
        hidden = torch.relu(self.position(features) + voice)
        out = self.out(torch.relu(self.hidden(hidden)))
        return self._split(out)

    def _split(self, out: Float[Tensor, "N O"]) -> Deltas:
        parts: dict[str, Tensor] = {}
        start = 0
        for name, (width, gain) in self.gains.items():
            parts[name] = out[:, start : start + width] * gain
            start += width
        if "opacities" in parts:
            parts["opacities"] = parts["opacities"][:, 0]
        if "sh" in parts:
            parts["sh"] = parts["sh"][:, None]
        return Deltas(**parts)
