"""Pictures in and out: jpg and png through Pillow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from gstalker.errors import CaptureError


def read(path: Path, mode: str = "RGB") -> np.ndarray:
    """A picture, ``uint8 [H, W, 3]`` (or 4 with ``RGBA``).

    Raises:
        CaptureError: it is missing or damaged; names it.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CaptureError(f"{_short(path)} cannot be read as a picture ({error}).") from error


def read_cut_out(path: Path) -> np.ndarray:
    """A picture with transparency, ``uint8 [H, W, 4]``.

    Raises:
        CaptureError: it is missing, damaged or has no transparency; names it.
    """
    picture = read(path, "RGBA")
    with Image.open(path) as stored:
        if not stored.has_transparency_data:
            raise CaptureError(
                f"{_short(path)} has no transparency, where all readers of the family take four "
                "channels.\n  Cut it out again, as png with an alpha channel."
            )
    return picture


def size(path: Path) -> tuple[int, int]:
    """Width and height, from the header alone.

    Raises:
        CaptureError: it is missing or no picture; names it.
    """
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CaptureError(f"{_short(path)} cannot be read as a picture ({error}).") from error


def grey(path: Path) -> np.ndarray:
    """A picture in grey, ``uint8 [H, W]``; transparency is left aside.

    Raises:
        CaptureError: it is missing or damaged; names it.
    """
    try:
        with Image.open(path) as picture:
            picture.draft("L", picture.size)  # a jpg need not decode its colours
            return np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CaptureError(f"{_short(path)} cannot be read as a picture ({error}).") from error


def small(picture: np.ndarray, side: int) -> np.ndarray:
    """A copy ``uint8 [side, side]`` of ``uint8 [H, W]``, each pixel the mean of what it covers."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))


def write_jpg(path: Path, picture: np.ndarray, quality: int) -> None:
    """Write ``uint8 [H, W, 3]`` with colours at full resolution."""
    Image.fromarray(picture).save(path, "JPEG", quality=quality, subsampling=0)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write ``uint8 [H, W, 3 or 4]``, losslessly and quickly."""
    Image.fromarray(picture).save(path, "PNG", compress_level=1)


def link(source: Path, target: Path) -> None:
    """The same picture under a second name: a hard link, or a copy where the disk has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
