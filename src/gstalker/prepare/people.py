"""A picture of everybody seen in a video, numbered from the left, the chosen one marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gstalker.prepare.tracking.subject import Person

FILE = "people.jpg"
"""Its name in the capture; only where several are seen."""
_WIDTH_PX = 640
_CHOSEN, _OTHER = (92, 255, 146), (255, 196, 61)
_ACROSS = 0.8
"""Width of a face over its height."""


def portrait(
    pictures: Sequence[np.ndarray], people: Sequence[Person], chosen: int, scale: float
) -> np.ndarray:
    """The look that shows most of them, each in a box with the number that ``face=`` takes.

    Args:
        pictures: the looks, ``uint8 [H, W, 3]``.
        people: seen in them, from left to right; boxes in filmed pixels.
        chosen: whose number is marked.
        scale: filmed pixels per pixel of a look.

    Returns:
        ``uint8 [h, 640, 3]``.
    """
    shown = [sum(k in person.looks for person in people) for k in range(len(pictures))]
    best = int(np.argmax(shown))
    height, width = pictures[best].shape[:2]
    zoom = _WIDTH_PX / width
    size = (_WIDTH_PX, max(round(height * zoom), 1))
    picture = Image.fromarray(pictures[best]).resize(size, Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(20)
    for number, person in enumerate(people):
        if best not in person.looks:
            continue
        x, y, tall = person.boxes[list(person.looks).index(best)] / scale * zoom
        colour = _CHOSEN if number == chosen else _OTHER
        across, half = _ACROSS * tall / 2, tall / 2
        pen.rectangle((x - across, y - half, x + across, y + half), outline=colour, width=3)
        label = f"{number + 1}" + " taken" * (number == chosen)
        left, top, right, bottom = pen.textbbox((x - across, y + half + 2), label, font=font)
        pen.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=(0, 0, 0))
        pen.text((x - across, y + half + 2), label, fill=colour, font=font)
    return np.asarray(picture)
