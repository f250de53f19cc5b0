"""What several methods take of a capture: where the head is, what it hears on average."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gstalker.data.capture import HEAD, Capture
from gstalker.data.dataset import FrameDataset
from gstalker.deform.audio import AudioNet, fit_whitening
from gstalker.errors import CaptureError, ConfigError
from gstalker.rays.box import HeadBox, fit_box
from gstalker.types import AudioWindow

LOOKED_AT = 24
"""Training frames, evenly spread, that the box is fitted to."""
HEARD = 500
"""Training frames, evenly spread, that a head's mean code is the mean of."""


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
            f"  Run: gstalker prepare VIDEO {capture.folder} --redo masks"
        ) from error
    return HeadBox(*corners)


def fit_sound(net: AudioNet, capture: Capture, features: str) -> None:
    """Fit an audio net's fixed first map to the training part's sound."""
    rows = capture.rows_per_frame(features)
    heard = capture.features(features)
    train_ids, _ = capture.split()
    fit_whitening(net, heard.reshape(-1, rows, heard.shape[1])[train_ids].reshape(-1, heard.shape[1]))


@torch.no_grad()
def mean_code(stage: Any, capture: Capture, features: str) -> Tensor:
    """The mean of the codes of training frames, under ``stage.listen``."""
    dataset, ids = FrameDataset(capture, features), _spread(capture, HEARD)
    device = next(stage.parameters()).device
    audio = AudioWindow(dataset.track.windows(ids), torch.from_numpy(ids))
    return stage.listen(audio.to(device), dataset.eye[ids].to(device)).mean(0)


def refuse_rasterizer(name: str) -> None:
    """For methods without Gaussians: a rasterizer asked for by name would never draw.

    Raises:
        ConfigError: one was.
    """
    if name != "auto":
        raise ConfigError(
            f"rasterizer.name is '{name}', but this method draws no Gaussians.\n"
            "  Use: rasterizer.name=auto"
        )


def _spread(capture: Capture, count: int) -> np.ndarray:
    """Some training frames, evenly spread."""
    train_ids, _ = capture.split()
    places = np.linspace(0, len(train_ids) - 1, min(count, len(train_ids)))
    return train_ids[np.unique(places.round().astype(int))]
