"""Pictures and parsing maps of a data set: into frames, masks and the plate of a capture."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from gstalker.data.capture import BACKGROUND, HEAD, MOUTH
from gstalker.data.writer import CaptureWriter
from gstalker.errors import CaptureError
from gstalker.exchange import checks, colours, likeness, pictures
from gstalker.exchange.config import ImportConfig
from gstalker.exchange.tree import SERIES, Tree
from gstalker.face import LAYOUTS

log = logging.getLogger(__name__)

_FACE = LAYOUTS["ibug68"]
_OPEN_SHARE, _OPEN_PX = 0.015, 0.7
"""Lips closer than this share of the outer-eye distance show no inside (``prepare.parsing``)."""


class Painting:
    """What the pictures of one data set show.

    Args:
        tree: the folder.
        config: the user's choices.
        points: ``[F, 68, 2]`` landmarks, NaN without.
        trusted: ``bool [F]``: frames whose landmarks fit their pose.
        notes: what is decided goes here.
    """

    def __init__(
        self,
        tree: Tree,
        config: ImportConfig,
        points: np.ndarray,
        trusted: np.ndarray,
        notes: dict[str, Any],
    ) -> None:
        self.tree = tree
        self.points = points
        self._trusted = trusted
        self.notes = notes
        self._dialect = config.parsing
        self._place = self._choose(config)
        self._surely: dict[int, np.ndarray] = {}

    def write(self, writer: CaptureWriter) -> None:
        """Write ``parsing``, ``masks``, ``frames`` and ``background``."""
        tree = self.tree
        count, shape = tree.count, (tree.height, tree.width)
        plate = pictures.read(tree.folder / "bc.jpg")
        hair, inside = [], []

        def maps() -> Iterator[np.ndarray]:
            for classes in self._classes():
                hair.append(bool((classes == colours.HAIR).any()))
                inside.append(bool((classes == colours.INSIDE).any()))
                yield classes

        self._compare_teeth()
        writer.rows("parsing", maps(), (count, *shape))
        dialect = self._decide(hair, inside)
        classes = np.load(writer.folder / "parsing.npy", mmap_mode="r", allow_pickle=False)
        writer.rows("masks", self._masks(classes, dialect, plate), (count, *shape))
        self._compare(classes)
        writer.frames(self._frames(), count, *shape)
        writer.array("background", plate)

    # ------------------------------------------------------------------ parsing

    def _classes(self) -> Iterator[np.ndarray]:
        """Classes of every frame; nothing where a frame has no map."""
        tree = self.tree
        have = set(tree.series["parsing"].tolist())
        teeth = set(tree.series.get("teeth_mask", np.zeros(0)).tolist())
        for i in tqdm(range(tree.count), desc="parsing", unit="frame", disable=None):
            if i not in have:
                yield np.zeros((tree.height, tree.width), np.uint8)
                continue
            file = f"parsing/{i}.png"
            classes = colours.classify(pictures.read(tree.folder / file), file)
            if i in teeth:
                classes[self._teeth(i)] = colours.TEETH
            yield classes

    def _teeth(self, index: int) -> np.ndarray:
        file = self.tree.folder / f"teeth_mask/{index}.npy"
        try:
            mask = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CaptureError(f"teeth_mask/{index}.npy cannot be read ({error}).") from error
        if mask.shape != (self.tree.height, self.tree.width):
            raise CaptureError(
                f"teeth_mask/{index}.npy is of shape {mask.shape}, the pictures are "
                f"{self.tree.width}x{self.tree.height}."
            )
        return mask.astype(bool)

    def _compare_teeth(self) -> None:
        """Hold the teeth of every frame against the lips, its own and another one's."""

        def outside(teeth: int, lips: int) -> np.ndarray:
            points = self.points[lips]
            inside = self._drawn(points, outline=1)
            return checks.outside_lips(self._teeth(teeth), inside, _ruler(points))

        own: dict[int, float] = {}
        for i in self.tree.series.get("teeth_mask", np.zeros(0, int)).tolist():
            if self._trusted[i]:
                away = outside(i, i)
                checks.teeth_in_mouth(away, _ruler(self.points[i]), i)
                own[i] = float(away.mean())
        checks.teeth_fit(own, lambda i, j: float(outside(i, j).mean()))

    def _decide(self, hair: list[bool], inside: list[bool]) -> colours.Dialect:
        if self._dialect != "auto":
            self.notes["parsing"] = f"{self._dialect}, as said"
            return self._dialect
        used = self.tree.faces
        dialect, why = colours.detect(
            [hair[i] for i in used], [inside[i] for i in used], [f"parsing/{i}.png" for i in used]
        )
        self.notes["parsing"] = f"{dialect}: {why}"
        return dialect

    def _masks(
        self, classes: np.ndarray, dialect: colours.Dialect, plate: np.ndarray
    ) -> Iterator[np.ndarray]:
        """The capture's labels; with four colours the mouth's inside is that of the lips."""
        if dialect == "4-colour":
            self.notes["mouth"] = "the inside of the mouth is that of the inner lips' landmarks"
        composed = self.tree.composed
        beside: dict[int, float] = {}
        grey_plate = _grey(plate)
        before: tuple[int, np.ndarray, np.ndarray] | None = None
        for i, row in enumerate(classes):
            labels = colours.LABELS[row]
            if dialect == "4-colour":
                labels[labels == MOUTH] = HEAD
                inner = self._inner_lips(i)
                if inner is not None:
                    labels[inner & (labels == HEAD)] = MOUTH
            if not np.isfinite(self.points[i]).all():
                yield labels
                continue
            self._surely[i] = likeness.surely(row)
            if composed:
                file = f"{composed}/{i}.jpg"
                shown = pictures.read(self.tree.folder / file)
                free = labels == BACKGROUND
                checks.background_replaced(shown, plate, free, file)
                beside[i] = checks.beside(shown, plate, free)
                off = np.abs(_grey(shown) - grey_plate)
                if before is not None and before[0] == i - 1:
                    both = np.stack([before[1], off]), np.stack([before[2], free])
                    checks.maps_in_order((i - 1, i), *both, composed)
                before = i, off, free
            yield labels

        def other(picture: int, silhouette: int) -> float:
            shown = pictures.read(self.tree.folder / f"{composed}/{picture}.jpg")
            free = colours.LABELS[classes[silhouette]] == BACKGROUND
            return checks.beside(shown, plate, free)

        checks.silhouettes_fit(beside, other, composed)

    def _inner_lips(self, index: int) -> np.ndarray | None:
        points = self.points[index]
        if not np.isfinite(points).all():
            return None
        gap = float(np.linalg.norm(np.subtract(*points[list(_FACE.gap)])))
        if gap <= max(_OPEN_SHARE * _ruler(points), _OPEN_PX):
            return None
        return self._drawn(points)

    def _drawn(self, points: np.ndarray, outline: int | None = None) -> np.ndarray:
        """What lies between the inner lips, ``bool [H, W]``."""
        canvas = Image.new("1", (self.tree.width, self.tree.height))
        corners = [(float(x), float(y)) for x, y in points[list(_FACE.inner_lips)] - 0.5]
        ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=outline)
        return np.asarray(canvas)

    # ------------------------------------------------------------------ frames

    def _choose(self, config: ImportConfig) -> str:
        """The folder that frames are taken from."""
        tree, wanted = self.tree, config.pictures
        if wanted == "ori_imgs" and not tree.filmed:
            raise CaptureError(f"pictures=ori_imgs, but {tree.folder}/ori_imgs has no jpg.")
        if wanted == "gt_imgs" and not tree.composed:
            raise CaptureError(f"pictures=gt_imgs, but {tree.folder} has no gt_imgs or com_imgs.")
        place = tree.composed if wanted == "gt_imgs" or not tree.filmed else "ori_imgs"
        said = "as filmed" if place == "ori_imgs" else "background replaced"
        self.notes["pictures"] = f"{place}, {said}"
        return place

    def _frames(self) -> Iterator[np.ndarray]:
        """Every picture; where the chosen folder lacks one, that of a dropped frame is black."""
        have = (
            range(self.tree.count) if self._place == "ori_imgs" else self.tree.series[self._place]
        )
        there = set(have)
        for i in tqdm(range(self.tree.count), desc="frames", unit="frame", disable=None):
            if i in there:
                yield pictures.read(self.tree.folder / self._place / f"{i}.jpg")
            else:
                yield np.zeros((self.tree.height, self.tree.width, 3), np.uint8)

    def _compare(self, classes: np.ndarray) -> None:
        """Hold every folder of pictures against the one that frames are taken from."""
        tree, used = self.tree, self.tree.faces
        where = np.array([self._surely[i] for i in used.tolist()])
        same = likeness.Likeness(tree.folder, self._place, used, where, self.points[used])
        for place in likeness.SHOWN:
            if place in tree.series and place != self._place:
                same.check(place, SERIES[place])
        same.check_landmarks()
        if "torso_imgs" in tree.series:
            checks.torsos_covered(
                used,
                lambda i: np.isin(classes[i], (colours.NECK, colours.CLOTH)),
                lambda i: pictures.read_cut_out(tree.folder / f"torso_imgs/{i}.png")[..., 3] == 255,
            )


def _grey(picture: np.ndarray) -> np.ndarray:
    """``int16 [H, W]`` of ``uint8 [H, W, 3]``; a jpg keeps its colours more coarsely."""
    return np.asarray(Image.fromarray(picture).convert("L")).astype(np.int16)


def _ruler(points: np.ndarray) -> float:
    """Distance of the outer eye corners, pixels."""
    return float(np.linalg.norm(np.subtract(*points[list(_FACE.eye_corners)])))
