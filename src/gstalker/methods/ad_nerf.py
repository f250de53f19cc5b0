"""AD-NeRF (Guo et al. 2021, ICCV): a head that listens, then a torso in front of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gstalker.deform.audio import AudioConfig
from gstalker.methods import StagePlan
from gstalker.methods.layered import LayeredMethod, fit_head_box, fit_sound, somewhere
from gstalker.stages.sampled_head import SampledConfig, SampledHead, SampledTorso
from gstalker.stages.trainable import trainable


def _audio() -> AudioConfig:
    return AudioConfig(code=64, eye_code=0)


def _torso() -> SampledConfig:
    return SampledConfig(steps=300_000, rays=1024)


@dataclass
class ADNeRFConfig:
    """The whole method; defaults are the published values."""

    audio: AudioConfig = dataclasses.field(default_factory=_audio)
    """What listens; AD-NeRF is not told of the eyes, so ``eye_code`` stays 0."""
    spread_codes: bool = False
    """Begin with codes that differ from frame to frame (not in the papers, whose schedules are long
    enough to do without)."""
    head: SampledConfig = dataclasses.field(default_factory=SampledConfig)
    """Stage one."""
    torso: SampledConfig | None = dataclasses.field(default_factory=_torso)
    """Stage two; null draws the head over the still background alone."""


class ADNeRF(LayeredMethod):
    """Head and torso; arguments as :class:`LayeredMethod`'s."""

    Config = ADNeRFConfig
    TORSO = SampledTorso
    VALIDATION_FRAMES = 4  # each asks every ray's samples twice, at 128 x 128 pixels for a second
    config: ADNeRFConfig

    def stages(self) -> Sequence[StagePlan]:
        """Head, then the torso where the config has one."""
        plans = [self._plan("head", self.config.head.steps, self._head)]
        if self.config.torso is not None:
            plans.append(self._plan("torso", self.config.torso.steps, self._torso))
        return plans

    def _head(self, folder: Path) -> Any:
        head = trainable(SampledHead)(
            fit_head_box(self.capture), self._feature_dim, self.config.audio, self.config.head
        )
        fit_sound(head.audio, self.capture, self.features, spread=self.config.spread_codes)
        return head

    def _trained_head(self, folder: Path) -> SampledHead:
        config = self.config
        head = SampledHead(somewhere(), self._feature_dim, config.audio, config.head)
        self.files.load(folder / "head" / "model.pt", head)
        return head

    def _empty_torso(self, head: Any, kind: Callable[..., nn.Module]) -> nn.Module:
        first = self.capture.poses[int(self.train_ids[0])]
        return kind(head, first, self.config.torso)
