"""The clock and the wiring of growing and pruning; decisions are ``gaussians.density``'s.

The hook runs after the optimizer's step, as in gsplat's trainer; the INRIA code operates just
before it. One step's difference, written down so that nobody has to find it again.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from gstalker.errors import ConfigError
from gstalker.gaussians import density, surgery
from gstalker.gaussians.density import DensityConfig, GrowthStats
from gstalker.types import Render


class Densification(L.Callback):
    """Grows and prunes the cloud of a stage whose ``training_step`` returns its ``render``.

    Taking it away gives a valid run of fixed size: that is the ablation.

    Args:
        config: thresholds and schedule.

    Raises:
        ConfigError: the schedule or the thresholds would destroy the cloud.
    """

    def __init__(self, config: DensityConfig | None = None) -> None:
        self.config = config or DensityConfig()
        _check(self.config)
        self.stats: GrowthStats | None = None
        self._last_step = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the render; operate if it is time."""
        config, step = self.config, trainer.global_step
        if step >= config.stop_step:
            return
        cloud: Any = stage.cloud
        if self.stats is None or len(self.stats.count) != len(cloud):
            self.stats = GrowthStats.zeros(len(cloud), cloud.means.device)
        render: Render = outputs["render"]
        if render.means2d.grad is None:
            raise ValueError(
                "Densification needs a render whose means2d kept its gradient, but found none"
            )
        height, width = render.image.shape[1:3]
        self.stats.add(render.means2d.grad, render.radii, width, height)
        # Under gradient accumulation several batches end at one step; operate when it is taken.
        stepped, self._last_step = step != self._last_step, step
        if step < config.start_step or not stepped:
            return
        optimizer = trainer.optimizers[0]
        if step % config.every_steps == 0:
            self._operate(optimizer, cloud, step)
            self.stats = GrowthStats.zeros(len(cloud), cloud.means.device)
        if config.reset_every_steps and step % config.reset_every_steps == 0:
            surgery.reset_opacities(optimizer, cloud, config.reset_opacity)

    @torch.no_grad()
    def _operate(self, optimizer: torch.optim.Optimizer, cloud: Any, step: int) -> None:
        config = self.config
        assert self.stats is not None
        pull, splats = self.stats.mean(), cloud.splats()
        limits = {"prune_opacity": _floor(config, step), "prune_scale3d": config.prune_scale3d}
        gone = density.prune_mask(splats.opacities, splats.scales, **limits)
        gone |= density.broken_mask(*vars(splats).values(), cloud.follow.sigmoid())
        limits = {"grow_grad2d": config.grow_grad2d, "grow_scale3d": config.grow_scale3d}
        clone = density.clone_mask(pull, splats.scales, **limits)
        split = density.split_mask(pull, splats.scales, **limits)
        room = config.max_gaussians - len(cloud)
        chosen = _hardest(pull, (clone | split) & ~gone, room)
        clone, split = clone & chosen, split & chosen
        generator = torch.Generator().manual_seed(step)  # the same halves after a resume
        copies = surgery.rows_of(cloud, torch.nonzero(clone)[:, 0])
        halves = density.split_rows(surgery.rows_of(cloud, torch.nonzero(split)[:, 0]), generator)
        surgery.keep(optimizer, cloud, ~(gone | split))
        surgery.append(optimizer, cloud, {n: torch.cat([copies[n], halves[n]]) for n in copies})

    def state_dict(self) -> dict[str, Any]:
        """The counts since the last operation."""
        return {} if self.stats is None else dict(vars(self.stats))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.stats = GrowthStats(**state_dict) if state_dict else None


def _floor(config: DensityConfig, step: int) -> float:
    """The opacity below which is pruned at a step."""
    if config.prune_opacity_last is None:
        return config.prune_opacity
    passed = min(step / max(config.stop_step, 1), 1.0)
    return config.prune_opacity + passed * (config.prune_opacity_last - config.prune_opacity)


def _check(config: DensityConfig) -> None:
    if config.reset_every_steps and config.reset_opacity <= config.prune_opacity:
        raise ConfigError(
            f"densify.reset_opacity ({config.reset_opacity}) is not above densify.prune_opacity "
            f"({config.prune_opacity}): the first pruning after a reset would leave no Gaussian.\n"
            "  Raise the first, lower the second, or set densify.reset_every_steps=0"
        )


def _hardest(pull: torch.Tensor, wanted: torch.Tensor, room: int) -> torch.Tensor:
    """Of the wanted ones, as many as there is room for, the most pulled first."""
    if int(wanted.sum()) <= room:
        return wanted
    order = torch.argsort(torch.where(wanted, pull, -1.0), descending=True)[: max(room, 0)]
    chosen = torch.zeros_like(wanted)
    chosen[order] = True
    return chosen & wanted
