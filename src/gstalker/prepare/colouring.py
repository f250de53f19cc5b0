"""Hair, teeth and neck, told by colour: MediaPipe's person segmenter knows one class only.

The middle of the face shows what skin looks like in this very picture. Above the face, what does
not look like it is hair (or a hat); of the torso, what looks like it and hangs together with the
head is neck; between the lips, what is bright and has little colour is teeth. A guess by colour:
fair hair beside fair skin, a beard, or teeth in deep shadow are told less well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gstalker.face import LAYOUTS
from gstalker.prepare.parsing import HAIR, HEAD, MOUTH, NECK, OVAL, TEETH, TORSO, fill

_FACE = LAYOUTS["mediapipe478"]
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_MIDDLE = 0.7
"""The oval shrunk so far shows skin, but for eyes and lips, which the median leaves out."""
_LEAST_SPREAD = np.array([4.0, 1.5, 1.5, 1.0])
"""Of a look: CIE Lab and change of lightness."""
_STRAND_SHARE, _STRAND_WEIGHT = 0.02, 2.0
"""Size of the changes that hair's strands make, in outer-eye distances; and what they count."""
_OTHER = 1.5
"""Deviations of skin by which the top of the head must differ, or the head is bald."""
_SKIN = 2.5
"""Deviations within which a colour may be a neck's ..."""
_NECK_LIGHT = 0.4
"""... where darkness counts less, for the chin throws a shadow."""
_SMOOTH_SHARE = 0.03
"""Deviation of the blur of likelihoods, in outer-eye distances: single pixels decide nothing."""
_PALE, _BRIGHT = 0.8, 0.55
"""Teeth have less than this share of the lips' colour, and at least so much of the skin's
lightness."""
_LEAST_RED = 8.0
"""Of skin (a of CIE Lab), in whatever light."""
_LEAST_PIXELS, _MOST_SAMPLES = 30, 4000
_ENOUGH_PX = 90.0
"""Between the outer eye corners, at which hair and neck are told; a larger face costs more and
tells no more, for all is blurred by a share of it."""


