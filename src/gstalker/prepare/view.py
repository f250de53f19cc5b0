"""Which part of the picture is kept: found by a first look at some frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gstalker.errors import MediaError
from gstalker.prepare import video
from gstalker.prepare.config import PrepareConfig
from gstalker.prepare.source import Source
from gstalker.prepare.tracking import landmarks

_LOOKS = 24
_SIDE_FACES = 2.6
"""Side of the square of ``crop: head``, in face heights: shoulders and some air above the hair."""
_ABOVE_SHARE = 0.46
"""Where the middle of the face comes to lie in it, from the top."""


def choose_view(source: Source, config: PrepareConfig, model: Path) -> video.View:
    """The view for a video.

    Raises:
        MediaError: no face in any of the frames looked at.
    """
    whole = video.whole_view(source, config.max_side)
    wanted = np.unique(np.linspace(0, source.frame_count - 1, _LOOKS).round().astype(int))
    faces = landmarks.look(video.pictures(source, whole, list(wanted), config.reader), model)
    faces = faces[np.isfinite(faces).all((1, 2))]
    if len(faces) == 0:
        raise MediaError(
            f"{source.path} shows no face in any of {len(wanted)} frames looked at.\n"
            f"  {landmarks.ADVICE}"
        )
    if config.crop == "none":
        return whole
    scale = np.array([whole.crop_width / whole.width, whole.crop_height / whole.height])
    return video.fitted_view(head_box(faces * scale, source.width, source.height), config.max_side)


def head_box(faces: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """A square ``x, y, side, side`` around the head wherever it was seen, inside the picture.

    Args:
        faces: ``[n, L, 2]`` pixels.
        width: of the picture.
        height: of the picture.
    """
    low, high = faces.min(1), faces.max(1)
    tall = float(np.median(high[:, 1] - low[:, 1]))
    centre = (low + high) / 2
    roam = np.ptp(centre, axis=0).max()
    side = int(min(_SIDE_FACES * tall + roam, width, height))
    middle = (centre.min(0) + centre.max(0)) / 2
    x = int(np.clip(middle[0] - side / 2, 0, width - side))
    y = int(np.clip(middle[1] - _ABOVE_SHARE * side, 0, height - side))
    return x, y, side, side
