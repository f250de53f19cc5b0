"""What the colours of ``parsing/*.png`` mean: two dialects of one folder name.

RAD-NeRF's family paints four classes; TalkingGaussian and InsTaG also tell hair (black) and the
inside of the mouth (grey) from the face. Classes inside are the finer ones; a dialect that cannot
say one paints it as its neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gstalker.data.capture import BACKGROUND, HEAD, MOUTH, TORSO
from gstalker.errors import CaptureError

Dialect = Literal["4-colour", "6-colour"]

NONE, NECK, CLOTH, SKIN, INSIDE, HAIR, TEETH = range(7)
"""Classes; ``parsing.npy`` of an imported capture holds them. Skin has brows, eyes, ears, lips."""

_RGB = {
    NONE: (255, 255, 255),
    NECK: (0, 255, 0),
    CLOTH: (255, 0, 0),
    SKIN: (0, 0, 255),
    INSIDE: (100, 100, 100),
    HAIR: (0, 0, 0),
}
_ONLY_SIX = (INSIDE, HAIR)
LABELS = np.array([BACKGROUND, TORSO, TORSO, HEAD, MOUTH, HEAD, MOUTH], np.uint8)
"""The capture's label of each class."""
CLASSES = np.array([NONE, CLOTH, SKIN, INSIDE, HAIR, TEETH, NECK], np.uint8)
"""The class of each of the capture's labels, where nothing finer is known."""
_UNKNOWN = 255
_MOST = 0.9
"""Share of maps with hair from which all are taken to have been asked for it."""


def paint(classes: np.ndarray, dialect: Dialect) -> np.ndarray:
    """Classes ``uint8 [H, W]`` as a picture ``uint8 [H, W, 3]`` RGB.

    Teeth are painted as skin in both dialects: TalkingGaussian takes them from ``teeth_mask``, and
    its face is blue *exclusive or* teeth.
    """
    table = np.zeros((7, 3), np.uint8)
    for number, rgb in _RGB.items():
        table[number] = rgb if dialect == "6-colour" or number not in _ONLY_SIX else _RGB[SKIN]
    table[TEETH] = _RGB[SKIN]
    return table[classes]


def classify(picture: np.ndarray, file: str) -> np.ndarray:
    """Classes ``uint8 [H, W]`` of a painted picture ``uint8 [H, W, 3]`` RGB, either dialect.

    Raises:
        CaptureError: it holds a colour that no dialect has; names the file and the colour.
    """
    packed = _packed(picture.astype(np.int32))
    classes = np.full(packed.shape, _UNKNOWN, np.uint8)
    for number, rgb in _RGB.items():
        classes[packed == _packed(np.array(rgb))] = number
    if (classes == _UNKNOWN).any():
        y, x = np.argwhere(classes == _UNKNOWN)[0]
        raise CaptureError(
            f"{file} holds the colour {tuple(int(v) for v in picture[y, x])} (RGB, at x {x}, "
            f"y {y}), which no parsing dialect has.\n"
            "  Maps must be scaled with the nearest neighbour and stored as png."
        )
    return classes


def detect(
    hair: Sequence[bool], inside: Sequence[bool], files: Sequence[str]
) -> tuple[Dialect, str]:
    """Which dialect a folder speaks, and the evidence in words.

    Args:
        hair: whether each map has black pixels.
        inside: whether each map has grey pixels.
        files: the maps' names.

    Raises:
        CaptureError: some maps have hair and many do not; names one of each and the key that
            decides.
    """
    count = len(files)
    black, grey = sum(hair), sum(inside)
    if black == 0 and grey == 0:
        return "4-colour", f"no black or grey pixel in {count} maps"
    if black == 0 or black >= _MOST * count:
        why = f"black in {black} and grey in {grey} of {count} maps"
        if 0 < black < count:
            why += f"; no black in {files[list(hair).index(False)]}"
        return "6-colour", why
    with_hair, without = files[list(hair).index(True)], files[list(hair).index(False)]
    raise CaptureError(
        f"parsing/ speaks two dialects: {with_hair} has black pixels (hair in TalkingGaussian's "
        f"six colours), {without} and {count - black - 1} others have none.\n"
        "  Make the maps again with one tool, or say which it is: parsing=6-colour or 4-colour"
    )


def _packed(colour: np.ndarray) -> np.ndarray:
    return (colour[..., 0] << 16) | (colour[..., 1] << 8) | colour[..., 2]
