"""The capture folder: the one module that knows its layout, reads it and checks it.

A capture is one person's video made ready for training: every frame of the 25 fps video, in order,
with masks, head poses, landmarks, signals and sound features beside it. Frames are never
renumbered; the ones that must not be used are listed under ``dropped`` in ``capture.json``, which
is written last, so that a folder without it is an unfinished one.

Frames are read one at a time with ``pread``: memory does not grow with the length of the video,
and every first read of a frame is checked against its CRC.
"""

from __future__ import annotations

import json
import shlex
import wave
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gstalker.data.rows import Rows
from gstalker.errors import CaptureError

VERSION = 1
FPS = 25
RATE_HZ = 16_000
SAMPLES_PER_FRAME = RATE_HZ // FPS
TRAIN_SHARE = 10 / 11
"""First 10/11 of the frames train, the rest test (AD-NeRF's process_data and all its heirs)."""
CUT_SNAP_SHARE = 0.01
"""The boundary moves to a jump cut that lies within this share of the frames."""

BACKGROUND, TORSO, HEAD, MOUTH, HAIR, TEETH, NECK = range(7)
"""Labels in ``masks.npy``; the last three only where the parser tells them."""
COARSE = bytes([BACKGROUND, TORSO, HEAD, MOUTH, HEAD, MOUTH, TORSO])
"""What each label is part of."""

_NEEDED = (
    *("version", "name", "fps", "frame_count", "width", "height", "focal_px", "cx_px", "cy_px"),
    *("segments", "dropped", "features", "content_id"),
)
"""Keys without which ``capture.json`` is not one."""

ARRAYS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "frames": ("uint8", ("F", "H", "W", 3)),
    "masks": ("uint8", ("F", "H", "W")),
    "background": ("uint8", ("H", "W", 3)),
    "poses": ("float32", ("F", 4, 4)),
    "landmarks": ("float32", ("F", "L", 2)),
    "mesh": ("float32", ("V", 3)),
    "eye": ("float32", ("F",)),
    "mouth": ("float32", ("F",)),
    "checksums": ("uint32", ("F",)),
}
"""Type and shape of every array; F frames, L landmarks, V vertices."""


