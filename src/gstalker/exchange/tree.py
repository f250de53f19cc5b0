"""What lies in a data set folder: which pictures there are, and what their numbers mean.

Every series is checked against the others by its file names alone; one missing, extra or
misnumbered file is an error that names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gstalker.errors import CaptureError
from gstalker.exchange import pictures
from gstalker.exchange.poses import Transforms

SERIES = {
    "parsing": "png",
    "gt_imgs": "jpg",
    "com_imgs": "jpg",
    "head_imgs": "jpg",
    "torso_imgs": "png",
    "teeth_mask": "npy",
}
"""Folders with one file a frame, beside ``ori_imgs``; all but ``parsing`` may be absent."""
_SOFT = re.compile(r"(\d+)_face\.png$")
"""SyncTalk's soft face masks, beside the maps."""
_LEFT = re.compile(r"^\.|^(Thumbs\.db|desktop\.ini)$", re.IGNORECASE)
"""What systems leave in any folder; ``._0.lms`` is a Mac's."""
_OTHERS = re.compile(_SOFT.pattern + r"|\.lms$", re.IGNORECASE)
"""Files that are not of their folder's series: soft masks and landmarks."""


@dataclass(frozen=True)
class Tree:
    """A folder whose series fit together."""

    folder: Path
    count: int
    """Frames: pictures in ``ori_imgs``, or, where those were cleared away, in ``gt_imgs``."""
    faces: np.ndarray
    """Numbers of the frames that have a ``.lms``, ascending."""
    series: dict[str, np.ndarray]
    """Numbers in each folder that is there."""
    soft: np.ndarray
    """Numbers of the soft face masks, ``parsing/<i>_face.png``; empty where there are none."""
    filmed: bool
    """``ori_imgs`` has its pictures."""
    width: int
    height: int

    @property
    def composed(self) -> str:
        """The folder of pictures with the background replaced; empty if there is none."""
        return next((name for name in ("gt_imgs", "com_imgs") if name in self.series), "")

    @property
    def family(self) -> str:
        """Whose tree it looks like."""
        if "head_imgs" in self.series and "gt_imgs" not in self.series:
            return "AD-NeRF"
        if (self.folder / "bundle_adjustment.pt").exists() or (self.folder / "bs.npy").exists():
            return "SyncTalk"
        if (self.folder / "sapiens").is_dir():
            return "InsTaG"
        if "teeth_mask" in self.series:
            return "TalkingGaussian"
        return "RAD-NeRF"


def scan(folder: Path) -> Tree:
    """Look at a folder.

    Raises:
        CaptureError: something needed is absent, or a file is missing, extra or misnumbered.
    """
    if not folder.is_dir():
        raise CaptureError(f"there is no folder {folder}.")
    if not (folder / "ori_imgs").is_dir():
        raise CaptureError(
            f"{folder} is no data set of the AD-NeRF family: it has no ori_imgs.\n"
            "  Name the folder that holds ori_imgs, parsing and transforms_train.json."
        )
    for name in ("bc.jpg", "aud.wav"):
        if not (folder / name).is_file():
            raise CaptureError(f"{folder} lacks {name}.")
    filmed = _numbers(folder / "ori_imgs", "jpg")
    faces = _numbers(folder / "ori_imgs", "lms")
    series = {
        name: numbers
        for name, suffix in SERIES.items()
        if (folder / name).is_dir() and len(numbers := _numbers(folder / name, suffix))
    }
    if "parsing" not in series:
        raise CaptureError(f"{folder} has no parsing/*.png.")
    if len(faces) == 0:
        raise CaptureError(
            f"{folder}/ori_imgs has no .lms: no face was found, or that step not run."
        )
    whole = filmed
    if len(filmed) == 0:
        whole = series.get("gt_imgs", np.zeros(0, np.int64))
    place = "ori_imgs" if len(filmed) else "gt_imgs"
    if len(whole) == 0:
        raise CaptureError(f"{folder} has neither ori_imgs/*.jpg nor gt_imgs/*.jpg.")
    _refuse_holes(place, whole)
    tree = Tree(
        folder,
        len(whole),
        faces,
        series,
        _soft_masks(folder / "parsing"),
        bool(len(filmed)),
        *pictures.size(folder / place / "0.jpg"),
    )
    _check_series(tree, place)
    _check_sizes(tree, place)
    return tree


def frames_of(
    tree: Tree, transforms: Transforms, meaning: Literal["auto", "frame", "running"]
) -> tuple[np.ndarray, str]:
    """The frame of each ``img_id``.

    Args:
        tree: the folder.
        transforms: its JSON files.
        meaning: what the user says that an id counts.

    Returns:
        ``int64 [m]``, and in words what ids mean and how that is known.

    Raises:
        CaptureError: the ids fit neither meaning, or not the one that was named; says which id or
            file is the odd one.
    """
    ids, faces = transforms.img_ids, tree.faces
    as_frame, as_running = np.array_equal(ids, faces), np.array_equal(ids, np.arange(len(faces)))
    said = f"{len(faces)} of {tree.count} frames have a .lms"
    if meaning != "running" and as_frame and as_running:
        return faces, f"{said}: number of the picture and running index are the same"
    if meaning != "running" and as_frame:
        return faces, f"number of the picture: the ids are exactly those of the .lms files ({said})"
    if meaning != "frame" and as_running:
        return faces, f"running index of pictures with a .lms: ids 0 to {len(ids) - 1}, {said}"
    wanted = np.arange(len(faces)) if meaning == "running" else faces
    raise CaptureError(_odd_one(ids, wanted, faces, meaning))


