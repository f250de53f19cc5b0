"""What a user may choose about import and export; evidence decides where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["ten-elevenths", "last-12-seconds", "capture"]


@dataclass(frozen=True)
class ImportConfig:
    """Choices of :func:`gstalker.exchange.import_folder`."""

    name: str = ""
    """Name of the capture; empty: the folder's."""
    image_ids: Literal["auto", "frame", "running"] = "auto"
    """What ``img_id`` counts: ``frame``, the number of the picture (AD-NeRF); ``running``, the
    pictures that have a ``.lms`` (all later ones); ``auto``: the one that fits the files."""
    parsing: Literal["auto", "4-colour", "6-colour"] = "auto"
    """Colours of ``parsing/``; ``auto``: six where black (hair) or grey (mouth) occur."""
    pictures: Literal["auto", "ori_imgs", "gt_imgs"] = "auto"
    """Where frames come from: as filmed, or with the background replaced (``com_imgs`` in
    AD-NeRF); ``auto``: as filmed."""
    poses: Literal["auto", "transforms", "track"] = "auto"
    """``auto``: the JSON files, which ``track_params.pt`` must agree with; the others do not
    compare."""
    eye: Literal["auto", "au45", "landmarks"] = "auto"
    """Eye signal: from ``au.csv``, else from the lids; ``auto``: the first that is there."""
    au_rows: Literal["auto", "position", "frame"] = "auto"
    """Which frame a row of ``au.csv`` belongs to: its position, as all readers take it, or its
    ``frame`` column; ``auto``: both must say the same."""
    mesh: Literal["auto", "vertices", "canonical", "arithmetic"] = "auto"
    """The face at rest: ``vertices`` of ``track_params.pt``, MediaPipe's canonical face, or the
    synthetic speaker's; ``auto``: the first of them that is there."""
    audio: str = "auto"
    """Sound features to make here from ``aud.wav``, beside log-mel and those that lie in the
    folder: as for ``gstalker prepare``."""
    cuts: tuple[int, ...] = ()
    """Frames that begin a new take; the folder cannot say."""


@dataclass(frozen=True)
class ExportConfig:
    """Choices of :func:`gstalker.exchange.export_capture`."""

    split: Split = "ten-elevenths"
    """Which frames are for validation: the family's last eleventh, InsTaG's last 12 seconds (and
    one frame), or the capture's own boundary, which may have moved to a jump cut."""
    jpg_quality: int = 97
    """Of all pictures, 1 to 100, colours at full resolution."""
