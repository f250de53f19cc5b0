"""Pictures out of a video file, at 25 a second, whatever its own rate, size or time stamps.

decord picks out single frames. PyAV reads the time stamps of every file, frames that follow each
other, and all frames of files that decord cannot read or reads differently (rotated phone videos,
edit lists, broken packets, high dynamic range): where both can, their pictures are the same.
Sound is ``audio.reading``; both count seconds on the container's one clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gstalker.errors import BackendMissing, MediaError
from gstalker.prepare.hdr import to_standard
from gstalker.prepare.source import FPS, MISSING_SHARE, Source, main_film, opened, reason

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

_TIE_S = 1e-6
"""Of two frames as near as this to one time, the earlier is taken."""
_EARLY_S = 2.0
"""PyAV goes to a key frame at least this long before the first frame wanted: what a key frame needs
of the frames before it is shown earlier than it."""
_INDEXED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
"""Kinds of files that say where their key frames are; the others are decoded from the beginning."""


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


def whole_view(source: Source, max_side: int) -> View:
    """The whole picture, scaled down where its longer side is above ``max_side``; even sides."""
    return fitted_view((0, 0, source.width, source.height), max_side)


def largest_view(source: Source, max_side: int, crop: str) -> View:
    """The largest picture that may be kept, told before a face is looked for; ``crop`` as chosen.

    What is cut out is a square, and ``auto`` cuts nothing out of pictures that need not shrink.
    """
    whole, side = whole_view(source, max_side), min(source.width, source.height)
    if crop == "none" or (crop == "auto" and max(source.width, source.height) <= max_side):
        return whole
    square = fitted_view((0, 0, side, side), max_side)
    return square if crop == "head" else max(whole, square, key=lambda v: v.width * v.height)


def fitted_view(box: tuple[int, int, int, int], max_side: int) -> View:
    """The box ``x, y, width, height`` of the shown picture, scaled down to fit; even sides."""
    x, y, width, height = box
    scale = min(1.0, max_side / max(width, height))
    if scale == 1.0:
        return View(
            x, y, width - width % 2, height - height % 2, width - width % 2, height - height % 2
        )
    return View(x, y, width, height, _even(width * scale), _even(height * scale))


def pictures(
    source: Source,
    view: View,
    wanted: Sequence[int],
    reader: Literal["auto", "decord", "av"] = "auto",
    torn: Callable[[int], None] = lambda number: None,
) -> Iterator[np.ndarray]:
    """Stream the frames numbered ``wanted`` of the 25 fps video.

    Args:
        source: what :func:`probe` told.
        view: the part to keep.
        wanted: ascending frame numbers; each takes the source frame shown nearest to its time.
        reader: who reads; ``auto`` is PyAV for frames that follow each other. decord decodes ahead
            of a slower reader without bound (dmlc/decord, issue 157): in 250 frames of 1280 x 720
            that were taken every 30 ms its memory grew by 200 MB, PyAV's not at all.
        torn: told of each wanted number, before its picture, whose picture FFmpeg had to mend or
            that is predicted from such a one, up to the next key frame; decord does not tell.

    Yields:
        ``uint8 [height, width, 3]`` RGB.

    Raises:
        MediaError: the file breaks off or is damaged.
        BackendMissing: decord was asked for by name and is not installed.
    """
    done = 0
    unbroken = len(wanted) == 0 or wanted[-1] - wanted[0] == len(wanted) - 1
    chosen = "av" if reader == "auto" and unbroken else reader
    if chosen != "av" and _decord_fits(source, named=chosen == "decord"):
        for picture in _by_decord(source, wanted, stop_quietly=reader == "auto"):
            yield _viewed(picture, view, source)
            done += 1
    if done < len(wanted):
        for picture in _by_av(source, wanted[done:], torn):
            yield _viewed(picture, view, source)


def nearest_frames(times_s: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    """Source frames nearest in time to frames of the 25 fps video, ``int64 [len(wanted)]``."""
    at = times_s[0] + np.asarray(wanted) / FPS
    after = np.clip(np.searchsorted(times_s, at), 1, max(len(times_s) - 1, 1))
    if len(times_s) == 1:
        return np.zeros(len(at), np.int64)
    earlier = at - times_s[after - 1] <= times_s[after] - at + _TIE_S
    return np.where(earlier, after - 1, after).astype(np.int64)


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
        reader = decord.VideoReader(str(source.path), num_threads=1)
        # of 4:4:4 video it makes four channels that are no picture
        return len(reader) == len(source.times_s) and reader[0].shape[-1] == 3
    except (decord.DECORDError, RuntimeError) as error:
        log.debug("decord refuses %s: %s", source.path, error)
        return False


def _by_decord(
    source: Source, wanted: Sequence[int], *, stop_quietly: bool
) -> Iterator[np.ndarray]:
    import decord

    reader = decord.VideoReader(str(source.path), num_threads=1)
    shown, picture = -1, np.empty(0)
    for index in nearest_frames(source.times_s, wanted):
        if index != shown:
            try:
                picture, shown = reader[int(index)].asnumpy(), int(index)
            except (decord.DECORDError, RuntimeError, IndexError) as error:
                if not stop_quietly:
                    raise MediaError(
                        f"{source.path} is damaged at frame {index} (decord)."
                    ) from error
                log.warning("decord stops at frame %d of %s; PyAV goes on", index, source.path)
                return
        yield picture


def _by_av(
    source: Source, wanted: Sequence[int], torn: Callable[[int], None]
) -> Iterator[np.ndarray]:
    """Nearest frames by time, decoding what lies between; broken packets are passed over."""
    at = source.start_s + np.asarray(wanted) / FPS
    k, shown, last_s, broken = 0, None, -np.inf, False
    picture: np.ndarray | None = None  # of the frame shown; converting is slow, so late
    for time_s, frame, breaks in _decoded(source, float(at[0]) - _EARLY_S):
        if time_s <= last_s:
            continue
        while shown is not None and k < len(at) and at[k] - last_s <= time_s - at[k] + _TIE_S:
            picture = _upright(shown, source) if picture is None else picture
            if broken:
                torn(wanted[k])
            yield picture
            k += 1
        if k == len(at):
            return
        shown, picture, last_s, broken = frame, None, time_s, breaks
    if shown is None:
        raise MediaError(f"{source.path} holds no frame that can be decoded.")
    for number in wanted[k:]:
        picture = _upright(shown, source) if picture is None else picture
        if broken:
            torn(number)
        yield picture


def _decoded(source: Source, from_s: float) -> Iterator[tuple[float, av.VideoFrame, bool]]:
    """Times, frames and whether they are torn, at least all those from ``from_s`` on."""
    import av

    broken, torn = 0, False
    with _opened_at(source, from_s) as container:
        stream = main_film(container)
        stream.thread_type = "AUTO"
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    broken += 1
                    torn = True
                    continue
                for frame in frames:
                    torn = frame.is_corrupt or (torn and not frame.key_frame)
                    if frame.time is not None:
                        yield frame.time, frame, torn
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{source.path} breaks off ({reason(error)}).") from error
    if broken > max(MISSING_SHARE * len(source.times_s), 1):
        raise MediaError(
            f"{source.path} is damaged: {broken} of {len(source.times_s)} frames cannot be decoded."
        )


def _opened_at(source: Source, from_s: float) -> av.container.InputContainer:
    """The file, read from a key frame before ``from_s``, or from its start without an index."""
    import av

    container = opened(source.path)
    stream = main_film(container)
    indexed = source.plain and container.format.name in _INDEXED
    if indexed and stream.time_base and from_s > source.start_s:
        try:
            container.seek(int(from_s / stream.time_base), stream=stream)
        except (av.FFmpegError, OSError):  # as where it begins before its clock does
            container.close()
            return opened(source.path)
    return container


def _upright(frame: av.VideoFrame, source: Source) -> np.ndarray:
    """``[H, W, 3]`` RGB: uint8, or uint16 where the dynamic range is high."""
    picture = frame.to_ndarray(format="rgb48le" if source.transfer else "rgb24")
    return np.rot90(picture, (int(frame.rotation) % 360) // 90)


def _viewed(picture: np.ndarray, view: View, source: Source) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    # Pixels that are not square: the crop is in shown pixels, the picture in stored ones.
    x_scale, y_scale = width / source.width, height / source.height
    x0, x1 = round(view.x * x_scale), round((view.x + view.crop_width) * x_scale)
    y0, y1 = round(view.y * y_scale), round((view.y + view.crop_height) * y_scale)
    part = picture[y0:y1, x0:x1]
    if part.shape[:2] != (view.height, view.width):
        shrinks = part.shape[0] >= view.height and part.shape[1] >= view.width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        part = cv2.resize(part, (view.width, view.height), interpolation=how)
    if source.transfer:
        part = to_standard(part, source.transfer)  # late: a small picture is done sooner
    return np.ascontiguousarray(part)


def _even(value: float) -> int:
    return max(round(value / 2) * 2, 2)
