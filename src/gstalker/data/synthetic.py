"""A talking head made of arithmetic: a whole capture without a camera, a data set or a weight.

It is for the demo, the tests and the benchmarks, and everything about it is known exactly: poses,
masks, landmarks, lids, lips, and the sound that moved them. Here: how the speaker moves, and the
capture folder. The parts: ``synthetic_voice`` (what is said and how the mouth follows),
``synthetic_face`` (shape), ``synthetic_texture`` and ``synthetic_paint`` (pixels).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gstalker import face as layouts
from gstalker.data import synthetic_face as face
from gstalker.data.capture import FPS, Capture
from gstalker.data.synthetic_paint import Moment, Painter
from gstalker.data.synthetic_voice import Speech, speak, synthetic_voice
from gstalker.data.writer import CaptureWriter

__all__ = ["make_synthetic_capture", "synthetic_voice"]

LAYOUT = "synthetic68"
FOCAL_SHARE = 2.5
"""Focal length in picture widths."""
DISTANCE_CM = 84.0
_PIVOT = np.array([0.0, 9.0, 5.0])
"""The head turns about the top of the neck."""
_TORSO_REST = np.array([0.0, 8.6, 88.5])
_TORSO_LAG_S = 0.35


@dataclass(frozen=True)
class _Motion:
    """One take's movement; everything but the mouth is drawn without regard to the sound."""

    viewmats: np.ndarray
    """``float64 [F, 4, 4]``."""
    torso: np.ndarray
    """``float64 [F, 4]``: see ``Moment``."""
    openness: np.ndarray
    """Of the eyes, ``float64 [F]``."""
    speech: Speech


