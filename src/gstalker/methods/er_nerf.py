"""ER-NeRF (arXiv 2307.09323) and its parent RAD-NeRF (arXiv 2211.12368): head, lips, torso.

The two differ in their networks' sizes and in how sound and pose are told to them, which is all
config: ``configs/er_nerf.yaml`` and ``configs/rad_nerf.yaml``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gstalker.deform.audio import AudioConfig
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.limits import Share
from gstalker.methods import StagePlan
from gstalker.methods.layered import LayeredMethod, fit_head_box, fit_sound, somewhere
from gstalker.radiance.marched import MarchedFieldConfig
from gstalker.stages.marched_head import MarchedHead, MarchedHeadConfig
from gstalker.stages.marched_lips import MarchedLips, MarchedLipsConfig
from gstalker.stages.marched_torso import MarchedTorso, MarchedTorsoConfig
from gstalker.stages.trainable import trainable


def _audio() -> AudioConfig:
    return AudioConfig(code=32, eye_code=0)


@dataclass
class ERNeRFConfig:
    """The whole method; defaults are ER-NeRF's published values."""

    field: MarchedFieldConfig = dataclasses.field(default_factory=MarchedFieldConfig)
    """The head's networks."""
    audio: AudioConfig = dataclasses.field(default_factory=_audio)
    """What listens; the eye's opening goes to the field by itself, so ``eye_code`` stays 0."""
    spread_codes: bool = False
    """Begin with codes that differ from frame to frame (not in the papers, whose schedules are long
    enough to do without)."""
    head: MarchedHeadConfig = dataclasses.field(default_factory=MarchedHeadConfig)
    """Stage one."""
    lips: MarchedLipsConfig | None = dataclasses.field(default_factory=MarchedLipsConfig)
    """Stage two, the head's polish; null leaves it out."""
    torso: MarchedTorsoConfig | None = dataclasses.field(default_factory=MarchedTorsoConfig)
    """Stage three; null draws the head over the still background alone."""
    average: Share = 0.95
    """Share of the moving average of all that learns that each step keeps (RAD-NeRF)."""


class ERNeRF(LayeredMethod):
    """Head, lips and torso; arguments as :class:`LayeredMethod`'s."""

    Config = ERNeRFConfig
    TORSO = MarchedTorso
    config: ERNeRFConfig

    def stages(self) -> Sequence[StagePlan]:
        """Head, then lips and torso where the config has them."""
        from gstalker.callbacks.average import MovingAverage

        config = self.config
        planned: list[tuple[str, int, Any]] = [("head", config.head.steps, self._head)]
        if config.lips is not None:
            planned.append(("lips", config.lips.steps, self._lips))
        if config.torso is not None:
            planned.append(("torso", config.torso.steps, self._torso))
        return [self._plan(*plan, MovingAverage(config.average)) for plan in planned]

    def _head(self, folder: Path) -> Any:
        box = fit_head_box(self.capture)
        head = trainable(MarchedHead)(box, *self._sizes(), **self._parts())
        fit_sound(head.audio, self.capture, self.features, spread=self.config.spread_codes)
        return head

    def _lips(self, folder: Path) -> Any:
        assert self.config.lips is not None
        made = trainable(MarchedLips)
        lips = made(somewhere(), *self._sizes(), **self._parts(), polish=self.config.lips)
        self.files.load(folder / "head" / "model.pt", lips)
        return lips

    def _trained_head(self, folder: Path) -> MarchedHead:
        head = MarchedHead(somewhere(), *self._sizes(), **self._parts())
        last = "head" if self.config.lips is None else "lips"
        self.files.load(folder / last / "model.pt", head)
        return head

    def _empty_torso(self, head: Any, kind: Callable[..., nn.Module]) -> nn.Module:
        rest = mean_viewmat(self.capture.poses[self.train_ids])
        return kind(head, rest, self.capture.frame_count, self.config.torso)

    def _sizes(self) -> tuple[int, int, int]:
        return self._feature_dim, self.capture.frame_count, int(self.train_ids[0])

    def _parts(self) -> dict[str, Any]:
        config = self.config
        return {"field": config.field, "audio": config.audio, "config": config.head}
