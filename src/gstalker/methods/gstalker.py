"""GSTalker (arXiv 2404.19040): a static coarse stage, then a deformation stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightning as L
import numpy as np

from gstalker import face
from gstalker.callbacks.density import Densification, DensityConfig
from gstalker.data.capture import Capture
from gstalker.deform.audio import fit_whitening
from gstalker.errors import ConfigError
from gstalker.gaussians import start
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.methods import Performer, StagePlan
from gstalker.render import make_rasterizer
from gstalker.stages import fuse
from gstalker.stages.deform import DeformConfig, DeformStage
from gstalker.stages.handoff import Handoff
from gstalker.stages.model_file import ModelFiles
from gstalker.stages.performer import StagePerformer
from gstalker.stages.static import StaticConfig, StaticStage

MODEL_VERSION = 2
"""2: the pose field asks where the torso lay at the handoff, not where it has learned to lie."""


@dataclass
class StartConfig:
    """Where the first Gaussians come from."""

    name: str = "frame"
    """frame: one frame's pixels laid on the tracked mesh; mesh: points on the mesh; random: a cube
    around the head, as in the paper."""
    max_gaussians: int = 14000
    """As many at most."""
    sh_degree: int = 0
    """View-dependent colour; the camera hardly turns around a talking head."""


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


class GSTalker:
    """Static stage, handoff, deformation stage.

    Args:
        config: the method's.
        capture: what it is trained on.
        rasterizer: name of the backend that draws.
        features: kind of sound features, resolved.
        device: cpu or cuda.
    """

    Config = GSTalkerConfig

    def __init__(
        self,
        config: GSTalkerConfig,
        capture: Capture,
        *,
        rasterizer: str,
        features: str,
        device: str = "cpu",
    ) -> None:
        self.config = config
        self.capture = capture
        self.features = features
        self.device = device
        self.rasterizer = make_rasterizer(rasterizer, device)
        self.train_ids, _ = capture.split()
        self.rest_viewmat = mean_viewmat(capture.poses[self.train_ids])
        self._files = ModelFiles(MODEL_VERSION, features, capture)

    @staticmethod
    def sound(config: GSTalkerConfig) -> str:
        """Kind of sound features that the config asks for."""
        return config.deform.audio.features

    def stages(self) -> Sequence[StagePlan]:
        """Static, then deform."""
        static, deform = self.config.static, self.config.deform
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
            StagePlan("deform", deform.steps, self._deform, self._leave_model, "deform/model.pt"),
        ]

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head; ``silent``: as stage one left it."""
        if not silent:
            return StagePerformer(self._trained(folder), self.device)
        handoff = self._handoff(folder)
        stage = StaticStage(handoff.to_cloud(), handoff.rest_viewmat, self.rasterizer)
        return StagePerformer(stage, self.device)

    # ------------------------------------------------------------------ stage one

    def _static(self, folder: Path) -> StaticStage:
        stage = StaticStage(
            self._first_cloud(), self.rest_viewmat, self.rasterizer, self.config.static
        )
        return stage.fuse() if fuse.wanted(self.device) else stage

    def _leave_handoff(self, stage: L.LightningModule, folder: Path) -> None:
        assert isinstance(stage, StaticStage)
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

    def _first_cloud(self) -> GaussianCloud:
        config, capture = self.config.static.start, self.capture
        if config.name == "random":
            return start.random_cloud(
                config.max_gaussians, capture.mesh, sh_degree=config.sh_degree
            )
        if config.name == "mesh":
            return start.mesh_cloud(capture.mesh, config.max_gaussians, sh_degree=config.sh_degree)
        if config.name != "frame":
            raise ConfigError(
                f"method.static.start.name is '{config.name}'; known: frame, mesh, random"
            )
        layout = face.layout(capture.meta["landmarks"])
        chosen = self._reference_frame()
        return start.frame_cloud(
            capture.frame(chosen),
            capture.mask(chosen),
            capture.poses[chosen],
            self.rest_viewmat,
            capture.Ks,
            capture.mesh,
            capture.landmarks[chosen],
            layout,
            max_gaussians=config.max_gaussians,
            sh_degree=config.sh_degree,
        )

    def _reference_frame(self) -> int:
        """The training frame nearest the resting pose, mouth closed and eyes open."""
        capture, ids = self.capture, self.train_ids
        away = capture.poses[ids] - self.rest_viewmat
        turn, shift = away[:, :3, :3].flatten(1).norm(dim=1), away[:, :3, 3].norm(dim=1)
        eye, mouth = capture.eye[ids], capture.mouth[ids]
        closed = np.nan_to_num(eye < 0.8 * np.nanmedian(eye), nan=1.0)
        # Weights of the trial: 0.02 rad ~ 2 cm ~ 0.05 of mouth opening count alike.
        cost = (
            50 * turn.numpy() + 0.5 * shift.numpy() + 20 * np.nan_to_num(mouth, nan=1) + 5 * closed
        )
        seen = np.isfinite(capture.landmarks[ids]).all((1, 2))
        return int(ids[np.argmin(np.where(seen, cost, np.inf))])

    # ------------------------------------------------------------------ stage two

    def _deform(self, folder: Path) -> DeformStage:
        with_static = (folder / "static" / "handoff.pt").exists()
        handoff = self._handoff(folder) if with_static else self._as_handoff(self._first_cloud())
        if not with_static:
            handoff.save(folder / "static" / "handoff.pt")
        stage = self._empty_deform(handoff)
        rows = self.capture.rows_per_frame(self.features)
        features = self.capture.features(self.features).reshape(-1, rows, stage.feature_dim)
        fit_whitening(stage.audio, features[self.train_ids].reshape(-1, stage.feature_dim))
        return stage

    def _empty_deform(self, handoff: Handoff) -> DeformStage:
        dim = self.capture.meta["features"][self.features]["dim"]
        poses = self.capture.poses[self.train_ids]
        stage = DeformStage(handoff, dim, poses, self.rasterizer, self.config.deform)
        return stage.fuse() if fuse.wanted(self.device) else stage

    def _leave_model(self, stage: L.LightningModule, folder: Path) -> None:
        self._files.save(folder / "deform" / "model.pt", stage)

    def _trained(self, folder: Path) -> DeformStage:
        stage = self._empty_deform(self._handoff(folder))
        self._files.load(folder / "deform" / "model.pt", stage)
        return stage
