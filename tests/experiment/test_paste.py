"""A painted head goes back into the filmed picture."""

from types import SimpleNamespace

import av
import numpy as np
import pytest

from gstalker import files
from gstalker.errors import MediaError
from gstalker.experiment.paste import PasteBack

pytest.importorskip("cv2")

VIEW = {"x": 20, "y": 10, "crop_width": 32, "crop_height": 38, "width": 16, "height": 19}
"""A cut-out that reaches the picture's lower edge, prepared at half its size."""


@pytest.fixture
def filmed(tmp_path):
    """Six pictures of 80 x 48, each of one grey: 40, 60, 80 and so on."""
    path = tmp_path / "filmed.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.bit_rate = 2_000_000
        track = container.add_stream("aac", rate=16_000, layout="mono")
        for k in range(6):
            grey = np.full((48, 80, 3), 40 + 20 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 6 * 640), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 16_000
        container.mux(track.encode(sound))
        container.mux(track.encode(None))
    return path


@pytest.fixture
def capture(filmed):
    origin = {"sha256": files.sha256(filmed), "file": "filmed.mp4"}
    return SimpleNamespace(folder="captures/me", meta={"view": VIEW, "source": origin})


def white(count):
    return [np.full((19, 16, 3), 255, np.uint8)] * count


def test_the_head_shows_in_the_cut_out_and_the_film_around_it(capture, filmed):
    (picture,) = PasteBack(capture, filmed, (0, 6)).around(white(1))
    assert picture.shape == (48, 80, 3)
    assert abs(picture[:, :20].astype(int) - 40).max() <= 3
    assert abs(picture[:10].astype(int) - 40).max() <= 3
    assert picture[20:40, 26:46].min() >= 252


def test_the_border_fades_inside_the_film_but_not_at_its_edge(capture, filmed):
    (picture,) = PasteBack(capture, filmed, (0, 6)).around(white(1))
    column = picture[:, 36, 0].astype(int)
    assert 45 < column[10] < 250
    assert column[47] >= 252


def test_the_seam_is_how_far_the_pictures_are_apart_at_the_border(capture, filmed):
    paste = PasteBack(capture, filmed, (0, 6))
    assert paste.seam_levels is None
    assert len(list(paste.around(white(2)))) == 2
    assert paste.seam_levels == pytest.approx(255 - (40 + 60) / 2, abs=3)


def test_the_film_goes_to_and_fro(capture, filmed):
    paste = PasteBack(capture, filmed, (1, 4))
    greys = [int(p[2, 2, 0]) for p in paste.around(white(7))]
    assert np.abs(np.array(greys) - [60, 80, 100, 80, 60, 80, 100]).max() <= 3
    ids = paste.ids()
    assert [next(ids) for _ in range(5)] == [1, 2, 3, 2, 1]


def test_another_video_is_refused(capture, filmed):
    capture.meta["source"]["sha256"] = "0" * 64
    with pytest.raises(MediaError, match="is not the video that captures/me was prepared from"):
        PasteBack(capture, filmed, (0, 6))


def test_a_capture_that_was_not_cut_out_of_a_video_is_refused(filmed):
    capture = SimpleNamespace(folder="captures/me", meta={})
    with pytest.raises(MediaError, match="only captures that `gstalker prepare` made"):
        PasteBack(capture, filmed, (0, 6))


def test_a_missing_video_is_a_sentence(capture, tmp_path):
    with pytest.raises(MediaError, match="there is no video at"):
        PasteBack(capture, tmp_path / "none.mp4", (0, 6))
