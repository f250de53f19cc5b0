"""MediaPipe's canonical face, read from the landmarker's own bundle: nothing of it is kept here.

The bundle is a zip; its ``geometry_pipeline_metadata_landmarks.binarypb`` is a protocol buffer
whose canonical mesh holds 468 vertices of five floats (x, y, z, u, v; centimetres).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gstalker.errors import GSTalkerError

VERTICES = 468
_MEMBER = "geometry_pipeline_metadata_landmarks.binarypb"
_MESH_FIELD, _VERTEX_FIELD, _FLOATS = 1, 3, 5


def vertices(bundle: Path) -> np.ndarray:
    """The canonical face, ``float64 [468, 3]`` in centimetres, OpenCV axes (y down, z away).

    Args:
        bundle: ``face_landmarker.task``.

    Raises:
        GSTalkerError: the bundle is damaged.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            metadata = archive.read(_MEMBER)
        mesh = b"".join(v for n, v in _fields(metadata) if n == _MESH_FIELD)
        floats = b"".join(v for n, v in _fields(mesh) if n == _VERTEX_FIELD)
        table = np.frombuffer(floats, "<f4").reshape(VERTICES, _FLOATS)
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise GSTalkerError(
            f"{bundle} is damaged ({error}).\n  Run: gstalker weights check face_landmarker"
        ) from error
    return table[:, :3].astype(np.float64) * np.array([1.0, -1.0, -1.0])


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and raw bytes of a protocol buffer message (its wire format)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        elif kind == 0:
            _, end = _varint(message, at)
            length = end - at
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
