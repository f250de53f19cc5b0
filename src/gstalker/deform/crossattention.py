"""Spatial-audio cross-attention as GaussianTalker (2404.16012) has it.

What lies at a Gaussian's place asks a handful of tokens: the sound, the eyes, the camera, and one
learned token that says nothing. What comes back decides how every attribute changes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform.field import EncoderConfig
from gstalker.encode import make_encoder
from gstalker.limits import Count, Positive, Share

ATTRIBUTES = ("means", "scales", "quats", "opacities", "sh")
"""What is changed, each by a head of its own."""
_CAMERA = 12
"""Numbers of a pose: three rows of its matrix."""


def _planes() -> EncoderConfig:
    return EncoderConfig("planes", levels=2, features_per_level=32, base=64, finest=128)


@dataclass
class CrossConfig:
    """Sizes; the values are the released one-layer configuration's."""

    encoder: EncoderConfig = dataclasses.field(default_factory=_planes)
    """Position features."""
    layers: Count = 1
    """Attention layers; 2 in the larger configuration."""
    heads: Count = 2
    """Of attention."""
    feed_forward: Count = 128
    """Width of a layer's feed-forward part."""
    dropout: Share = 0.2
    """Of a layer, while it is trained."""
    hidden: Count = 128
    """Hidden width of each attribute's head."""
    margin: Positive = 2.0
    """Centimetres that the planes reach beyond the first Gaussians."""


class Planes(nn.Module):
    """Features of positions in a box around the first Gaussians.

    Args:
        means: ``[N, 3]`` the first Gaussians.
        config: sizes.
    """

    low: Tensor
    span: Tensor

    def __init__(self, means: Float[Tensor, "N 3"], config: CrossConfig) -> None:
        super().__init__()
        at = means.detach() if len(means) else torch.zeros(1, 3)
        self.register_buffer("low", at.amin(0) - config.margin)
        self.register_buffer("span", at.amax(0) + config.margin - self.low)
        self.encoder = make_encoder(**vars(config.encoder))
        self.dim: int = self.encoder.dim

    def forward(self, means: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in head space."""
        features: Tensor = self.encoder((means - self.low) / self.span * 2 - 1)
        return features


class _Layer(nn.Module):
    """Places ask tokens, then think; each with a residual and a norm after it."""

    def __init__(self, dim: int, config: CrossConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.ask, self.keys, self.values, self.told = (nn.Linear(dim, dim) for _ in range(4))
        self.first, self.second = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, dim)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "N D"], tokens: Float[Tensor, "T D"]
    ) -> Float[Tensor, "N D"]:
        def split(rows: Tensor) -> Tensor:
            return rows.unflatten(1, (self.heads, -1)).transpose(0, 1)

        asked, keys, values = (
            split(self.ask(x)),
            split(self.keys(tokens)),
            split(self.values(tokens)),
        )
        weights = (asked @ keys.mT / keys.shape[-1] ** 0.5).softmax(-1)
        told = (weights @ values).transpose(0, 1).flatten(1)
        x = self.first(x + self.drop(self.told(told)))
        return self.second(x + self.drop(self.narrow(torch.relu(self.wide(x)))))


class CrossAttention(nn.Module):
    """Changes of every attribute of Gaussians, by what their places make of the tokens.

    Args:
        dim: numbers of position features; also the width of tokens.
        sound: numbers of the sound in a code; the eye opening follows them.
        harmonics: of each Gaussian's colour.
        config: sizes.
    """

    def __init__(self, dim: int, sound: int, harmonics: int, config: CrossConfig) -> None:
        super().__init__()
        self.sound, self.harmonics = sound, harmonics
        self.hear, self.camera = nn.Linear(sound, dim), nn.Linear(_CAMERA, dim)
        self.eye = nn.Linear(sound, dim)
        self.null = nn.Parameter(torch.randn(1, dim) * 0.02)
        self.layers = nn.ModuleList(_Layer(dim, config) for _ in range(config.layers))
        widths = {"means": 3, "scales": 3, "quats": 4, "opacities": 1, "sh": 3 * harmonics}
        self.out = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, width)
                )
                for name, width in widths.items()
            }
        )
        for head in self.out.values():
            last = head[-1]  # type: ignore[index]
            nn.init.normal_(last.weight, std=1e-3)
            nn.init.zeros_(last.bias)

    def tokens(
        self, code: Float[Tensor, " A"], viewmat: Float[Tensor, "4 4"]
    ) -> Float[Tensor, "4 D"]:
        """Sound, eyes, camera, and the token that says nothing."""
        eye = self.eye(waves(code[self.sound :], self.sound))
        pose = self.camera(viewmat[:3].flatten())
        return torch.stack([self.hear(code[: self.sound]), eye, pose, self.null[0]])

    def forward(
        self,
        features: Float[Tensor, "N D"],
        code: Float[Tensor, " A"],
        viewmat: Float[Tensor, "4 4"],
    ) -> dict[str, Tensor]:
        """Changes in raw space, attribute by attribute; ``sh`` is ``[N, K, 3]``.

        Args:
            features: of the Gaussians' places.
            code: of the frame.
            viewmat: head to camera in the frame, translation in metres.
        """
        tokens = self.tokens(code, viewmat)
        x = features
        for layer in self.layers:
            x = layer(x, tokens)
        changes = {name: self.out[name](x) for name in ATTRIBUTES}
        changes["sh"] = changes["sh"].unflatten(1, (self.harmonics, 3))
        return changes


def waves(number: Float[Tensor, " 1"], count: int) -> Float[Tensor, " count"]:
    """One number as ``count`` sines and cosines of octaves growing to 2^4 (Vaswani et al. 2017)."""
    octaves = 2.0 ** torch.linspace(-2, 4, (count + 1) // 2, device=number.device)
    angles = number * octaves
    return torch.cat([angles.sin(), angles.cos()])[:count]


class CanonicalHeads(nn.Module):
    """Opacity and colour of a Gaussian from its place alone: the coarse stage's.

    Args:
        dim: numbers of position features.
        harmonics: of each Gaussian's colour.
        hidden: width.
    """

    def __init__(self, dim: int, harmonics: int, hidden: int) -> None:
        super().__init__()
        self.harmonics = harmonics
        solid = nn.Linear(hidden, 1)
        nn.init.constant_(solid.bias, 2.0)  # solid, with a gradient left
        self.opacity = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), solid)
        self.colour = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 3 * harmonics)
        )

    def forward(self, features: Float[Tensor, "N D"]) -> tuple[Tensor, Tensor]:
        """Logits ``[N]`` and harmonics ``[N, K, 3]``."""
        return self.opacity(features)[:, 0], self.colour(features).unflatten(1, (self.harmonics, 3))
