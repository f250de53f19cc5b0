"""TalkingGaussian (arXiv 2404.15264): a face branch, a branch for the inside of the mouth, fusion.

Persistent Gaussians: colour and opacity stay, sound moves and reshapes. The face is learned with
the inside of the mouth cut out, the inside by itself, each first without motion; the fusion lays
the face over the mouth and mends colours. ``configs/talkinggaussian.yaml`` says what differs.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gstalker import face as layouts
from gstalker.data.capture import HEAD, MOUTH, TORSO
from gstalker.deform.attended import AttendedConfig, middle
from gstalker.deform.field import EncoderConfig
from gstalker.deform.torso import TorsoConfig
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.gaussians.density import DensityConfig
from gstalker.limits import Amount, Count, Degree
from gstalker.methods import Performer, StagePlan
from gstalker.methods.portrait import Portrait, StartConfig
from gstalker.stages.branch import BranchConfig, BranchStage
from gstalker.stages.fusion import FusionConfig, FusionStage
from gstalker.stages.model_file import fill
from gstalker.stages.performer import StagePerformer
from gstalker.stages.talking import Body
from gstalker.stages.trainable import trainable

if TYPE_CHECKING:
    import lightning as L

    from gstalker.data.curriculum import Lesson

log = logging.getLogger(__name__)

Branches = Callable[..., BranchStage]
WIDEST = (0.9, 1.0)
"""Window of the mouth's first lesson: the frames in which it is widest open."""


@dataclass
class FaceConfig(BranchConfig):
    """The face branch."""

    start: StartConfig = field(default_factory=lambda: StartConfig("random", 2000, 2))
    """The first Gaussians; of the person, since the torso is drawn by this branch too."""
    densify: DensityConfig | None = None
    """Growing and pruning; null keeps the number that the start gives."""
    torso: TorsoConfig | None = field(default_factory=TorsoConfig)
    """How the pose moves the torso, as in GSTalker; the paper shows the filmed one."""
    incremental: bool = True
    """Draw frames by how far the mouth, then the eyes are open."""


def _mouth_field() -> AttendedConfig:
    # Their base of 64 is above their finest of 57.6, so their levels get coarser; the same sizes.
    planes = EncoderConfig(levels=12, log2_table=17, base=58, finest=64)
    return AttendedConfig(
        planes,
        hidden=32,
        attention=0,
        eye_attention=0,
        means=(0.2, 1.0, 0.2),
        scales=0.0,
        quats=0.0,
    )


@dataclass
class MouthConfig(BranchConfig):
    """The branch for the inside of the mouth."""

    max_gaussians: Count = 10000
    """First Gaussians, at random in a cube behind the lips."""
    sh_degree: Degree = 2
    """View-dependent colour."""
    densify: DensityConfig | None = None
    """Growing and pruning; null keeps their number."""
    incremental: bool = True
    """Begin with the widest open mouths."""
    field: AttendedConfig = dataclasses.field(default_factory=_mouth_field)
    """What moves it: positions alone, mostly up and down."""
    change_weight: Amount = 0.0
    """Of the mean absolute change, which the released code prices in the face alone."""


@dataclass
class TalkingGaussianConfig:
    """The whole method."""

    face: FaceConfig = field(default_factory=FaceConfig)
    """Head, and torso."""
    mouth: MouthConfig = field(default_factory=MouthConfig)
    """Inside of the mouth."""
    fuse: FusionConfig = field(default_factory=FusionConfig)
    """Both together."""


