"""``transforms_train.json``, ``transforms_val.json`` and ``track_params.pt``: read and written."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gstalker import files
from gstalker.errors import CaptureError
from gstalker.exchange import conventions
from gstalker.exchange.config import Split

AGREE = 1e-4
"""``track_params.pt`` and the JSON files agree to this, metres and matrix entries."""
VAL_SECONDS = 12
"""InsTaG's ``split.py``: the last seconds, and one frame more, are for validation."""
_FPS = 25
_TRUST = "  Copy both from one run of the tracker, or say which to trust: poses=transforms"
_IDENTITY, _EXPRESSIONS = 100, 79
"""Coefficients of the face model that the family's tracker fits; ours fits none: zeros."""


@dataclass(frozen=True)
class Transforms:
    """Both JSON files as one, in the order of ``img_id``."""

    img_ids: np.ndarray
    """``int64 [m]``, as written, ascending."""
    aud_ids: list[Any]
    """As written, in the same order; the ``img_id`` where the file says none."""
    matrices: np.ndarray
    """``float64 [m, 4, 4]``: ``transform_matrix``."""
    is_val: np.ndarray
    """``bool [m]``."""
    focal_px: float
    cx_px: float
    cy_px: float
    size: tuple[int, int] | None
    """Width and height where the files say them."""


@dataclass(frozen=True)
class Track:
    """``track_params.pt`` or SyncTalk's ``bundle_adjustment.pt``."""

    file: str
    euler: np.ndarray
    """``float64 [m, 3]``."""
    trans: np.ndarray
    """``float64 [m, 3]``, in ``cm_per_unit``."""
    cm_per_unit: float
    focal_px: float
    vertices: np.ndarray | None
    """``float64 [V, 3]``: the head at rest in our axes, centimetres; GaussianTalker's key."""


# ---------------------------------------------------------------------- reading


def read_transforms(folder: Path) -> Transforms:
    """Read both files and check them against each other.

    Raises:
        CaptureError: one is missing or damaged, they disagree about the lens, an id occurs twice,
            or a matrix is no pose; names the file and the id.
    """
    parts = {part: _read_part(folder / f"transforms_{part}.json") for part in ("train", "val")}
    lenses = {part: _lens(content, part) for part, content in parts.items()}
    if lenses["train"] != lenses["val"]:
        raise CaptureError(
            f"transforms_train.json and transforms_val.json are of two cameras: "
            f"{_lens_text(lenses['train'])} and {_lens_text(lenses['val'])}."
        )
    ids, aud_ids, matrices, is_val = [], [], [], []
    for part, content in parts.items():
        for frame in content["frames"]:
            index, matrix = _entry(frame, part)
            ids.append(index)
            aud_ids.append(frame.get("aud_id", index))
            matrices.append(matrix)
            is_val.append(part == "val")
    order = np.argsort(ids, kind="stable")
    sorted_ids = np.array(ids, np.int64)[order]
    twice = sorted_ids[1:][np.diff(sorted_ids) == 0]
    if len(twice):
        raise CaptureError(
            f"img_id {twice[0]} occurs twice in transforms_train.json and transforms_val.json; "
            "one of them is misnumbered."
        )
    focal, cx, cy, size = lenses["train"]
    return Transforms(
        sorted_ids,
        [aud_ids[k] for k in order],
        np.array(matrices)[order],
        np.array(is_val)[order],
        *(focal, cx, cy, size),
    )


def sound_in_step(transforms: Transforms) -> None:
    """Is the ``aud_id`` of every pose its ``img_id``, as all trackers of the family write it?

    Raises:
        CaptureError: it is not; names the first.
    """
    for index, sound in zip(transforms.img_ids.tolist(), transforms.aud_ids, strict=True):
        if sound != index:
            raise CaptureError(
                f"img_id {index} of the transforms files has aud_id {sound!r}, the sound of "
                "another frame: one is misnumbered.\n  Write the same number into both."
            )


def read_track(folder: Path) -> Track | None:
    """Read ``bundle_adjustment.pt`` (SyncTalk), else ``track_params.pt``; ``None`` without either.

    Raises:
        CaptureError: it is damaged or lacks a key.
    """
    for name, unit in (
        ("bundle_adjustment.pt", conventions.CM_PER_METRE),
        ("track_params.pt", conventions.CM_PER_DM),
    ):
        if (folder / name).exists():
            return _read_track(folder / name, unit)
    return None


