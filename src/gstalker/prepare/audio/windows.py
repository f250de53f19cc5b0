"""Sound features as the others keep them: windows, told apart by their trailing shape.

DeepSpeech and wav2vec are stored as one window of 16 rows a video frame, cut every second row from
50 rows a second with 8 rows of zeros at both ends: window ``i`` holds rows ``2i - 8 .. 2i + 7``.
Seven eighths of such a file repeat the rest, so a capture keeps the rows alone, two a frame;
that all copies of a row agree is checked, and the windows come back as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gstalker.errors import CaptureError

WINDOW, STRIDE = 16, 2
_BEFORE = WINDOW // 2


@dataclass(frozen=True)
class Kind:
    """One kind of sound feature in the AD-NeRF family."""

    name: str
    """As the capture's ``features/`` calls it."""
    shape: tuple[int, int]
    """Of one frame's entry."""
    files: tuple[str, ...]
    """Where it is written to; the readers' own names."""
    dtype: str
    said: str
    """What it is, in words."""

    @property
    def windowed(self) -> bool:
        """Overlapping windows, rather than each frame's own rows."""
        return self.shape[0] == WINDOW

    @property
    def rows_per_frame(self) -> int:
        """Rows of a frame in the capture."""
        return STRIDE if self.windowed else 1 if 1 in self.shape else self.shape[0]

    @property
    def dim(self) -> int:
        """Features in a row."""
        return max(self.shape) if 1 in self.shape else self.shape[1]

    def describes(self, spec: Mapping[str, Any]) -> bool:
        """Whether a capture's features of this name are of this kind, and not of another model."""
        return (spec["dim"], spec["rows_per_frame"]) == (self.dim, self.rows_per_frame)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "deepspeech",
            (16, 29),
            ("aud_ds.npy", "aud.npy"),
            "float64",
            "DeepSpeech, logits of 29 symbols",
        ),
        Kind("esperanto", (16, 44), ("aud_eo.npy",), "float32", "wav2vec2, 44 Esperanto symbols"),
        Kind("wav2vec2", (16, 32), ("aud.npy",), "float32", "wav2vec2, 32 symbols"),
        Kind("hubert", (2, 1024), ("aud_hu.npy",), "float32", "HuBERT large, last layer"),
        Kind("ave", (512, 1), ("aud_ave.npy",), "float32", "SyncTalk's audio-visual encoder"),
    )
}


@dataclass(frozen=True)
class Heard:
    """A feature file, as rows."""

    kind: Kind
    rows: np.ndarray
    """``float32 [N * rows_per_frame, D]``."""
    count: int
    """Entries in the file, N."""


def kind_of(name: str, spec: Mapping[str, Any]) -> Kind | None:
    """The kind that a capture's features of a kind's name are; ``None``: no kind of the family's.

    ``wav2vec2`` may be any model of that name: with 44 symbols it is the one of Esperanto.
    """
    if name not in KINDS:
        return None
    alike = (kind for kind in (KINDS[name], *KINDS.values()) if kind.describes(spec))
    return next(alike, None)


def recognise(shape: tuple[int, ...], file: str) -> Kind:
    """The kind that an array of this shape is.

    Raises:
        CaptureError: none has this shape; names the file.
    """
    for kind in KINDS.values():
        if len(shape) == 3 and shape[1:] in (
            kind.shape,
            kind.shape[::-1] if 1 in kind.shape else (),
        ):
            return kind
    known = ", ".join(
        f"{kind.name} (N, {kind.shape[0]}, {kind.shape[1]})" for kind in KINDS.values()
    )
    raise CaptureError(
        f"{file} holds an array of shape {shape}, which is no known kind of sound features: "
        f"{known}.\n  Take it away, or make it again with the tool that it came from."
    )


def read(path: Path) -> Heard:
    """Read a feature file and tell its kind.

    Raises:
        CaptureError: it is damaged, of an unknown shape, or its windows contradict each other.
    """
    name = path.name
    try:
        entries = np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise CaptureError(f"{name} cannot be read ({error}); make it again.") from error
    kind = recognise(entries.shape, name)
    if len(entries) == 0 or entries.dtype.kind != "f" or not np.isfinite(entries).all():
        raise CaptureError(
            f"{name} is empty or holds other values than finite floats; make it again."
        )
    rows = rows_of(entries, name) if kind.windowed else entries.reshape(-1, kind.dim)
    return Heard(kind, rows.astype(np.float32), len(entries))


def rows_of(windows: np.ndarray, name: str = "the array") -> np.ndarray:
    """Rows behind overlapping windows.

    Args:
        windows: ``[N, 16, D]``.
        name: of the file, for the message.

    Returns:
        ``[2 N, D]``: rows from the first frame's on; the zeros before and behind are left out.

    Raises:
        CaptureError: two windows hold different values for one row.
    """
    count, _, dim = windows.shape
    padded = np.zeros((STRIDE * (count - 1) + WINDOW, dim), windows.dtype)
    for k in range(0, WINDOW, STRIDE):
        padded[k : k + STRIDE * count].reshape(count, STRIDE, dim)[:] = windows[:, k : k + STRIDE]
    wrong = np.flatnonzero((windows_of(padded, count, before=0) != windows).any((1, 2)))
    if len(wrong):
        raise CaptureError(
            f"the windows of {name} contradict each other at entry {wrong[0]}: rows that "
            "neighbouring windows share are not the same.\n"
            "  Entries were lost, added or reordered there; make the file again."
        )
    return padded[_BEFORE : _BEFORE + STRIDE * count]


def windows_of(rows: np.ndarray, count: int, *, before: int = _BEFORE) -> np.ndarray:
    """Overlapping windows ``[count, 16, D]`` of rows, zeros around them.

    Args:
        rows: ``[R, D]``.
        count: windows to cut.
        before: rows of zeros ahead.
    """
    behind = max(STRIDE * (count - 1) + WINDOW - before - len(rows), 0)
    padded = np.pad(rows, ((before, behind), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
    return view[: STRIDE * count : STRIDE].transpose(0, 2, 1)


def entries_of(kind: Kind, rows: np.ndarray, count: int) -> np.ndarray:
    """What a feature file holds: the inverse of :func:`read`."""
    if kind.windowed:
        entries = windows_of(rows[: STRIDE * count], count)
    else:
        entries = rows[: count * kind.rows_per_frame].reshape(count, *kind.shape)
    return np.ascontiguousarray(entries, kind.dtype)


def fitted(rows: np.ndarray, frames: int, rows_per_frame: int) -> tuple[np.ndarray, int]:
    """Rows for exactly ``frames`` frames; what is missing repeats the last row.

    Returns:
        the rows, and how many that were not silence had to be left out.
    """
    wanted = frames * rows_per_frame
    lost = int(np.any(rows[wanted:] != 0, axis=1).sum())
    return np.pad(rows[:wanted], ((0, max(wanted - len(rows), 0)), (0, 0)), mode="edge"), lost