class TalkingGaussian(Portrait):
    """Face, mouth, fusion; arguments as :class:`Portrait`'s."""

    Config = TalkingGaussianConfig
    config: TalkingGaussianConfig

    @staticmethod
    def sound(config: TalkingGaussianConfig) -> str:
        """Kind of sound features that the config asks for; both branches hear the same."""
        return config.face.audio.features

    def stages(self) -> Sequence[StagePlan]:
        """Face, mouth, fuse."""
        from gstalker.callbacks.curriculum import DrawInOrder
        from gstalker.callbacks.density import Densification

        def growing(density: DensityConfig | None) -> list[L.Callback]:
            return [] if density is None else [Densification(density)]

        config = self.config
        beside_face: list[L.Callback] = growing(config.face.densify)
        if config.face.incremental:
            beside_face.append(DrawInOrder(self._face_lessons()))
        beside_mouth: list[L.Callback] = growing(config.mouth.densify)
        if config.mouth.incremental:
            beside_mouth.append(DrawInOrder(self._mouth_lessons()))
        face, mouth, fuse = config.face.steps, config.mouth.steps, config.fuse.steps
        return [
            StagePlan("face", face, self._face, self._leave, "face/model.pt", beside_face),
            StagePlan("mouth", mouth, self._mouth, self._leave, "mouth/model.pt", beside_mouth),
            StagePlan("fuse", fuse, self._fused, self._leave, "fuse/model.pt"),
        ]

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head; ``silent``: hearing the mean sound, its eyes half open."""
        path = folder / "fuse" / "model.pt"
        state = self.files.read(path)
        stage = FusionStage(
            self._face_branch(GaussianCloud.empty(self.config.face.start.sh_degree)),
            self._mouth_branch(GaussianCloud.empty(self.config.mouth.sh_degree)),
            self.config.fuse,
        )
        fill(stage, state, path)
        stage.deaf = silent
        return StagePerformer(stage, self.device)

    # ------------------------------------------------------------------ branches

    def _face(self, folder: Path) -> Any:
        cloud = self.first_cloud(self.config.face.start)
        stage = self._face_branch(cloud, trainable(BranchStage))
        self.fit_whitening(stage.audio)
        return stage

    def _mouth(self, folder: Path) -> Any:
        from gstalker.gaussians import start  # much of scipy

        config = self.config.mouth
        cloud = start.random_cloud(
            config.max_gaussians, self._lips(), reach=1.0, sh_degree=config.sh_degree
        )
        stage = self._mouth_branch(cloud, trainable(BranchStage))
        self.fit_whitening(stage.audio)
        return stage

    def _face_branch(self, cloud: GaussianCloud, kind: Branches = BranchStage) -> BranchStage:
        body = Body(cloud, self.rest_viewmat, self.poses, self.config.face.torso)
        centre = middle(torch.from_numpy(self.capture.mesh))
        config = self.config.face
        return kind(
            body, self.ears(config.audio), centre, self.rasterizer, config, self.mask, (TORSO, HEAD)
        )

    def _mouth_branch(self, cloud: GaussianCloud, kind: Branches = BranchStage) -> BranchStage:
        body = Body(cloud, self.rest_viewmat, self.poses)
        centre = middle(torch.from_numpy(self.capture.mesh))
        config = self.config.mouth
        return kind(
            body, self.ears(config.audio), centre, self.rasterizer, config, self.mask, (MOUTH,)
        )

    def _lips(self) -> np.ndarray:
        """Vertices of the lips."""
        capture = self.capture
        name = capture.meta["landmarks"]
        vertices = layouts.vertices_of(name, len(capture.mesh))
        return capture.mesh[vertices[list(layouts.layout(name).lips)]]

    def _face_lessons(self) -> list[Lesson]:
        from gstalker.data.curriculum import Lesson

        config, capture = self.config.face, self.capture
        first, second = (0.0, 0.3), (0.7, 1.0)
        warm, most = config.warm_steps, int(0.8 * config.steps)
        return [
            Lesson(0, warm, capture.mouth, first, second, every_steps=15),
            Lesson(warm, most, -capture.eye, first, second),
        ]

    def _mouth_lessons(self) -> list[Lesson]:
        from gstalker.data.curriculum import Lesson

        config, mouth = self.config.mouth, self.capture.mouth
        return [
            Lesson(0, config.warm_steps, mouth, WIDEST, WIDEST),
            Lesson(config.warm_steps, config.steps, mouth, WIDEST, (0.0, 1.0), every_steps=7),
        ]

    # ------------------------------------------------------------------ fusion

    def _fused(self, folder: Path) -> Any:
        branches = []
        for name, make, degree in (
            ("face", self._face_branch, self.config.face.start.sh_degree),
            ("mouth", self._mouth_branch, self.config.mouth.sh_degree),
        ):
            path = folder / name / "model.pt"
            branches.append(make(GaussianCloud.empty(degree)))
            fill(branches[-1], self.files.read(path), path)
        return trainable(FusionStage)(branches[0], branches[1], self.config.fuse)

    def _leave(self, stage: L.LightningModule, folder: Path) -> None:
        if isinstance(stage, FusionStage):
            self.remember_silence(stage)
            return self.files.save(folder / "fuse" / "model.pt", stage)
        assert isinstance(stage, BranchStage)
        log.info("%d Gaussians had learned the green backdrop and went", stage.drop_green())
        name = "mouth" if MOUTH in stage.shows else "face"
        return self.files.save(folder / name / "model.pt", stage)
