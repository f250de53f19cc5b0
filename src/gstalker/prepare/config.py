"""What a user may choose about turning a video into a capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PrepareConfig:
    """Choices of :func:`gstalker.prepare.prepare`; every default is meant to be right."""

    name: str = ""
    """Name of the capture; empty: the folder's."""
    max_side: int = 512
    """Longer side of the pictures in pixels; larger videos are scaled down, smaller ones kept."""
    crop: Literal["none", "head"] = "none"
    """``head`` keeps a square around head and shoulders, for wide shots; ``none`` all of it."""
    reader: Literal["auto", "decord", "av"] = "auto"
    """Who reads the frames; ``auto``: decord, and PyAV for files that decord cannot read."""
    audio: Literal["auto", "mel", "whisper"] = "auto"
    """Sound features: log-mel always; Whisper's too if asked for, or by ``auto`` if its weights are
    there."""
    eye: str = "landmarks"
    """Who tells how open the eyes are: ``landmarks`` (lid gap), ``blendshapes`` (MediaPipe's, a
    second look at every frame), ``constant``, or OpenFace's ``FILE.csv``."""
    focal_px: float | None = None
    """Focal length in pixels of the prepared pictures where it is known; else it is estimated."""
    smooth_frames: float = 1.0
    """Standard deviation of the Gaussian that smooths head poses, in frames; 0 turns it off."""
    min_face_share: float = 0.5
    """Smallest share of frames in which a face must be found."""
    min_seconds: float = 2.0
    """Shortest video that is accepted."""
    workers: int = 0
    """Processes for landmarks and masks; 0: one per core, at most 8. Does not change the result."""
