"""``bs.npy``: expressions in the order that SyncTalk reads them.

Its columns are Apple's ARKit blendshapes as MediaPipe lists them, ``_neutral`` left out and
``tongueOut`` added at the end, smoothed over time (Savitzky and Golay, 5 frames, order 3); its
trainer takes 0 to 5 (brows) and 8 to 10 (lids).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import savgol_filter

_PAIRS = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn"),
    *("eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown"),
    *("mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
)
_SINGLE = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose"),
    *("mouthFunnel", "mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower"),
    *("mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
)
ARKIT = (
    *sorted([*(f"{name}{side}" for name in _PAIRS for side in ("Left", "Right")), *_SINGLE]),
    "tongueOut",
)
"""The 52 columns."""
_WINDOW, _ORDER = 5, 3


def arkit(expressions: np.ndarray, names: Sequence[str]) -> np.ndarray | None:
    """Expressions of a face model as the 52 columns, ``float64 [F, 52]``.

    Args:
        expressions: ``[F, E]``, coefficients in [0, 1].
        names: of the model's expressions: ARKit's with ``_L`` and ``_R`` for the sides, as
            ICT-FaceKit has them; where it has both sides of an undivided one, that is their mean.

    Returns:
        ``None`` where the model lacks one of them; ``tongueOut`` is zero.
    """
    known = dict(zip(names, expressions.T, strict=True))
    columns = []
    for wanted in ARKIT[:-1]:
        split = wanted.replace("Left", "_L").replace("Right", "_R")
        sources = [wanted] if wanted in known else [split]
        if wanted in _SINGLE and wanted not in known:
            sources = [f"{wanted}_L", f"{wanted}_R"]
        if any(source not in known for source in sources):
            return None
        columns.append(np.mean([known[source] for source in sources], axis=0))
    found = np.stack([*columns, np.zeros(len(expressions))], axis=1)
    return savgol_filter(found, _WINDOW, _ORDER, axis=0) if len(found) >= _WINDOW else found
