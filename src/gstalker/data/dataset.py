"""One frame with everything about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from gstalker import face
from gstalker.data.capture import Capture
from gstalker.data.windows import AudioTrack
from gstalker.types import AudioWindow, Camera, FrameBatch


class FrameDataset(Dataset[FrameBatch]):
    """Serves frame ``i`` of a capture as a batch of one, and a list of frames as a batch of many.

    Args:
        capture: the capture.
        features: kind of sound features, as in the capture.
    """

    def __init__(self, capture: Capture, features: str) -> None:
        self.capture = capture
        self.track = AudioTrack(
            capture.features(features), capture.rows_per_frame(features), capture.segments
        )
        layout = face.layout(capture.meta["landmarks"])
        self.mouth_boxes = face.mouth_boxes(
            capture.landmarks, layout, capture.width, capture.height
        )
        self.face_boxes = face.face_boxes(capture.landmarks, capture.width, capture.height)
        train_ids, _ = capture.split()
        self.eye = torch.from_numpy(standardised(capture.eye, train_ids))
        self.background = torch.from_numpy(capture.background.copy()).float().div_(255)

    def __len__(self) -> int:
        return self.capture.frame_count

    def __getitem__(self, index: int | Sequence[int]) -> FrameBatch:
        if isinstance(index, Sequence):
            return joined([self.frame(int(i)) for i in index])
        return self.frame(int(index))

    def frame(
        self, index: int, *, track: AudioTrack | None = None, sound_of: int | None = None
    ) -> FrameBatch:
        """Frame ``index``, if wanted with other sound.

        Args:
            index: whose picture, pose and eyes.
            track: another sound than the capture's own.
            sound_of: frame of the track to hear; ``index`` if not given.
        """
        capture = self.capture
        track = track or self.track
        # In two steps: division of integers goes one number at a time.
        image = torch.from_numpy(capture.frame(index)).float().div_(255)
        centre = np.array([index if sound_of is None else sound_of])
        return FrameBatch(
            frame_ids=torch.tensor([index]),
            image=image[None],
            camera=Camera(
                capture.poses[index, None], capture.Ks[None], capture.width, capture.height
            ),
            audio=AudioWindow(track.windows(centre), torch.from_numpy(centre)),
            eye=self.eye[index, None],
            mouth_box=torch.from_numpy(self.mouth_boxes[index, None]),
            face_box=torch.from_numpy(self.face_boxes[index, None]),
            mask=torch.from_numpy(capture.mask(index))[None],
            background=self.background,
        )


def joined(batches: Sequence[FrameBatch]) -> FrameBatch:
    """Batches of one capture as one batch."""
    cameras, sounds = [b.camera for b in batches], [b.audio for b in batches]
    return FrameBatch(
        frame_ids=torch.cat([b.frame_ids for b in batches]),
        image=torch.cat([b.image for b in batches]),
        camera=Camera(
            torch.cat([c.viewmats for c in cameras]),
            torch.cat([c.Ks for c in cameras]),
            cameras[0].width,
            cameras[0].height,
        ),
        audio=AudioWindow(
            torch.cat([a.features for a in sounds]), torch.cat([a.centre for a in sounds])
        ),
        eye=torch.cat([b.eye for b in batches]),
        mouth_box=torch.cat([b.mouth_box for b in batches]),
        face_box=torch.cat([b.face_box for b in batches]),
        mask=torch.cat([b.mask for b in batches]),
        background=batches[0].background,
    )


def standardised(signal: np.ndarray, train_ids: np.ndarray) -> np.ndarray:
    """A per-frame signal with mean 0 and deviation 1 over the training part; gaps become 0."""
    part = signal[train_ids]
    part = part[np.isfinite(part)]
    mean, deviation = (part.mean(), part.std()) if len(part) else (0.0, 1.0)
    scaled = (signal - mean) / max(deviation, 1e-6)
    return np.nan_to_num(scaled, nan=0.0).clip(-4, 4).astype(np.float32)


def choose_features(capture: Capture, wanted: str) -> str:
    """Resolve ``auto`` to the best kind that the capture has; any other name stays itself."""
    if wanted != "auto":
        capture.rows_per_frame(wanted)
        return wanted
    have = capture.meta["features"]
    return next((kind for kind in ("whisper", "mel") if kind in have), sorted(have)[0])
