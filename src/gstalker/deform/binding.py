"""Gaussians bound to a face mesh: when its triangles move, turn and grow, so do they.

Each lies at a place in the nearest triangle and keeps its offset from it in the triangle's own
frame (as GaussianAvatars binds them, Qian et al. 2024). Farther off the hold fades, so that hair
and neck stay. On top of that each has a few blendshapes of its own, which say how it moves,
reshapes and recolours with a latent pose: what a mesh cannot tell (GaussianTalker 2404.14037).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.deform.place import WIDTHS, Changes, Rows
from gstalker.gaussians.rotations import matrix_to_quat, quat_multiply

if TYPE_CHECKING:
    from gstalker.deform.blendshapes import Blendshapes

NEAR, FAR = 0.6, 4.0
"""Centimetres from the mesh up to which a Gaussian is held wholly, and from which not at all."""
COLUMNS = {"means": 0, "scales": 3, "quats": 6, "opacities": 10}
"""Where the changes of each raw tensor begin; the constant colour's follow them."""
_COLOUR = 11
_WIDTH = _COLOUR + WIDTHS["sh"]
_LEAST, _MOST = 1 / 3, 3.0
"""How much smaller or larger a triangle can make its Gaussians."""
_CANDIDATES = 8
"""Triangles nearest by their middle, of which the nearest by surface is taken."""


@dataclass(frozen=True)
class Holds:
    """Where Gaussians are bound."""

    index: Int[Tensor, " M"]
    """Which Gaussians, ascending."""
    corners: Int[Tensor, "M 3"]
    """Vertices of their triangles."""
    weights: Float[Tensor, "M 3"]
    """Of the corners, summing to 1."""
    fade: Float[Tensor, " M"]
    """How firmly each is held, in (0, 1]."""


def bind(means: Float[Tensor, "N 3"], face: Blendshapes) -> Holds:
    """Bind Gaussians to the nearest triangles of a face at rest."""
    from scipy.spatial import cKDTree  # a third of a second, which a bound head that speaks saves

    points = means.detach().double().numpy()
    corners = face.rest[face.triangles]
    _, near = cKDTree(corners.mean(1)).query(points, k=min(_CANDIDATES, len(corners)))
    near = near.reshape(len(points), -1)
    weights = _barycentric(points[:, None], corners[near])
    touched = (weights[..., None] * corners[near]).sum(2)
    distance = np.linalg.norm(points[:, None] - touched, axis=2)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    fade = np.clip((FAR - distance[rows, best]) / (FAR - NEAR), 0, 1)
    held = np.flatnonzero(fade > 0)
    return Holds(
        torch.from_numpy(held),
        torch.from_numpy(face.triangles[near[rows, best]][held]),
        torch.from_numpy(weights[rows, best][held]).float(),
        torch.from_numpy(fade[held]).float(),
    )


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights ``[..., 3]`` of corners ``[..., 3, 3]``: the foot of each point, brought inside."""
    a, b = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    p = points - corners[..., 0, :]
    aa, ab, bb = (a * a).sum(-1), (a * b).sum(-1), (b * b).sum(-1)
    pa, pb = (p * a).sum(-1), (p * b).sum(-1)
    area = np.maximum(aa * bb - ab**2, 1e-12)
    v, w = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
    weights = np.stack([1 - v - w, v, w], -1).clip(0)
    return weights / weights.sum(-1, keepdims=True)


class Binding(nn.Module):
    """Changes of bound Gaussians under blendshape weights.

    Args:
        rest: ``[V, 3]`` the face.
        shapes: ``[K, V, 3]``.
        holds: where the Gaussians are bound.
        own: blendshapes of its own that each has.
    """

    rest: Tensor
    shapes: Tensor
    index: Tensor
    corners: Tensor
    weights: Tensor
    fade: Tensor

    def __init__(
        self,
        rest: Float[Tensor, "V 3"],
        shapes: Float[Tensor, "K V 3"],
        holds: Holds,
        own: int,
    ) -> None:
        super().__init__()
        for name, value in (("rest", rest), ("shapes", shapes), *vars(holds).items()):
            self.register_buffer(name, value.clone())
        self.own = nn.Parameter(torch.zeros(len(holds.index), own, _WIDTH))

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> Binding:
        """One of the sizes of a state, to load it into."""
        holds = Holds(*(state[name] for name in ("index", "corners", "weights", "fade")))
        return cls(state["rest"], state["shapes"], holds, state["own"].shape[1])

    def rows(self, count: int) -> Rows:
        """The bound rows of a cloud of ``count`` Gaussians."""
        slot = torch.full((count,), -1, dtype=torch.int32, device=self.index.device)
        slot[self.index] = torch.arange(len(self.index), dtype=torch.int32, device=slot.device)
        return Rows(self.index, slot)

    def forward(
        self,
        means: Float[Tensor, "M 3"],
        quats: Float[Tensor, "M 4"],
        amounts: Float[Tensor, " K"],
        latent: Float[Tensor, " L"],
    ) -> tuple[Changes, Float[Tensor, "M 1 3"]]:
        """Changes in raw space, and those of the constant colour.

        Args:
            means: of the bound Gaussians.
            quats: of the bound Gaussians.
            amounts: of each blendshape.
            latent: of each Gaussian's own.
        """
        held = self.follow_mesh(means, quats, amounts)
        own = torch.einsum("l,mlo->mo", latent, self.own)
        values = torch.cat([held + own[:, :10], own[:, 10:_COLOUR]], dim=1)
        return Changes(values, COLUMNS), own[:, None, _COLOUR:]

    def follow_mesh(
        self, means: Float[Tensor, "M 3"], quats: Float[Tensor, "M 4"], amounts: Float[Tensor, " K"]
    ) -> Float[Tensor, "M 10"]:
        """Changes of means, log-scales and quats that the mesh alone makes."""
        mesh = self.rest + torch.einsum("k,kvc->vc", amounts, self.shapes)
        was, now = self.rest[self.corners], mesh[self.corners]
        stood, sides = _frames(was)
        stands, grown = _frames(now)
        turn = stands @ stood.mT
        ratio = (grown / sides).clamp(_LEAST, _MOST)[:, None]
        weights = self.weights[..., None]
        from_mesh = means - (weights * was).sum(1)
        there = (weights * now).sum(1) + ratio * (turn @ from_mesh[..., None])[..., 0]
        spin = matrix_to_quat(turn)
        spin = torch.where(spin[:, :1] < 0, -spin, spin)
        turned = quat_multiply(spin, quats)
        changes = [there - means, ratio.log().expand(-1, 3), turned - quats]
        return self.fade[:, None] * torch.cat(changes, dim=1)


def _frames(corners: Float[Tensor, "M 3 3"]) -> tuple[Float[Tensor, "M 3 3"], Float[Tensor, " M"]]:
    """Axes of triangles, as columns, and the side of a square of the same area."""
    along = corners[:, 1] - corners[:, 0]
    normal = torch.linalg.cross(along, corners[:, 2] - corners[:, 0])
    doubled = normal.norm(dim=1)
    x = nn.functional.normalize(along, dim=1, eps=1e-6)
    z = normal / doubled.clamp_min(1e-6)[:, None]
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=2), (doubled + 1e-6).sqrt()
