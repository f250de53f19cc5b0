"""What the NeRF methods share: a head that listens, then a torso, each made from what lay before.

Also what they take of a capture: where the head is, and what it hears on average.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gstalker.data.capture import HEAD, Capture
from gstalker.data.dataset import FrameDataset
from gstalker.deform.audio import AudioNet, fit_whitening, spread_codes
from gstalker.errors import CaptureError, ConfigError
from gstalker.methods import Performer, StagePlan
from gstalker.rays.box import HeadBox, fit_box
from gstalker.stages.model_file import ModelFiles
from gstalker.stages.ray_performer import RayPerformer
from gstalker.stages.trainable import trainable
from gstalker.types import AudioWindow

if TYPE_CHECKING:
    import lightning as L

LOOKED_AT = 24
"""Training frames, evenly spread, that the box is fitted to."""
HEARD = 500
"""Training frames, evenly spread, that a head's mean code is the mean of."""


class LayeredMethod(ABC):
    """A method whose stages each leave ``<stage>/model.pt``.

    Args:
        config: the method's; its ``audio`` says what listens.
        capture: what it is trained on.
        rasterizer: of Gaussians; there are none.
        features: kind of sound features, resolved.
        device: cpu or cuda.

    Raises:
        ConfigError: a rasterizer was asked for by name, or the eyes twice.
    """

    TORSO: Callable[..., nn.Module]
    """Its last stage, where its config has one."""
    VERSION = 1
    VALIDATION_FRAMES = 32
    """Of its stages; see :class:`StagePlan`."""

    def __init__(
        self, config: Any, capture: Capture, *, rasterizer: str, features: str, device: str = "cpu"
    ) -> None:
        if rasterizer != "auto":
            raise ConfigError(
                f"rasterizer.name is '{rasterizer}', but this method draws no Gaussians.\n"
                "  Use: rasterizer.name=auto"
            )
        if config.audio.eye_code:
            raise ConfigError(
                "method.audio.eye_code: this method's audio code is of sound alone.\n"
                "  Use: method.audio.eye_code=0"
            )
        self.config = config
        self.capture = capture
        self.features = features
        self.device = device
        self.train_ids, _ = capture.split()
        self.files = ModelFiles(self.VERSION, features, capture)

    @staticmethod
    def sound(config: Any) -> str:
        """Kind of sound features that the config asks for."""
        return str(config.audio.features)

    def load(self, folder: Path, *, silent: bool = False) -> Performer:
        """The trained head and torso; ``silent``: with the mean code of the training part."""
        stage = self._trained_head(folder)
        if self.config.torso is not None:
            stage = self._empty_torso(stage, self.TORSO)
            self.files.load(folder / "torso" / "model.pt", stage)
        return RayPerformer(stage, self.device, silent=silent)

    @abstractmethod
    def _trained_head(self, folder: Path) -> nn.Module:
        """The head as the last stage that trains it left it."""

    @abstractmethod
    def _empty_torso(self, head: Any, kind: Callable[..., nn.Module]) -> nn.Module:
        """A torso of a kind, to be trained with a trained head or to be filled."""

    def _torso(self, folder: Path) -> Any:
        return self._empty_torso(self._trained_head(folder), trainable(self.TORSO))

    def _plan(
        self, name: str, steps: int, build: Callable[[Path], L.LightningModule], *beside: L.Callback
    ) -> StagePlan:
        return StagePlan(
            name, steps, build, partial(self._leave, name), f"{name}/model.pt", list(beside),
            self.VALIDATION_FRAMES,
        )  # fmt: skip

    def _leave(self, name: str, stage: Any, folder: Path) -> None:
        if name != "torso":  # a torso's head is done
            stage.deaf.copy_(mean_code(stage, self.capture, self.features))
        self.files.save(folder / name / "model.pt", stage)

    @property
    def _feature_dim(self) -> int:
        return int(self.capture.meta["features"][self.features]["dim"])


def fit_head_box(capture: Capture) -> HeadBox:
    """The box that holds the head in a capture's training frames.

    Raises:
        CaptureError: the masks show no head.
    """
    ids = _spread(capture, LOOKED_AT)
    masks = [capture.mask(int(i)) >= HEAD for i in ids]
    try:
        corners = fit_box(masks, capture.poses[ids], capture.Ks, capture.mesh)
    except ValueError as error:
        raise CaptureError(
            f"{capture.folder}: masks.npy shows no head in the training frames, and this method "
            "must know where it is.\n"
            f"  Run: gstalker prepare VIDEO {shlex.quote(str(capture.folder))} --redo masks"
        ) from error
    return HeadBox(*corners)


def somewhere() -> HeadBox:
    """A box whose place is yet to be read from a file."""
    return HeadBox(-torch.ones(3), torch.ones(3))


def fit_sound(net: AudioNet, capture: Capture, features: str, *, spread: bool = False) -> None:
    """Fit an audio net's fixed first map to the training part's sound.

    Args:
        net: new.
        capture: whose sound.
        features: their kind.
        spread: also let its first codes differ from frame to frame; see :func:`spread_codes`.
    """
    rows, heard = capture.rows_per_frame(features), capture.features(features)
    train_ids, _ = capture.split()
    by_frame = heard.reshape(-1, rows, heard.shape[1])[train_ids]
    fit_whitening(net, by_frame.reshape(-1, heard.shape[1]))
    if spread:
        windows = FrameDataset(capture, features).track.windows(_spread(capture, HEARD), (0,))
        spread_codes(net, windows[:, 0])


@torch.no_grad()
def mean_code(stage: Any, capture: Capture, features: str) -> Tensor:
    """The mean of the codes of training frames, under ``stage.listen``."""
    dataset, ids = FrameDataset(capture, features), _spread(capture, HEARD)
    device = next(stage.parameters()).device
    audio = AudioWindow(dataset.track.windows(ids), torch.from_numpy(ids))
    codes: Tensor = stage.listen(audio.to(device), dataset.eye[ids].to(device))
    return codes.mean(0)


def _spread(capture: Capture, count: int) -> np.ndarray:
    """Some training frames, evenly spread."""
    train_ids, _ = capture.split()
    places = np.linspace(0, len(train_ids) - 1, min(count, len(train_ids)))
    return train_ids[np.unique(places.round().astype(int))]
