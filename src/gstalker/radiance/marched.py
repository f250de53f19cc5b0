"""The head of RAD-NeRF and ER-NeRF: hash-grid features and a sound become density and colour.

ER-NeRF (arXiv 2307.09323, section 3.2): a tri-plane hash encoding; a vector that depends on the
place is multiplied onto the audio code (region attention), and a number onto the eye's. RAD-NeRF
(arXiv 2211.12368): a 3-D hash grid; place and audio code give two coordinates, which a second
grid reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.deform.field import EncoderConfig
from gstalker.encode import make_encoder
from gstalker.encode.grid import HashGrid
from gstalker.errors import ConfigError
from gstalker.gaussians.harmonics import basis
from gstalker.limits import Amount, Count, Whole
from gstalker.radiance.layers import Perceptron

HARMONICS = 16
"""Numbers that a direction becomes (both papers: spherical harmonics up to degree 3)."""
STEEPEST = 15.0
"""Logarithm of the greatest density."""


def _planes() -> EncoderConfig:
    return EncoderConfig(levels=14, features_per_level=1, log2_table=14, base=64, finest=512)


def _sound_grid() -> EncoderConfig:
    return EncoderConfig("grid2d", 16, 2, 16, 16, 2048)


@dataclass
class MarchedFieldConfig:
    """The head's networks; defaults are ER-NeRF's."""

    encoder: EncoderConfig = field(default_factory=_planes)
    """Position features: ER-NeRF's text has 14 levels of 1 number from 64 to 512 cells, its
    released code 12; only 14 give the weights' published size."""
    sound: str = "attention"
    """attention: ER-NeRF's; ambient: RAD-NeRF's coordinates, which ``sound_grid`` reads."""
    sound_grid: EncoderConfig = field(default_factory=_sound_grid)
    """Sizes of the grid that ambient coordinates are read from."""
    eye_attention: bool = True
    """Weigh the eye by the place (ER-NeRF); off: it joins as it is (RAD-NeRF)."""
    hidden: Count = 64
    """Width of the hidden layers."""
    geometry: Count = 64
    """Numbers that the colour learns about the place."""
    latent: Whole = 4
    """Numbers of its own that each training frame has for its light; 0 for none."""
    widened: Amount = 0.001
    """How far beyond 0 and 1 the sigmoid of colours reaches, so that both are reached (ER-NeRF's
    released code; RAD-NeRF: 0)."""


@dataclass(frozen=True)
class Heard:
    """What a field says of places under one frame's code."""

    density: Float[Tensor, " M"]
    """Per box unit."""
    geometry: Float[Tensor, "M G"]
    """For the colour."""
    sound: Float[Tensor, " M"]
    """How much the sound matters there."""
    eye: Float[Tensor, " M"]
    """How much the eye matters there, 0 to 1."""


class MarchedField(nn.Module):
    """Density and colour of places in box units.

    Args:
        code: numbers in the audio code; the frame's code has the eye's opening behind them.
        config: sizes.
    """

    def __init__(self, code: int, config: MarchedFieldConfig) -> None:
        super().__init__()
        if config.sound not in ("attention", "ambient"):
            raise ConfigError(f"method.field.sound is '{config.sound}'; known: attention, ambient")
        self.config = config
        self.encoder = make_encoder(config.encoder.name, **_sizes(config.encoder))
        places = self.encoder.dim
        heard = code
        self.sound_grid: HashGrid | None = None
        if config.sound == "ambient":
            self.sound_grid = HashGrid(2, **_sizes(config.sound_grid))
            self.attention = Perceptron(places + code, config.hidden, 2, layers=3)
            heard = self.sound_grid.dim
        else:
            self.attention = Perceptron(places, config.hidden, code, layers=2)
        self.eye_attention = Perceptron(places, 16, 1, layers=2) if config.eye_attention else None
        self.density = Perceptron(places + heard + 1, config.hidden, 1 + config.geometry, layers=3)
        self.color = Perceptron(
            HARMONICS + config.geometry + config.latent, config.hidden, 3, layers=2
        )

    def forward(self, places: Float[Tensor, "M 3"], code: Float[Tensor, " A"]) -> Heard:
        """What is at places under one frame's code, the eye's opening last in it."""
        features = self.encoder(places)
        sound, eye = code[:-1], code[-1:]
        if self.sound_grid is not None:
            asked = torch.cat([features, sound.expand(len(features), -1)], dim=1)
            coordinates = torch.tanh(self.attention(asked))
            heard, loud = self.sound_grid(coordinates), coordinates.abs().mean(1)
        else:
            gate = self.attention(features)
            heard, loud = gate * sound, gate.norm(dim=1)
        watched = features.new_ones(len(features), 1)
        if self.eye_attention is not None:
            watched = torch.sigmoid(self.eye_attention(features))
        out = self.density(torch.cat([features, heard, watched * eye], dim=1))
        density = out[:, 0].clamp_max(STEEPEST).exp()
        return Heard(density, out[:, 1:], loud, watched[:, 0])

    def colors(
        self,
        heard: Heard,
        directions: Float[Tensor, "R 3"],
        ray: Int[Tensor, " M"],
        latent: Float[Tensor, " L"],
    ) -> Float[Tensor, "M 3"]:
        """Colours of places as seen along their rays, under one frame's light."""
        light = torch.cat([basis(directions, HARMONICS), latent.expand(len(directions), -1)], dim=1)
        out = self.color(torch.cat([light.index_select(0, ray), heard.geometry], dim=1))
        widened = self.config.widened
        return torch.sigmoid(out) * (1 + 2 * widened) - widened


def _sizes(config: EncoderConfig) -> dict[str, int]:
    return {name: value for name, value in vars(config).items() if name != "name"}
