"""GSTalker (arXiv 2404.19040): a static coarse stage, then a deformation stage.

What only training needs, Lightning above all, is imported by what trains: a trained head starts to
speak a second or two sooner without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gstalker.gaussians.cloud import GaussianCloud
from gstalker.gaussians.density import DensityConfig
from gstalker.methods import Performer, StagePlan
from gstalker.methods.portrait import Portrait, StartConfig
from gstalker.stages import fuse
from gstalker.stages.handoff import Handoff
from gstalker.stages.heads import DeformHead, StaticHead
from gstalker.stages.performer import StagePerformer
from gstalker.stages.settings import DeformConfig, StaticConfig

if TYPE_CHECKING:
    import lightning as L

    from gstalker.stages.deform import DeformStage
    from gstalker.stages.static import StaticStage


@dataclass
class StaticPlan(StaticConfig):
    """Stage one, and what it starts from."""

    start: StartConfig = field(default_factory=StartConfig)
    """The first Gaussians."""
    densify: DensityConfig | None = None
    """Growing and pruning; null keeps the number that the start gives."""


@dataclass
class GSTalkerConfig:
    """The whole method."""

    static: StaticPlan = field(default_factory=StaticPlan)
    """Stage one."""
    deform: DeformConfig = field(default_factory=DeformConfig)
    """Stage two."""


class GSTalker(Portrait):
    """Static stage, handoff, deformation stage; arguments as :class:`Portrait`'s."""

    Config = GSTalkerConfig
    VERSION = 2
    """2: the pose field asks where the torso lay at the handoff, not where it learned to lie."""
    config: GSTalkerConfig

    @staticmethod
    def sound(config: GSTalkerConfig) -> str:
        """Kind of sound features that the config asks for."""
        return config.deform.audio.features

    def stages(self) -> Sequence[StagePlan]:
        """Static, then deform."""
        from gstalker.callbacks.density import Densification
        from gstalker.callbacks.rehearsal import Rehearsal

        static, deform = self.config.static, self.config.deform
        ears = [Rehearsal(deform.rehearsals)] if deform.rehearsals else []
        growing = [] if static.densify is None else [Densification(static.densify)]
        return [
            StagePlan(
                "static",
                static.steps,
                self._static,
                self._leave_handoff,
                "static/handoff.pt",
                growing,
            ),
            StagePlan(
                "deform",
                deform.steps,
                self._deform,
                self._leave_model,
                "deform/model.pt",
                ears,
            ),
        ]

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head; ``silent``: as stage one left it."""
        if not silent:
            return StagePerformer(self._trained(folder), self.device)
        handoff = self._handoff(folder)
        head = StaticHead(handoff.to_cloud(), handoff.rest_viewmat, self.rasterizer)
        return StagePerformer(head, self.device)

    # ------------------------------------------------------------------ stage one

    def _static(self, folder: Path) -> StaticStage:
        from gstalker.stages.static import StaticStage

        config = self.config.static
        cloud = self.first_cloud(config.start)
        stage = StaticStage(cloud, self.rest_viewmat, self.rasterizer, config)
        return stage.fuse() if fuse.wanted(self.device) else stage

    def _leave_handoff(self, stage: L.LightningModule, folder: Path) -> None:
        assert isinstance(stage, StaticHead)
        self._as_handoff(stage.cloud).save(folder / "static" / "handoff.pt")

    def _as_handoff(self, cloud: GaussianCloud) -> Handoff:
        return Handoff(
            cloud={name: tensor.detach().clone() for name, tensor in cloud.state_dict().items()},
            rest_viewmat=self.rest_viewmat,
            capture_name=self.capture.name,
            capture_id=self.capture.content_id,
        )

    def _handoff(self, folder: Path) -> Handoff:
        handoff = Handoff.load(folder / "static" / "handoff.pt")
        handoff.check(self.capture)
        return handoff

    # ------------------------------------------------------------------ stage two

    def _deform(self, folder: Path) -> DeformStage:
        from gstalker.stages.deform import DeformStage

        with_static = (folder / "static" / "handoff.pt").exists()
        if with_static:
            handoff = self._handoff(folder)
        else:
            handoff = self._as_handoff(self.first_cloud(self.config.static.start))
            handoff.save(folder / "static" / "handoff.pt")
        stage = DeformStage(
            handoff, self.feature_dim, self.poses, self.rasterizer, self.config.deform
        )
        self.fit_whitening(stage.audio)
        return stage.fuse() if fuse.wanted(self.device) else stage

    def _leave_model(self, stage: L.LightningModule, folder: Path) -> None:
        self.files.save(folder / "deform" / "model.pt", stage)

    def _trained(self, folder: Path) -> DeformHead:
        handoff, config = self._handoff(folder), self.config.deform
        head = DeformHead(
            handoff.to_cloud(),
            handoff.rest_viewmat,
            self.feature_dim,
            self.poses,
            self.rasterizer,
            audio=config.audio,
            field=config.field,
            torso=config.torso,
        )
        self.files.load(folder / "deform" / "model.pt", head)
        return head.fuse() if fuse.wanted(self.device) else head
