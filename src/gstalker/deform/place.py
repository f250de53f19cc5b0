"""A cloud becomes one frame's splats: moved by the field, activated, the torso held still.

``place`` is what ``GaussianCloud.splats`` and ``torso.carry`` do one after the other; on a CPU one
kernel does both (``native/src/place.cpp``), because a dozen passes over small tensors cost as much
as drawing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gstalker.deform import kernels
from gstalker.deform.torso import carry
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.types import Deltas, Splats

WIDTHS = {"means": 3, "scales": 3, "quats": 4, "opacities": 1, "sh": 3}
"""Numbers per Gaussian that a change of each raw tensor has."""


@dataclass(frozen=True)
class Rows:
    """Some of a cloud's rows."""

    index: Int[Tensor, " M"]
    """Which, ascending."""
    slot: Int[Tensor, " N"]
    """For each row of the cloud its place in ``index``; -1 for those that are not in it."""

    @classmethod
    def where(cls, mask: Bool[Tensor, " N"]) -> Rows:
        """Those that a mask has."""
        slot = torch.where(mask, mask.cumsum(0) - 1, -1)
        return cls(torch.nonzero(mask)[:, 0], slot.to(torch.int32))


@dataclass(frozen=True)
class Changes:
    """What the deformation field adds to some rows, side by side in one tensor."""

    values: Float[Tensor, "M O"]
    columns: Mapping[str, int]
    """First column of each raw tensor that is changed; a tensor without one stays."""

    def deltas(self) -> Deltas:
        """The same, tensor by tensor."""
        parts: dict[str, Tensor] = {}
        for name, first in self.columns.items():
            parts[name] = self.values[:, first : first + WIDTHS[name]]
        if "opacities" in parts:
            parts["opacities"] = parts["opacities"][:, 0]
        if "sh" in parts:
            parts["sh"] = parts["sh"][:, None]
        return Deltas(**parts)


def place(
    cloud: GaussianCloud,
    viewmat: Float[Tensor, "4 4"],
    rest_viewmat: Float[Tensor, "4 4"],
    *,
    changes: tuple[Changes, Rows] | None = None,
    shift: tuple[Float[Tensor, "T 3"], Rows] | None = None,
) -> Splats:
    """The splats that this frame's camera must see; see :func:`gstalker.deform.torso.carry`.

    Args:
        cloud: at rest.
        viewmat: head to camera in this frame; no gradient flows to it.
        rest_viewmat: head to camera at rest.
        changes: added in raw space, and the rows they belong to.
        shift: movement of the torso's share in head space at rest, and the rows it belongs to.
    """
    if kernels.place_fits(cloud.means, changes[0].columns if changes else ()):
        return _native(cloud, viewmat, rest_viewmat, changes, shift)
    deltas, rows = (changes[0].deltas(), changes[1].index) if changes else (None, None)
    splats = cloud.splats(deltas, rows)
    moved = None
    if shift is not None:
        moved = torch.zeros_like(splats.means).index_copy(0, shift[1].index, shift[0])
    return carry(splats, torch.sigmoid(cloud.follow), viewmat, rest_viewmat, moved)


def _native(
    cloud: GaussianCloud,
    viewmat: Tensor,
    rest_viewmat: Tensor,
    changes: tuple[Changes, Rows] | None,
    shift: tuple[Tensor, Rows] | None,
) -> Splats:
    parts = ("means", "scales", "quats", "opacities")
    columns = [changes[0].columns.get(name, -1) if changes else -1 for name in parts]
    means, scales, quats, opacities = kernels.place(
        cloud.means, cloud.scales, cloud.quats, cloud.opacities, cloud.follow,
        changes[0].values if changes else None,
        shift[0] if shift else None,
        changes[1].slot if changes else None,
        shift[1].slot if shift else None,
        columns, viewmat, rest_viewmat,
    )  # fmt: skip
    return Splats(means, scales, quats, opacities, cloud.sh)
