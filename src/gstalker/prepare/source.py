"""A video file from outside: when its frames are shown, how it lies, and whether it is whole.

Times come from the packets, so nothing is decoded but one frame.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gstalker.errors import MediaError
from gstalker.prepare.hdr import TRANSFERS, Transfer

if TYPE_CHECKING:
    import av
    import av.container

FPS = 25
MISSING_SHARE = 0.02
"""Share of frames that may fail to decode, or be missing at the end, before a file is refused."""
_CUT_OFF = (
    "It was cut off while it was copied or recorded: copy it again, or take what is there: "
    "ffmpeg -i {} whole.mp4"
)


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
    """Whether the stored pictures are the shown ones: neither turned, trimmed nor of high range,
    nor one of several films: decord takes the first."""
    transfer: Transfer | None = None
    """How its numbers tell light, where its dynamic range is high; ``hdr`` brings it down."""

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


def probe(path: Path, *, with_sound: bool = True) -> Source:
    """Look at a video file without decoding it.

    Args:
        path: the file.
        with_sound: refuse it without sound.

    Raises:
        MediaError: it is missing, empty, not a video, without sound, or ends early; says which.
    """
    with opened(path) as container:
        if not films(container):
            raise MediaError(f"{path} has no pictures; a video of one speaking person is needed.")
        if with_sound and not container.streams.audio:
            raise MediaError(
                f"{path} has no sound; a talking head cannot be learnt without it.\n  Join it: "
                f"ffmpeg -i {shlex.quote(str(path))} -i SOUND.wav -c:v copy joined.mp4"
            )
        stream = main_film(container)
        times, trimmed = _times(path, container, stream)
        _refuse_truncated(path, container, stream, times, trimmed)
        first = _first_frame(path)
        turned = int(first.rotation) % 360
        transfer = TRANSFERS.get(int(stream.codec_context.color_trc))
        aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        width, height = round(first.width * aspect), first.height
        if turned % 180:
            width, height = height, width
        pictures = len(container.streams.video)
    return Source(
        path=path,
        width=width,
        height=height,
        fps=(len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else FPS,
        times_s=times,
        plain=turned == 0 and trimmed == 0 and transfer is None and pictures == 1,
        transfer=transfer,
    )


def opened(path: Path) -> av.container.InputContainer:
    """Open a file with PyAV, or say in a sentence why it cannot be."""
    import av

    told = shlex.quote(str(path))
    if path.is_dir():
        raise MediaError(
            f"{path} is a folder; name the video in it.\n"
            f"  A data set of AD-NeRF's family becomes a capture with: gstalker import {told} NEW"
        )
    if not path.is_file():
        raise MediaError(f"there is no video at {path}.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes); copy or record it again.")
    try:
        return av.open(str(path.absolute()))  # 12:30.mp4 is a protocol to FFmpeg
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path} cannot be read as a video ({reason(error)}).\n"
            "  It is not a video, or it was cut off while it was copied or recorded."
        ) from error


def films(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The streams of moving pictures: a cover picture is none."""
    import av

    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def main_film(container: av.container.InputContainer) -> av.VideoStream:
    """Of several films in one file the one that players show."""
    best = container.streams.best("video")
    return next((film for film in films(container) if film is best), films(container)[0])


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
        raise MediaError(f"{path} breaks off or is damaged ({reason(error)}).") from error
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
    if stream.frames and found < (1 - MISSING_SHARE) * stream.frames:
        raise MediaError(
            f"{path} ends early: its header promises {stream.frames} frames, {found} are there.\n"
            f"  {_CUT_OFF.format(shlex.quote(str(path)))}"
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
                f"{path} ends early: its header promises {promised:.1f} s, "
                f"{there:.1f} s are there.\n"
                f"  {_CUT_OFF.format(shlex.quote(str(path)))}"
            )


def _first_frame(path: Path) -> av.VideoFrame:
    """From a container of its own: some that begin before their clock cannot be gone back in."""
    import av

    try:
        with opened(path) as container:
            return next(container.decode(main_film(container)))
    except (av.FFmpegError, OSError, StopIteration) as error:
        raise MediaError(f"{path} holds no frame that can be decoded ({reason(error)}).") from error


def _interval_s(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1 / FPS


def reason(error: BaseException) -> str:
    """What FFmpeg says, without its numbers."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def cautions(path: Path) -> list[dict[str, str]]:
    """What a video has that its viewer does not see: ``what`` is so, and what to ``do``.

    Raises:
        MediaError: it cannot be read.
    """
    found, told = [], shlex.quote(str(path))
    with opened(path) as container:
        tracks = len(container.streams.audio)
        if tracks > 1:
            found.append(
                {
                    "what": f"there are {tracks} sound tracks; the first one is taken",
                    "do": "If that is not the voice, take another: ffmpeg -i "
                    f"{told} -map 0:v:0 -map 0:a:1 -c copy second.mp4",
                }
            )
        several = films(container)
        if len(several) > 1:
            number = several.index(main_film(container))
            found.append(
                {
                    "what": f"there are {len(several)} streams of pictures; number {number + 1}, "
                    "the one that players show, is taken",
                    "do": "If that is not the speaker, take another: ffmpeg -i "
                    f"{told} -map 0:v:{int(number == 0)} -map 0:a:0 -c copy other.mp4",
                }
            )
        if _first_frame(path).interlaced_frame:
            found.append(
                {
                    "what": "the pictures are interlaced: what moves is torn into lines",
                    "do": f"Join their fields first: ffmpeg -i {told} -vf bwdif joined.mp4",
                }
            )
    return found