class Capture:
    """Read-only, validated view of a capture folder; make one with :meth:`open`."""

    train_minutes: float | None = None
    """How much of the training part may be learned from; ``None``: all of it."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.folder = folder
        self.meta = meta
        self.name: str = meta["name"]
        self.frame_count: int = meta["frame_count"]
        self.height: int = meta["height"]
        self.width: int = meta["width"]
        self.content_id: str = meta["content_id"]
        self.segments: list[tuple[int, int]] = [(int(a), int(b)) for a, b in meta["segments"]]
        self.dropped = np.zeros(self.frame_count, bool)
        for gap in meta["dropped"]:
            self.dropped[gap["start"] : gap["stop"]] = True
        self._verified = np.zeros(self.frame_count, bool)

    @classmethod
    def open(cls, folder: str | Path, *, train_minutes: float | None = None) -> Capture:
        """Open a finished capture.

        Args:
            folder: of the capture.
            train_minutes: end the training part after its first so many minutes.

        Raises:
            CaptureError: the folder is missing, unfinished, of another version or damaged, or its
                training part is shorter; the message says which file and what to type.
        """
        folder = Path(folder)
        capture = cls(folder, _read_meta(folder))
        capture.check()
        if train_minutes is not None:
            have = len(capture.split()[0]) / FPS / 60
            if train_minutes > have:
                raise CaptureError(
                    f"{folder} has {have:.2f} minutes to train on, but train_minutes is "
                    f"{train_minutes:g}.\n  Give less, or null for all."
                )
            capture.train_minutes = train_minutes
        return capture

    # ------------------------------------------------------------------ pictures

    def expect(self, index: int) -> None:
        """Have a picture fetched from disk that will be asked for soon; returns at once."""
        self._frames.expect(index)

    def frame(self, index: int) -> np.ndarray:
        """One picture, ``uint8 [H, W, 3]`` RGB."""
        picture = self._frames[index]
        if not self._verified[index]:
            if zlib.crc32(picture.data) != self._checksums[index]:
                raise CaptureError(
                    f"{self.folder} is damaged: frame {index} of frames.npy does not match its "
                    "checksum.\n"
                    f"  Run: {_prepare_hint(self.folder)} --redo frames"
                )
            self._verified[index] = True
        return picture

    def mask(self, index: int) -> np.ndarray:
        """Labels of one picture, ``uint8 [H, W]``: background 0, torso 1, head 2, mouth 3."""
        return coarse(self.parts(index))

    def parts(self, index: int) -> np.ndarray:
        """The same, finer where the parser could tell: hair 4, teeth 5, neck 6."""
        labels = self._masks[index]
        if labels.max() >= len(COARSE):
            raise self._broken(f"masks.npy has a label {labels.max()} in frame {index}")
        return labels

    @property
    def tells(self) -> tuple[str, ...]:
        """Which labels the parser tells apart."""
        known = self.meta.get("parser", {}).get("tells")
        return tuple(known) if known else ("background", "torso", "head", "mouth")

    @cached_property
    def background(self) -> np.ndarray:
        """The still picture behind the speaker, ``uint8 [H, W, 3]``."""
        return self._load("background")

    # ------------------------------------------------------------------ geometry and signals

    @cached_property
    def Ks(self) -> Tensor:
        """Intrinsics in pixels, ``float32 [3, 3]``."""
        m = self.meta
        return torch.tensor(
            [[m["focal_px"], 0, m["cx_px"]], [0, m["focal_px"], m["cy_px"]], [0, 0, 1]],
            dtype=torch.float32,
        )

    @cached_property
    def poses(self) -> Tensor:
        """Head to camera for every frame, ``float32 [F, 4, 4]``."""
        return torch.from_numpy(self._load("poses"))

    @cached_property
    def poses_raw(self) -> Tensor | None:
        """:attr:`poses` before they were smoothed over time; ``None`` where they were not kept."""
        if not (self.folder / "poses_raw.npy").exists():
            return None
        return torch.from_numpy(self._load("poses_raw"))

    @cached_property
    def expressions(self) -> np.ndarray | None:
        """How far each expression of the face model is there, ``float32 [F, E]`` in [0, 1]; their
        names are ``meta["tracker"]["expressions"]``. ``None`` where no model was fitted.
        """
        if not (self.folder / "expressions.npy").exists():
            return None
        return self._load("expressions")

    @cached_property
    def landmarks(self) -> np.ndarray:
        """``float32 [F, L, 2]`` in pixels, NaN where no face was found; layout in ``meta``."""
        return self._load("landmarks")

    @cached_property
    def mesh(self) -> np.ndarray:
        """The subject's own face at rest, ``float32 [V, 3]``, head space."""
        return self._load("mesh")

    @cached_property
    def eye(self) -> np.ndarray:
        """Eye opening, ``float32 [F]``, larger is wider: lid gap over outer-eye distance, or what
        ``meta["eye"]["provider"]`` says.
        """
        return self._load("eye")

    @cached_property
    def mouth(self) -> np.ndarray:
        """Mouth opening, ``float32 [F]``: inner-lip gap over outer-eye distance."""
        return self._load("mouth")

    # ------------------------------------------------------------------ sound

    def audio(self) -> np.ndarray:
        """The sound, ``float32 [F * 640]`` at 16 kHz in [-1, 1]."""
        with wave.open(str(self.folder / "audio.wav"), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.astype(np.float32) / 32768.0

    def rows_per_frame(self, kind: str) -> int:
        """Feature rows per video frame of one kind of sound feature."""
        return int(self._feature(kind)["rows_per_frame"])

    def features(self, kind: str) -> np.ndarray:
        """Sound features, ``float32 [F * rows_per_frame, D]``.

        Raises:
            CaptureError: the capture has no features of that kind.
        """
        self._feature(kind)
        return self._load(f"features/{kind}")

    # ------------------------------------------------------------------ time

    def segment_of(self, index: int) -> tuple[int, int]:
        """First frame and end of the take that ``index`` lies in."""
        for start, stop in self.segments:
            if start <= index < stop:
                return start, stop
        raise IndexError(f"frame {index} is outside 0..{self.frame_count - 1}")

    @cached_property
    def test_start(self) -> int:
        """First frame of the test part: 10/11 of the frames, moved to a jump cut close by; an
        imported data set may bring another.
        """
        if "test_start" in self.meta:
            return int(self.meta["test_start"])
        boundary = int(self.frame_count * TRAIN_SHARE)
        cuts = [start for start, _ in self.segments if start > 0]
        nearest = min(cuts, key=lambda cut: abs(cut - boundary), default=boundary)
        close = abs(nearest - boundary) <= CUT_SNAP_SHARE * self.frame_count
        return nearest if close else boundary

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the usable training and test frames, in time order."""
        ids = np.flatnonzero(~self.dropped)
        train, test = ids[ids < self.test_start], ids[ids >= self.test_start]
        if self.train_minutes is not None:
            train = train[: round(self.train_minutes * 60 * FPS)]
        return train, test

    # ------------------------------------------------------------------ reading and checking

    @cached_property
    def _frames(self) -> Rows:
        return Rows(self.folder / "frames.npy")

    @cached_property
    def _masks(self) -> Rows:
        return Rows(self.folder / "masks.npy")

    @cached_property
    def _checksums(self) -> np.ndarray:
        return self._load("checksums")

    def _load(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._broken(f"{name}.npy cannot be read ({error})") from error

    def _feature(self, kind: str) -> dict[str, Any]:
        kinds = self.meta["features"]
        if kind not in kinds:
            raise CaptureError(
                f"{self.folder} has no '{kind}' sound features, only: {', '.join(sorted(kinds))}.\n"
                f"  Run: {_prepare_hint(self.folder)} audio={kind}\n"
                "  with features that another program made: audio_features=FILE.npy\n"
                f"  or set audio.features={sorted(kinds)[0]} where the method's config has it"
            )
        return kinds[kind]

    def _broken(self, what: str) -> CaptureError:
        return CaptureError(f"{self.folder}: {what}.\n  Run: {_prepare_hint(self.folder)}")

    def check(self) -> None:
        """Compare the files with what ``capture.json`` says; raises :class:`CaptureError`."""
        sizes: dict[str, int] = {"F": self.frame_count, "H": self.height, "W": self.width}
        for name, (dtype, shape) in ARRAYS.items():
            self._check_array(name, dtype, shape, sizes)
        if (self.folder / "poses_raw.npy").exists():
            self._check_array("poses_raw", "float32", ("F", 4, 4), sizes)
        if (self.folder / "expressions.npy").exists():
            names = self.meta.get("tracker", {}).get("expressions", [])
            self._check_array("expressions", "float32", ("F", len(names)), sizes)
        for kind, spec in self.meta["features"].items():
            rows = self.frame_count * spec["rows_per_frame"]
            self._check_array(f"features/{kind}", "float32", (rows, spec["dim"]), {})
        covered = [a for segment in self.segments for a in range(*segment)]
        if covered != list(range(self.frame_count)):
            raise self._broken(
                "the segments in capture.json do not cover the frames once, in order"
            )
        if not np.isfinite(self.poses.numpy()[~self.dropped]).all():
            raise self._broken(
                "poses.npy holds values that are not numbers in frames that are not dropped"
            )
        try:
            with wave.open(str(self.folder / "audio.wav"), "rb") as file:
                sound = (file.getframerate(), file.getnchannels(), file.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise self._broken(f"audio.wav cannot be read ({error})") from error
        if sound != (RATE_HZ, 1, self.frame_count * SAMPLES_PER_FRAME):
            raise self._broken(f"audio.wav is not 16 kHz mono of {self.frame_count} frames' length")

    def _check_array(
        self, name: str, dtype: str, shape: tuple[str | int, ...], sizes: dict[str, int]
    ) -> None:
        path = self.folder / f"{name}.npy"
        if not path.exists():
            raise self._broken(f"{name}.npy is missing")
        try:
            rows = Rows(path)
        except (OSError, ValueError, EOFError) as error:
            raise self._broken(f"{name}.npy is damaged ({error})") from error
        wanted = [sizes.get(s) if isinstance(s, str) else s for s in shape]
        found = list(rows.shape)
        agrees = len(found) == len(wanted) and all(
            w is None or w == f for w, f in zip(wanted, found, strict=True)
        )
        if not agrees or rows.dtype != np.dtype(dtype):
            expected = "x".join("*" if w is None else str(w) for w in wanted)
            raise self._broken(
                f"{name}.npy holds {rows.dtype} {'x'.join(map(str, found))} "
                f"where {dtype} {expected} was expected"
            )


def coarse(labels: np.ndarray) -> np.ndarray:
    """Labels of any shape, the finer ones made what they are part of."""
    table = COARSE.ljust(256, bytes([BACKGROUND]))  # five times as fast as indexing an array
    return np.frombuffer(bytearray(labels).translate(table), np.uint8).reshape(labels.shape)


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / "capture.json"
    if not folder.is_dir():
        raise CaptureError(f"there is no capture at {folder}.\n  Run: {_prepare_hint(folder)}")
    try:
        meta = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CaptureError(
            f"{folder} is not a finished capture: it has no capture.json.\n"
            f"  Run: {_prepare_hint(folder)}"
        ) from error
    except (OSError, ValueError) as error:
        raise CaptureError(
            f"{path} cannot be read ({error}).\n  Run: {_prepare_hint(folder)}"
        ) from error
    missing = (
        [key for key in _NEEDED if key not in meta] if isinstance(meta, dict) else ["everything"]
    )
    if missing:
        raise CaptureError(f"{path} lacks: {', '.join(missing)}.\n  Run: {_prepare_hint(folder)}")
    if meta["version"] != VERSION or meta["fps"] != FPS:
        raise CaptureError(
            f"{folder} is of layout version {meta['version']} at {meta['fps']} fps; this program "
            f"reads version {VERSION} at {FPS} fps.\n  Run: {_prepare_hint(folder)}"
        )
    return meta


def _prepare_hint(folder: Path) -> str:
    return f"gstalker prepare VIDEO {shlex.quote(str(folder))}"
