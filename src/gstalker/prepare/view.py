"""Whom the video is about and which part of it is kept: found by a first look at some frames."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from gstalker.errors import MediaError
from gstalker.face import LAYOUTS
from gstalker.prepare import video
from gstalker.prepare.config import PrepareConfig
from gstalker.prepare.people import portrait
from gstalker.prepare.source import Source
from gstalker.prepare.tracking import landmarks
from gstalker.prepare.tracking.subject import Person, box, choose, persons

log = logging.getLogger(__name__)

_FACE = LAYOUTS["mediapipe478"]
_CHIN = 152
_LOOKS = 24
_LOOK_SIDE = 1280
"""Longer side of the pictures looked at."""
_TURNED_SHARE = 0.9
"""Where fewer of the looks than this see an upright face, the picture may be turned ..."""
_TURNED_MORE = 0.1
"""... and is, if so much larger a share of them sees one when it is turned. Of 24 looks at each of
six films, faces that stand on their head were taken for upright ones in 6 to 21, those that lie on
their side in one at most, and upright ones in all."""
_CURES = {1: "transpose=2", 2: "hflip,vflip", 3: "transpose=1"}
"""FFmpeg's filter for each number of quarters that a picture is turned by, against the clock."""
_LARGER = 1.2
"""``crop: auto`` cuts out head and shoulders where the face then is this much larger."""
_SIDE_FACES = 2.6
"""Side of the square of ``crop: head``, in face heights: shoulders and some air above the hair."""
_ABOVE_SHARE = 0.46
"""Where the middle of the face comes to lie in it, from the top."""


@dataclass(frozen=True)
class Choice:
    """What the first look decided."""

    view: video.View
    subject: list[list[float]]
    """Where the subject's face was seen, in pixels of the view: middle x, y and height."""
    people: list[dict[str, Any]]
    """Everybody seen, from left to right: share of the looks, height and middle in filmed pixels,
    and whether it is the subject."""
    portrait: np.ndarray | None = None
    """A picture of them, ``uint8 [h, w, 3]``, where they are several."""


def choose_view(source: Source, config: PrepareConfig, model: Path) -> Choice:
    """The view for a video, and whom it is about.

    Raises:
        MediaError: no face in any of the frames looked at.
        ConfigError: a face was chosen that is not there.
    """
    whole = video.whole_view(source, config.max_side)
    close = video.whole_view(source, max(_LOOK_SIDE, config.max_side))
    wanted = np.unique(np.linspace(0, source.frame_count - 1, _LOOKS).round().astype(int))
    pictures = list(video.pictures(source, close, list(wanted), config.reader))
    looks = look_closely(pictures, model)
    _refuse_turned(source, pictures, looks, model)
    scale = np.array([close.crop_width / close.width, close.crop_height / close.height])
    people = persons([faces * scale for faces in looks], _FACE.gap)
    if not people:
        raise MediaError(
            f"{source.path} shows no face in any of {len(wanted)} frames looked at.\n"
            f"  {landmarks.ADVICE}"
        )
    number = choose(people, config.face)
    group = portrait(pictures, people, number, float(scale[0])) if len(people) > 1 else None
    own = people[number]
    view = whole
    if config.crop != "none":
        cut = video.fitted_view(head_box(own.boxes, source.width, source.height), config.max_side)
        larger = (cut.width / cut.crop_width) / (whole.width / whole.crop_width)
        if config.crop == "head" or larger > _LARGER:
            view = cut
    _tell(people, number, view, source)
    per_pixel = view.width / view.crop_width
    places = (own.boxes - [view.x, view.y, 0]) * per_pixel
    return Choice(
        view,
        [[round(float(v), 2) for v in place] for place in places],
        [
            {
                "share": round(person.share, 3),
                "height_px": round(person.height, 1),
                "middle_px": [round(float(v)) for v in np.median(person.boxes[:, :2], axis=0)],
                "subject": k == number,
            }
            for k, person in enumerate(people)
        ],
        group,
    )