def _odd_one(ids: np.ndarray, wanted: np.ndarray, faces: np.ndarray, meaning: str) -> str:
    """The sentence for ids that do not fit."""
    extra, absent = np.setdiff1d(ids, wanted), np.setdiff1d(wanted, ids)
    parts = []
    if len(extra):
        parts.append(f"img_id {extra[0]} has a pose, but no ori_imgs/{extra[0]}.lms")
    if len(absent):
        parts.append(f"ori_imgs/{absent[0]}.lms is there, but img_id {absent[0]} has no pose")
    counts = f"{len(ids)} poses in transforms_train.json and transforms_val.json, {len(faces)} .lms"
    hint = (
        ""
        if meaning != "auto"
        else (
            "\n  Restore what is missing. What ids count is detected from complete folders only; "
            "to say it: image_ids=frame or image_ids=running"
        )
    )
    return f"{' and '.join(parts)} ({counts}).{hint}"


def _numbers(folder: Path, suffix: str) -> np.ndarray:
    """Numbers of the files ``<number>.<suffix>``, ascending."""
    numbers = []
    for entry in folder.iterdir():
        if _LEFT.search(entry.name):
            continue
        stem, dot, ending = entry.name.rpartition(".")
        if ending.lower() != suffix:
            if suffix != "lms" and not (_OTHERS.search(entry.name) or entry.is_dir()):
                raise CaptureError(
                    f"{folder.name}/{entry.name} does not belong there: "
                    f"<number>.{suffix} was expected."
                )
            continue
        if _OTHERS.search(entry.name) and suffix != "lms":
            continue
        if not dot or not stem.isascii() or not stem.isdigit() or str(int(stem)) != stem:
            raise CaptureError(_padded(folder.name, entry.name, f".{suffix}"))
        if ending != suffix:
            raise CaptureError(
                f"{folder.name}/{entry.name} has its ending in capitals, which no reader of the "
                f"family opens.\n  Rename it to {stem}.{suffix}"
            )
        numbers.append(int(stem))
    return np.array(sorted(numbers), np.int64)


def _padded(place: str, name: str, tail: str) -> str:
    return (
        f"{place}/{name} is misnumbered: the family counts 0{tail}, 1{tail}, 2{tail} without "
        "leading zeros."
    )


def _soft_masks(folder: Path) -> np.ndarray:
    """Numbers of SyncTalk's soft face masks, ascending."""
    found = [match[1] for entry in folder.iterdir() if (match := _SOFT.fullmatch(entry.name))]
    for number in found:
        if str(int(number)) != number:
            raise CaptureError(_padded(folder.name, f"{number}_face.png", "_face.png"))
    return np.array(sorted(map(int, found)), np.int64)


def _listed(tree: Tree) -> list[tuple[str, np.ndarray]]:
    """The files of each series, a place left for the number, and their numbers."""
    listed = [(f"{name}/{{}}.{SERIES[name]}", found) for name, found in tree.series.items()]
    return [*listed, ("parsing/{}_face.png", tree.soft)] if len(tree.soft) else listed


def _check_series(tree: Tree, place: str) -> None:
    lost = np.setdiff1d(tree.faces, np.arange(tree.count))
    if len(lost):
        raise CaptureError(f"ori_imgs/{lost[0]}.lms has no {place}/{lost[0]}.jpg.")
    for name, numbers in _listed(tree):
        absent = np.setdiff1d(tree.faces, numbers)
        if len(absent):
            raise CaptureError(
                f"{name.format(absent[0])} is missing ({len(numbers)} files for "
                f"{len(tree.faces)} frames with a face)."
            )
        extra = np.setdiff1d(numbers, np.arange(tree.count))
        if len(extra):
            raise CaptureError(
                f"{name.format(extra[0])} has no {place}/{extra[0]}.jpg: it is extra."
            )
    bare = np.setdiff1d(np.arange(tree.count), tree.faces)
    unparsed = np.setdiff1d(bare, tree.series["parsing"])
    if len(unparsed):
        raise CaptureError(
            f"{place}/{unparsed[0]}.jpg has neither ori_imgs/{unparsed[0]}.lms nor "
            f"parsing/{unparsed[0]}.png: the picture is extra, or both are missing."
        )


def _check_sizes(tree: Tree, place: str) -> None:
    """Every picture's header: all have one size."""
    wanted = (tree.width, tree.height)
    listed = [f"{place}/{i}.jpg" for i in range(tree.count)] + ["bc.jpg"]
    listed += [
        name.format(i) for name, numbers in _listed(tree) if name[-3:] != "npy" for i in numbers
    ]
    for name in listed:
        found = pictures.size(tree.folder / name)
        if found != wanted:
            raise CaptureError(
                f"{name} is {found[0]}x{found[1]}, {place}/0.jpg is {wanted[0]}x{wanted[1]}."
            )


def _refuse_holes(place: str, whole: np.ndarray) -> None:
    """Raise where the numbers of the pictures do not go on by one from 0."""
    hole = np.flatnonzero(whole != np.arange(len(whole)))
    if len(hole) == 1 and len(whole) > 1:
        raise CaptureError(
            f"{place}/{whole[-1]}.jpg does not follow {whole[-2]}.jpg: it is extra or misnumbered."
        )
    if len(hole):
        raise CaptureError(
            f"{place}/{hole[0]}.jpg is missing: the pictures go on with {whole[hole[0]]}.jpg."
        )
