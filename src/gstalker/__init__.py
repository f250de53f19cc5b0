"""GSTalker: a talking head of 3-D Gaussians from one video, trained and driven by sound.

The names that a notebook imports; each loads its room on first use. Preparing a video is
``gstalker.prepare.prepare``: the room and the function share their name, so it is not among them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gstalker.callbacks.density import Densification
    from gstalker.callbacks.scores import ScoreFrames
    from gstalker.data.capture import Capture
    from gstalker.data.datamodule import CaptureDataModule
    from gstalker.gaussians.cloud import GaussianCloud
    from gstalker.stages.deform import DeformStage
    from gstalker.stages.handoff import Handoff
    from gstalker.stages.static import StaticStage
    from gstalker.types import Camera, Render, Splats

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "Capture",
    "CaptureDataModule",
    "DeformStage",
    "Densification",
    "GaussianCloud",
    "Handoff",
    "Render",
    "ScoreFrames",
    "Splats",
    "StaticStage",
]

_HOMES = {
    "Camera": "gstalker.types",
    "Capture": "gstalker.data.capture",
    "CaptureDataModule": "gstalker.data.datamodule",
    "DeformStage": "gstalker.stages.deform",
    "Densification": "gstalker.callbacks.density",
    "GaussianCloud": "gstalker.gaussians.cloud",
    "Handoff": "gstalker.stages.handoff",
    "Render": "gstalker.types",
    "ScoreFrames": "gstalker.callbacks.scores",
    "Splats": "gstalker.types",
    "StaticStage": "gstalker.stages.static",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gstalker' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