def _refuse_turned(
    source: Source, pictures: list[np.ndarray], looks: list[np.ndarray], model: Path
) -> None:
    """A picture that lies on its side or head: the file does not say so, but faces do."""
    standing = _standing(looks)
    if standing > _TURNED_SHARE * len(looks):
        return
    stand = {
        quarters: _standing(
            list(landmarks.look_for_all([np.rot90(p, quarters) for p in pictures], model))
        )
        for quarters in _CURES
    }
    quarters = max(stand, key=lambda quarters: stand[quarters])
    if stand[quarters] > max(len(looks) / 2, standing + _TURNED_MORE * len(looks)):
        cure = f"-vf {_CURES[quarters]} -c:a copy turned.mp4"
        raise MediaError(
            f"{source.path} lies on its {'head' if quarters == 2 else 'side'}: faces stand "
            "upright when the picture is turned, and the file does not say that it must be.\n"
            f"  Run: ffmpeg -i {quote(str(source.path))} {cure}"
        )


def _standing(looks: Sequence[np.ndarray]) -> int:
    """Pictures in which some face has its chin below its eyes."""
    return sum(any(_upright(face) for face in faces) for faces in looks)


def _upright(face: np.ndarray) -> bool:
    right, left = (face[k] for k in _FACE.eye_corners)
    down = face[_CHIN] - (right + left) / 2
    return bool(down[1] > abs(down[0]))


def look_closely(pictures: Sequence[np.ndarray], model: Path) -> list[np.ndarray]:
    """The faces of single pictures, ``[n, 478, 2]`` each; small ones are looked for part by part.

    The detector sees a picture at 128 pixels: a face below a tenth of it is not there.
    """
    found = list(landmarks.look_for_all(pictures, model))
    if any(len(faces) for faces in found):
        return found
    for k, picture in enumerate(pictures):
        corners = tiles(picture.shape[1], picture.shape[0])
        parts = [picture[y : y + side, x : x + side] for x, y, side in corners]
        seen = landmarks.look_for_all(parts, model)
        faces = [f + [x, y] for (x, y, _), part in zip(corners, seen, strict=True) for f in part]
        found[k] = np.array(_once(faces), np.float32).reshape(-1, landmarks.POINTS, 2)
    return found


def tiles(width: int, height: int) -> list[tuple[int, int, int]]:
    """Squares ``x, y, side`` of half the shorter side that overlap by half and cover a picture."""
    side = max(min(width, height) // 2, 1)

    def starts(length: int) -> list[int]:
        count = int(np.ceil(2 * (length - side) / side)) + 1
        return sorted({int(v) for v in np.linspace(0, length - side, count).round()})

    return [(x, y, side) for y in starts(height) for x in starts(width)]


def _once(faces: list[np.ndarray]) -> list[np.ndarray]:
    """Without those that two tiles have both seen."""
    kept: list[np.ndarray] = []
    for face in faces:
        place = box(face)
        if all(np.abs(place[:2] - box(other)[:2]).max() > 0.5 * place[2] for other in kept):
            kept.append(face)
    return kept


def _tell(people: Sequence[Person], number: int, view: video.View, source: Source) -> None:
    if len(people) > 1:
        log.warning(
            "%d faces are seen; the one taken is number %d from the left. "
            "If that is wrong, choose one with face=1 to face=%d",
            len(people),
            number + 1,
            len(people),
        )
    if (view.crop_width, view.crop_height) != (source.width, source.height):
        log.info(
            "kept of the picture: %d x %d pixels at (%d, %d); crop=none keeps all of it",
            view.crop_width,
            view.crop_height,
            view.x,
            view.y,
        )


def head_box(boxes: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """A square ``x, y, side, side`` around the head wherever it was seen, inside the picture.

    Args:
        boxes: ``[n, 3]`` middle x, y and height of the face in pixels.
        width: of the picture.
        height: of the picture.
    """
    tall = float(np.median(boxes[:, 2]))
    centre = boxes[:, :2]
    roam = np.ptp(centre, axis=0).max()
    side = int(min(_SIDE_FACES * tall + roam, width, height))
    middle = (centre.min(0) + centre.max(0)) / 2
    x = int(np.clip(middle[0] - side / 2, 0, width - side))
    y = int(np.clip(middle[1] - _ABOVE_SHARE * side, 0, height - side))
    return x, y, side, side
