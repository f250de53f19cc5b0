"""From landmarks to a tracked head: the whole fit, and which frames it cannot vouch for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gstalker.errors import MediaError
from gstalker.face import LAYOUTS
from gstalker.prepare.takes import runs
from gstalker.prepare.tracking import person, pose, shape
from gstalker.prepare.tracking.morphable import FaceModel
from gstalker.prepare.tracking.pose import Lens, Poses
from gstalker.prepare.tracking.refine import Refined
from gstalker.prepare.tracking.smooth import jitter, smooth

log = logging.getLogger(__name__)

_FACE = LAYOUTS["mediapipe478"]
_OUTLIER_TIMES = 8.0
"""A frame whose points miss by this many usual deviations more than usual is dropped ..."""
_OUTLIER_SHARE = 0.03
"""... if they also miss by this share of the outer-eye distance."""
_LEAST_FRAMES = 10
STRANGE = "the face does not look as usual: turned far aside, or covered"
_UNLIKE = 0.25
"""Share of a face's looks that is not as usual, from which its pose is not believed ..."""
_UNLIKE_TIMES = 5.0
"""... if it is also this many times what it mostly is, for film may be grainy. Frames of four real
people reach 0.13; of a synthetic one, 0.11 where the pose is right within 5 degrees, and 0.28 to 1
where the head is turned by 55 degrees and more and the pose is 5 to 50 degrees off."""

Refine = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Lens], Refined]
"""Rotations and translations of all frames, the frames that have a pose of their own, mesh and lens
to better ones."""


@dataclass(frozen=True)
class Head:
    """What tracking found; see ``data.capture`` for the arrays."""

    poses: np.ndarray
    poses_raw: np.ndarray
    """Before smoothing, which so can be undone or done otherwise."""
    mesh: np.ndarray
    mouth: np.ndarray
    lens: Lens
    dropped: list[tuple[int, int, str]]
    """Start, stop and reason of frames without a face or with one that does not fit."""
    report: dict[str, Any]
    """The tracker's account of itself."""
    expressions: np.ndarray | None = None
    """``float64 [F, E]`` in [0, 1], where a face model told them; frames dropped have those of the
    nearest one that is not."""


