"""A painted head goes back into the filmed picture that its capture was cut from."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from gstalker import files
from gstalker.data.capture import Capture
from gstalker.errors import BackendMissing, MediaError
from gstalker.experiment.movie import ping_pong
from gstalker.prepare import video
from gstalker.prepare.source import probe

LONGEST = 500
"""Filmed frames used, to and fro: 20 seconds."""
_FEATHER_SHARE = 0.03
"""Width of the border, as a share of the pasted square, over which both pictures mix."""
_JPEG_QUALITY = 95


class PasteBack:
    """The filmed video around a capture's cut-out.

    Every filmed frame is decoded once and kept compressed for the way back; at most
    :data:`LONGEST` of them.

    Args:
        capture: what the head was trained on.
        filmed: the very video that the capture was prepared from.
        stretch: first and end of the frames to use, of which the first :data:`LONGEST` are.

    Raises:
        MediaError: it is not that video, or the capture does not say what was cut out of it.
        BackendMissing: OpenCV is missing.
    """

    def __init__(self, capture: Capture, filmed: Path, stretch: tuple[int, int]) -> None:
        if importlib.util.find_spec("cv2") is None:
            raise BackendMissing(
                "--paste-back needs OpenCV, which is not installed.\n"
                "  Install it with: pip install 'gstalker[prepare]'"
            )
        origin, view = capture.meta.get("source", {}), capture.meta.get("view")
        if view is None or "sha256" not in origin:
            raise MediaError(
                f"{capture.folder} does not say where its pictures were cut out of a video; "
                "only captures that `gstalker prepare` made can be pasted back."
            )
        if not filmed.is_file():
            raise MediaError(f"there is no video at {filmed}.")
        if files.sha256(filmed) != origin["sha256"]:
            raise MediaError(
                f"{filmed} is not the video that {capture.folder} was prepared from "
                f"({origin.get('file', 'unknown')})."
            )
        self._view = video.View(**view)
        self._source = probe(filmed)
        whole = video.whole_view(self._source, max(self._source.width, self._source.height))
        self.width, self.height = whole.width, whole.height
        self._whole = whole
        self._first, self._stop = stretch[0], min(stretch[1], stretch[0] + LONGEST)
        self._mix = _mix(self._view, self.width, self.height)
        self._border = self._mix < 1
        self._apart: list[float] = []

    def ids(self) -> Iterator[int]:
        """The filmed frames that the movie goes through, without end."""
        return ping_pong(self._first, self._stop)

    def around(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Paste pictures ``uint8 [h, w, 3]``, the first one into the first of :meth:`ids`.

        Yields:
            ``uint8 [height, width, 3]``.
        """
        for picture, filmed in zip(pictures, self._filmed(), strict=False):
            yield self._pasted(picture, filmed)

    @property
    def seam_levels(self) -> float | None:
        """How far painted and filmed picture are apart where they mix, in 8-bit levels, so far.

        That is what the border has to hide: a mean over its pixels and the pictures. ``None``
        before the first picture, and where the cut-out is the whole film.
        """
        return float(np.mean(self._apart)) if self._apart else None

    def _pasted(self, picture: np.ndarray, filmed: np.ndarray) -> np.ndarray:
        import cv2

        v, (height, width) = self._view, self._mix.shape
        size = (v.crop_width, v.crop_height)
        how = cv2.INTER_AREA if v.width > v.crop_width else cv2.INTER_CUBIC
        ours = cv2.resize(picture, size, interpolation=how)[:height, :width]
        region, border = filmed[v.y : v.y + height, v.x : v.x + width], self._border
        behind, painted = region[border].astype(np.float32), ours[border].astype(np.float32)
        region[:] = ours
        if len(behind):
            self._apart.append(float(np.abs(painted - behind).mean()))
            mixed = behind + self._mix[border][:, None] * (painted - behind)
            region[border] = np.clip(mixed + 0.5, 0, 255)
        return filmed

    def _filmed(self) -> Iterator[np.ndarray]:
        import cv2

        kept: dict[int, np.ndarray] = {}
        coming = video.pictures(self._source, self._whole, range(self._first, self._stop))
        how = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        for i in self.ids():
            if i not in kept:
                kept[i] = cv2.imencode(".jpg", next(coming)[..., ::-1], how)[1]
            picture = cv2.imdecode(kept[i], cv2.IMREAD_COLOR)
            assert picture is not None  # our own bytes
            yield np.ascontiguousarray(picture[..., ::-1])


def _mix(view: video.View, width: int, height: int) -> np.ndarray:
    """How much of the painted picture shows, ``float32 [h, w]`` in [0, 1].

    It fades towards edges inside of the filmed picture, not towards those that the two share.
    """
    shown_width = min(view.crop_width, width - view.x)
    shown_height = min(view.crop_height, height - view.y)
    reach = max(_FEATHER_SHARE * min(view.crop_width, view.crop_height), 1.0)

    def ramp(length: int, *, low: bool, high: bool) -> np.ndarray:
        at = np.arange(length) + 0.5
        near = np.full(length, np.inf)
        if low:
            near = np.minimum(near, at)
        if high:
            near = np.minimum(near, length - at)
        return np.clip(near / reach, 0, 1).astype(np.float32)

    across = ramp(shown_width, low=view.x > 0, high=view.x + shown_width < width - 1)
    down = ramp(shown_height, low=view.y > 0, high=view.y + shown_height < height - 1)
    return np.minimum(across[None], down[:, None])