def finer(labels: np.ndarray, picture: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Labels with hair, teeth and neck.

    Args:
        labels: ``uint8 [H, W]``: background, torso, head and mouth.
        picture: ``uint8 [H, W, 3]``.
        face: ``[478, 2]`` pixels; NaN without a face, and then nothing is finer.

    Returns:
        ``uint8 [H, W]``.
    """
    if not np.isfinite(face).all():
        return labels
    rows, columns = (np.flatnonzero((labels > 0).any(axis)) for axis in (1, 0))
    if not len(rows):
        return labels
    found = labels.copy()
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    found[part] = _finer(labels[part], picture[part], face - (columns[0], rows[0]))
    return found


def _finer(labels: np.ndarray, picture: np.ndarray, face: np.ndarray) -> np.ndarray:
    """:func:`finer` of the part of the picture that holds the person."""
    import cv2

    corners = face[list(_FACE.eye_corners)]
    scale = min(_ENOUGH_PX / max(float(np.linalg.norm(corners[0] - corners[1])), 1e-6), 1.0)
    size = [max(round(side * scale), 1) for side in labels.shape[::-1]]
    small = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    told = _hair_and_neck(
        small,
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA),
        face * (np.array(size) / labels.shape[::-1]),
    )
    if told is None:
        return labels
    found = labels.copy()
    for value, coarse, mask in ((NECK, TORSO, told.neck), (HAIR, HEAD, told.hair)):
        whole = cv2.resize(mask.astype(np.float32), labels.shape[::-1]) > 0.5
        found[whole & (labels == coarse)] = value
    found[_teeth(labels, picture, told.skin, face)] = TEETH
    return found


def _hair_and_neck(labels: np.ndarray, picture: np.ndarray, face: np.ndarray) -> _Told | None:
    """Hair and neck of a picture whose face is no larger than it need be."""
    look = _look(picture, float(np.linalg.norm(np.subtract(*face[list(_FACE.eye_corners)]))))
    oval = _inside(labels.shape, face[list(OVAL)])
    middle = face[list(OVAL)].mean(0)
    core = _inside(labels.shape, middle + _MIDDLE * (face[list(OVAL)] - middle))
    core &= labels == HEAD
    if core.sum() < _LEAST_PIXELS:
        return None
    skin = _usual(look.features[core])
    above = _above_brows(labels.shape, face)
    odds = _odds_of_hair(labels, look, skin, above & ~oval)
    hair = _hair(labels, look, odds, above, oval)
    return _Told(skin, hair, _neck(labels, look, skin, odds))


@dataclass(frozen=True)
class _Look:
    """What pixels look like."""

    features: np.ndarray
    """``float32 [H, W, 4]``: CIE Lab, and how much the lightness changes around."""
    ruler: float
    """Outer-eye distance in pixels."""


@dataclass(frozen=True)
class _Usual:
    """A Gaussian of looks."""

    mean: np.ndarray
    spread: np.ndarray
    """Standard deviations."""
    inverse: np.ndarray
    """Of the covariance."""
    log_det: float
    """Of the covariance."""

    def surprise(self, features: np.ndarray) -> np.ndarray:
        """Minus the log likelihood, but for a constant, ``[n]``."""
        import cv2  # its small matrices start no threads, as BLAS does

        root = np.linalg.cholesky(self.inverse).T
        moved = np.concatenate([root, -(root @ self.mean)[:, None]], axis=1)
        away = cv2.transform(features[None], moved)[0]
        return np.asarray(0.5 * (np.einsum("nd,nd->n", away, away) + self.log_det))


@dataclass(frozen=True)
class _Told:
    """What is known of a picture."""

    skin: _Usual
    hair: np.ndarray
    """``bool [H, W]``."""
    neck: np.ndarray
    """``bool [H, W]``."""


def _lab(picture: np.ndarray) -> np.ndarray:
    import cv2

    scaled = np.ascontiguousarray(picture).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB))


def _look(picture: np.ndarray, ruler: float) -> _Look:
    import cv2

    lab = _lab(picture)
    light, around = lab[..., 0], max(_STRAND_SHARE * ruler, 1.0)
    fine = light - cv2.GaussianBlur(light, (0, 0), around)
    change = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * around))
    return _Look(np.concatenate([lab, _STRAND_WEIGHT * change[..., None]], axis=-1), ruler)


def _usual(sample: np.ndarray) -> _Usual:
    """Robust: what lies far from the median is left out once."""
    sample = sample[:: max(len(sample) // _MOST_SAMPLES, 1)].astype(np.float64)
    for _ in range(2):
        middle = np.median(sample, axis=0)
        spread = np.maximum(1.4826 * np.median(np.abs(sample - middle), axis=0), _LEAST_SPREAD)
        near = (np.abs(sample - middle) < 3 * spread).all(1)
        sample = sample[near] if near.sum() >= _LEAST_PIXELS else sample
    cov = np.cov(sample.T) + np.diag(_LEAST_SPREAD**2)
    return _Usual(
        np.median(sample, axis=0),
        np.sqrt(np.diag(cov)),
        np.linalg.inv(cov),
        float(np.linalg.slogdet(cov)[1]),
    )


def _odds_of_hair(labels: np.ndarray, look: _Look, skin: _Usual, top: np.ndarray) -> np.ndarray:
    """How much more a person's pixels look like the top of the head than like skin, ``[H, W]``.

    Log odds; minus infinity everywhere if the top is skin itself.
    """
    odds = np.full(labels.shape, -np.inf, np.float32)
    on_top = (labels == HEAD) & top
    if on_top.sum() < _LEAST_PIXELS:
        return odds
    hair = _usual(look.features[on_top])
    away = hair.mean - skin.mean
    if away @ skin.inverse @ away <= _OTHER**2:
        return odds
    person = labels > 0
    features = look.features[person]
    odds[person] = skin.surprise(features) - hair.surprise(features)
    return odds


def _hair(
    labels: np.ndarray, look: _Look, odds: np.ndarray, above: np.ndarray, oval: np.ndarray
) -> np.ndarray:
    """What of the head, above the brows or beside the face, looks like its top and hangs on it."""
    head = labels == HEAD
    smooth = _blurred(np.clip(odds, -10, 10), head, _SMOOTH_SHARE * look.ruler)
    return _touching(head & (~oval | above) & (smooth > 0), above & ~oval)


def _neck(labels: np.ndarray, look: _Look, skin: _Usual, odds: np.ndarray) -> np.ndarray:
    """What of the torso looks like skin, in more or less light, and touches the head."""
    import cv2

    torso = labels == TORSO
    away = (look.features[torso] - skin.mean)[:, :3] / skin.spread[:3]
    away[:, 0] = _NECK_LIGHT * np.minimum(away[:, 0], 0)
    likely = np.zeros(labels.shape, np.float32)
    likely[torso] = (np.sqrt((away**2).mean(-1)) < _SKIN) & (odds[torso] < 0)
    share = _blurred(likely, torso, _SMOOTH_SHARE * look.ruler)
    reach = 2 * max(round(0.08 * look.ruler), 1) + 1
    head = (labels == HEAD).astype(np.uint8)
    return _touching(torso & (share > 0.5), cv2.dilate(head, np.ones((reach, reach), np.uint8)) > 0)


def _teeth(labels: np.ndarray, picture: np.ndarray, skin: _Usual, face: np.ndarray) -> np.ndarray:
    """What between the lips is bright, less coloured than the lips and less red than skin."""
    lips = _inside(labels.shape, face[list(_FACE.lips)]) & (labels == HEAD)
    mouth = labels == MOUTH
    found = np.zeros(labels.shape, bool)
    if lips.sum() < _LEAST_PIXELS or not mouth.any():
        return found
    light, red, yellow = _lab(picture[mouth][None])[0].T
    lips_colour = np.median(np.hypot(*_lab(picture[lips][None])[0, :, 1:].T))
    pale = (np.hypot(red, yellow) < _PALE * lips_colour) & (red < max(skin.mean[1], _LEAST_RED))
    found[mouth] = pale & (light > _BRIGHT * skin.mean[0])
    return found


def _above_brows(shape: tuple[int, ...], face: np.ndarray) -> np.ndarray:
    """Pixels on the far side of a line through the brows, seen from the chin."""
    brows = face[list(_BROWS)].mean(0)
    up = brows - face[_FACE.chin]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    y, x = (np.arange(n) + 0.5 - middle for n, middle in zip(shape, brows[::-1], strict=True))
    return (y * up[1])[:, None] + x * up[0] > 0


def _blurred(values: np.ndarray, inside: np.ndarray, deviation: float) -> np.ndarray:
    """Mean of the values around each pixel, of those inside only."""
    import cv2

    weight = inside.astype(np.float32)
    deviation = max(deviation, 0.5)
    total = cv2.GaussianBlur((values * weight).astype(np.float32), (0, 0), deviation)
    return total / np.maximum(cv2.GaussianBlur(weight, (0, 0), deviation), 1e-3)


def _touching(candidate: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The connected parts of the candidates that hold some of the seed."""
    import cv2

    count, parts = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    kept = np.zeros(count, bool)
    kept[parts[candidate & seed]] = True
    return kept[parts] & candidate


def _inside(shape: tuple[int, ...], corners: np.ndarray) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    fill(canvas, corners)
    return canvas > 0
