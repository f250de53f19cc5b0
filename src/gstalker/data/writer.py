"""Writing a capture folder, piece by piece; ``capture`` knows the layout and reads it."""

from __future__ import annotations

import hashlib
import json
import wave
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gstalker import files
from gstalker.data.capture import ARRAYS, FPS, RATE_HZ, VERSION, Capture
from gstalker.errors import CaptureError

_WHERE = ("path", "choices")
"""Entries of ``source`` that say where a film and other files lay, and what was typed: the arrays
tell what came of it."""


class CaptureWriter:
    """Writes a capture folder piece by piece; :meth:`finish` makes it one.

    Args:
        folder: where; made if missing. A ``capture.json`` from before is removed first, so that a
            folder being rewritten is never taken for a finished one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "capture.json").unlink(missing_ok=True)
        except OSError as error:
            raise CaptureError(f"cannot write to {folder}: {error.strerror}.") from error

    def array(self, name: str, value: np.ndarray) -> None:
        """Write one of the arrays, or ``features/<kind>``."""
        files.write_array(self.folder / f"{name}.npy", np.ascontiguousarray(value))

    def frames(self, pictures: Iterable[np.ndarray], count: int, height: int, width: int) -> None:
        """Stream ``count`` pictures ``uint8 [H, W, 3]`` to disk with their checksums."""
        sums = self.rows("frames", pictures, (count, height, width, 3))
        self.array("checksums", sums)

    def rows(self, name: str, rows: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """Stream ``uint8`` rows to ``<name>.npy``; returns the rows' CRC-32, ``uint32 [F]``."""
        sums = np.zeros(shape[0], np.uint32)
        written = 0
        with (
            files.replacing(self.folder / f"{name}.npy") as temporary,
            temporary.open("wb") as file,
        ):
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for row in rows:
                if row.shape != shape[1:] or row.dtype != np.uint8 or written == shape[0]:
                    raise ValueError(
                        f"expected {shape[0]} uint8 rows of shape {shape[1:]}, but got {row.shape}"
                    )
                data = np.ascontiguousarray(row)
                sums[written] = zlib.crc32(data.data)
                file.write(data.data)
                written += 1
            if written != shape[0]:
                raise ValueError(f"expected {shape[0]} rows of {name}, but got {written}")
        return sums

    def audio(self, samples: np.ndarray) -> None:
        """Write the sound, float in [-1, 1] at 16 kHz."""
        write_wav(self.folder / "audio.wav", samples)

    def finish(self, meta: dict[str, Any]) -> Capture:
        """Write ``capture.json`` and open the result.

        Args:
            meta: everything in ``capture.json`` but ``version``, ``fps`` and ``content_id``, which
                says what the capture is, wherever its film lies.
        """
        whole = {"version": VERSION, "fps": FPS, **meta}
        source = {key: told for key, told in meta.get("source", {}).items() if key not in _WHERE}
        hashed = {**whole, "source": source} if source else whole
        content = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode())
        names = [n for n in ARRAYS if n not in ("frames", "masks")]
        for name in [*names, *(f"features/{kind}" for kind in sorted(meta["features"]))]:
            content.update(files.sha256(self.folder / f"{name}.npy").encode())
        whole["content_id"] = content.hexdigest()
        Capture(self.folder, whole).check()
        files.write_json(self.folder / "capture.json", whole)
        return Capture.open(self.folder)


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Write mono sound, float in [-1, 1] at 16 kHz, as 16-bit PCM."""
    pcm = (np.clip(samples, -1, 1) * 32767).round().astype("<i2")
    with files.replacing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.tobytes())