def _read_track(path: Path, cm_per_unit: float) -> Track:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        euler, trans, focal = (_double(content[key]) for key in ("euler", "trans", "focal"))
    except pickle.UnpicklingError as error:  # torch's own words advise to load it all the same
        raise CaptureError(
            f"{path.name} is cut off or holds other things than tensors; such a file could run "
            f"code, so it is not loaded.\n{_TRUST}"
        ) from error
    except Exception as error:  # torch.load raises whatever the bytes provoke
        raise CaptureError(
            f"{path.name} cannot be read as tensors euler, trans and focal "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
            f"\n{_TRUST}"
        ) from error
    if euler.ndim != 2 or euler.shape[1:] != (3,) or euler.shape != trans.shape or focal.size != 1:
        raise CaptureError(
            f"{path.name} holds euler {euler.shape}, trans {trans.shape} and focal {focal.shape} "
            "where (n, 3), (n, 3) and (1,) were expected."
        )
    whole = np.isfinite(np.hstack([euler, trans])).all(1)
    if not whole.all():
        raise CaptureError(
            f"{path.name}: euler or trans of entry {int(np.argmin(whole))} is not finite.\n{_TRUST}"
        )
    vertices = content.get("vertices")
    if vertices is not None:
        vertices = conventions.points_from_theirs(_double(vertices.float().mean(0)), cm_per_unit)
    return Track(path.name, euler, trans, cm_per_unit, float(focal.ravel()[0]), vertices)


def track_viewmats(track: Track, transforms: Transforms) -> tuple[np.ndarray, str]:
    """The tracker's poses, once they are known to be those of the JSON files.

    Returns:
        ``float64 [m, 4, 4]`` in our words, and a remark where the angles' sign is not the usual.

    Raises:
        CaptureError: another number of frames, another focal length, or other poses; names the
            first frame.
    """
    if len(track.euler) != len(transforms.img_ids):
        raise CaptureError(
            f"{track.file} has {len(track.euler)} poses, but transforms_train.json and "
            f"transforms_val.json have {len(transforms.img_ids)}.\n{_TRUST}"
        )
    if abs(track.focal_px - transforms.focal_px) > AGREE * transforms.focal_px:
        raise CaptureError(
            f"{track.file} has a focal length of {track.focal_px:g} px, transforms_train.json "
            f"one of {transforms.focal_px:g} px: they are of two trackings.\n{_TRUST}"
        )
    theirs = conventions.viewmats_from_transforms(transforms.matrices)
    away = []
    for sign, remark in ((1, ""), (-1, f"the angles of {track.file} have the opposite sign")):
        found = conventions.viewmats_from_track(sign * track.euler, track.trans, track.cm_per_unit)
        away.append(pose_distance(found, theirs))
        if away[-1].max() < AGREE:
            return found, remark
    first = int(np.argmax(away[0] >= AGREE))
    raise CaptureError(
        f"{track.file} and the JSON files disagree about the pose of img_id "
        f"{transforms.img_ids[first]} (entry {first}): by {away[0][first]:.2g}, where less than "
        f"{AGREE:g} is rounding.\n{_TRUST}"
    )