def make_synthetic_capture(
    folder: str | Path,
    *,
    seconds: float = 60.0,
    size: int = 96,
    seed: int = 0,
    takes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Capture:
    """Film the synthetic speaker and write the capture folder.

    The speaker looks and sounds the same for every seed; the seed decides what is said and how the
    head moves. About 10 ms a frame at 96 x 96 on one core.

    Args:
        folder: where the capture goes.
        seconds: length of all takes together.
        size: width and height in pixels.
        seed: of words and movement.
        takes: number of takes of equal length with jump cuts between them.
        progress: told after each frame how many are painted, and of how many.

    Returns:
        The finished capture, with log-mel features.

    Raises:
        ValueError: less than a second a take, or a picture under 16 pixels.
        GSTalkerError: the folder cannot be written.
    """
    per_take = round(seconds * FPS / max(takes, 1))
    if takes < 1 or per_take < FPS or size < 16:
        raise ValueError(
            f"expected at least 1 take, 1 second a take and 16 pixels, "
            f"but got takes={takes}, seconds={seconds}, size={size}"
        )
    motions = [_motion(per_take, [seed, take]) for take in range(takes)]
    count = per_take * takes
    painter = Painter(size, FOCAL_SHARE * size)
    writer = CaptureWriter(folder)
    labels: list[bytes] = []

    def pictures() -> Iterator[np.ndarray]:
        for motion in motions:
            for index in range(per_take):
                picture, mask = painter.paint(_moment(motion, index))
                labels.append(zlib.compress(mask.tobytes(), 1))
                if progress is not None:
                    progress(len(labels), count)
                yield picture

    writer.frames(pictures(), count, size, size)
    shape = (size, size)
    masks = (np.frombuffer(zlib.decompress(mask), np.uint8).reshape(shape) for mask in labels)
    writer.rows("masks", masks, (count, size, size))
    writer.array("background", painter.background())
    segments = [(take * per_take, (take + 1) * per_take) for take in range(takes)]
    _write_signals(writer, motions, size)
    features = _write_sound(writer, motions, segments)
    return writer.finish(_meta(Path(folder).name, count, size, segments, features, seed))


# ---------------------------------------------------------------------- how the speaker moves


def _motion(frames: int, seed: list[int]) -> _Motion:
    rng = np.random.default_rng([*seed, 11])
    turn = np.radians([4.0, 6.5, 2.5]) * _wander(rng, frames, 0.7, 3)
    shift = np.array([0.9, 0.5, 1.2]) * _wander(rng, frames, 1.1, 3) + [0, -3.2, DISTANCE_CM]
    viewmats = np.tile(np.eye(4), (frames, 1, 1))
    viewmats[:, :3, :3] = _rotations(turn)
    viewmats[:, :3, 3] = _PIVOT - viewmats[:, :3, :3] @ _PIVOT + shift
    sway = np.concatenate([0.55 * (shift - shift.mean(0)), 0.3 * turn[:, 2:]], axis=1)
    torso = np.concatenate([_TORSO_REST, [0.0]]) + _lagged(sway)
    torso[:, 1] += 0.12 * np.sin(2 * np.pi * (0.27 * np.arange(frames) / FPS + rng.random()))
    return _Motion(
        viewmats=viewmats,
        torso=torso,
        openness=_blinks(rng, frames),
        speech=speak(frames / FPS, int(np.random.default_rng(seed).integers(2**31))),
    )


def _wander(rng: np.random.Generator, frames: int, smooth_s: float, channels: int) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1, ``float64 [frames, channels]``."""
    reach = round(4 * smooth_s * FPS)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (smooth_s * FPS)) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.normal(size=(channels, frames + 2 * reach))
    return np.stack([np.convolve(row, kernel, mode="valid") for row in noise], axis=1)


def _rotations(turn: np.ndarray) -> np.ndarray:
    """Matrices from pitch, yaw and roll in radians, ``[F, 3]`` to ``[F, 3, 3]``."""
    (cp, cy, cr), (sp, sy, sr) = np.cos(turn).T, np.sin(turn).T
    zero, one = np.zeros_like(cp), np.ones_like(cp)
    pitch = np.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], axis=-1).reshape(-1, 3, 3)
    yaw = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], axis=-1).reshape(-1, 3, 3)
    roll = np.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
    return roll @ yaw @ pitch


def _lagged(signal: np.ndarray) -> np.ndarray:
    """The signal as something heavy follows it: first order, ``_TORSO_LAG_S`` behind."""
    keep = np.exp(-1 / (_TORSO_LAG_S * FPS))
    out = np.empty_like(signal)
    state = signal[0]
    for i, value in enumerate(signal):
        state = keep * state + (1 - keep) * value
        out[i] = state
    return out


def _blinks(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Eye opening 0..1: a slowly changing squint, and a blink every three seconds or so."""
    openness = np.clip(0.86 + 0.07 * _wander(rng, frames, 0.8, 1)[:, 0], 0.6, 1)
    at = rng.uniform(0.2, 2.5)
    time = np.arange(frames) / FPS
    while at < frames / FPS:
        openness = openness * (1 - np.exp(-(((time - at) / 0.065) ** 4)))
        at += rng.uniform(1.2, 4.8)
    return openness


def _moment(motion: _Motion, index: int) -> Moment:
    speech = motion.speech
    mouth = face.Mouth(face.WIDEST_CM * float(speech.opening[index]), float(speech.width[index]))
    return Moment(motion.viewmats[index], motion.torso[index], mouth, float(motion.openness[index]))


# ---------------------------------------------------------------------- the capture folder


def _write_signals(writer: CaptureWriter, motions: list[_Motion], size: int) -> None:
    """Poses, landmarks, lids, lips and mesh."""
    viewmats = np.concatenate([motion.viewmats for motion in motions])
    opening = np.concatenate([motion.speech.opening for motion in motions]).astype(np.float64)
    width = np.concatenate([motion.speech.width for motion in motions]).astype(np.float64)
    openness = np.concatenate([motion.openness for motion in motions])
    points = face.landmarks_3d(
        face.Mouth(face.WIDEST_CM * opening[:, None], width[:, None]), openness[:, None]
    )
    seen = points @ viewmats[:, :3, :3].transpose(0, 2, 1) + viewmats[:, None, :3, 3]
    landmarks = seen[..., :2] / seen[..., 2:] * (FOCAL_SHARE * size) + size / 2
    layout = layouts.layout(LAYOUT)

    def gap(pair: tuple[int, int]) -> np.ndarray:
        return np.linalg.norm(landmarks[:, pair[0]] - landmarks[:, pair[1]], axis=-1)

    ruler = gap(layout.eye_corners)
    writer.array("poses", viewmats.astype(np.float32))
    writer.array("landmarks", landmarks.astype(np.float32))
    writer.array("mouth", (gap(layout.gap) / ruler).astype(np.float32))
    lids = np.mean([gap(pair) for pair in layout.lids], axis=0)
    writer.array("eye", (lids / ruler).astype(np.float32))
    writer.array("mesh", face.mesh())


def _write_sound(
    writer: CaptureWriter, motions: list[_Motion], segments: list[tuple[int, int]]
) -> dict[str, dict[str, object]]:
    """The sound and its log-mel features; returns their description."""
    from gstalker.prepare import audio

    samples = np.concatenate([motion.speech.samples for motion in motions])
    writer.audio(samples)
    segments_s = [(start / FPS, stop / FPS) for start, stop in segments]
    chunk_s = audio.chunk_seconds(segments_s)
    mel = audio.extract("mel", samples, segments_s, chunk_s)
    writer.array("features/mel", mel)
    spec = {
        "dim": mel.shape[1],
        "rows_per_frame": audio.KINDS["mel"],
        "chunk_s": chunk_s,
        "source": "log-mel, 80 bands",
    }
    return {"mel": spec}


def _meta(
    name: str,
    count: int,
    size: int,
    segments: list[tuple[int, int]],
    features: dict[str, dict[str, object]],
    seed: int,
) -> dict[str, object]:
    return {
        "name": name,
        "frame_count": count,
        "width": size,
        "height": size,
        "focal_px": FOCAL_SHARE * size,
        "cx_px": size / 2,
        "cy_px": size / 2,
        "segments": [list(segment) for segment in segments],
        "dropped": [],
        "features": features,
        "landmarks": LAYOUT,
        "tracker": {"name": "exact", "reprojection_px": 0.0, "jitter_deg": 0.0, "jitter_px": 0.0},
        "source": {
            "file": f"synthetic, seed {seed}",
            "fps": FPS,
            "width": size,
            "height": size,
            "duration_s": count / FPS,
        },
    }
