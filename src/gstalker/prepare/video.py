"""Pictures out of a video file, at 25 a second, whatever its own rate, size or time stamps.

decord reads the frames. PyAV reads the time stamps of every file, and the frames of those that
decord cannot read or reads differently (rotated phone videos, edit lists, broken packets).
Sound is ``audio.reading``; both count seconds on the container's one clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gstalker.errors import BackendMissing, MediaError

if TYPE_CHECKING:
    import av
    import av.container

log = logging.getLogger(__name__)

FPS = 25
_MISSING_SHARE = 0.02
"""Share of frames that may fail to decode, or be missing at the end, before a file is refused."""


@dataclass(frozen=True)
class Source:
    """A video file and when its frames are shown."""

    path: Path
    width: int
    """Of the picture as shown: turned upright, with square pixels."""
    height: int
    fps: float
    """Its own average rate."""
    times_s: np.ndarray
    """``float64 [n]``: when each frame is shown, in order, on the container's clock."""
    plain: bool
    """Whether the stored pictures are the shown ones: neither turned nor trimmed."""

    @property
    def start_s(self) -> float:
        """When the first frame is shown; the capture's time zero."""
        return float(self.times_s[0])

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last."""
        return float(self.times_s[-1] - self.times_s[0] + _interval_s(self.times_s))

    @property
    def frame_count(self) -> int:
        """Frames that it makes at 25 a second."""
        return max(int(self.duration_s * FPS + 1e-2), 1)


@dataclass(frozen=True)
class View:
    """Which part of the shown picture is kept, and at which size."""

    x: int
    y: int
    crop_width: int
    crop_height: int
    width: int
    """Of the prepared picture; even."""
    height: int


def probe(path: Path) -> Source:
    """Look at a video file without decoding it.

    Raises:
        MediaError: it is missing, empty, not a video, without sound, or ends early; says which.
    """
    with _opened(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path} has no pictures; prepare needs a video of one speaking person.")
        if not container.streams.audio:
            raise MediaError(f"{path} has no sound; a talking head cannot be learnt without it.")
        stream = container.streams.video[0]
        times, trimmed = _times(path, container, stream)
        _refuse_truncated(path, container, stream, times, trimmed)
        first = _first_frame(path, container, stream)
        turned = int(first.rotation) % 360
        aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        width, height = round(first.width * aspect), first.height
        if turned % 180:
            width, height = height, width
    return Source(
        path=path,
        width=width,
        height=height,
        fps=(len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else FPS,
        times_s=times,
        plain=turned == 0 and trimmed == 0,
    )


def whole_view(source: Source, max_side: int) -> View:
    """The whole picture, scaled down where its longer side is above ``max_side``; even sides."""
    return fitted_view((0, 0, source.width, source.height), max_side)


def fitted_view(box: tuple[int, int, int, int], max_side: int) -> View:
    """The box ``x, y, width, height`` of the shown picture, scaled down to fit; even sides."""
    x, y, width, height = box
    scale = min(1.0, max_side / max(width, height))
    if scale == 1.0:
        return View(x, y, width - width % 2, height - height % 2, width - width % 2, height - height % 2)
    return View(x, y, width, height, _even(width * scale), _even(height * scale))


def pictures(
    source: Source,
    view: View,
    wanted: Sequence[int],
    reader: Literal["auto", "decord", "av"] = "auto",
) -> Iterator[np.ndarray]:
    """Stream the frames numbered ``wanted`` of the 25 fps video.

    Args:
        source: what :func:`probe` told.
        view: the part to keep.
        wanted: ascending frame numbers; each takes the source frame shown nearest to its time.
        reader: who reads.

    Yields:
        ``uint8 [height, width, 3]`` RGB.

    Raises:
        MediaError: the file breaks off or is damaged.
        BackendMissing: decord was asked for by name and is not installed.
    """
    done = 0
    if reader != "av" and _decord_fits(source, named=reader == "decord"):
        for picture in _by_decord(source, wanted, stop_quietly=reader == "auto"):
            yield _viewed(picture, view, source)
            done += 1
    if done < len(wanted):
        for picture in _by_av(source, wanted[done:]):
            yield _viewed(picture, view, source)


def nearest_frames(times_s: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    """Source frames nearest in time to frames of the 25 fps video, ``int64 [len(wanted)]``."""
    at = times_s[0] + np.asarray(wanted) / FPS
    after = np.clip(np.searchsorted(times_s, at), 1, max(len(times_s) - 1, 1))
    if len(times_s) == 1:
        return np.zeros(len(at), np.int64)
    earlier = at - times_s[after - 1] <= times_s[after] - at
    return np.where(earlier, after - 1, after).astype(np.int64)


# ---------------------------------------------------------------------------------- looking


def _opened(path: Path) -> av.container.InputContainer:
    import av

    if not path.is_file():
        raise MediaError(f"there is no video at {path}.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes); copy or record it again.")
    try:
        return av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path} cannot be read as a video ({_reason(error)}).\n"
            "  It is not a video, or it was cut off while it was copied or recorded."
        ) from error


def _times(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream
) -> tuple[np.ndarray, int]:
    """When frames are shown, in order, and how many packets are trimmed away or broken."""
    import av

    stamps: list[int] = []
    trimmed = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.pts is None:
                continue
            if packet.is_discard or packet.is_corrupt:
                trimmed += 1
            else:
                stamps.append(packet.pts)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path} breaks off or is damaged ({_reason(error)}).") from error
    if not stamps or stream.time_base is None:
        raise MediaError(f"{path} holds no readable frames; it is damaged or was cut off.")
    return np.unique(np.array(stamps, np.int64)) * float(stream.time_base), trimmed


def _refuse_truncated(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    times: np.ndarray,
    trimmed: int,
) -> None:
    """Compare what is there with what the header promises."""
    found = len(times) + trimmed
    if stream.frames and found < (1 - _MISSING_SHARE) * stream.frames:
        raise MediaError(
            f"{path} ends early: its header promises {stream.frames} frames, {found} are there.\n"
            "  It was cut off while it was copied or recorded."
        )
    promised = 0.0
    if stream.duration and stream.time_base:
        promised = float(stream.duration * stream.time_base)
    elif container.duration:
        promised = container.duration / 1e6
    if promised:
        there = float(times[-1] - times[0] + _interval_s(times))
        if there < 0.9 * promised - 1.0:  # sound may go on a little after the pictures
            raise MediaError(
                f"{path} ends early: its header promises {promised:.1f} s, {there:.1f} s are there.\n"
                "  It was cut off while it was copied or recorded."
            )


def _first_frame(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream
) -> av.VideoFrame:
    import av

    try:
        container.seek(0)
        return next(container.decode(stream))
    except (av.FFmpegError, OSError, StopIteration) as error:
        raise MediaError(f"{path} holds no frame that can be decoded ({_reason(error)}).") from error


# ---------------------------------------------------------------------------------- reading


def _decord_fits(source: Source, *, named: bool) -> bool:
    """Whether decord is here and sees the same frames as the time stamps tell of."""
    try:
        import decord
    except ImportError as error:
        if named:
            raise BackendMissing(
                "reader 'decord' was asked for, but decord is not installed.\n"
                "  Install it with: pip install 'gstalker[prepare]'   or use: reader=av"
            ) from error
        return False
    if not source.plain:
        return False
    try:
        return len(decord.VideoReader(str(source.path), num_threads=1)) == len(source.times_s)
    except (decord.DECORDError, RuntimeError) as error:
        log.debug("decord refuses %s: %s", source.path, error)
        return False


def _by_decord(source: Source, wanted: Sequence[int], *, stop_quietly: bool) -> Iterator[np.ndarray]:
    import decord

    reader = decord.VideoReader(str(source.path), num_threads=1)
    shown, picture = -1, np.empty(0)
    for index in nearest_frames(source.times_s, wanted):
        if index != shown:
            try:
                picture, shown = reader[int(index)].asnumpy(), int(index)
            except (decord.DECORDError, RuntimeError, IndexError) as error:
                if not stop_quietly:
                    raise MediaError(f"{source.path} is damaged at frame {index} (decord).") from error
                log.warning("decord stops at frame %d of %s; PyAV goes on", index, source.path)
                return
        yield picture


def _by_av(source: Source, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """Nearest frames by time while decoding everything once; broken packets are passed over."""
    at = source.start_s + np.asarray(wanted) / FPS
    k, picture, last_s = 0, None, -np.inf
    for time_s, frame in _decoded(source):
        if time_s <= last_s:
            continue
        while picture is not None and k < len(at) and at[k] - last_s <= time_s - at[k]:
            yield picture
            k += 1
        if k == len(at):
            return
        # Converting is the slow part: only frames that some wanted time may be nearest to.
        near = time_s + 2 / FPS >= at[k] or picture is None
        picture = _upright(frame) if near else picture
        last_s = time_s
    if picture is None:
        raise MediaError(f"{source.path} holds no frame that can be decoded.")
    for _ in range(k, len(at)):
        yield picture


def _decoded(source: Source) -> Iterator[tuple[float, av.VideoFrame]]:
    import av

    broken = 0
    with _opened(source.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    broken += 1
                    continue
                for frame in frames:
                    if frame.time is not None:
                        yield frame.time, frame
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{source.path} breaks off ({_reason(error)}).") from error
    if broken > max(_MISSING_SHARE * len(source.times_s), 1):
        raise MediaError(
            f"{source.path} is damaged: {broken} of {len(source.times_s)} frames cannot be decoded."
        )


def _upright(frame: av.VideoFrame) -> np.ndarray:
    picture = frame.to_ndarray(format="rgb24")
    return np.rot90(picture, (int(frame.rotation) % 360) // 90)


def _viewed(picture: np.ndarray, view: View, source: Source) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    # Pixels that are not square: the crop is in shown pixels, the picture in stored ones.
    x_scale, y_scale = width / source.width, height / source.height
    x0, x1 = round(view.x * x_scale), round((view.x + view.crop_width) * x_scale)
    y0, y1 = round(view.y * y_scale), round((view.y + view.crop_height) * y_scale)
    part = picture[y0:y1, x0:x1]
    if part.shape[:2] == (view.height, view.width):
        return np.ascontiguousarray(part)
    shrinks = part.shape[0] >= view.height and part.shape[1] >= view.width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(part, (view.width, view.height), interpolation=how)


def _interval_s(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1 / FPS


def _even(value: float) -> int:
    return max(round(value / 2) * 2, 2)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