def pose_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest difference of two lists of our matrices, rotation entries and metres, ``[n]``."""
    difference = np.abs(a - b)[:, :3]
    difference[..., 3] /= conventions.CM_PER_METRE
    return difference.max((1, 2))


# ---------------------------------------------------------------------- writing


def split_at(count: int, split: Split, test_start: int) -> int:
    """How many of ``count`` frames train.

    Args:
        count: of exported frames.
        split: the rule.
        test_start: exported frames before the capture's own boundary.

    Raises:
        CaptureError: the rule leaves nothing to train on or to validate with.
    """
    train = {
        "ten-elevenths": int(count * 10 / 11),
        "last-12-seconds": count - VAL_SECONDS * _FPS - 1,
        "capture": test_start,
    }[split]
    if not 0 < train < count:
        raise CaptureError(
            f"split={split} makes {max(train, 0)} training and {count - max(train, 0)} validation "
            f"frames of {count}; both are needed.\n  Use split=ten-elevenths, or a longer video."
        )
    return train


def write_transforms(
    folder: Path,
    viewmats: np.ndarray,
    ids: np.ndarray,
    face_rects: list[list[int]],
    *,
    train: int,
    focal_px: float,
    size: tuple[int, int],
) -> None:
    """Write both JSON files; the principal point is the middle of the picture.

    Args:
        folder: where.
        viewmats: ``[m, 4, 4]`` ours.
        ids: ``[m]``, both ``img_id`` and ``aud_id``.
        face_rects: AD-NeRF's ``face_rect`` of each.
        train: so many of them are for training.
        focal_px: of the lens.
        size: width and height.
    """
    matrices = conventions.transforms_from_viewmats(viewmats)
    frames = [
        {
            "img_id": int(i),
            "aud_id": int(i),
            "transform_matrix": matrix.tolist(),
            "face_rect": rect,
        }
        for i, matrix, rect in zip(ids, matrices, face_rects, strict=True)
    ]
    for part, chosen in (("train", frames[:train]), ("val", frames[train:])):
        content = {"focal_len": focal_px, "cx": size[0] / 2, "cy": size[1] / 2, "frames": chosen}
        files.write_text(folder / f"transforms_{part}.json", json.dumps(content, indent=2))


def write_track(folder: Path, viewmats: np.ndarray, mesh: np.ndarray, focal_px: float) -> None:
    """Write ``track_params.pt``: no face model, so ``id`` and ``exp`` are zero.

    Args:
        folder: where.
        viewmats: ``[m, 4, 4]`` ours.
        mesh: ``[V, 3]`` ours; written as ``vertices (1, V, 3)``.
        focal_px: of the lens.
    """
    euler, trans = conventions.track_from_viewmats(viewmats)
    vertices = conventions.points_to_theirs(mesh, conventions.CM_PER_DM)[None]
    content = {
        "id": torch.zeros(1, _IDENTITY),
        "exp": torch.zeros(len(viewmats), _EXPRESSIONS),
        "euler": torch.from_numpy(euler).float(),
        "trans": torch.from_numpy(trans).float(),
        "focal": torch.tensor([focal_px], dtype=torch.float32),
        "vertices": torch.from_numpy(vertices).float(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write_bytes(folder / "track_params.pt", buffer.getvalue())


# ---------------------------------------------------------------------- parts of reading

_Lens = tuple[float, float, float, tuple[int, int] | None]


def _read_part(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise CaptureError(f"{path.name} is missing in {path.parent}.")
    try:
        content = json.loads(path.read_text())
        if content["frames"] and {"focal_len", "cx", "cy"} <= set(content):
            return dict(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaptureError(f"{path.name} cannot be read ({error!r}).") from error
    raise CaptureError(f"{path.name} lacks frames, focal_len, cx or cy.")


def _lens(content: Mapping[str, Any], part: str) -> _Lens:
    try:
        focal, cx, cy = (float(content[key]) for key in ("focal_len", "cx", "cy"))
        size = (int(content["w"]), int(content["h"])) if {"w", "h"} <= set(content) else None
    except (TypeError, ValueError) as error:
        raise CaptureError(f"transforms_{part}.json: {error}.") from error
    if not (np.isfinite([focal, cx, cy]).all() and focal > 0):
        raise CaptureError(f"transforms_{part}.json: focal_len {focal}, cx {cx}, cy {cy}.")
    return focal, cx, cy, size


def _lens_text(lens: _Lens) -> str:
    return f"focal_len {lens[0]:g}, cx {lens[1]:g}, cy {lens[2]:g}"


def _entry(frame: Mapping[str, Any], part: str) -> tuple[int, np.ndarray]:
    file = f"transforms_{part}.json"
    try:
        index = frame["img_id"]
        matrix = np.array(frame["transform_matrix"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"{file} has a frame without img_id or transform_matrix.") from error
    if not isinstance(index, int) or index < 0:
        raise CaptureError(f"{file} has img_id {index!r}; whole numbers from 0 were expected.")
    turn = matrix[:3, :3] if matrix.shape == (4, 4) else np.zeros((3, 3))
    rigid = np.abs(turn @ turn.T - np.eye(3)).max() < 1e-3 and np.linalg.det(turn) > 0
    if not (np.isfinite(matrix).all() and rigid and np.allclose(matrix[3], [0, 0, 0, 1])):
        raise CaptureError(f"{file}: transform_matrix of img_id {index} is no rotation and shift.")
    return index, matrix


def _double(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()
