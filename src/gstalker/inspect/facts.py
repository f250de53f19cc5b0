"""What can be measured of a finished capture without training: numbers and curves, no opinions.

Everything comes from the folder alone. A number that a capture does not hold is ``None``, and the
page says so; opinions are in ``verdict``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import blinks, face
from gstalker.blinks import Blinking
from gstalker.data.capture import FPS, SAMPLES_PER_FRAME, Capture
from gstalker.errors import CaptureError
from gstalker.inspect.looks import Looks, look
from gstalker.prepare.tracking.pose import Lens, rigid_weights
from gstalker.prepare.tracking.smooth import jitter

_SPEECH_BELOW_PEAK_DB = 25.0
"""A frame holds speech if its level is within this of the loud ones' (their 95th percentile):
vowels and consonants of one speaker span about that (ITU-T P.56 uses a margin of 15.9 dB about the
*mean* active level)."""
_CLIPPED = 0.999
_TRACKED_VERTICES = 468


@dataclass(frozen=True)
class Sound:
    """The sound of a capture; levels in dB below full scale."""

    level_db: np.ndarray
    """Of each frame, ``[F]``."""
    speaks: np.ndarray
    """``bool [F]``: frames with speech."""
    speech_db: float
    """Level of the speech."""
    floor_db: float
    """Level of the quietest twentieth of the frames."""
    clipped_share: float
    """Of the samples, those at full scale."""

    @property
    def speech_share(self) -> float:
        """Of the frames."""
        return float(self.speaks.mean())


@dataclass(frozen=True)
class Misfit:
    """How far the tracked mesh falls from the landmarks it was fitted to, rigid points only."""

    frame_px: np.ndarray
    """Mean over the points, ``[F]``; NaN without landmarks."""
    vertex_px: np.ndarray
    """Median over the frames, ``[V]``; NaN for points that move by themselves."""


@dataclass(frozen=True)
class Facts:
    """All that is known of a capture."""

    folder: Path
    meta: dict[str, Any]
    usable: np.ndarray
    """``bool [F]``."""
    segments: list[tuple[int, int]]
    train_frames: int
    test_frames: int
    test_start: int
    eye_px: float
    """Median distance of the outer eye corners: the ruler that everything is compared with."""
    face_px: float
    """Median height of the face, brow to chin."""
    angles: np.ndarray
    """Yaw, pitch and roll in degrees, ``[F, 3]``: to the picture's right, up, clockwise."""
    distance_cm: np.ndarray
    """``[F]``."""
    jitter_deg: float
    """Of the stored poses."""
    jitter_px: float
    misfit: Misfit | None
    """``None`` where the mesh has no landmark for each vertex."""
    eye: np.ndarray
    mouth: np.ndarray
    blinking: Blinking
    sound: Sound
    looks: Looks
    size_bytes: int
    """Of the folder on disk."""

    @property
    def seconds(self) -> float:
        """Of usable film."""
        return float(self.usable.sum()) / FPS

    @property
    def dropped_share(self) -> float:
        """Of the frames."""
        return float(1 - self.usable.mean())

    @property
    def mouth_spread(self) -> float:
        """Standard deviation of the mouth's opening, in outer-eye distances."""
        part = self.mouth[self.usable & np.isfinite(self.mouth)]
        return float(part.std()) if len(part) else 0.0

    @property
    def tremble(self) -> float:
        """How much the edge of the head trembles, in outer-eye distances.

        The head's edge is about one such distance from its centre, so its own turning and the
        centre's moving add up there.
        """
        return float(np.hypot(np.radians(self.jitter_deg), self.jitter_px / self.eye_px))

    def turned_share(self, degrees: float) -> float:
        """Share of usable frames whose yaw or pitch is beyond ``degrees``."""
        away = np.abs(self.angles[self.usable, :2]).max(1)
        return float((away > degrees).mean()) if len(away) else 0.0

    @property
    def misfit_share(self) -> float | None:
        """Usual reprojection error in outer-eye distances."""
        error = self.meta.get("tracker", {}).get("reprojection_px")
        if error is None and self.misfit is not None:
            error = float(np.nanmedian(self.misfit.frame_px[self.usable]))
        return None if error is None else float(error) / self.eye_px


