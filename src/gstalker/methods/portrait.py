"""What methods of Gaussians share: a first cloud, ears, and files of what was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gstalker import face
from gstalker.data.capture import Capture
from gstalker.data.dataset import FrameDataset
from gstalker.deform import audio
from gstalker.deform.audio import AudioConfig, AudioNet
from gstalker.errors import ConfigError
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.gaussians.rotations import mean_viewmat
from gstalker.limits import Count, Degree
from gstalker.render import make_rasterizer
from gstalker.stages.model_file import ModelFiles

if TYPE_CHECKING:
    from gstalker.stages.talking import TalkingStage

SILENT_FRAMES = 64
"""Training frames whose mean sound the control without sound hears."""


@dataclass
class StartConfig:
    """Where the first Gaussians come from."""

    name: str = "frame"
    """frame: one frame's pixels laid on the tracked mesh; mesh: points on the mesh; random: a cube
    around the head, as in the paper."""
    max_gaussians: Count = 14000
    """As many at most."""
    sh_degree: Degree = 0
    """View-dependent colour; the camera hardly turns around a talking head."""


class Portrait:
    """One capture, seen by a method of Gaussians.

    Args:
        config: the method's.
        capture: what it is trained on.
        rasterizer: name of the backend that draws.
        features: kind of sound features, resolved.
        device: cpu or cuda.
    """

    VERSION = 1
    """Of the method's networks; files of another one are refused."""

    def __init__(
        self, config: Any, capture: Capture, *, rasterizer: str, features: str, device: str = "cpu"
    ) -> None:
        self.config = config
        self.capture = capture
        self.features = features
        self.device = device
        self.rasterizer = make_rasterizer(rasterizer, device)
        self.train_ids, _ = capture.split()
        self.poses = capture.poses[self.train_ids]
        self.rest_viewmat = mean_viewmat(self.poses)
        self.feature_dim = int(capture.meta["features"][features]["dim"])
        self.files = ModelFiles(self.VERSION, features, capture)

    # ------------------------------------------------------------------ the first Gaussians

    def first_cloud(self, config: StartConfig) -> GaussianCloud:
        """Where training starts.

        Raises:
            ConfigError: there is no such start.
        """
        from gstalker.gaussians import start  # much of scipy, for training alone

        capture, most, degree = self.capture, config.max_gaussians, config.sh_degree
        if config.name == "random":
            return start.random_cloud(most, capture.mesh, sh_degree=degree)
        if config.name == "mesh":
            return start.mesh_cloud(capture.mesh, most, sh_degree=degree)
        if config.name != "frame":
            raise ConfigError(
                f"'{config.name}' is no start for the first Gaussians; known: frame, mesh, random"
            )
        chosen = self._reference_frame()
        return start.frame_cloud(
            capture.frame(chosen),
            capture.mask(chosen),
            capture.poses[chosen],
            self.rest_viewmat,
            capture.Ks,
            capture.mesh,
            capture.landmarks[chosen],
            face.layout(capture.meta["landmarks"]),
            max_gaussians=most,
            sh_degree=degree,
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

    # ------------------------------------------------------------------ sound

    def ears(self, config: AudioConfig) -> AudioNet:
        """A net that hears this capture's features."""
        return AudioNet(self.feature_dim, config)

    def fit_whitening(self, net: AudioNet) -> None:
        """Fit a net's fixed first map to the training part's sound."""
        rows = self.capture.rows_per_frame(self.features)
        features = self.capture.features(self.features).reshape(-1, rows, self.feature_dim)
        audio.fit_whitening(net, features[self.train_ids].reshape(-1, self.feature_dim))

    def remember_silence(self, stage: TalkingStage) -> None:
        """Give a trained stage what its control without sound hears."""
        dataset = FrameDataset(self.capture, self.features)
        spread = np.linspace(0, len(self.train_ids) - 1, SILENT_FRAMES).round().astype(int)
        stage.remember_silence([dataset.frame(int(i)) for i in self.train_ids[np.unique(spread)]])

    # ------------------------------------------------------------------ pictures

    def mask(self, index: Tensor) -> Tensor:
        """Labels of a batch's first frame, ``[H, W]``."""
        return torch.from_numpy(self.capture.mask(int(index[0])).astype(np.int64)).to(index.device)
