"""Everything that defines a score: which frames, which pixels, which points, how averaged.

Two figures may be compared only if their protocols are equal; ``scores.json`` carries it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from gstalker import face
from gstalker.data.capture import FPS, Capture

WORDS = {
    "frames": "the ids given; by default all after the first 10/11 of the frames, the boundary "
    "moved to a jump cut within 1 % of them; dropped frames left out",
    "truth": "frames as filmed, 25 fps, the capture's size, 8 bits; nothing of them is pasted in",
    "psnr": "mean over frames of each frame's dB; sRGB, three channels, at most 100 dB",
    "psnr_head": "all rows above the median mouth box of the training frames: what the head's pose "
    "moves and the sound does not",
    "psnr_above_chin": "all rows above the median chin of the training frames",
    "psnr_mouth": "mouth_box: reach left, above, right and below the true lips' centre, in median "
    "outer-eye distances",
    "ssim": "Gaussian window 11 x 11, sigma 1.5, windows inside the frame, mean of channels",
    "lmd": "outer and inner lip points, pixels; lmd_centred: each side's mean subtracted",
    "mouth_opening": "inner lip gap over outer-eye distance, by the same detector on both sides",
    "mouth_corr_residual": "after subtracting the mean training opening per frame of the take",
    "mouth_lag": "frames, positive where the rendered mouth is late; never across takes",
    "mouth_amp": "deviation of the rendered opening over that of the true one",
    "sharpness_mouth": "mean vertical difference in the mouth box over that of the truth",
    "stderr": "bootstrap over takes, or over stretches of block_s if there are fewer than five",
}
"""What does not change from run to run."""


@dataclass(frozen=True)
class Protocol:
    """The knobs of scoring; ``as_dict`` adds what is fixed, in words."""

    landmarks: str = "auto"
    """Detector run on true and rendered frames; ``auto``: the capture's own."""
    lpips: bool = True
    """Also measure LPIPS (AlexNet), the slowest of the picture metrics."""
    open_above: float = 0.1
    """``psnr_mouth_open`` takes frames whose true mouth opening is above this."""
    speech_below_peak_db: float = 30.0
    """``mouth_corr_speech`` takes frames whose sound is at most this far below the loud frames'
    (95th percentile of the capture)."""
    max_lag: int = 5
    """Frames tried to either side for ``mouth_lag``."""
    profile_takes: int = 5
    """``mouth_corr_residual`` needs this many training takes at each place in a take."""
    block_s: float = 3.0
    """Stretch that the bootstrap resamples where there are fewer than five takes."""
    resamples: int = 1000
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        if self.max_lag < 1 or self.resamples < 2 or self.block_s <= 0:
            raise ValueError("expected max_lag >= 1, resamples >= 2 and block_s > 0")

    def as_dict(self) -> dict[str, object]:
        """For ``scores.json``: the knobs, and what does not change."""
        return {
            **asdict(self),
            "mouth_box": list(face.MOUTH_BOX),
            "words": WORDS,
        }


@dataclass(frozen=True)
class Regions:
    """The pixels that regional metrics look at, all from the truth."""

    head_rows: int
    """Rows above the mouth."""
    above_chin_rows: int
    """Rows above the chin line."""
    mouth_boxes: np.ndarray
    """``int64 [F, 4]``: x0, y0, x1, y1, far ends excluded."""

    @classmethod
    def of(cls, capture: Capture) -> Regions:
        """The regions of a capture; the chin and mouth lines come from its training frames."""
        layout = face.layout(capture.meta["landmarks"])
        boxes = face.mouth_boxes(capture.landmarks, layout, capture.width, capture.height)
        train_ids, _ = capture.split()
        ids = train_ids if len(train_ids) else np.arange(capture.frame_count)
        chin = np.nanmedian(capture.landmarks[ids, layout.chin, 1])
        rows = np.clip([int(np.median(boxes[ids, 1])), round(float(chin))], 1, capture.height)
        return cls(int(rows[0]), int(rows[1]), boxes)


def speech_frames(capture: Capture, protocol: Protocol) -> np.ndarray:
    """Frames in which somebody speaks, ``bool [F]``: by loudness, relative to the capture's own."""
    samples = capture.audio().reshape(capture.frame_count, -1).astype(np.float64)
    power = np.square(samples).mean(1)
    loud = np.percentile(power, 95)
    return power > loud * 10 ** (-protocol.speech_below_peak_db / 10)


def block_frames(protocol: Protocol) -> int:
    """Length in frames of the bootstrap's stretches."""
    return max(round(protocol.block_s * FPS), 1)
