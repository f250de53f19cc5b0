"""Who says what each pixel shows. The seam is :class:`FaceParser`; one's own is ``module:Class``.

MediaPipe's person segmenter knows a single class, the person. ``outline`` divides it by the
landmarks into torso, head and mouth; ``colour`` also tells hair, teeth and neck, by their colours.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gstalker import files, weights
from gstalker.data.rows import Rows
from gstalker.errors import ConfigError, GSTalkerError, PluginFailed
from gstalker.plugins import resolve, told
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
        """Another text whenever it would give other labels: its settings, its model's content.

        The content of the file that the class is in counts by itself.
        """
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
        PluginFailed: it cannot be imported or made.
    """
    made_by = resolve(PARSERS, name)
    try:
        parser = made_by()
    except TypeError as error:
        raise ConfigError(f"parser={name} cannot be made without arguments ({error}).") from error
    except (GSTalkerError, MemoryError):
        raise
    except Exception as error:
        raise _failed(name, "cannot be made", error) from error
    if not isinstance(parser, FaceParser):
        raise ConfigError(
            f"parser={name} is no face parser: it needs `tells`, `identity()` and "
            "`parse(pictures, faces, alone=...)`, as gstalker.prepare.parsers:FaceParser has them."
        )
    if not isinstance(parser.tells, tuple | list):
        raise ConfigError(
            f"parser={name}: its `tells` is {parser.tells!r}; a tuple of labels was expected, "
            f"of: {', '.join(LABELS)}."
        )
    strange = [label for label in parser.tells if label not in LABELS]
    if strange:
        raise ConfigError(
            f"parser={name} tells '{strange[0]}'; known labels are: {', '.join(LABELS)}."
        )
    return parser


def identity(name: str, made: FaceParser | None = None) -> str:
    """Another text whenever the parser called ``name`` may give other labels.

    Args:
        name: as chosen.
        made: the parser, where it is there already: it may hold a network.

    Raises:
        ConfigError: see :func:`make_parser`; or it is told by something that is no text.
        PluginFailed: it fails.
    """
    parser = made or make_parser(name)
    try:
        says = parser.identity()
    except (GSTalkerError, MemoryError):
        raise
    except Exception as error:
        raise _failed(name, "fails in `identity`", error) from error
    if not isinstance(says, str):
        raise ConfigError(f"parser={name}: its `identity()` gave {says!r}; a text was expected.")
    file = inspect.getsourcefile(type(parser))
    return says if name in PARSERS or file is None else f"{says} {files.sha256(Path(file))}"


def _failed(name: str, how: str, error: Exception) -> PluginFailed:
    return PluginFailed(f"parser={name} {how}: {told(error, name.partition(':')[0])}")


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
    version = identity(parser)
    return [
        Piece(frames, landmarks, parser, version, a, min(a + _PIECE, count), alone)
        for a in range(0, count, _PIECE)
    ]


def parse(piece: Piece) -> np.ndarray:
    """Labels of the piece's frames, ``uint8 [stop - start, H, W]``.

    Raises:
        PluginFailed: the parser fails or gives something else. What ``prepare`` has done so far is
            kept, so that a parser can be mended and tried again.
    """
    frames, parser = Rows(piece.frames), make_parser(piece.parser)
    faces = np.load(piece.landmarks, mmap_mode="r")[piece.start : piece.stop]
    pictures = (frames[i] for i in range(piece.start, piece.stop))
    found: list[np.ndarray] = []
    try:
        for labels in parser.parse(pictures, faces, alone=piece.alone):
            found.append(_checked(piece, len(found), labels, frames.shape[1:3], parser.tells))
    except (GSTalkerError, MemoryError):
        raise
    except Exception as error:
        how = f"fails at frame {piece.start + len(found)}"
        raise _failed(piece.parser, how, error) from error
    if len(found) != len(faces):
        raise PluginFailed(
            f"parser={piece.parser} gave labels of {len(found)} pictures for {len(faces)}."
        )
    return np.stack(found)


def _checked(
    piece: Piece, number: int, given: Any, shape: tuple[int, ...], tells: Sequence[str]
) -> np.ndarray:
    """The labels that a parser gave for one of the piece's pictures, if they are labels."""
    labels = np.asarray(given)
    if (labels.dtype, labels.shape) != (np.uint8, shape) or labels.max() >= len(LABELS):
        raise PluginFailed(
            f"parser={piece.parser} gave {labels.dtype} {labels.shape} up to {np.max(labels)} for "
            f"frame {piece.start + number}; uint8 {shape} up to {len(LABELS) - 1} was expected."
        )
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=len(LABELS))):
        if label and LABELS[label] not in tells:
            raise PluginFailed(
                f"parser={piece.parser} gave {label} ({LABELS[label]}) for frame "
                f"{piece.start + number}, but its `tells` does not name '{LABELS[label]}'."
            )
    return labels


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