def track(
    points: np.ndarray,
    canonical: np.ndarray,
    *,
    segments: Sequence[tuple[int, int]],
    unusable: np.ndarray,
    filmed_side: float,
    centre: tuple[float, float],
    focal_px: float | None,
    smooth_frames: float,
    refine: Refine | None = None,
    model: FaceModel | None = None,
) -> Head:
    """Fit one head to a clip.

    Args:
        points: ``[F, 478, 2]`` pixels; NaN without a face.
        canonical: ``[468, 3]`` the face to start from.
        segments: takes.
        unusable: ``bool [F]``, frames known to be damaged.
        filmed_side: shorter side of the whole filmed picture, in pixels of the prepared one.
        centre: principal point, pixels.
        focal_px: the focal length where it is known.
        smooth_frames: deviation of the smoothing, frames.
        refine: compares poses with the pictures and may make them and the mesh better, before the
            poses are smoothed.
        model: a morphable face; without one, one rest shape serves all frames.
    """
    seen = np.isfinite(points).all((1, 2))
    ids = np.flatnonzero(seen & ~unusable)
    if len(ids) < _LEAST_FRAMES:
        raise MediaError(
            f"a face is found in only {len(ids)} frames; at least {_LEAST_FRAMES} are needed."
        )
    faces = points[ids][:, : len(canonical)].astype(np.float64)
    focal = _focal(faces, canonical, filmed_side, centre, focal_px)
    lens = Lens(focal.focal_px, *centre)

    def fit(to: np.ndarray) -> _Fitted:
        if model is None:
            return _fitted(faces, faces[to], canonical, lens)
        return _moulded(faces, faces[to], model, lens)

    fitted = fit(np.ones(len(ids), bool))
    fits = _fitting(fitted.poses.error_px, faces)
    if not fits.all():  # the face is better without what was not it
        fitted = fit(fits)
        fits = _fitting(fitted.poses.error_px, faces)
    mesh, found = fitted.mesh, fitted.poses
    dropped = _reasons(seen, unusable, ids[~fits])
    good = np.zeros(len(points), bool)
    good[ids[fits]] = True
    rotations, translations = _for_all(found, ids, good, segments)
    moved = False
    if refine is not None:
        refined = refine(rotations, translations, ids[fits], mesh, lens)
        rotations, translations, mesh = refined.rotations, refined.translations, refined.mesh
        moved = refined.moved
        strange = _strange(refined.likeness, good)
        dropped += [(a, b, STRANGE) for a, b in runs(strange)]
        good &= ~strange
        rotations, translations = _hold(rotations, translations, good, segments)
    stretches = [(a + s, b + s) for s, e in segments for a, b in runs(good[s:e])]
    steady = smooth(rotations, translations, stretches, smooth_frames)
    steady = _hold(*steady, good, segments)
    before, after = (
        jitter(rotations, translations, stretches, lens),
        jitter(*steady, stretches, lens),
    )
    report = {
        "name": "mediapipe478 + Gauss-Newton" + ", refined on the pictures" * moved,
        **fitted.report,
        "reprojection_px": float(np.mean(found.error_px[good[ids]])),
        "reprojection_px_p95": float(np.percentile(found.error_px[good[ids]], 95)),
        "reprojection_px_all": float(np.mean(fitted.all_px[good[ids]])),
        "jitter_deg": after[0],
        "jitter_px": after[1],
        "jitter_deg_raw": before[0],
        "jitter_px_raw": before[1],
        "smooth_frames": smooth_frames,
        "focal_spread": focal.spread,
        "focal_data_px": focal.data_px,
        "focal_curve": [[round(f, 1), round(s, 3)] for f, s in focal.curve],
        "face_share": float(seen[~unusable].mean()),
    }
    return Head(
        poses=_matrices(*steady),
        poses_raw=_matrices(rotations, translations),
        mesh=mesh,
        mouth=_held(_opening(points, (_FACE.gap,)), good, segments),
        lens=lens,
        dropped=dropped,
        report=report,
        expressions=_spread(fitted.expressions, ids, good, segments),
    )


@dataclass(frozen=True)
class _Fitted:
    """A face and its poses in the frames where it is seen."""

    mesh: np.ndarray
    poses: Poses
    all_px: np.ndarray
    """``float64 [n]``: mean distance of all points, lips and lids too, from where they are seen."""
    report: dict[str, Any]
    expressions: np.ndarray | None = None


def _fitted(faces: np.ndarray, sure: np.ndarray, canonical: np.ndarray, lens: Lens) -> _Fitted:
    """One rest shape for all frames, from the canonical face and the frames that are ``sure``."""
    mesh, _, _ = shape.fit_shape(sure[shape.subset(len(sure))], canonical, lens)
    weights = pose.rigid_weights(canonical)
    found = pose.solve(faces, mesh, weights, lens, pose.first_guess(faces, mesh, lens), rounds=12)
    return _Fitted(mesh, found, pose.misses(faces, mesh, lens, found), {"face_model": None})


def _moulded(faces: np.ndarray, sure: np.ndarray, model: FaceModel, lens: Lens) -> _Fitted:
    """The model's face of this person, from the frames that are ``sure``, and what it expresses."""
    who = person.fit(sure[shape.subset(len(sure))], model, lens)
    found, expressions, all_px = person.follow(faces, who, model, lens)
    report = {
        "face_model": model.name,
        "identity": [round(float(v), 3) for v in who.identity],
        "off_model_cm": round(who.off_model_cm, 3),
        "expressions": list(model.expression_names),
    }
    return _Fitted(who.mesh, found, all_px, report, expressions)


