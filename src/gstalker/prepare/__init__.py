"""A video becomes a capture folder, in steps that are done once each.

``prepare`` may be killed at any moment and run again: it does what is left. Nothing heavy is
imported before it is called, so the sound features can be used by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gstalker.prepare.config import PrepareConfig

if TYPE_CHECKING:
    from gstalker.data.capture import Capture

__all__ = ["PrepareConfig", "prepare"]


def prepare(
    video: str | Path,
    out: str | Path,
    config: PrepareConfig | None = None,
    redo: Sequence[str] = (),
) -> Capture:
    """Turn a video of one speaking person into a capture folder.

    Args:
        video: anything that FFmpeg's libraries read, with sound.
        out: the folder to make, or one that this video was being prepared into.
        config: choices; the defaults are meant to be right.
        redo: names of steps to do again even if they are done.

    Returns:
        The finished, validated capture.

    Raises:
        MediaError: the video cannot be used; says why. Nothing is left behind on a first run.
        CaptureError: the folder cannot be used.
        BackendMissing: a package or a model file is missing; says how to get it.
    """
    from gstalker.prepare.recipe import Recipe

    return Recipe(Path(video), Path(out), config or PrepareConfig()).follow(redo)
