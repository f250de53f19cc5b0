"""ER-NeRF (arXiv 2307.09323) and its parent RAD-NeRF (arXiv 2211.12368): head, lips, torso.

The two differ in their networks' sizes and in how sound and pose are told to them, which is all
config: ``configs/er_nerf.yaml`` and ``configs/rad_nerf.yaml``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from gstalker.callbacks.average import MovingAverage
from gstalker.data.capture import Capture
from gstalker.deform.audio import AudioConfig
from gstalker.errors import ConfigError
from gstalker.methods import Performer, StagePlan
from gstalker.methods.speakers import fit_head_box, fit_sound, mean_code, refuse_rasterizer
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.radiance.marched import MarchedFieldConfig
from gstalker.rays.box import HeadBox
from gstalker.stages.marched_head import MarchedHead, MarchedHeadConfig
from gstalker.stages.marched_lips import MarchedLips, MarchedLipsConfig
from gstalker.stages.marched_torso import MarchedTorso, MarchedTorsoConfig
from gstalker.stages.model_file import load_model, save_model
from gstalker.stages.ray_performer import RayPerformer

MODEL_VERSION = 1


def _audio() -> AudioConfig:
    return AudioConfig(code=32, eye_code=0)


@dataclass
class ERNeRFConfig:
    """The whole method; defaults are ER-NeRF's published values."""

    field: MarchedFieldConfig = dataclasses.field(default_factory=MarchedFieldConfig)
    """The head's networks."""
    audio: AudioConfig = dataclasses.field(default_factory=_audio)
    """What listens; the eye's opening goes to the field by itself, so ``eye_code`` stays 0."""
    head: MarchedHeadConfig = dataclasses.field(default_factory=MarchedHeadConfig)
    """Stage one."""
    lips: MarchedLipsConfig | None = dataclasses.field(default_factory=MarchedLipsConfig)
    """Stage two, the head's polish; null leaves it out."""
    torso: MarchedTorsoConfig | None = dataclasses.field(default_factory=MarchedTorsoConfig)
    """Stage three; null draws the head over the still background alone."""
    average: float = 0.95
    """Share of the moving average of all that learns that each step keeps (RAD-NeRF)."""


class ERNeRF:
    """Head, lips and torso, each behind a file of the one before.

    Args:
        config: the method's.
        capture: what it is trained on.
        rasterizer: of Gaussians; there are none.
        features: kind of sound features, resolved.
        device: cpu or cuda.
    """

    Config = ERNeRFConfig

    def __init__(
        self,
        config: ERNeRFConfig,
        capture: Capture,
        *,
        rasterizer: str,
        features: str,
        device: str = "cpu",
    ) -> None:
        refuse_rasterizer(rasterizer)
        if config.audio.eye_code:
            raise ConfigError(
                "method.audio.eye_code: this method tells the field the eye's opening itself; give 0"
            )
        self.config = config
        self.capture = capture
        self.features = features
        self.device = device
        self.train_ids, _ = capture.split()
        self._facts: dict[str, Any] = {
            "version": MODEL_VERSION,
            "features": features,
            "capture": capture,
        }

    @staticmethod
    def sound(config: ERNeRFConfig) -> str:
        """Kind of sound features that the config asks for."""
        return config.audio.features

    def stages(self) -> Sequence[StagePlan]:
        """Head, then lips and torso where the config has them."""
        config = self.config
        planned: list[tuple[str, int, Any]] = [("head", config.head.steps, self._head)]
        if config.lips is not None:
            planned.append(("lips", config.lips.steps, self._lips))
        if config.torso is not None:
            planned.append(("torso", config.torso.steps, self._torso))
        return [
            StagePlan(
                name,
                steps,
                build,
                partial(self._leave, name),
                f"{name}/model.pt",
                [MovingAverage(config.average)],
            )
            for name, steps, build in planned
        ]

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head and torso; ``silent``: with the mean code of the training part."""
        stage: L.LightningModule = self._trained_head(folder)
        if self.config.torso is not None:
            stage = self._empty_torso(stage)
            load_model(folder / "torso" / "model.pt", stage, **self._facts)
        return RayPerformer(stage, self.device, silent=silent)

    # ------------------------------------------------------------------ stages

    def _head(self, folder: Path) -> MarchedHead:
        head = MarchedHead(fit_head_box(self.capture), *self._sizes(), **self._parts())
        fit_sound(head.audio, self.capture, self.features)
        return head

    def _lips(self, folder: Path) -> MarchedLips:
        assert self.config.lips is not None
        lips = MarchedLips(
            _somewhere(), *self._sizes(), **self._parts(), polish=self.config.lips
        )
        load_model(folder / "head" / "model.pt", lips, **self._facts)
        return lips

    def _torso(self, folder: Path) -> MarchedTorso:
        return self._empty_torso(self._trained_head(folder))

    def _leave(self, name: str, stage: L.LightningModule, folder: Path) -> None:
        if isinstance(stage, MarchedHead):
            stage.deaf.copy_(mean_code(stage, self.capture, self.features))
        save_model(folder / name / "model.pt", stage, **self._facts)

    # ------------------------------------------------------------------ parts

    def _trained_head(self, folder: Path) -> MarchedHead:
        head = MarchedHead(_somewhere(), *self._sizes(), **self._parts())
        last = "head" if self.config.lips is None else "lips"
        load_model(folder / last / "model.pt", head, **self._facts)
        return head

    def _empty_torso(self, head: Any) -> MarchedTorso:
        rest = mean_viewmat(self.capture.poses[self.train_ids])
        return MarchedTorso(head, rest, self.capture.frame_count, self.config.torso)

    def _sizes(self) -> tuple[int, int, int]:
        dim = self.capture.meta["features"][self.features]["dim"]
        return dim, self.capture.frame_count, int(self.train_ids[0])

    def _parts(self) -> dict[str, Any]:
        config = self.config
        return {"field": config.field, "audio": config.audio, "config": config.head}


def _somewhere() -> HeadBox:
    """A box whose place is yet to be read from a file."""
    return HeadBox(-torch.ones(3), torch.ones(3))