def _spread(
    values: np.ndarray | None,
    ids: np.ndarray,
    good: np.ndarray,
    segments: Sequence[tuple[int, int]],
) -> np.ndarray | None:
    """Values of the frames ``ids`` for all frames of the clip."""
    if values is None:
        return None
    whole = np.zeros((len(good), values.shape[1]))
    whole[ids] = values
    return _held(whole, good, segments)


def _focal(
    faces: np.ndarray,
    canonical: np.ndarray,
    side: float,
    centre: tuple[float, float],
    known: float | None,
) -> shape.Focal:
    if known is not None:
        return shape.Focal(known, 0.0, None, [])
    focal = shape.estimate_focal(faces, canonical, side, *centre)
    log.info("focal length %.0f px (known to %.0f %%)", focal.focal_px, 100 * focal.spread)
    return focal


def _fitting(error_px: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """``bool [n]``: frames whose points fit about as well as the others'."""
    left, right = faces[:, _FACE.eye_corners[0]], faces[:, _FACE.eye_corners[1]]
    ruler = float(np.median(np.linalg.norm(left - right, axis=-1)))
    middle = np.median(error_px)
    usual = 1.4826 * np.median(np.abs(error_px - middle))
    return error_px <= np.maximum(middle + _OUTLIER_TIMES * usual, _OUTLIER_SHARE * ruler)


def _strange(likeness: np.ndarray, good: np.ndarray) -> np.ndarray:
    """``bool [F]``: good frames in which the pictures do not bear the pose out.

    Of a face in profile the landmarks are made up, and fit a pose that is not the head's.
    """
    unlike = 1 - np.nan_to_num(likeness)
    return good & (unlike > max(_UNLIKE, _UNLIKE_TIMES * float(np.median(unlike[good]))))


def _reasons(
    seen: np.ndarray, unusable: np.ndarray, misfits: np.ndarray
) -> list[tuple[int, int, str]]:
    found = [(a, b, "no face found") for a, b in runs(~seen & ~unusable)]
    flags = np.zeros(len(seen), bool)
    flags[misfits] = True
    return found + [(a, b, "the landmarks do not fit the head") for a, b in runs(flags)]


def _for_all(
    found: Poses, ids: np.ndarray, good: np.ndarray, segments: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Poses for every frame of the clip; those without one of their own take the nearest."""
    rotations = np.broadcast_to(np.eye(3), (len(good), 3, 3)).copy()
    translations = np.zeros((len(good), 3))
    rotations[ids], translations[ids] = found.rotations, found.translations
    return _hold(rotations, translations, good, segments)


def _hold(
    rotations: np.ndarray,
    translations: np.ndarray,
    good: np.ndarray,
    segments: Sequence[tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray]:
    nearest = nearest_good(good, segments)
    return rotations[nearest], translations[nearest]


def _held(values: np.ndarray, good: np.ndarray, segments: Sequence[tuple[int, int]]) -> np.ndarray:
    return values[nearest_good(good, segments)]


def nearest_good(good: np.ndarray, segments: Sequence[tuple[int, int]]) -> np.ndarray:
    """For every frame the nearest good one, of its own take if there is one, ``int64 [F]``."""
    everywhere = np.flatnonzero(good)
    nearest = np.empty(len(good), np.int64)
    for start, stop in segments:
        own = np.flatnonzero(good[start:stop]) + start
        among = own if len(own) else everywhere
        at = np.arange(start, stop)
        after = np.clip(np.searchsorted(among, at), 0, len(among) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.abs(among[after] - at) < np.abs(among[before] - at)
        nearest[start:stop] = np.where(nearer, among[after], among[before])
    return nearest


def _opening(points: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Mean distance of the pairs over the distance of the outer eye corners, ``[F]``."""
    corners = points[:, _FACE.eye_corners[0]] - points[:, _FACE.eye_corners[1]]
    gaps = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in pairs]
    return np.mean(gaps, axis=0) / np.linalg.norm(corners, axis=-1)


def _matrices(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    matrices = np.broadcast_to(np.eye(4), (len(rotations), 4, 4)).copy()
    matrices[:, :3, :3], matrices[:, :3, 3] = rotations, translations
    return matrices
