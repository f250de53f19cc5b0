"""Region attention as TalkingGaussian has it: each place hears what concerns it.

The position's features say, through one small network a condition, how much of each number of the
sound and of the eye opening arrives there; a perceptron makes changes of all of it (ER-NeRF section
3.3 for the attention, TalkingGaussian for the decoder).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform import kernels
from gstalker.deform.field import EncoderConfig
from gstalker.deform.place import WIDTHS, Changes
from gstalker.encode import make_encoder
from gstalker.limits import Amount, Count, Positive, Whole


def _dense_planes() -> EncoderConfig:
    # 256 x the bound of 0.15 that coordinates keep: at that size nothing hashes.
    return EncoderConfig(levels=12, log2_table=17, base=16, finest=38)


@dataclass
class AttendedConfig:
    """Sizes; TalkingGaussian's face branch."""

    encoder: EncoderConfig = dataclasses.field(default_factory=_dense_planes)
    """Position features."""
    reach: Positive = 15.0
    """Centimetres from the middle of the head that the planes cover (their bound of 0.15)."""
    hidden: Count = 64
    """Width of the decoder's two hidden layers."""
    attention: Whole = 32
    """Hidden width of the sound's attention; 0: every place hears all of it."""
    eye_attention: Whole = 16
    """Hidden width of the eye's attention; 0: this branch has no eyes."""
    means: tuple[Amount, Amount, Amount] = (1.0, 1.0, 1.0)
    """Centimetres of movement per unit of output, by axis (their 0.01 of a metre)."""
    scales: Amount = 1.0
    """Log-scale change per unit of output; 0 leaves sizes alone."""
    quats: Amount = 1.0
    """Quaternion change per unit of output; 0 leaves rotations alone."""


class AttendedField(nn.Module):
    """Changes of Gaussians under a code: the sound's numbers, then the eye opening.

    Args:
        centre: ``[3]`` middle of the head.
        sound: numbers of the sound in a code; the eye opening follows them.
        config: sizes and gains.
    """

    centre: Tensor
    gain: Tensor

    def __init__(self, centre: Float[Tensor, " 3"], sound: int, config: AttendedConfig) -> None:
        super().__init__()
        self.register_buffer("centre", centre.clone())
        self.reach = config.reach
        self.encoder = make_encoder(**vars(config.encoder))
        width, eyes = self.encoder.dim, bool(config.eye_attention)
        self.sound = sound
        self.hears = _bottleneck(width, config.attention, sound) if config.attention else None
        self.sees = _bottleneck(width, config.eye_attention, 1) if eyes else None
        hidden = config.hidden
        each = {"means": list(config.means), "scales": [config.scales] * 3}
        each["quats"] = [config.quats] * 4
        gains = {name: gain for name, gain in each.items() if any(gain)}
        widths = [WIDTHS[name] for name in gains]
        self.columns = {name: sum(widths[:k]) for k, name in enumerate(gains)}
        gain = torch.tensor([g for gain in gains.values() for g in gain])
        self.register_buffer("gain", gain, persistent=False)
        sizes = (width + sound + eyes, hidden, hidden, sum(widths))
        self.first, self.second, self.last = (
            nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        nn.init.normal_(self.last.weight, std=1e-3)  # stillness, with a way out of it

    def encode(self, means: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Features of positions in head space."""
        features: Tensor = self.encoder((means - self.centre) / self.reach)
        return features

    def attentions(
        self, features: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, "N A"] | None, Float[Tensor, "N 1"] | None]:
        """What each place lets through of the sound and of the eye opening."""
        sound = None if self.hears is None else self.hears(features)
        eye = None if self.sees is None else torch.relu(self.sees(features))
        return sound, eye

    def forward(self, means: Float[Tensor, "N 3"], code: Float[Tensor, " A"]) -> Changes:
        """Changes under one frame's code."""
        features = self.encode(means)
        return self.answer(features, self.attentions(features), code)

    def answer(
        self,
        features: Float[Tensor, "N D"],
        attentions: tuple[Tensor | None, Tensor | None],
        code: Float[Tensor, " A"],
    ) -> Changes:
        """Changes where features and attentions are at hand."""
        heard, seen = attentions
        sound, eye = code[: self.sound], code[self.sound :]
        parts = [features, sound.expand(len(features), -1) if heard is None else heard * sound]
        if seen is not None:
            parts.append(seen * eye)
        return Changes(self._decode(torch.cat(parts, dim=1)), self.columns)

    def _decode(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        w1, w2 = self.first.weight, self.second.weight
        w3 = self.last.weight * self.gain[:, None]
        if kernels.perceptron_fits(x, len(w1), len(w3)):
            none = [x.new_zeros(len(w)) for w in (w1, w2, w3)]
            return kernels.perceptron(x, w1, none[0], w2, none[1], w3, none[2])
        return F.linear(torch.relu(F.linear(torch.relu(F.linear(x, w1)), w2)), w3)


def _bottleneck(*widths: int) -> nn.Sequential:
    first, second, third = widths
    return nn.Sequential(
        nn.Linear(first, second, bias=False), nn.ReLU(), nn.Linear(second, third, bias=False)
    )


def middle(points: Float[Tensor, "N 3"]) -> Float[Tensor, " 3"]:
    """Middle of the box around points: where a field's planes are laid."""
    return (points.amin(0) + points.amax(0)) / 2
