"""Sound features that another program made, read from a ``.npy`` in the layouts of this field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import files
from gstalker.errors import CaptureError
from gstalker.prepare.audio import windows

SLACK_FRAMES = 2
"""Other programs' counts differ from the frames by this much at most; ends are cut or repeated."""


@dataclass(frozen=True)
class Imported:
    """Features as the capture keeps them."""

    kind: str
    """A key of :data:`gstalker.prepare.audio.windows.KINDS`."""
    rows: np.ndarray
    """``float32 [F * rows_per_frame, D]``."""
    rows_per_frame: int
    source: str
    file: str
    sha256: str
    found_frames: int
    """How many the file holds, before ends were cut or repeated."""
    lost_rows: int
    """Rows after the last frame that were left out, silence not counted."""

    def spec(self) -> dict[str, Any]:
        """What ``capture.json`` says of them; no model is known, so no other voice can be heard."""
        return {
            "rows_per_frame": self.rows_per_frame,
            "rate_hz": 25 * self.rows_per_frame,
            "source": f"{self.source}; imported from {self.file}",
            "imported": {
                "file": self.file,
                "sha256": self.sha256,
                "found_frames": self.found_frames,
            },
        }


def read_features(path: Path, frames: int) -> Imported:
    """Read features of a sound as long as ``frames`` video frames.

    Raises:
        CaptureError: the file is missing, no such array, of no known shape, of another length, or
            holds values that are not numbers or contradict each other.
    """
    heard = windows.read(path)
    if abs(heard.count - frames) > SLACK_FRAMES:
        raise CaptureError(
            f"{path.name} has {heard.count} entries for {frames} frames of 25 a second; "
            f"{SLACK_FRAMES} more or less would be rounding.\n"
            "  It is of another recording or rate: make it from this very sound, or name the right "
            "file."
        )
    rows, lost = windows.fitted(heard.rows, frames, heard.kind.rows_per_frame)
    return Imported(
        kind=heard.kind.name,
        rows=rows,
        rows_per_frame=heard.kind.rows_per_frame,
        source=heard.kind.said,
        file=path.name,
        sha256=files.sha256(path),
        found_frames=heard.count,
        lost_rows=lost,
    )
