"""GaussianTalker (arXiv 2404.16012): one canonical cloud, spatial-audio attention, all deltas.

Of two papers with this name it is KU-CVLAB's; the other is ``blendshape_gaussians``. A coarse stage
learns where the Gaussians are and lets a multi-resolution tri-plane say how they look; a fine stage
lets each place attend to sound, eyes and camera, and changes every attribute.
``configs/gaussiantalker.yaml`` says what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gstalker.deform.crossattention import CrossConfig, Planes
from gstalker.deform.torso import TorsoConfig
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.gaussians.density import DensityConfig
from gstalker.limits import Count
from gstalker.methods import Performer, StagePlan
from gstalker.methods.portrait import Portrait, StartConfig
from gstalker.stages.crossfield import CanonicalStage, CrossStageConfig, FineConfig, FineStage
from gstalker.stages.model_file import fill, part_of
from gstalker.stages.performer import StagePerformer
from gstalker.stages.talking import Body
from gstalker.stages.trainable import trainable

if TYPE_CHECKING:
    import lightning as L


@dataclass
class CoarseConfig(CrossStageConfig):
    """The coarse stage."""

    steps: Count = 7999
    """Iterations, one frame each."""
    start: StartConfig = field(default_factory=lambda: StartConfig("frame", 14000, 3))
    """The first Gaussians."""
    densify: DensityConfig | None = None
    """Growing and pruning; null keeps the number that the start gives."""


@dataclass
class GaussianTalkerConfig:
    """The whole method."""

    cross: CrossConfig = field(default_factory=CrossConfig)
    """Planes and attention, of both stages."""
    torso: TorsoConfig | None = field(default_factory=TorsoConfig)
    """How the pose moves the torso, as in GSTalker; the paper shows the filmed one."""
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    """The canonical head."""
    fine: FineConfig = field(default_factory=FineConfig)
    """What moves it."""


class GaussianTalker(Portrait):
    """Coarse, then fine; arguments as :class:`Portrait`'s."""

    Config = GaussianTalkerConfig
    config: GaussianTalkerConfig

    @staticmethod
    def sound(config: GaussianTalkerConfig) -> str:
        """Kind of sound features that the config asks for."""
        return config.fine.audio.features

    def stages(self) -> Sequence[StagePlan]:
        """Coarse, fine."""
        from gstalker.callbacks.curriculum import DrawInOrder
        from gstalker.callbacks.density import Densification

        coarse, fine = self.config.coarse, self.config.fine
        growing = [] if coarse.densify is None else [Densification(coarse.densify)]
        many = [DrawInOrder(frames_per_step=fine.frames_per_step)]
        return [
            StagePlan(
                "coarse", coarse.steps, self._coarse, self._leave, "coarse/model.pt", growing
            ),
            StagePlan("fine", fine.steps, self._fine, self._leave, "fine/model.pt", many),
        ]

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head; ``silent``: hearing the mean sound, its eyes half open."""
        path = folder / "fine" / "model.pt"
        state = self.files.read(path)
        stage = self._empty_fine()
        fill(stage, state, path)
        stage.deaf = silent
        return StagePerformer(stage, self.device)

    def _coarse(self, folder: Path) -> Any:
        config = self.config
        body, planes = self._canonical(self.first_cloud(config.coarse.start))
        made = trainable(CanonicalStage)
        return made(body, planes, self.rasterizer, config.cross, config.coarse)

    def _fine(self, folder: Path) -> Any:
        stage = self._empty_fine(trainable(FineStage))
        path = folder / "coarse" / "model.pt"
        state = self.files.read(path)
        for name, part in (("body", stage.body), ("planes", stage.planes)):
            fill(part, part_of(state, name), path)
        self.fit_whitening(stage.audio)
        return stage

    def _empty_fine(self, kind: Callable[..., FineStage] = FineStage) -> FineStage:
        config = self.config
        body, planes = self._canonical(GaussianCloud.empty(config.coarse.start.sh_degree))
        audio = self.ears(config.fine.audio)
        return kind(body, planes, audio, self.rasterizer, config.cross, config.fine)

    def _canonical(self, cloud: GaussianCloud) -> tuple[Body, Planes]:
        body = Body(cloud, self.rest_viewmat, self.poses, self.config.torso)
        return body, Planes(cloud.means, self.config.cross)

    def _leave(self, stage: L.LightningModule, folder: Path) -> None:
        if isinstance(stage, FineStage):
            self.remember_silence(stage)
            self.files.save(folder / "fine" / "model.pt", stage)
        else:
            self.files.save(folder / "coarse" / "model.pt", stage)
