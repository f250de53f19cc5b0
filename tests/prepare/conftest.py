"""Small video files made for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gstalker import weights

Movie = Callable[..., Path]


def _level(number: int) -> int:
    """How bright frame ``number`` is: neighbours differ by far more than compression does."""
    return 30 + 40 * (number % 5)


@pytest.fixture
def movie(tmp_path: Path) -> Movie:
    """``movie(frames, name="a.mp4", ...)``: see :func:`_write_movie`."""

    def write(frames: int, name: str = "a.mp4", **how: object) -> Path:
        return _write_movie(tmp_path / name, frames, **how)  # type: ignore[arg-type]

    return write


@pytest.fixture(scope="session")
def models(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with what prepare cannot do without, and no Whisper."""
    pytest.importorskip("mediapipe")
    folder = tmp_path_factory.mktemp("models")
    for name in ("face_landmarker.task", "selfie_segmentation.tflite"):
        (folder / name).symlink_to(shared / "data" / "weights" / name)
    return folder


@pytest.fixture
def with_models(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(models))


def _write_movie(
    path: Path,
    frames: int,
    *,
    fps: int | Fraction = 25,
    size: tuple[int, int] = (64, 48),
    sound: bool = True,
    sound_from_s: float = 0.0,
    sound_s: float | None = None,
    rate_hz: int = 48_000,
    layout: str = "stereo",
    stamps: list[int] | None = None,
) -> Path:
    """Frames whose brightness tells their number; a click in the sound 0.4 s after it begins.

    Args:
        path: mp4.
        frames: how many.
        fps: of the time stamps.
        size: width and height.
        sound: whether there is any.
        sound_from_s: when it begins.
        sound_s: how long it is; as long as the pictures by default.
        rate_hz: its samples per second.
        layout: its channels.
        stamps: when each frame is shown, in ``1 / fps``; evenly by default.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
        track = container.add_stream("aac", rate=rate_hz, layout=layout) if sound else None
        for k in range(frames):
            picture = np.full((size[1], size[0], 3), _level(k), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = stamps[k] if stamps else k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            _write_sound(container, track, sound_s or float(frames / fps), sound_from_s)
    return path


def _write_sound(
    container: av.container.OutputContainer,
    track: av.AudioStream,
    seconds: float,
    from_s: float,
) -> None:
    rate_hz, layout = track.rate, track.layout.name
    samples = np.zeros((track.layout.nb_channels, int(rate_hz * seconds)), np.float32)
    click = samples[:, round(0.4 * rate_hz) : round(0.41 * rate_hz)]
    click[:] = 0.8 * np.sin(np.arange(click.shape[1]))
    for a in range(0, samples.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(samples[:, a : a + 1024].copy(), "fltp", layout)
        frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        frame.pts = a + round(rate_hz * from_s)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))
