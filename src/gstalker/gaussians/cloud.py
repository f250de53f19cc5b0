"""The cloud: trainable raw tensors, one row per Gaussian.

Raw means what Adam moves: log-scales, quaternions of any length, logits of opacity. ``splats``
activates them. How rows come and go is ``surgery``; who must is ``density``.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gstalker.gaussians import harmonics
from gstalker.types import Deltas, Splats

PARAMETERS = ("means", "scales", "quats", "opacities", "sh", "follow")
"""Names of the raw tensors; also of their groups in the optimizer."""

_SAFE = 1e-6


class GaussianCloud(nn.Module):
    """Raw Gaussians.

    Args:
        means: ``[N, 3]`` head space, world units.
        scales: ``[N, 3]`` natural log of the deviations.
        quats: ``[N, 4]`` wxyz, not normalised.
        opacities: ``[N]`` logits.
        sh: ``[N, K, 3]`` harmonic coefficients.
        follow: ``[N]`` logits of how much each follows the head (1) rather than resting with
            the torso (0).
    """

    means: nn.Parameter
    scales: nn.Parameter
    quats: nn.Parameter
    opacities: nn.Parameter
    sh: nn.Parameter
    follow: nn.Parameter

    def __init__(
        self,
        means: Float[Tensor, "N 3"],
        scales: Float[Tensor, "N 3"],
        quats: Float[Tensor, "N 4"],
        opacities: Float[Tensor, " N"],
        sh: Float[Tensor, "N K 3"],
        follow: Float[Tensor, " N"],
    ) -> None:
        super().__init__()
        for name, value in zip(
            PARAMETERS, (means, scales, quats, opacities, sh, follow), strict=True
        ):
            if len(value) != len(means):
                raise ValueError(f"expected {len(means)} rows of {name}, but got {len(value)}")
            setattr(self, name, nn.Parameter(value.detach().clone().contiguous()))

    @classmethod
    def empty(cls, sh_degree: int = 0) -> GaussianCloud:
        """A cloud of no Gaussians, to load a state into."""
        terms = harmonics.count(sh_degree)
        shapes = ((0, 3), (0, 3), (0, 4), (0,), (0, terms, 3), (0,))
        return cls(*(torch.zeros(shape) for shape in shapes))

    @classmethod
    def from_splats(
        cls, splats: Splats, follow: Float[Tensor, " N"] | None = None
    ) -> GaussianCloud:
        """The raw cloud that activates to ``splats``.

        Args:
            splats: activated.
            follow: share of following the head, in (0, 1); all head if not given.
        """
        share = torch.full_like(splats.opacities, 1 - 1e-3) if follow is None else follow
        return cls(
            splats.means,
            splats.scales.log(),
            splats.quats,
            torch.logit(splats.opacities, eps=_SAFE),
            splats.sh,
            torch.logit(share, eps=_SAFE),
        )

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        """Degree of the harmonics."""
        return int(self.sh.shape[1] ** 0.5) - 1

    def splats(self, deltas: Deltas | None = None, rows: Int[Tensor, " R"] | None = None) -> Splats:
        """Activate, after adding changes in raw space.

        Args:
            deltas: what to add; absent parts stay.
            rows: the rows that ``deltas`` belong to; all of them if not given.
        """
        raw = {name: getattr(self, name) for name in PARAMETERS if name != "follow"}
        if deltas is not None:
            for name, value in raw.items():
                change = getattr(deltas, name)
                if change is not None:
                    raw[name] = _added(value, change, rows)
        return Splats(
            means=raw["means"],
            scales=raw["scales"].exp(),
            quats=raw["quats"],
            opacities=raw["opacities"].sigmoid(),
            sh=raw["sh"],
        )

    @torch.no_grad()
    def limit_colors(self) -> None:
        """Keep constant colours displayable, in [0, 1].

        A speck too small to be seen can otherwise grow arbitrarily bright, until it moves.
        """
        if self.sh.shape[1] == 1:
            half = 0.5 / harmonics.C0
            self.sh.clamp_(-half, half)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the number of Gaussians from the checkpoint: clouds grow as they train.

        Only whole clouds are taken; anything else is left for torch to complain about.
        """
        states = {name: state_dict.get(prefix + name) for name in PARAMETERS}
        found = {name: value for name, value in states.items() if isinstance(value, Tensor)}
        lengths = {name: tuple(value.shape[:1]) for name, value in found.items()}
        if len(set(lengths.values())) > 1:
            error_msgs.append(f"the cloud's tensors disagree on the number of Gaussians: {lengths}")
            return
        if len(found) == len(PARAMETERS) and all(
            _fits(getattr(self, name), value, name) for name, value in found.items()
        ):
            for name, value in found.items():
                held = getattr(self, name)
                if held.shape != value.shape:
                    held.data = torch.empty(value.shape, dtype=held.dtype, device=held.device)
                    held.grad = None
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _fits(held: Tensor, value: Tensor, name: str) -> bool:
    """Whether these are the same kind of rows: only their number and the harmonics may differ."""
    first = 2 if name == "sh" else 1
    return value.ndim == held.ndim and value.shape[first:] == held.shape[first:]


def _added(value: Tensor, change: Tensor, rows: Tensor | None) -> Tensor:
    if change.ndim == 3 and change.shape[1] < value.shape[1]:  # a colour change has one harmonic
        pad = value.shape[1] - change.shape[1]
        change = nn.functional.pad(change, (0, 0, 0, pad))
    return value + change if rows is None else value.index_add(0, rows, change)
