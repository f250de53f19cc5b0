"""Who says what each pixel shows. The seam is :class:`FaceParser`; one's own is ``module:Class``.

MediaPipe's person segmenter knows a single class, the person. ``outline`` divides it by the
landmarks into torso, head and mouth; ``colour`` also tells hair, teeth and neck, by their colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from gstalker import files, weights
from gstalker.data.rows import Rows
from gstalker.errors import ConfigError
from gstalker.plugins import resolve
from gstalker.prepare import colouring, parsing

PARSERS = {
    "colour": "gstalker.prepare.parsers:ColourParser",
    "outline": "gstalker.prepare.parsers:OutlineParser",
}
"""Parsers by name."""
LABELS = ("background", "torso", "head", "mouth", "hair", "teeth", "neck")
"""What the numbers mean; hair is of the head, teeth of the mouth, neck of the torso."""
_PERSON = "selfie_segmentation"
_PIECE = 64
"""Frames a job; bounds what waits in memory."""


@runtime_checkable
class FaceParser(Protocol):
    """Labels pictures; made without arguments, in every process anew."""

    tells: tuple[str, ...]
    """Which of :data:`LABELS` it tells apart; what it does not is part of the coarser one."""

    def identity(self) -> str:
        """Another text whenever it would give other labels: its version, its model's content."""
        ...

    def parse(
        self, pictures: Iterator[np.ndarray], faces: np.ndarray, *, alone: bool
    ) -> Iterator[np.ndarray]:
        """Labels ``uint8 [H, W]`` of each picture, numbers as in :data:`LABELS`.

        Args:
            pictures: ``uint8 [H, W, 3]`` each.
            faces: ``[n, 478, 2]`` landmarks in pixels; NaN without a face.
            alone: whether nobody else is seen in the video.
        """
        ...


class OutlineParser:
    """Person, head, torso and mouth, from MediaPipe's segmenter and the landmarks."""

    tells: tuple[str, ...] = LABELS[:4]

    def identity(self) -> str:
        """The segmenter's content."""
        return files.sha256(weights.find(_PERSON))

    def parse(
        self, pictures: Iterator[np.ndarray], faces: np.ndarray, *, alone: bool
    ) -> Iterator[np.ndarray]:
        """See :class:`FaceParser`."""
        for _, labels in _outlined(pictures, faces, alone=alone):
            yield labels


class ColourParser:
    """The same, with hair, teeth and neck told by their colours."""

    tells: tuple[str, ...] = LABELS

    def identity(self) -> str:
        """The segmenter's content."""
        return files.sha256(weights.find(_PERSON))

    def parse(
        self, pictures: Iterator[np.ndarray], faces: np.ndarray, *, alone: bool
    ) -> Iterator[np.ndarray]:
        """See :class:`FaceParser`."""
        shown = _outlined(pictures, faces, alone=alone)
        for (picture, labels), face in zip(shown, faces, strict=True):
            yield colouring.finer(labels, picture, face)


def make_parser(name: str) -> FaceParser:
    """The parser called ``name``.

    Args:
        name: a key of :data:`PARSERS`, or ``module:Class``.

    Raises:
        ConfigError: nobody knows the name, or the class is no :class:`FaceParser`.
        BackendMissing: a package or a model file that it needs is missing.
    """
    try:
        parser = resolve(PARSERS, name)()
    except TypeError as error:
        raise ConfigError(f"parser={name} cannot be made without arguments ({error}).") from error
    if not isinstance(parser, FaceParser):
        raise ConfigError(
            f"parser={name} is no face parser: it needs `tells`, `identity()` and "
            "`parse(pictures, faces, alone=...)`, as gstalker.prepare.parsers:FaceParser has them."
        )
    strange = [label for label in parser.tells if label not in LABELS]
    if strange:
        raise ConfigError(
            f"parser={name} tells '{strange[0]}'; known labels are: {', '.join(LABELS)}."
        )
    return parser


@dataclass(frozen=True)
class Piece:
    """Frames that one process labels."""

    frames: Path
    landmarks: Path
    parser: str
    identity: str
    start: int
    stop: int
    alone: bool
    """Whether nobody else is seen in the video."""


def pieces(frames: Path, landmarks: Path, parser: str, count: int, *, alone: bool) -> list[Piece]:
    """Split a clip into jobs."""
    identity = make_parser(parser).identity()
    return [
        Piece(frames, landmarks, parser, identity, a, min(a + _PIECE, count), alone)
        for a in range(0, count, _PIECE)
    ]


def parse(piece: Piece) -> np.ndarray:
    """Labels of the piece's frames, ``uint8 [stop - start, H, W]``.

    Raises:
        ConfigError: the parser gave something else.
    """
    frames = Rows(piece.frames)
    faces = np.load(piece.landmarks, mmap_mode="r")[piece.start : piece.stop]
    pictures = (frames[i] for i in range(piece.start, piece.stop))
    found = list(make_parser(piece.parser).parse(pictures, faces, alone=piece.alone))
    if len(found) != len(faces):
        raise ConfigError(
            f"parser={piece.parser} gave labels of {len(found)} pictures for {len(faces)}."
        )
    for k, labels in enumerate(found):
        wanted = (np.dtype(np.uint8), frames.shape[1:3])
        got = (np.asarray(labels).dtype, np.shape(labels))
        if got != wanted or labels.max() >= len(LABELS):
            raise ConfigError(
                f"parser={piece.parser} gave {got[0]} {got[1]} up to {np.max(labels)} for frame "
                f"{piece.start + k}; uint8 {wanted[1]} up to {len(LABELS) - 1} was expected."
            )
    return np.stack(found)


def _outlined(
    pictures: Iterator[np.ndarray], faces: np.ndarray, *, alone: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each picture with its labels."""
    kept: list[np.ndarray] = []

    def remembered() -> Iterator[np.ndarray]:
        for picture in pictures:
            kept[:] = [picture]
            yield picture

    persons = parsing.person_shares(remembered(), weights.find(_PERSON))
    for share, face in zip(persons, faces, strict=True):
        yield kept[0], parsing.labels(share, face, alone=alone)
