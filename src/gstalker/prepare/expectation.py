"""What preparing a video will take: minutes, memory and disk, told before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from gstalker.prepare.parallel import spread_over
from gstalker.prepare.source import Source
from gstalker.prepare.video import View

_SPREAD_MS, _SPREAD_MS_PER_MPX, _ALONE_MS, _DECODE_MS, _START_S = 26.0, 70.0, 8.0, 5.0, 15.0
"""Milliseconds a frame of the work spread over processes, the same for a megapixel of the frame,
and of the rest; milliseconds a filmed megapixel, and seconds to begin with. On two idle Xeon cores
five minutes at 512 x 512 took 241 s (428 s of both), and these give 251; at 288 x 288 315 s of both
where these give 317; ten seconds at 512 x 512 took 20 to 25 s, and these give 23. Slower cores took
twice as long."""
_BASE_MIB, _MIB_PER_FRAME, _MIB_PER_WORKER = 600.0, 0.03, 200.0
_MIB_PER_FILMED_MPX, _MIB_PER_MPX = 90.0, 700.0
"""MiB of the libraries, of a frame's landmarks and poses, of another process; of a filmed megapixel
while frames are decoded, and of a prepared one while the plate is made, which is later. Peaks of
VmHWM measured, and what these give: 10 s at 128 x 128, 567 and 631; 120 s, 648 and 701; 5 s at 512
x 512, 767 and 787; 10 s, 751 and 791; 40 s in two processes, added up, 1080 and 1214; 3 s of 4K,
1194 and 1349. Whisper's features add nothing to the peak."""


@dataclass(frozen=True)
class Expectation:
    """What a run that begins at the beginning takes."""

    seconds: float
    memory_bytes: float
    """All processes' together, at the peak."""
    disk_bytes: float


def expect(source: Source, view: View, workers: int) -> Expectation:
    """What preparing a video takes.

    Args:
        source: the video.
        view: of the prepared pictures, or the largest that they may be; only their size counts.
        workers: processes that may be started.
    """
    filmed_mpx, mpx = source.width * source.height / 1e6, view.width * view.height / 1e6
    frames, shown = source.frame_count, len(source.times_s)
    seconds = frames * ((_SPREAD_MS + _SPREAD_MS_PER_MPX * mpx) / workers + _ALONE_MS) / 1e3
    seconds += shown * filmed_mpx * _DECODE_MS / 1e3 + _START_S
    memory_mib = _BASE_MIB + _MIB_PER_FRAME * frames
    memory_mib += max(_MIB_PER_FILMED_MPX * filmed_mpx, _MIB_PER_MPX * mpx)
    more = spread_over(frames, workers)
    if more > 1:
        memory_mib += _MIB_PER_WORKER * more
    # Colours, labels, and a tenth for all the rest.
    return Expectation(seconds, 2**20 * memory_mib, 1e6 * frames * mpx * 4 * 1.1)
