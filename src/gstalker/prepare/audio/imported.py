"""Sound features that another program made, read from a ``.npy`` in the layouts of this field.

ER-NeRF, RAD-NeRF, AD-NeRF and their relatives store one window a video frame: 16 rows at 50 Hz of
DeepSpeech (29 symbols) or wav2vec2 (44 or 32), of which the two in the middle belong to the frame;
2 rows of HuBERT (1024); or one row of AVE (512). The shape tells which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import files
from gstalker.errors import CaptureError

SLACK_FRAMES = 2
"""Other programs' counts differ from the frames by this much at most; ends are cut or repeated."""

_LAYOUTS: dict[tuple[int, int], tuple[str, str]] = {
    (16, 29): ("deepspeech", "DeepSpeech, 29 symbols"),
    (16, 44): ("wav2vec2", "wav2vec2 (esperanto), 44 symbols"),
    (16, 32): ("wav2vec2", "wav2vec2, 32 symbols"),
    (2, 1024): ("hubert", "HuBERT large, last hidden state"),
    (1, 512): ("ave", "audio-visual encoder"),
    (512, 1): ("ave", "audio-visual encoder"),
}


@dataclass(frozen=True)
class Imported:
    """Features as the capture keeps them."""

    kind: str
    """``deepspeech``, ``wav2vec2``, ``hubert`` or ``ave``."""
    rows: np.ndarray
    """``float32 [F * rows_per_frame, D]``."""
    rows_per_frame: int
    source: str
    file: str
    sha256: str
    found_frames: int
    """How many the file holds, before ends were cut or repeated."""

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
            holds values that are not numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CaptureError(f"the sound features {path} cannot be read ({error}).") from error
    layout = _LAYOUTS.get(array.shape[1:]) if isinstance(array, np.ndarray) else None
    if layout is None or array.dtype.kind != "f":
        shape = getattr(array, "shape", "no array")
        known = ", ".join(f"[N, {a}, {b}] {what}" for (a, b), (_, what) in _LAYOUTS.items())
        raise CaptureError(
            f"{path} has the shape {list(shape)}, which is no known kind of sound features.\n"
            f"  Known are: {known}."
        )
    if abs(len(array) - frames) > SLACK_FRAMES:
        raise CaptureError(
            f"{path} holds sound features for {len(array)} frames, but there are {frames} at 25 a "
            "second.\n  Make them from this very sound, or name the right file."
        )
    if not np.isfinite(array).all():
        raise CaptureError(f"{path} holds sound features that are not numbers.")
    place = np.minimum(np.arange(frames), len(array) - 1)
    kept = _middle(array[place])
    kind, source = layout
    return Imported(
        kind=kind,
        rows=np.ascontiguousarray(kept.reshape(-1, kept.shape[-1]), dtype=np.float32),
        rows_per_frame=kept.shape[1],
        source=source,
        file=path.name,
        sha256=files.sha256(path),
        found_frames=len(array),
    )


def _middle(windows: np.ndarray) -> np.ndarray:
    """The rows that belong to a frame itself: window ``i`` holds rows ``2 i - 8 .. 2 i + 7``."""
    if windows.shape[1] == 16:
        return windows[:, 8:10]
    return windows.transpose(0, 2, 1) if windows.shape[1] == 512 else windows
