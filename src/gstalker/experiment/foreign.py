"""Somebody else's pictures, an mp4 or a folder of numbered files, paired with a capture's frames.

Which picture shows which frame is stated or counted, never guessed: as many pictures as the test
split has frames, or as the capture has, or an offset from the user. Only test frames are scored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from gstalker.data.capture import FPS, Capture
from gstalker.errors import BackendMissing, MediaError
from gstalker.metrics.protocol import Protocol, ranges
from gstalker.prepare.source import Source, opened, probe, reason
from gstalker.prepare.video import pictures, whole_view

PICTURES = (".png", ".jpg", ".jpeg")
FEW = 100
"""Frames that some repositories score instead of all (ER-NeRF's validation while training)."""
_RATE_SLACK = 0.005
"""29.97 is not 25, and 24.99 is."""
_ASPECT_SLACK = 0.01


@dataclass(frozen=True)
class Foreign:
    """Pictures that were found, not yet paired."""

    path: Path
    count: int
    codec: str
    """``lossless``, ``jpeg``, or the video's codec."""
    stream: Callable[[], Iterator[np.ndarray]]
    """``uint8 [h, w, 3]`` RGB, in order."""
    numbers: list[int]
    """What the files are numbered; empty for a video."""
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paired:
    """Pictures and the frames that they show."""

    ids: np.ndarray
    """``int64 [n]``: test frames of the capture, in time order."""
    places: np.ndarray
    """``int64 [n]``: which picture shows each."""
    how: str
    """In words."""


# ---------------------------------------------------------------------- what is there


def look(path: Path, protocol: Protocol) -> Foreign:
    """Find the pictures of a folder or a video.

    Raises:
        MediaError: there are none, a number is missing or doubled, the video is not 25 fps and the
            protocol does not say what to do about it.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise MediaError(f"there is neither a video nor a folder of pictures at {path}.")
    return _video(path, protocol)


def _folder(path: Path) -> Foreign:
    seen = (file for file in path.iterdir() if not file.name.startswith("."))
    found = sorted(file for file in seen if file.suffix.lower() in PICTURES)
    if not found:
        raise MediaError(f"{path} holds no pictures; give numbered .png or .jpg files, or an mp4.")
    by_number: dict[int, Path] = {}
    for file in found:
        digits = re.findall(r"\d+", file.stem)
        if not digits:
            raise MediaError(f"{file} has no number in its name, so its place is not known.")
        if int(digits[-1]) in by_number:
            raise MediaError(
                f"{path} holds two pictures of number {int(digits[-1])}: "
                f"{by_number[int(digits[-1])].name} and {file.name}.\n"
                "  Put only the pictures to score into one folder."
            )
        by_number[int(digits[-1])] = file
    numbers = sorted(by_number)
    lossless = all(file.suffix.lower() == ".png" for file in found)
    return Foreign(
        path=path,
        count=len(numbers),
        codec="lossless" if lossless else "jpeg",
        stream=lambda: (_read(by_number[number]) for number in numbers),
        numbers=numbers,
        cautions=() if lossless else ("the pictures were packed as jpeg before they were scored",),
    )


def _read(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as picture:
            _refuse_kind(picture, file)
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise MediaError(f"{file} cannot be read as a picture ({error}).") from error


def _refuse_kind(picture: Image.Image, file: Path) -> None:
    """Refuse pictures whose 8 bits of red, green and blue are not told."""
    if picture.mode[:1] in "IF" or _bits_of_png(file) > 8:
        raise MediaError(
            f"{file} has more than 8 bits; the capture's frames have 8.\n"
            "  Convert the pictures to 8 bits, and say how in your paper."
        )
    if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        raise MediaError(
            f"{file} is transparent in places, and what lies behind it is not known.\n"
            "  Put the pictures over their background first."
        )


def _bits_of_png(file: Path) -> int:
    """Bits of a colour in a png's header, which Pillow reads as 8 of each colour; else 8."""
    with file.open("rb") as opened_file:
        head = opened_file.read(25)
    is_png = head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR"
    return head[24] if is_png and len(head) == 25 else 8


def _video(path: Path, protocol: Protocol) -> Foreign:
    try:
        source = probe(path, with_sound=False)
        with opened(path) as container:
            codec = container.streams.video[0].codec_context.name
    except ImportError as error:  # pragma: no cover
        raise BackendMissing("videos need PyAV.\n  Install it with: pip install av") from error
    cautions = [f"the video was packed as {codec} before it was scored, which costs every metric"]
    fits = abs(source.fps / FPS - 1) < _RATE_SLACK
    if not fits and protocol.rate == "refuse":
        raise MediaError(
            f"{path} is {source.fps:.5g} fps; the capture is {FPS} fps, so frames do not pair.\n"
            "  If each picture is one frame of the capture, add: rate=frames\n"
            "  To take the pictures nearest in time, add: rate=nearest"
        )
    if not fits:
        how = "taken frame by frame" if protocol.rate == "frames" else "resampled in time"
        cautions.append(f"the video is {source.fps:.5g} fps and was {how}")
    by_frame = protocol.rate == "frames"
    count = len(source.times_s) if by_frame else source.frame_count
    return Foreign(
        path=path,
        count=count,
        codec=codec,
        stream=lambda: _every(path) if by_frame else _in_time(source),
        numbers=[],
        cautions=tuple(cautions),
    )


def _in_time(source: Source) -> Iterator[np.ndarray]:
    """The picture nearest to each 25th of a second."""
    view = whole_view(source, max(source.width, source.height))
    return pictures(source, view, range(source.frame_count))


def _every(path: Path) -> Iterator[np.ndarray]:
    """Every stored picture, whatever time it is shown at."""
    import av

    with opened(path) as container:
        try:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
        except av.FFmpegError as error:
            raise MediaError(f"{path} breaks off ({reason(error)}).") from error


# ---------------------------------------------------------------------- which frames they show


def pair(foreign: Foreign, capture: Capture, offset: int | None) -> Paired:
    """Find out which picture shows which test frame.

    Args:
        foreign: the pictures.
        capture: the truth.
        offset: the capture's frame that the first picture shows, counted from 0; ``None`` where
            the count must tell.

    Raises:
        MediaError: the count fits nothing, or no picture shows a test frame; says what to type.
    """
    _, test = capture.split()
    if len(test) == 0:
        raise MediaError(f"{capture.folder} has no test frames to score.")
    if offset is None and foreign.numbers == test.tolist():
        return Paired(test, np.arange(len(test)), "each file is named after its frame")
    _refuse_gaps(foreign)
    if offset is not None:
        return _from(foreign, test, offset, f"the first picture shows frame {offset}, as stated")
    after = capture.frame_count - capture.test_start
    if foreign.count == len(test):
        return Paired(test, np.arange(len(test)), "as many pictures as test frames")
    if foreign.count == after:
        return _from(foreign, test, capture.test_start, "as many as frames after the split")
    if foreign.count == capture.frame_count:
        return _from(foreign, test, 0, "as many pictures as the capture has frames")
    few = foreign.count == FEW < len(test)
    hint = f" (the first {FEW} test frames, as ER-NeRF scores while training?)" if few else ""
    raise MediaError(
        f"{foreign.path} holds {foreign.count} pictures{hint}; {capture.folder} has {len(test)} "
        f"test frames ({ranges(test)}) and {capture.frame_count} in all, so it is not known which "
        "picture shows which frame.\n"
        f"  Say which frame the first one shows, counted from 0: offset={test[0]}"
    )


def _from(foreign: Foreign, test: np.ndarray, offset: int, how: str) -> Paired:
    """Pictures in a row from frame ``offset`` on; those of test frames count."""
    shown = (test >= offset) & (test < offset + foreign.count)
    if not shown.any():
        raise MediaError(
            f"{foreign.path} would show frames {offset} to {offset + foreign.count - 1}, none of "
            f"which is a test frame ({ranges(test)}).\n  Give another offset=N."
        )
    return Paired(test[shown], test[shown] - offset, how)


def _refuse_gaps(foreign: Foreign) -> None:
    gaps = np.flatnonzero(np.diff(foreign.numbers) != 1) if foreign.numbers else np.zeros(0, int)
    if len(gaps):
        before, after = foreign.numbers[gaps[0]], foreign.numbers[gaps[0] + 1]
        raise MediaError(
            f"{foreign.path} jumps from picture {before} to {after}; pictures are missing.\n"
            "  Give all of them, numbered in a row."
        )


# ---------------------------------------------------------------------- pictures of the right size


def fitted(
    foreign: Foreign, paired: Paired, capture: Capture, protocol: Protocol
) -> Iterator[np.ndarray]:
    """The pictures of the paired frames, at the capture's size, ``uint8 [H, W, 3]``.

    Raises:
        MediaError: another size, and the protocol does not say what to do about it; or the
            pictures end early.
    """
    wanted = iter(paired.places.tolist())
    place = next(wanted, None)
    for k, picture in enumerate(foreign.stream()):
        if place is None:
            return
        if k == place:
            yield _sized(picture, foreign.path, capture, protocol)
            place = next(wanted, None)


def _sized(picture: np.ndarray, path: Path, capture: Capture, protocol: Protocol) -> np.ndarray:
    size, found = (capture.width, capture.height), (picture.shape[1], picture.shape[0])
    if found == size:
        return picture
    told = f"{path} is {found[0]} x {found[1]}; the capture is {size[0]} x {size[1]}"
    if protocol.fit == "refuse":
        raise MediaError(
            f"{told}.\n  To scale the pictures, add: fit=resize\n"
            "  To cut them around their middle, add: fit=crop"
        )
    if protocol.fit == "crop":
        if found[0] < size[0] or found[1] < size[1]:
            raise MediaError(f"{told}, so nothing can be cut away.\n  Add: fit=resize")
        x, y = ((a - b) // 2 for a, b in zip(found, size, strict=True))
        return np.ascontiguousarray(picture[y : y + size[1], x : x + size[0]])
    if abs(found[0] / found[1] / (size[0] / size[1]) - 1) > _ASPECT_SLACK:
        raise MediaError(f"{told}: another shape, so scaling would distort the face.")
    scaled = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(scaled)


def stated(protocol: Protocol, foreign: Foreign) -> Protocol:
    """The protocol with the codec that was found, unless another one was stated."""
    return replace(protocol, codec=foreign.codec) if protocol.codec == "lossless" else protocol
