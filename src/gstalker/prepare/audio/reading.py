"""Sound out of any file that FFmpeg's libraries read, as 16 kHz mono."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gstalker.errors import BackendMissing, MediaError

if TYPE_CHECKING:
    import av
    import av.container

RATE_HZ = 16_000
_GAP_S = 0.05
"""Holes in the time stamps longer than this are filled with silence; shorter ones are rounding."""
_SHARES = {
    "FC": 1.0,
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR", "BC"), 0.5),
    **dict.fromkeys(("SL", "SR", "BL", "BR"), 0.5**1.5),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}
"""What a channel adds to the mono sum, by FFmpeg's name for it. Sides are 3 dB below the front, a
single one behind 0 dB, and low-frequency effects are left out, as in ITU-R BS.775-3, table 2. The
centre counts twice the front, 3 dB more than there: speech alone in the middle is as loud as in
both front channels of a stereo film, whose mean is taken."""

_CANCELLED = 0.01
"""Share of both channels' power below which their mean is what lossy coding left: 20 dB. Channels
that have nothing in common keep a half of it, a channel alone as well."""


def read(path: Path) -> np.ndarray:
    """All of a file's sound, from its first sample on.

    Returns:
        ``float32 [S]`` in [-1, 1] at 16 kHz, at least one sample.

    Raises:
        MediaError: it is missing, empty, not a sound file, holds no samples, or two channels of
            which one is the other turned upside down.
    """
    return _read(path, None)


def read_from(path: Path, start_s: float, count: int) -> np.ndarray:
    """``count`` samples of a file's sound from ``start_s`` on the container's clock.

    What begins later or ends earlier is silence, so sound and pictures stay on one time base.

    Raises:
        MediaError: as :func:`read`.
    """
    samples = _read(path, start_s)
    return np.pad(samples[:count], (0, max(count - len(samples), 0)))


def _read(path: Path, start_s: float | None) -> np.ndarray:
    try:
        import av
    except ImportError as error:
        raise BackendMissing(
            f"reading {path} needs PyAV, which is not installed.\n  Install it with: pip install av"
        ) from error
    if not path.is_file():
        raise MediaError(f"there is no sound file at {path}.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes); copy or record it again.")
    try:
        with av.open(str(path.absolute())) as container:  # 12:30.wav is a protocol to FFmpeg
            if not container.streams.audio:
                raise MediaError(f"{path} has no sound.")
            power = np.zeros(2)
            pieces = list(_pieces(container, start_s, power))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path} cannot be read as sound ({reason}).") from error
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if len(samples) == 0:
        raise MediaError(f"{path} holds no sound: 0 samples.")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path} holds samples that are not numbers.")
    mixed, held = power
    if mixed < _CANCELLED * held:
        raise MediaError(
            f"the two channels of {path} cancel each other: one is the other turned upside down.\n"
            "  Keep one of them: "
            + shlex.join(["ffmpeg", "-i", str(path), "-c:v", "copy", "-af", "pan=mono|c0=c0"])
            + f" ONE{path.suffix}"
        )
    return np.clip(samples, -1, 1).astype(np.float32)


def _pieces(
    container: av.container.InputContainer, start_s: float | None, power: np.ndarray
) -> Iterator[np.ndarray]:
    """Runs of samples; the first is cut, or preceded by silence, to begin at ``start_s``.

    Two channels' squares are added up in ``power [2]``: of their mean, and of each on average.
    """
    import av

    # Channels are mixed here: FFmpeg's own float downmix adds two up at 0.7, and clips. Packed, for
    # PyAV reads past the end of eight planes.
    resampler = av.AudioResampler(format="flt", rate=RATE_HZ)
    written = 0
    origin = start_s
    ahead = 0
    for time_s, frame in _decoded(container):
        if time_s is not None:
            origin = time_s if origin is None else origin
            behind = round((time_s - origin) * RATE_HZ) - written
            if written == 0 and start_s is not None and behind < 0:
                ahead = -behind
                written = behind
            elif behind > _GAP_S * RATE_HZ:
                yield np.zeros(behind, np.float32)
                written += behind
        frame.pts = None
        for run in _resampled(resampler, frame, power):
            written += len(run)
            ahead, run = max(ahead - len(run), 0), run[min(ahead, len(run)) :]
            yield run
    for run in _resampled(resampler, None, power):
        yield run[min(ahead, len(run)) :]
        ahead = max(ahead - len(run), 0)


def _decoded(
    container: av.container.InputContainer,
) -> Iterator[tuple[float | None, av.AudioFrame]]:
    """Decoded frames with their times; a broken packet leaves a hole, nothing more."""
    import av

    stream = container.streams.audio[0]
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            yield frame.time, frame


def _resampled(
    resampler: av.AudioResampler, frame: av.AudioFrame | None, power: np.ndarray
) -> Iterator[np.ndarray]:
    for part in resampler.resample(frame):
        channels = [channel.name for channel in part.layout.channels]
        samples = part.to_ndarray().reshape(part.samples, -1)
        mixed = _mono(samples, channels)
        if len(channels) == 2:
            power += np.square(mixed).sum(), np.square(samples).mean(1).sum()
        yield mixed


def _mono(samples: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """Channels ``[S, n]`` mixed to ``[S]``; those of no known place are averaged."""
    if len(channels) == 1 or not set(channels) <= set(_SHARES):
        return samples.mean(1)
    return samples @ np.array([_SHARES[name] for name in channels], samples.dtype)