def gather(capture: Capture, progress: Callable[[int], None] = lambda frames: None) -> Facts:
    """Measure a capture; reads every picture once, one at a time, and checks it.

    Args:
        capture: the capture.
        progress: told how many more pictures were read.

    Raises:
        CaptureError: a picture is damaged, or no frame is usable or has landmarks.
    """
    layout = face.layout(capture.meta["landmarks"])
    usable = ~capture.dropped
    if not usable.any():
        raise CaptureError(
            f"{capture.folder} has no usable frame: all are listed under 'dropped' in its "
            "capture.json.\n  Prepare another video: gstalker prepare VIDEO FOLDER"
        )
    train_ids, test_ids = capture.split()
    poses = capture.poses.numpy().astype(np.float64)
    lens = Lens(capture.meta["focal_px"], capture.meta["cx_px"], capture.meta["cy_px"])
    shaken = jitter(poses[:, :3, :3], poses[:, :3, 3], _stretches(usable, capture), lens)
    points = capture.landmarks
    seen = np.isfinite(points).all((1, 2))
    boxes = face.mouth_boxes(points, layout, capture.width, capture.height)  # refuses no face
    corners = points[seen][:, layout.eye_corners[0]] - points[seen][:, layout.eye_corners[1]]
    return Facts(
        folder=capture.folder,
        meta=capture.meta,
        usable=usable,
        segments=capture.segments,
        train_frames=len(train_ids),
        test_frames=len(test_ids),
        test_start=capture.test_start,
        eye_px=max(float(np.median(np.linalg.norm(corners, axis=-1))), 1e-3),
        face_px=float(np.median(np.ptp(points[seen][..., 1], axis=1))),
        angles=head_angles(poses[:, :3, :3]),
        distance_cm=poses[:, 2, 3],
        jitter_deg=shaken[0],
        jitter_px=shaken[1],
        misfit=_misfit(capture, poses, lens),
        eye=capture.eye,
        mouth=capture.mouth,
        blinking=blinks.find(capture.eye, usable, capture.segments),
        sound=hear(capture.audio(), usable),
        looks=look(capture, usable, boxes, progress),
        size_bytes=sum(f.stat().st_size for f in capture.folder.rglob("*") if f.is_file()),
    )


def head_angles(rotations: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees of heads in camera space, ``[F, 3, 3]`` to ``[F, 3]``.

    Positive: the nose points to the picture's right; up; the head leans clockwise. All are 0 for
    an upright head that looks into the camera (OpenCV axes: x right, y down, z away).
    """
    nose = -rotations[:, :, 2]
    yaw = np.arctan2(nose[:, 0], -nose[:, 2])
    pitch = np.arctan2(-nose[:, 1], np.hypot(nose[:, 0], nose[:, 2]))
    roll = np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))


def hear(samples: np.ndarray, usable: np.ndarray) -> Sound:
    """Levels of the sound, frame by frame.

    Args:
        samples: ``float32 [F * 640]`` in [-1, 1].
        usable: ``bool [F]``.
    """
    power = (samples.reshape(len(usable), SAMPLES_PER_FRAME).astype(np.float64) ** 2).mean(1)
    level = 10 * np.log10(np.maximum(power, 1e-10))
    heard = level[usable] if usable.any() else level
    speaks = level > np.percentile(heard, 95) - _SPEECH_BELOW_PEAK_DB
    speech = power[speaks & usable] if (speaks & usable).any() else power
    return Sound(
        level_db=level,
        speaks=speaks,
        speech_db=float(10 * np.log10(max(speech.mean(), 1e-10))),
        floor_db=float(np.percentile(heard, 5)),
        clipped_share=float((np.abs(samples) >= _CLIPPED).mean()),
    )


def _misfit(capture: Capture, poses: np.ndarray, lens: Lens) -> Misfit | None:
    tracked = capture.meta["landmarks"] == "mediapipe478"
    if not tracked or len(capture.mesh) != _TRACKED_VERTICES:
        return None
    mesh, points = capture.mesh.astype(np.float64), capture.landmarks[:, :_TRACKED_VERTICES]
    rigid = rigid_weights(mesh) > 0
    error = np.full((len(points), _TRACKED_VERTICES), np.nan, np.float32)
    for start in range(0, len(points), 512):
        part = slice(start, start + 512)
        placed = mesh[rigid] @ poses[part, :3, :3].swapaxes(1, 2) + poses[part, None, :3, 3]
        away = lens.project(placed) - points[part][:, rigid]
        error[part, rigid] = np.linalg.norm(away, axis=-1)
    error[capture.dropped] = np.nan
    vertex = np.full(_TRACKED_VERTICES, np.nan)
    vertex[rigid] = np.nanmedian(error[:, rigid], axis=0)
    return Misfit(error[:, rigid].mean(1), vertex)


def _stretches(usable: np.ndarray, capture: Capture) -> list[tuple[int, int]]:
    return blinks.runs(usable, capture.segments)
