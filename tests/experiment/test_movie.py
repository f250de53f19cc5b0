"""Movies: whole, even-sided, with their sound, or absent."""

import itertools

import av
import numpy as np
import pytest

from gstalker.errors import GSTalkerError
from gstalker.experiment.movie import MovieWriter, ping_pong


def pictures(count, width, height):
    rng = np.random.default_rng(0)
    base = rng.integers(60, 200, (height // 8 + 1, width // 8 + 1, 1)).repeat(3, 2)
    picture = base.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)
    return [np.roll(picture, k, axis=1) for k in range(count)]


@pytest.mark.parametrize("size", [(64, 48), (63, 49)])
def test_every_frame_and_the_sound_arrive(tmp_path, size):
    frames = pictures(30, *size)
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(30 * 640) / 16000)).astype(np.float32)
    with MovieWriter(tmp_path / "a.mp4", *size, tone) as movie:
        for frame in frames:
            movie.write(frame)
    with av.open(str(tmp_path / "a.mp4")) as container:
        seen = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(tmp_path / "a.mp4")) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(seen) == 30
    width, height = size
    for truth, got in zip(frames, seen, strict=True):
        assert np.abs(truth.astype(int) - got[:height, :width]).mean() < 6
    assert abs(len(heard) / 16000 - 1.2) < 0.15
    spectrum = np.abs(np.fft.rfft(heard[2000:18000]))
    assert abs(np.argmax(spectrum) - 440) <= 2


def test_a_movie_that_fails_half_way_leaves_nothing(tmp_path):
    movie = MovieWriter(tmp_path / "a.mp4", 64, 48)
    movie.write(pictures(1, 64, 48)[0])
    failure = RuntimeError("half way")
    movie.__exit__(RuntimeError, failure, None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GSTalkerError, match="cannot write .*a.mp4"):
        MovieWriter(tmp_path / "file" / "a.mp4", 64, 48)


def test_a_picture_of_another_size_is_refused(tmp_path):
    with MovieWriter(tmp_path / "a.mp4", 64, 48) as movie:
        movie.write(pictures(1, 64, 48)[0])
        with pytest.raises(ValueError, match=r"expected uint8 \[48, 64, 3\]"):
            movie.write(np.zeros((64, 48, 3), np.uint8))


def test_ping_pong_moves_one_frame_at_a_time_and_stays_inside():
    ids = np.array(list(itertools.islice(ping_pong(100, 175), 1000)))
    assert ids.min() == 100
    assert ids.max() == 174
    assert (np.abs(np.diff(ids)) == 1).all()


def test_ping_pong_of_one_frame_stands_still():
    assert list(itertools.islice(ping_pong(5, 6), 4)) == [5, 5, 5, 5]
