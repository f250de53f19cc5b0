"""The torso follows the pose: which Gaussians turn with the head, and how the others move.

The picture is drawn in the head's own space, where the head is fixed and the camera moves. A
Gaussian with ``follow`` 1 belongs to the head and stays; one with ``follow`` 0 belongs to the
torso, which rests in front of the resting camera, so in head space it must move against the head.
Between them, in the neck, positions are blended. On top of that ``PoseField`` predicts from the
pose how the torso moves along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gstalker.deform import kernels
from gstalker.gaussians.rotations import matrix_to_quat, quat_multiply
from gstalker.limits import Count, Whole
from gstalker.types import Splats


@dataclass
class TorsoConfig:
    """How the torso learns to move with the pose."""

    hidden: Count = 32
    """Width of the field's two hidden layers."""
    frequencies: Whole = 3
    """Octaves of the position code; the torso moves in large pieces, so few."""
    gain: float = 1.0
    """Centimetres of movement per unit of output."""


def carry(
    splats: Splats,
    follow: Float[Tensor, " N"],
    viewmat: Float[Tensor, "4 4"],
    rest_viewmat: Float[Tensor, "4 4"],
    shift: Float[Tensor, "N 3"] | None = None,
) -> Splats:
    """Place splats for one frame: the torso's share of each is held still in front of the camera.

    Args:
        splats: in head space.
        follow: 0 to 1, 1 = belongs to the head.
        viewmat: head to camera in this frame.
        rest_viewmat: head to camera at rest.
        shift: movement of the torso's share in this frame, head space at rest.

    Returns:
        The splats in head space as this frame's camera must see them. A mean goes to
        ``follow * x + (1 - follow) * viewmat⁻¹ rest_viewmat x``; rotations are blended alike.
    """
    back = torch.linalg.inv_ex(viewmat)[0] @ rest_viewmat
    keep = follow[:, None]
    resting = splats.means if shift is None else splats.means + shift
    rested = resting @ back[:3, :3].T + back[:3, 3]
    turn = matrix_to_quat(back[:3, :3])
    turn = torch.where(
        turn[:1] < 0, -turn, turn
    )  # the short way, so that the blend does not vanish
    identity = torch.zeros_like(turn)
    identity[0] = 1
    blended = keep * identity + (1 - keep) * turn
    return replace(
        splats,
        means=keep * splats.means + (1 - keep) * rested,
        quats=quat_multiply(blended, splats.quats),
    )


def pose_numbers(
    viewmats: Float[Tensor, "*F 4 4"], rest_viewmat: Float[Tensor, "4 4"]
) -> Float[Tensor, "*F 6"]:
    """A pose as six numbers: rotation vector (radians) and translation (cm) away from rest."""
    turn = viewmats[..., :3, :3] @ rest_viewmat[:3, :3].T
    # R - R^T holds 2 sin(angle) times the axis, and 1 + trace is 4 cos^2(angle / 2). At half a
    # turn both vanish, and a head that far from rest has no direction to speak of.
    twist = turn - turn.mT
    axis = torch.stack([twist[..., 2, 1], twist[..., 0, 2], twist[..., 1, 0]], dim=-1)
    cosine = (1 + turn.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)).clamp_min(1e-6).sqrt()
    shift = viewmats[..., :3, 3] - rest_viewmat[:3, 3]
    return torch.cat([axis / cosine, shift], dim=-1)


class PoseField(nn.Module):
    """How Gaussians of the torso move with the head pose.

    A bilinear field: the position decides what each of the pose's six numbers does there, so an
    unseen pose moves the torso in proportion and cannot send it to an arbitrary place.

    Args:
        means: ``[N, 3]`` resting positions; they fix the scale of the position code.
        poses: ``[F, 6]`` training poses as :func:`pose_numbers`; they fix the scale of the pose.
        config: sizes.
    """

    centre: Tensor
    radius: Tensor
    deviation: Tensor

    def __init__(
        self, means: Float[Tensor, "N 3"], poses: Float[Tensor, "F 6"], config: TorsoConfig
    ) -> None:
        super().__init__()
        self.register_buffer("centre", means.detach().mean(0))
        self.register_buffer("radius", means.detach().std(0).clamp_min(1e-3) * 2)
        self.register_buffer("deviation", poses.detach().std(0).clamp_min(1e-4))
        self.frequencies = config.frequencies
        self.gain = config.gain
        width = 3 * (1 + 2 * config.frequencies)
        self.first = nn.Linear(width, config.hidden)
        self.second = nn.Linear(config.hidden, config.hidden)
        self.last = nn.Linear(config.hidden, 18)
        nn.init.normal_(self.last.weight, std=1e-3)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, means: Float[Tensor, "N 3"], pose: Float[Tensor, " 6"]
    ) -> Float[Tensor, "N 3"]:
        """Movement of each position under one pose, in head space at rest."""
        return self.answer(self.encode(means), pose)

    def encode(self, means: Float[Tensor, "N 3"]) -> Float[Tensor, "N D"]:
        """Position code: the position, and sines and cosines of its octaves."""
        x = (means - self.centre) / self.radius
        octaves = [x] + [
            wave(x * (2**k)) for k in range(self.frequencies) for wave in (torch.sin, torch.cos)
        ]
        return torch.cat(octaves, dim=1)

    def answer(
        self, features: Float[Tensor, "N D"], pose: Float[Tensor, " 6"]
    ) -> Float[Tensor, "N 3"]:
        """Movement of positions whose codes are at hand."""
        first, second, last = self.first, self.second, self.last
        strength = (pose / self.deviation).clamp(-4, 4) * self.gain
        # Only what the pose makes of the last layer's 3 x 6 numbers is wanted, so it goes first.
        w3 = torch.einsum("kph,p->kh", last.weight.view(3, 6, -1), strength)
        b3 = last.bias.view(3, 6) @ strength
        layers = (first.weight, first.bias, second.weight, second.bias, w3, b3)
        if kernels.perceptron_fits(features, first.out_features, 3):
            return kernels.perceptron(features, *layers)
        return F.linear(torch.relu(second(torch.relu(first(features)))), w3, b3)
