"""Sync-C and Sync-D: does the mouth fit the sound, as SyncNet (Chung and Zisserman 2016) hears it.

The network and the face finder are the ``syncnet-python`` package's, their weights the authors'
own. Crops, MFCC, windows and offsets are made here as ``run_pipeline.py`` and ``SyncNetInstance``
of joonson/syncnet_python make them. Frames are not packed as video and JPEG on the way, and there
is one person and no cut: each frame's surest face is taken, where they join theirs by overlap.
The offset is searched, so a constant delay of up to 15 frames costs nothing: read ``sync_offset``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from torch import Tensor, nn

from gstalker import weights
from gstalker.data.capture import RATE_HZ, SAMPLES_PER_FRAME
from gstalker.errors import BackendMissing
from gstalker.metrics.mean import MeanOf

WEIGHTS = "syncnet_v2.model"
FACE_WEIGHTS = "sfd_face.pth"
INSTALL = (
    "pip install 'scenedetect>=0.6,<0.7' python-speech-features ffmpeg-python && "
    "pip install --no-deps syncnet-python"
)
"""Without ``--no-deps`` it would install torchvision, which it never imports."""

WINDOW = 5
"""Frames that the network sees at once; 0.2 s, and 20 steps of MFCC."""
STEPS_PER_FRAME = 4
"""MFCC steps of 10 ms in a frame of 40 ms."""
SHIFT = 15
"""Frames of offset tried to either side."""
BATCH = 20
SIDE = 224
CROP_SCALE = 0.40
GREY = 110
SMOOTH = 13
"""Frames of the median filter over box centres and sizes."""

Box = Float[np.ndarray, "4"]
"""x0, y0, x1, y1 in pixels."""


# ---------------------------------------------------------------------- pictures


def smoothed(boxes: Float[np.ndarray, "F 4"]) -> Float[np.ndarray, "F 3"]:
    """Half the longer side and the centre of each box, median-filtered over 13 frames.

    The filter sees zeros beyond the ends, as ``scipy.signal.medfilt`` does.

    >>> smoothed(np.tile([10.0, 20.0, 30.0, 60.0], (13, 1)))[6]
    array([20., 20., 40.])
    """
    from scipy.signal import medfilt

    x0, y0, x1, y1 = boxes.T
    tracks = (np.maximum(y1 - y0, x1 - x0) / 2, (x0 + x1) / 2, (y0 + y1) / 2)
    return np.stack([medfilt(track, SMOOTH) for track in tracks], axis=1)


def crop(frame: UInt8[np.ndarray, "H W 3"], half: float, x: float, y: float) -> np.ndarray:
    """The mouth-centred square that SyncNet sees, ``uint8 [224, 224, 3]``.

    From ``y - half`` to ``y + 1.8 half`` and ``x ± 1.4 half``: shifted down, for a face box's lower
    half holds the mouth. What lies beyond the frame is grey 110.
    """
    import cv2

    pad = int(half * (1 + 2 * CROP_SCALE))
    framed = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=GREY)
    rows = slice(int(y + pad - half), int(y + pad + half * (1 + 2 * CROP_SCALE)))
    reach = half * (1 + CROP_SCALE)
    columns = slice(int(x + pad - reach), int(x + pad + reach))
    return cv2.resize(framed[rows, columns], (SIDE, SIDE))


# ---------------------------------------------------------------------- the network


class SyncNet:
    """Distances between sound and picture at every offset.

    Args:
        net: a ``SyncNetModel``, or anything with its ``forward_lip`` and ``forward_aud``.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net: Any = net.eval()

    @classmethod
    def load(cls) -> SyncNet:
        """The authors' network.

        Raises:
            BackendMissing: the package or the weights are missing; says what to do.
        """
        path = _weights(WEIGHTS)
        net = _package().SyncNetModel()
        _fill(net, path)
        return cls(net)

    @torch.no_grad()
    def distances(
        self, crops: UInt8[np.ndarray, "F 224 224 3"], samples: Int16[np.ndarray, " S"]
    ) -> Float[np.ndarray, "n 31"]:
        """Distance of each of the ``F - 5`` windows to the sound at offsets -15 to 15.

        Args:
            crops: RGB; the network is given BGR, 0 to 255, as OpenCV reads.
            samples: at 16 kHz, from the first frame on.

        Raises:
            ValueError: fewer than 6 frames.
        """
        from python_speech_features import mfcc

        count = min(len(crops), len(samples) // SAMPLES_PER_FRAME) - WINDOW
        if count < 1:
            raise ValueError(f"expected at least {WINDOW + 1} frames, but got {count + WINDOW}")
        steps = torch.from_numpy(mfcc(samples, RATE_HZ).T.copy()).float()[None]
        lips, sound = [], []
        for start in range(0, count, BATCH):
            at = range(start, min(start + BATCH, count))
            shown = np.stack([crops[k : k + WINDOW, ..., ::-1] for k in at])
            pictures = torch.from_numpy(shown).permute(0, 4, 1, 2, 3).float()
            lips.append(self.net.forward_lip(pictures))
            first = [k * STEPS_PER_FRAME for k in at]
            width = WINDOW * STEPS_PER_FRAME
            heard = torch.stack([steps[..., k : k + width] for k in first])
            sound.append(self.net.forward_aud(heard))
        return offset_distances(torch.cat(lips), torch.cat(sound)).double().numpy()


def offset_distances(
    lips: Float[Tensor, "n D"], sound: Float[Tensor, "n D"], shift: int = SHIFT
) -> Float[Tensor, "n offsets"]:
    """Euclidean distance of each picture to the sound, ``shift`` frames to both sides.

    Beyond the ends of the sound the embedding is 0, as in ``calc_pdist``.

    >>> offset_distances(torch.ones(3, 1), torch.tensor([[1.0], [3.0], [4.0]]), 1).round()
    tensor([[1., 0., 2.],
            [0., 2., 3.],
            [2., 3., 1.]])
    """
    padded = torch.nn.functional.pad(sound, (0, 0, shift, shift))
    shifted = [padded[k : k + len(lips)] for k in range(2 * shift + 1)]
    return torch.stack([nn.functional.pairwise_distance(lips, side) for side in shifted], dim=1)


@dataclass(frozen=True)
class Verdict:
    """What SyncNet says of a clip."""

    confidence: float
    """Sync-C, LSE-C."""
    distance: float
    """Sync-D, LSE-D."""
    offset: int
    """Frames; 0 where sound and picture fit as they are."""


def verdict(distances: Float[np.ndarray, "n offsets"]) -> Verdict:
    """Least mean distance over offsets, and how far it lies below their median.

    >>> verdict(np.array([[5.0, 1.0, 4.0], [5.0, 3.0, 4.0]]))
    Verdict(confidence=2.0, distance=2.0, offset=0)
    """
    mean = distances.mean(0)
    least = int(mean.argmin())
    middle = float(np.sort(mean)[(len(mean) - 1) // 2])  # torch.median takes the lower one
    return Verdict(middle - float(mean[least]), float(mean[least]), len(mean) // 2 - least)


class SyncConfidence(MeanOf):
    """Mean Sync-C over clips; :class:`SyncDistance` is Sync-D.

    >>> metric = SyncConfidence()
    >>> metric.update(torch.tensor([[5.0, 1.0, 4.0], [5.0, 3.0, 4.0]]))
    >>> float(metric.compute())
    2.0
    """

    higher_is_better = True
    is_differentiable = False

    def update(self, distances: Float[Tensor, "n offsets"]) -> None:
        """Add a clip: what :meth:`SyncNet.distances` says of it."""
        self.add(torch.tensor(self.of(verdict(distances.double().numpy())), dtype=torch.float64))

    def of(self, told: Verdict) -> float:
        """The part of the verdict that counts."""
        return told.confidence


class SyncDistance(SyncConfidence):
    """Mean Sync-D over clips; smaller is better.

    >>> metric = SyncDistance()
    >>> metric.update(torch.tensor([[5.0, 1.0, 4.0], [5.0, 2.0, 4.0]]))
    >>> float(metric.compute())
    1.5
    """

    higher_is_better = False

    def of(self, told: Verdict) -> float:
        """The part of the verdict that counts."""
        return told.distance


# ---------------------------------------------------------------------- finding the face


class S3FD:
    """The face finder that SyncNet's crops come from.

    Raises:
        BackendMissing: the package or the weights are missing; says what to do.
    """

    def __init__(self) -> None:
        path = _weights(FACE_WEIGHTS)
        _package()
        from syncnet_python.detectors import s3fd
        from syncnet_python.detectors.s3fd.nets import S3FDNet

        net = S3FDNet(device="cpu")
        _fill(net, path)
        self._finder = s3fd.S3FD(net=net.eval(), device="cpu")

    def __call__(self, frame: np.ndarray) -> np.ndarray | None:
        """The surest face of a picture ``uint8 [H, W, 3]`` RGB, or ``None``."""
        faces = self._finder.detect_faces(frame, conf_th=0.9, scales=[0.25])
        return faces[np.argmax(faces[:, -1])][:4] if len(faces) else None


def _package() -> Any:
    try:
        import syncnet_python
    except ImportError as error:
        raise BackendMissing(
            f"Sync-C and Sync-D need the package syncnet-python ({error}).\n"
            f"  Install it with: {INSTALL}"
        ) from error
    return syncnet_python


def _weights(file: str) -> Any:
    path = weights.named(file)
    if path is None:
        raise BackendMissing(
            f"Sync-C and Sync-D need {WEIGHTS} and {FACE_WEIGHTS}, which their authors allow for "
            f"research only.\n  Put both into {weights.folders()[0]} (download_model.sh of "
            "joonson/syncnet_python says where they are)."
        )
    return path


def _fill(net: nn.Module, path: Any) -> None:
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise BackendMissing(
            f"{path} is not the weights of its network ({type(error).__name__}); copy it again."
        ) from error


def stretches(follows: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and end of each run of frames in a row.

    >>> list(stretches(np.array([False, True, True, False, True])))
    [(0, 3), (3, 5)]
    """
    starts = [*np.flatnonzero(~follows).tolist(), len(follows)]
    yield from zip(starts[:-1], starts[1:], strict=True)
